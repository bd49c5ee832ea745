/**
 * What the names of a session stand for: prepared statements, portals and cursors. The maps are ahead of the server:
 * they hold what was sent, and each change can be undone when the server refuses it.
 */
import type { MaskRules } from '../mask/mask.ts';
import type { FieldDescription } from './wire/backend.ts';
import type { Run } from './run.ts';
import type { Analysis, MaskOutcome, SessionNames, Statement } from './sql/statement.ts';

/** Under what a text was analysed; any difference makes it void. */
export interface AnalysisContext {
  readonly catalog: object;
  readonly version: number;
  readonly masks: object;
  readonly path: string;
}

export interface Analysed {
  readonly analysis: Exclude<Analysis, { kind: 'needs' }>;
  readonly context: AnalysisContext;
}

/** What decides on the meaning of names, on privileges and on what is masked. */
export interface Under {
  readonly role: string;
  readonly searchPath: readonly string[];
  readonly masks: MaskRules;
}

export interface Prepared {
  readonly name: string;
  readonly text: string;
  /** Undefined for an empty text. */
  statement: Statement | undefined;
  context: AnalysisContext;
  /** What it meant when the server parsed it: the server may hold on to that. */
  meant: Statement | undefined;
  /** Oids that the client declared, then those that the server told. */
  types: readonly number[];
  /** Null: returns no rows. Undefined: not told yet. Formats are all text here. */
  fields: readonly FieldDescription[] | null | undefined;
  /** The client was told the fields. */
  described: boolean;
  /** Declared by SQL PREPARE. */
  readonly bySql: boolean;
  /** The server has it. */
  confirmed: boolean;
  /** Number of Syncs sent before its Parse. */
  readonly batch: number;
}

export interface Portal {
  readonly name: string;
  readonly prepared: Prepared;
  /** Undefined for an empty text. */
  readonly run: Run | undefined;
  /** What it was bound under. */
  readonly under: Under;
  /** Of a statement whose names the server looks up only when it runs: what they meant at the Bind. */
  readonly late: Analysed | undefined;
  readonly resultFormats: readonly number[];
  fields: readonly FieldDescription[] | null | undefined;
  confirmed: boolean;
  /** Some of its rows were asked for: the server has planned it. */
  begun: boolean;
  readonly batch: number;
}

/** What running a prepared statement runs, by an analysis of its text: SQL PREPARE's own text prepares, and only what is in it runs. */
export function statementOf({ bySql }: Prepared, analysis: Analysis): Statement | undefined {
  if (analysis.kind !== 'parsed' || analysis.statements.length !== 1) return undefined;
  const [only] = analysis.statements;
  if (!bySql) return only;
  return only?.session.kind === 'prepare' ? only.session.statement : undefined;
}

export type Undo = () => void;

export interface Cursor {
  readonly masks: MaskOutcome;
  readonly hold: boolean;
  /** The masks under which it was declared. */
  readonly rules: object;
}

const OLD_CURSOR: MaskOutcome = {
  kind: 'untraceable',
  reason: 'the cursor was declared before the masks of this connection changed',
  hint: 'Declare it again.',
};

export class Names implements SessionNames {
  readonly #statements = new Map<string, Prepared>();
  readonly #portals = new Map<string, Portal>();
  readonly #cursors = new Map<string, Cursor>();
  /** When portals and cursors were made, and savepoints, counted on; and when the transaction began. */
  readonly #born = new WeakMap<Portal | Cursor, number>();
  #savepoints: { readonly name: string; readonly run: object; readonly at: number }[] = [];
  #now = 0;
  #began = 0;
  /** Prepared statements that an analysis asked for, and whether it asked for any name: it holds for this session only then. */
  readonly #asked = new Set<string>();
  #askedCursor = false;
  /** The masks that the analysis is made under. */
  #masks: MaskRules | undefined;

  /** Before an analysis. */
  beginAnalysis(masks: MaskRules): void {
    this.#masks = masks;
    this.#asked.clear();
    this.#askedCursor = false;
  }

  get asked(): boolean {
    return this.#asked.size > 0 || this.#askedCursor;
  }

