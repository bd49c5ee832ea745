/** What a prepared statement means now, and whether the server means the same by it. */
import { BY_NAMES, NO_CONTEXT } from './analyst.ts';
import type { Deciding } from './deciding.ts';
import type { Exchange } from './exchange.ts';
import { samePlan } from './meaning.ts';
import { type Prepared, statementOf } from './names.ts';
import { denialFields, errorFields } from './refusal.ts';
import { STATE_CHANGED } from './run.ts';
import type { Statement } from './sql/statement.ts';
import { type Step, then } from './step.ts';
import type { ErrorFields } from './wire/backend.ts';
import { type Bind, encodeDescribe } from './wire/frontend.ts';

/** Undefined for an empty text. */
type Current = { readonly statement: Statement } | { readonly fields: ErrorFields } | undefined;

export class Preparing {
  readonly #exchange: Exchange;
  readonly #deciding: Deciding;

  constructor(exchange: Exchange, deciding: Deciding) {
    this.#exchange = exchange;
    this.#deciding = deciding;
  }

  /** A binary value is read by its type: one that the client did not declare is asked of the server first. */
  typed(bind: Bind, prepared: Prepared): Step {
    const { formats, values } = bind;
    const unknown = values.some((value, index) => {
      const format = formats.length === 1 ? formats[0] : formats[index];
      return format === 1 && value !== null && (prepared.types[index] ?? 0) === 0;
    });
    if (!unknown) return undefined;
    return this.#described(prepared);
  }

  /** The statement as it is to be read now: analysed again when the catalog, the path or the masks are others. */
  current(prepared: Prepared): Current | Promise<Current> {
    if (!prepared.statement) return undefined;
    if (this.#deciding.holds(prepared.context)) return { statement: prepared.statement };
    return then(this.#deciding.analyzeNamed(prepared.text), (analysed) => {
      if ('fields' in analysed) return analysed;
      const { analysis, context } = analysed;
      const statement = statementOf(prepared, analysis);
      if (!statement) return { fields: noSuchStatement(prepared.name) };
      if (!samePlan(prepared.meant, statement)) return this.#parseAnew(prepared, statement, context);
      prepared.statement = statement;
      prepared.context = context;
      return { statement };
    });
  }

  /** The server may hold on to what a text meant when it was parsed, though it means something else by now: it parses it anew. */
  async #parseAnew(prepared: Prepared, statement: Statement, context: Prepared['context']): Promise<Current> {
    const exchange = this.#exchange;
    const told = prepared.described ? prepared.fields : undefined;
    // Until it has: if it fails, it is tried again.
    Object.assign(prepared, { meant: undefined, context: NO_CONTEXT });
    try {
      await exchange.parseAnew(prepared);
    } catch {
      return { fields: denialFields(STATE_CHANGED) };
    }
    prepared.meant = statement;
    prepared.fields = undefined;
    if (told !== undefined) {
      await this.#described(prepared);
      if (!sameFields(told, prepared.fields)) return { fields: OTHER_RESULT };
    }
    // Bound at once, it is what was looked at.
    if (context !== BY_NAMES && !this.#deciding.holds(context))
      return { fields: denialFields(STATE_CHANGED) };
    prepared.statement = statement;
    prepared.context = context;
    return { statement };
  }

  /** Asks the server for the types of parameters and columns. */
  #described(prepared: Prepared): Step {
    this.#describe(prepared);
    return this.#exchange.drained();
  }

  #describe(prepared: Prepared): void {
    const { expectations, toServer } = this.#exchange;
    this.#exchange.midBatch = true;
    expectations.push({ kind: 'describe-statement', prepared, internal: true, parametersSeen: false });
    toServer.send(encodeDescribe('S', prepared.name));
  }

  /** A Parse of ours, and what its answer looks like. */
  parseOurs(prepared: Prepared, undo: () => void, message: Buffer): void {
    const { expectations, toServer } = this.#exchange;
    this.#exchange.midBatch = true;
    expectations.push({ kind: 'parse', prepared, undo, internal: true });
    toServer.send(message);
    this.#describe(prepared);
  }
}

/** As the server itself says when it finds that. */
const OTHER_RESULT = errorFields('ERROR', '0A000', 'cached plan must not change result type');

export function noSuchStatement(name: string): ErrorFields {
  const what = name === '' ? 'unnamed prepared statement' : `prepared statement "${name}"`;
  return errorFields('ERROR', '26000', `${what} does not exist`);
}

export function sameFields(one: Prepared['fields'], other: Prepared['fields']): boolean {
  if (!one || !other) return (one ?? null) === (other ?? null);
  return (
    one.length === other.length &&
    one.every((field, index) => field.name === other[index]?.name && field.typeOid === other[index].typeOid)
  );
}
