/** A session as its terminal would have shown it: what appears, and when. For replay and asciicast. */
import { escapeForDisplay, escapeLine } from '../sidecar/approval/display.ts';
import type { RecordedColumn } from '../sidecar/record/event.ts';
import type { AnyEvent, RecordedDecision, RecordedEvent } from '../sidecar/record/recorded.ts';
import { duration, plural, ruleNames, type Paint } from './recordings-output.ts';
import { tableLines } from './recordings-table.ts';

export interface Frame {
  /** µs since 1970. */
  readonly at: number;
  /** Whole lines. */
  readonly text: string;
}

interface Rows {
  readonly columns: readonly RecordedColumn[];
  readonly rows: (readonly (string | null)[])[];
}

/** Rows that wait for their statement's end before they are shown without it. */
const MAX_WAITING = 5000;

export class Scene {
  readonly #paint: Paint;
  #database = '';
  readonly #rows = new Map<number, Rows>();
  readonly #heldSince = new Map<string, number>();
  readonly #refused = new Set<number>();

  constructor(paint: Paint) {
    this.#paint = paint;
  }

  frame({ at, event }: RecordedEvent): Frame {
    return {
      at,
      text: this.#lines(event, at)
        .map((line) => `${line}\n`)
        .join(''),
    };
  }

  #lines(event: AnyEvent, at: number): readonly string[] {
    switch (event.kind) {
      case 'session-start': {
        this.#database = escapeLine(event.connection.database);
        const where = escapeLine(`${event.connection.namespace}/${event.connection.name}`);
        const who = `${escapeLine(event.identity.username)} on ${where} from ${escapeLine(event.client.address)}`;
        return [
          this.#note(
            `${who}, ${escapeLine(event.client.applicationName)}, server ${escapeLine(event.serverVersion)}`,
          ),
        ];
      }
      case 'decision':
        return this.#decision(event);
      case 'hold':
        this.#heldSince.set(event.approval, at);
        return [
          this.#warn(
            `held by ${escapeLine(ruleNames(event.rules))}: waiting for approval ${escapeLine(event.approval)} …`,
          ),
        ];
      case 'approval': {
        const since = this.#heldSince.get(event.approval);
        this.#heldSince.delete(event.approval);
        const waited = since === undefined ? '' : ` after ${duration(at - since)}`;
        const by = event.by === '' ? '' : ` by ${escapeLine(event.by)}`;
        const why = event.reason === '' ? '' : `: ${escapeLine(event.reason)}`;
        const instead = event.modified === null ? [] : [this.#warn(`instead: ${escapeLine(event.modified)}`)];
        return [this.#warn(`${event.verdict}${by}${waited}${why}`), ...instead];
      }
      case 'rows':
        return this.#collect(event.operation, event);
      case 'copy':
        return escapeForDisplay(event.data.toString())
          .split('\n')
          .filter((line) => line !== '');
      case 'complete':
        return this.#complete(event);
      case 'notice':
        return [`${escapeLine(event.severity)}:  ${escapeLine(event.message)}`];
      case 'policy-change':
        return [
          this.#note(
            event.error === null
              ? 'the policies changed'
              : `a policy change was refused: ${escapeLine(event.error)}`,
          ),
        ];
      case 'session-end': {
        const { operations, deny, refuse, hold } = event.counts;
        const what = `${plural(operations, 'operation')}, ${deny + refuse} refused, ${hold} held`;
        return [this.#note(`the session ended: ${escapeLine(event.reason)} (${what})`)];
      }
    }
  }

  #decision(event: RecordedDecision): readonly string[] {
    const { facts, decision } = event;
    const inTransaction = facts.kind === 'postgres' && facts.sql.inTransaction;
    const text = facts.kind === 'postgres' ? facts.sql.statement.text : facts.text;
    const lines = this.#prompted(text, inTransaction);
    if (facts.kind === 'postgres' && facts.sql.parameters.length > 0) {
      const values = facts.sql.parameters.map(
        (value, index) => `$${index + 1} = ${value === null ? 'NULL' : `'${escapeLine(value)}'`}`,
      );
      lines.push(this.#note(values.join(', ')));
    }
    for (const { policy, would } of decision.kind === 'refuse' ? [] : decision.observed) {
      lines.push(this.#note(`${escapeLine(policy)}, only observing, would ${would}`));
    }
    if (decision.kind === 'deny') {
      this.#refused.add(event.operation);
      lines.push(...this.#error(decision.message, `denied by ${ruleNames(decision.rules)}`, decision.hint));
    } else if (decision.kind === 'refuse') {
      this.#refused.add(event.operation);
      lines.push(...this.#error(decision.denial.message, decision.denial.detail, decision.denial.hint));
    }
    return lines;
  }

  #prompted(text: string, inTransaction: boolean): string[] {
    const mark = inTransaction ? '*' : '';
    const ending = text.trimEnd().endsWith(';') ? '' : ';';
    return `${escapeForDisplay(text)}${ending}`.split('\n').map((line, index) => {
      const prompt = `${this.#database}${index === 0 ? '=' : '-'}${mark}> `;
      return this.#paint('cyan', prompt) + this.#paint('bold', line);
    });
  }

  #error(message: string, detail: string, hint: string): readonly string[] {
    const lines = [this.#paint('red', `ERROR:  ${escapeLine(message)}`)];
    if (detail !== '') lines.push(`DETAIL:  ${escapeLine(detail)}`);
    if (hint !== '') lines.push(`HINT:  ${escapeLine(hint)}`);
    return lines;
  }

  #collect(
    operation: number,
    {
      columns,
      rows,
    }: {
      readonly columns: readonly RecordedColumn[];
      readonly rows: Rows['rows'] | readonly (readonly (string | null)[])[];
    },
  ): readonly string[] {
    const waiting = this.#rows.get(operation) ?? { columns, rows: [] };
    waiting.rows.push(...rows);
    this.#rows.set(operation, waiting);
    return waiting.rows.length > MAX_WAITING || this.#rows.size > MAX_WAITING
      ? this.#takeTable(operation)
      : [];
  }

  #takeTable(operation: number): readonly string[] {
    const waiting = this.#rows.get(operation);
    if (waiting === undefined) return [];
    this.#rows.delete(operation);
    return tableLines(waiting.columns, waiting.rows);
  }

  #complete(event: Extract<AnyEvent, { kind: 'complete' }>): readonly string[] {
    const hadRows = this.#rows.has(event.operation);
    const lines = [...this.#takeTable(event.operation)];
    if (event.error !== null) {
      // What a policy refused was shown with its decision.
      if (this.#refused.delete(event.operation)) return lines;
      lines.push(
        ...this.#error(event.error.message, '', ''),
        this.#note(`SQLSTATE ${escapeLine(event.error.code)}`),
      );
      return lines;
    }
    if (hadRows) lines.push(`(${plural(event.rows, 'row')})`, '');
    else if (event.tag !== null && event.tag !== '') lines.push(escapeLine(event.tag));
    if (event.rowsNotRecorded > 0)
      lines.push(this.#note(`${plural(event.rowsNotRecorded, 'row')} not recorded: over the budget`));
    return lines;
  }

  #note(text: string): string {
    return this.#paint('dim', `-- ${text}`);
  }

  #warn(text: string): string {
    return this.#paint('yellow', `-- ${text}`);
  }
}