  /** Prepared statements that the last analysis took as they were analysed before. */
  get askedPrepared(): readonly Prepared[] {
    return [...this.#asked].flatMap((name) => this.#statements.get(name) ?? []);
  }

  preparedStatement(name: string): Statement | undefined {
    this.#asked.add(name);
    return this.#statements.get(name)?.statement;
  }

  cursor(name: string): { readonly masks: MaskOutcome } | undefined {
    this.#askedCursor = true;
    const cursor = this.#cursors.get(name);
    if (!cursor) {
      const portal = this.#portals.get(name);
      // As bound: the prepared statement may have been analysed anew since.
      return portal?.run && { masks: this.#masksThen(portal.run.statement.masks, portal.under.masks) };
    }
    return { masks: this.#masksThen(cursor.masks, cursor.rules) };
  }

  /** What was traced under other masks than those of now counts for nothing. */
  #masksThen(masks: MaskOutcome, rules: object): MaskOutcome {
    return rules === this.#masks ? masks : OLD_CURSOR;
  }

  prepared(name: string): Prepared | undefined {
    return this.#statements.get(name);
  }

  portal(name: string): Portal | undefined {
    return this.#portals.get(name);
  }

  isCursor(name: string): boolean {
    return this.#cursors.has(name);
  }

  setPrepared(prepared: Prepared): Undo {
    return set(this.#statements, prepared.name, prepared);
  }

  /** Portals and cursors are one and the same to the server: a name is never both. */
  setPortal(portal: Portal): Undo {
    const { name } = portal;
    const cursor = this.#cursors.get(name);
    this.#cursors.delete(name);
    this.#born.set(portal, ++this.#now);
    const undo = set(this.#portals, name, portal);
    return () => {
      if (cursor && this.#portals.get(name) === portal) this.#cursors.set(name, cursor);
      undo();
    };
  }

  setCursor(name: string, cursor: Cursor): void {
    this.#portals.delete(name);
    this.#born.set(cursor, ++this.#now);
    this.#cursors.set(name, cursor);
  }

  /** Was sent; `run` is its execution. */
  savepoint(name: string, run: object): void {
    this.#savepoints.push({ name, run, at: this.#now });
  }

  /** It failed. */
  noSavepoint(run: object): void {
    if (this.#savepoints.length > 0)
      this.#savepoints = this.#savepoints.filter((savepoint) => savepoint.run !== run);
  }

  /** And all after it. */
  released(name: string): void {
    const index = this.#savepoints.findLastIndex((savepoint) => savepoint.name === name);
    if (index >= 0) this.#savepoints.length = index;
  }

  /** What was made since is gone; of a savepoint that is not known here, all. */
  rolledBackTo(name: string): void {
    const index = this.#savepoints.findLastIndex((savepoint) => savepoint.name === name);
    const at = this.#savepoints[index]?.at ?? 0;
    this.#forgetSince(this.#portals, at);
    this.#forgetSince(this.#cursors, at);
    this.#savepoints.length = index + 1;
  }

  /** The whole transaction: cursors WITH HOLD of it, too, are gone. Portals may be of what was sent after it. */
  rolledBack(): void {
    this.#forgetSince(this.#cursors, this.#began);
  }

  #forgetSince<T extends Portal | Cursor>(map: Map<string, T>, at: number): void {
    for (const [name, one] of map) if ((this.#born.get(one) ?? 0) > at) map.delete(name);
  }

  removePrepared(name: string): Undo {
    return remove(this.#statements, name);
  }

  removePortal(name: string): Undo {
    return remove(this.#portals, name);
  }

  /** As DEALLOCATE ALL: the unnamed one stays. */
  removeAllPrepared(): void {
    for (const name of this.#statements.keys()) if (name !== '') this.#statements.delete(name);
  }

  /** As a simple query does, whatever its text. */
  dropUnnamed(): void {
    this.#statements.delete('');
  }

  removeCursor(name: string | null): void {
    if (name === null) {
      this.#cursors.clear();
      this.#portals.clear();
    } else {
      this.#cursors.delete(name);
      this.#portals.delete(name);
    }
  }

  /** No transaction is open any more: its portals are gone, and cursors but those WITH HOLD. */
  transactionEnded(): void {
    this.#began = this.#now;
    if (this.#savepoints.length > 0) this.#savepoints = [];
    if (this.#portals.size > 0) this.#portals.clear();
    if (this.#cursors.size === 0) return;
    for (const [name, cursor] of this.#cursors) if (!cursor.hold) this.#cursors.delete(name);
  }
}

function set<T>(map: Map<string, T>, name: string, value: T): Undo {
  const before = map.get(name);
  map.set(name, value);
  return () => {
    if (map.get(name) !== value) return;
    if (before === undefined) map.delete(name);
    else map.set(name, before);
  };
}

function remove<T>(map: Map<string, T>, name: string): Undo {
  const before = map.get(name);
  if (before === undefined) return () => undefined;
  map.delete(name);
  return () => {
    if (!map.has(name)) map.set(name, before);
  };
}
