/** The simple protocol: one message, any number of statements, all of which run or none. */
import type { Analysed } from './names.ts';
import {
  type Decided,
  type Deciding,
  NO_PARAMETERS,
  NO_RAW,
  type Permitted,
  type Refused,
} from './deciding.ts';
import { type Exchange, newRun } from './exchange.ts';
import { sameMeaning } from './meaning.ts';
import { POISON, denialFields } from './refusal.ts';
import { type RowBudget, STATE_CHANGED, takesCopy } from './run.ts';
import type { Statement } from './sql/statement.ts';
import type { StatementOperation } from './statement-operation.ts';
import { type Step, step, then } from './step.ts';
import type { ErrorFields } from './wire/backend.ts';
import type { Frame } from './wire/frame.ts';
import { encodeQuery } from './wire/frontend.ts';

type AllDecided = Refused | { readonly kind: 'permitted'; readonly permitted: readonly Permitted[] };

export class SimpleQuery {
  readonly #exchange: Exchange;
  readonly #deciding: Deciding;
  readonly #budget: RowBudget;

  constructor(exchange: Exchange, deciding: Deciding, budget: RowBudget) {
    this.#exchange = exchange;
    this.#deciding = deciding;
    this.#budget = budget;
  }

  query(text: string, frame: Frame): Step {
    return this.#deciding.onceSettled(true, () =>
      step(this.#deciding.analyze(text), (analysed) => {
        if ('fields' in analysed) {
          this.refuse(analysed.fields);
          return undefined;
        }
        if (analysed.analysis.kind === 'unparseable') {
          this.refuse(this.#deciding.unparseable(text, analysed.analysis));
          return undefined;
        }
        return this.#decideQuery(text, analysed, analysed.analysis.statements, frame);
      }),
    );
  }

  #decideQuery(text: string, analysed: Analysed, statements: readonly Statement[], frame: Frame): Step {
    const operations = this.#operationsOf(statements);
    // One that will be refused is found before anybody is asked about the others.
    const hopeless =
      operations.length > 1 ? operations.find((operation) => this.#deciding.hopeless(operation)) : undefined;
    const order = hopeless ? [hopeless] : operations;
    const deciding = this.#decideAll(order);
    const waited = deciding instanceof Promise;
    return step(deciding, (decided) => {
      if (decided.kind === 'refused') {
        this.refuse(decided.fields);
        return undefined;
      }
      const { permitted } = decided;
      const same = waited ? this.#deciding.meansTheSame(text, analysed) : true;
      const together = (unchanged: boolean) => unchanged && this.#meanTheSameTogether(permitted, statements);
      return step(then(same, together), (unchanged) =>
        unchanged ? this.#sendQuery(permitted, statements, frame) : this.#changed(permitted),
      );
    });
  }

  /** An approver's text by itself may change what the statements behind it mean: as a whole they must be what was decided. */
  #meanTheSameTogether(
    permitted: readonly Permitted[],
    statements: readonly Statement[],
  ): boolean | Promise<boolean> {
    if (permitted.length < 2 || isAsked(permitted, statements)) return true;
    const decided = permitted.map(({ operation }) => operation.statement);
    return then(
      this.#deciding.analyze(joined(permitted)),
      ({ analysis }) =>
        analysis !== undefined && sameMeaning(analysis, { kind: 'parsed', statements: decided }),
    );
  }

  #changed(permitted: readonly Permitted[]): undefined {
    for (const { outcome } of permitted) this.#deciding.notRun(outcome.number);
    this.refuse(denialFields(STATE_CHANGED));
  }

  #operationsOf(statements: readonly Statement[]): readonly StatementOperation[] {
    let open = this.#exchange.open;
    return statements.map((statement) => {
      const operation = this.#deciding.operation(statement, NO_PARAMETERS, NO_RAW, open);
      if (statement.session.kind === 'begin') open = true;
      if (statement.session.kind === 'commit' || statement.session.kind === 'rollback')
        open = statement.session.chain;
      return operation;
    });
  }

  /** At once as far as nobody is asked; a text may hold thousands of statements. */
  #decideAll(operations: readonly StatementOperation[]): AllDecided | Promise<AllDecided> {
    const permitted: Permitted[] = [];
    for (const [index, operation] of operations.entries()) {
      const decided = this.#deciding.decide(operation);
      if (decided instanceof Promise)
        return this.#decideRest(decided, operations.slice(index + 1), permitted);
      if (decided.kind === 'refused') return this.#noneRuns(permitted, decided);
      permitted.push(decided.permitted);
    }
    return { kind: 'permitted', permitted };
  }

  async #decideRest(
    waiting: Promise<Decided>,
    rest: readonly StatementOperation[],
    permitted: Permitted[],
  ): Promise<AllDecided> {
    let decided = await waiting;
    for (const operation of rest) {
      if (decided.kind === 'refused') break;
      permitted.push(decided.permitted);
      decided = await this.#deciding.decide(operation);
    }
    if (decided.kind === 'refused') return this.#noneRuns(permitted, decided);
    return { kind: 'permitted', permitted: [...permitted, decided.permitted] };
  }

  #noneRuns(permitted: readonly Permitted[], refused: Refused): Refused {
    for (const { outcome } of permitted) this.#deciding.notRun(outcome.number);
    return refused;
  }

  #sendQuery(permitted: readonly Permitted[], statements: readonly Statement[], frame: Frame): Step {
    const exchange = this.#exchange;
    const { discarding } = exchange;
    if (discarding || !permitted.every(({ operation, outcome }) => outcome.permit.redeem(operation))) {
      return this.#changed(permitted);
    }
    const masks = this.#deciding.masks;
    const runs = permitted.map(({ operation, outcome }) =>
      newRun(outcome.number, operation.statement, masks, this.#budget),
    );
    if (isAsked(permitted, statements)) exchange.toServer.forward(frame.buffer, frame.start, frame.end);
    else exchange.toServer.send(encodeQuery(joined(permitted)));
    for (const run of runs) exchange.sent(run);
    exchange.midBatch = false;
    exchange.bound = false;
    exchange.executed = false;
    exchange.names.dropUnnamed();
    exchange.expectations.push({ kind: 'query', runs, next: 0, failed: false });
    const copying = runs.find(takesCopy);
    return copying ? exchange.copyStarted(copying) : undefined;
  }

  /** Refuses the whole message. */
  refuse(fields: ErrorFields): void {
    const exchange = this.#exchange;
    // The batch has failed meanwhile: the server takes nothing up to its Sync.
    if (exchange.discarding) return;
    exchange.midBatch = false;
    exchange.bound = false;
    exchange.executed = false;
    exchange.names.dropUnnamed();
    exchange.toServer.send(encodeQuery(POISON));
    exchange.expectations.push({ kind: 'refusal', fields, simple: true, failed: false });
  }
}

/** Nothing of it was modified: the client's own bytes can be sent. */
function isAsked(permitted: readonly Permitted[], statements: readonly Statement[]): boolean {
  return permitted.every(({ operation }, index) => operation.statement === statements[index]);
}

function joined(permitted: readonly Permitted[]): string {
  return permitted.map(({ operation }) => operation.statement.facts.text).join(';\n');
}
