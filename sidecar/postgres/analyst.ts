/**
 * Analyses texts under what holds in one session now: the catalog, the search_path, the masks. A session that changed the
 * catalog in a transaction sees what others do not yet, and looks at it by its own connection until it has committed.
 */
import type { MaskRules } from '../mask/mask.ts';
import { Catalog } from './catalog/cache.ts';
import type { CatalogNeed, CatalogQuery, CatalogView } from './catalog/relation.ts';
import { type Analysed, type AnalysisContext, type Names, type Prepared, statementOf } from './names.ts';
import { samePlan } from './meaning.ts';
import { ServerRefusal } from './server.ts';
import { PINNED } from './settings.ts';
import { analyze } from './sql/analyze.ts';
import { instantiate, templateOf } from './sql/template.ts';
import { then } from './step.ts';
import type { Analysis, Statement } from './sql/statement.ts';

/** What all sessions of a connection share. */
export interface SharedAnalysis {
  readonly catalog: Catalog;
  readonly query: CatalogQuery;
  /** By text. */
  readonly cache: AnalysisCache;
  /** By template. */
  readonly templates: AnalysisCache;
}

/** Analyses by text, the least recently used go first. */
export class AnalysisCache {
  readonly #entries = new Map<string, Analysed>();
  readonly #most: number;

  constructor(most = 2_000) {
    this.#most = most;
  }

  get(text: string): Analysed | undefined {
    return this.#entries.get(text);
  }

  set(text: string, analysed: Analysed): void {
    if (text.length > MAX_CACHED_TEXT) return;
    this.#entries.delete(text);
    this.#entries.set(text, analysed);
    if (this.#entries.size <= this.#most) return;
    const oldest = this.#entries.keys().next();
    if (!oldest.done) this.#entries.delete(oldest.value);
  }
}

/** Knows nothing: an analysis that needs nothing of it holds under any catalog. */
const UNKNOWN_CATALOG: CatalogView = {
  version: -1,
  relation: () => undefined,
  relationByOid: () => undefined,
  shadowed: () => [],
  userFunctions: () => undefined,
  hasUserOperator: () => undefined,
  userType: () => undefined,
};

/** Never holds. */
export const NO_CONTEXT: AnalysisContext = { catalog: {}, version: -1, masks: {}, path: '' };
/** Never holds either: the analysis is one of names of the session, whatever they stand for by now. */
export const BY_NAMES: AnalysisContext = { catalog: {}, version: -1, masks: {}, path: '' };

const MAX_CACHED_TEXT = 16_384;
/** Views over views over partitions: each round loads what the one before turned out to need. */
const MAX_ROUNDS = 40;
/** Each may wait for a lock for as long as the side connection does. */
const LOAD_ATTEMPTS = 4;

export class AnalysisError extends Error {
  readonly code: 'analysis' | 'transaction-failed';

  constructor(message: string, code: AnalysisError['code'] = 'analysis') {
    super(message);
    this.code = code;
  }
}

/** Reads what names are resolved under: settings may have been changed by functions, so the server itself is asked. */
const SETTINGS_QUERY =
  'SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(true)), ' +
  '(SELECT nspname FROM pg_catalog.pg_namespace WHERE oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()), ' +
  "current_user, pg_catalog.current_setting('client_encoding'), pg_catalog.current_setting('standard_conforming_strings'), session_user";

export interface AnalystParts {
  readonly shared: SharedAnalysis;
  readonly names: Names;
  /** Runs a query on the session's own connection; undefined while its transaction has failed. */
  readonly ask: (sql: string) => ReturnType<CatalogQuery> | undefined;
  /** Has the server parse a prepared statement anew: it may hold on to what the text meant before. */
  readonly parseAnew: (prepared: Prepared) => Promise<void>;
  readonly inTransaction: () => boolean;
  /** The operator made a schema of the login role's own name, and put masked views of tables into it. */
  readonly maskedViews: boolean;
}

export class Analyst {
  readonly #shared: SharedAnalysis;
  readonly #names: Names;
  readonly #ask: AnalystParts['ask'];
  readonly #parseAnew: AnalystParts['parseAnew'];
  readonly #inTransaction: () => boolean;
  readonly #maskedViews: boolean;
  #private: Catalog | undefined;
  /** Version of the shared catalog that the private one was last compared with. */
  #followed = 0;
  #path: readonly string[] = [];
  #temporary: string | null = null;
  #pathKey = '';
  #role = '';
  #login: string | null = null;
  #stale = true;
  /** The shared catalog's version when they were read: schemas of the path may have come and gone since. */
  #pathVersion = 0;
  /** Something ran that may have changed how texts are read. */
  #unpinned = false;
  /** Something was changed in the open transaction, that a rollback would take back. */
  #touched = false;
  #unsettled = false;

  constructor(parts: AnalystParts) {
    this.#shared = parts.shared;
    this.#names = parts.names;
    this.#ask = parts.ask;
    this.#parseAnew = parts.parseAnew;
    this.#inTransaction = parts.inTransaction;
    this.#maskedViews = parts.maskedViews;
  }

  get role(): string {
    return this.#role;
  }

  /** The catalog was changed in a transaction that is open, if only for the rest of a batch: other connections see it as it was. */
  get unsettled(): boolean {
    return this.#unsettled;
  }

  /** The open transaction, if only a batch, has changed what names mean: its end changes that again. */
  get touched(): boolean {
    return this.#touched || this.#unsettled;
  }

  get searchPath(): readonly string[] {
    return this.#path;
  }

  /** The settings may have changed since they were read. */
  get stale(): boolean {
    return this.#stale || this.#pathVersion !== this.#shared.catalog.version;
  }

  /** Reads the settings again when they may have changed; undefined when that is not possible now. */
  refresh(): Promise<void> | undefined {
    if (!this.stale) return undefined;
    const version = this.#shared.catalog.version;
    const rows = this.#ask(SETTINGS_QUERY);
    return rows?.then(([row]) => {
      // The server reports a change only when the batch ends: until then texts would be read in two ways.
      if (
        row?.[3] !== PINNED.get('client_encoding') ||
        row?.[4] !== PINNED.get('standard_conforming_strings')
      )
        throw new AnalysisError('A setting by which statements are read was changed.');
      this.#path = schemaNames(row?.[0] ?? '[]');
      this.#temporary = row?.[1] ?? null;
      this.#role = row?.[2] ?? '';
      this.#login = row?.[5] ?? null;
      this.#pathKey = JSON.stringify([this.#path, this.#temporary]);
      this.#stale = false;
      this.#pathVersion = version;
      this.#unpinned = false;
    });
  }

  /** A statement has run: takes note of what it may have changed. */
  completed(statement: Statement, inTransaction: boolean): void {
    // What the transaction changed for itself is over with it, also before the server is ready again.
    if (this.touched) {
      const { kind } = statement.session;
      if (kind === 'commit' || kind === 'rollback' || kind === 'prepare-transaction') this.#again();
      else if (kind === 'rollback-to') this.#private?.invalidate();
    }
    if (!statement.changesCatalog && !statement.changesSettings && !setsPath(statement)) return;
    this.#stale = true;
    if (statement.facts.effects.includes('opaque')) this.#unpinned = true;
    if (inTransaction) this.#touched = true;
    if (!statement.changesCatalog) return;
    this.#unsettled = true;
    this.#shared.catalog.invalidate();
    if (inTransaction) this.#private = new Catalog();
    else this.#private?.invalidate();
  }

  transactionEnded(): void {
    if (this.#unsettled) this.#shared.catalog.invalidate();
    this.#unsettled = false;
    if (!this.#touched) return;
    this.#touched = false;
    this.#again();
  }

  /** Everything is read anew. */
  #again(): void {
    this.#stale = true;
    this.#private = undefined;
    this.#shared.catalog.invalidate();
  }

  /** Whether an earlier analysis still holds. */
  holds(context: AnalysisContext, masks: MaskRules): boolean {
    const catalog = this.#catalog();
    return (
      !this.stale &&
      context.masks === masks &&
      context.catalog === catalog &&
      context.version === catalog.version &&
      context.path === this.#pathKey
    );
  }

  analyze(text: string, masks: MaskRules): Analysed | Promise<Analysed> {
    if (this.stale) {
      const open = this.#inTransaction();
      if (!open || this.#unpinned) return then(this.refresh(), () => this.#analyzeFresh(text, masks));
      // What names nothing (SET TRANSACTION, COMMIT) needs no settings, and may have to be the transaction's first.
      this.#names.beginAnalysis(masks);
      const analysis = analyze(text, { catalog: UNKNOWN_CATALOG, masks, names: this.#names });
      if (analysis.kind !== 'needs' && onlySession(analysis)) return { analysis, context: NO_CONTEXT };
      return then(this.refresh(), () => this.#analyzeFresh(text, masks));
    }
    return this.#analyzeFresh(text, masks);
  }

  #analyzeFresh(text: string, masks: MaskRules): Analysed | Promise<Analysed> {
    const cached = this.#shared.cache.get(text);
    if (cached && this.holds(cached.context, masks)) return cached;
    const template = templateOf(text);
    const known = template && this.#shared.templates.get(template.key);
    if (known && this.holds(known.context, masks)) return this.#alike(known, template.text);
    return then(this.#analyzeNow(text, masks), (analysed) => {
      if (template && !this.touched && this.holds(analysed.context, masks))
        this.#shared.templates.set(template.key, analysed);
      // EXECUTE is as good as the analysis of what it executes.
      const outdated = this.#names.askedPrepared.filter((prepared) => !this.holds(prepared.context, masks));
      return outdated.length === 0 ? analysed : this.#renewed(outdated, text, masks);
    });
  }

  /** The analysis of a text that differs from a known one only in literals that do not matter. Not kept: it may never come again. */
  #alike({ analysis, context }: Analysed, text: string): Analysed {
    if (analysis.kind !== 'parsed') return { analysis, context };
    return {
      analysis: {
        kind: 'parsed',
        statements: analysis.statements.map((statement) => instantiate(statement, text)),
      },
      context,
    };
  }

  async #renewed(outdated: readonly Prepared[], text: string, masks: MaskRules): Promise<Analysed> {
    for (const prepared of outdated) await this.#renew(prepared, masks, new Set());
    return this.#analyzeNow(text, masks);
  }

  async #renew(prepared: Prepared, masks: MaskRules, within: Set<Prepared>): Promise<void> {
    // In a circle nothing ever runs: the server finds its stack too deep.
    if (within.has(prepared)) return;
    within.add(prepared);
    let now = await this.#analyzeNow(prepared.text, masks);
    // It may be an EXECUTE itself.
    const inner = this.#names.askedPrepared.filter(({ context }) => !this.holds(context, masks));
    for (const one of inner) await this.#renew(one, masks, within);
    if (inner.length > 0) now = await this.#analyzeNow(prepared.text, masks);
    const statement = statementOf(prepared, now.analysis);
    if (!samePlan(prepared.meant, statement)) {
      // Until it has: if it fails, it is tried again.
      Object.assign(prepared, { meant: undefined, context: NO_CONTEXT, fields: undefined });
      await this.#parseAnew(prepared);
    }
    Object.assign(prepared, { meant: statement, statement, context: now.context });
    within.delete(prepared);
  }

  #analyzeNow(text: string, masks: MaskRules): Analysed | Promise<Analysed> {
    const analysis = this.#once(text, masks);
    return analysis.kind === 'needs'
      ? this.#untilKnown(text, masks, analysis)
      : this.#keep(text, masks, analysis);
  }

  async #untilKnown(
    text: string,
    masks: MaskRules,
    first: Extract<Analysis, { kind: 'needs' }>,
  ): Promise<Analysed> {
    let needs = first.needs;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      await this.#load(needs);
      const analysis = this.#once(text, masks);
      if (analysis.kind !== 'needs') return this.#keep(text, masks, analysis);
      needs = analysis.needs;
    }
    throw new AnalysisError('the statement needs more of the catalog than is looked up for one');
  }

  /** Again when what is read is just being dropped or held by somebody; on the session's own connection the transaction is lost then. */
  async #load(needs: readonly CatalogNeed[]): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#catalog().load(needs, this.#query());
        return;
      } catch (error) {
        if (this.#private !== undefined || attempt === LOAD_ATTEMPTS || !isPassing(error)) throw error;
      }
    }
  }

  #once(text: string, masks: MaskRules): Analysis {
    this.#names.beginAnalysis(masks);
    const catalog = this.#catalog().view(this.#path, this.#temporary, this.#maskedViews ? this.#login : null);
    return analyze(text, { catalog, masks, names: this.#names, touched: this.touched });
  }

  #keep(text: string, masks: MaskRules, analysis: Analysed['analysis']): Analysed {
    // Names of the session may mean something else at the next execution.
    if (this.#names.asked) return { analysis, context: BY_NAMES };
    const catalog = this.#catalog();
    const context = { catalog, version: catalog.version, masks, path: this.#pathKey };
    const analysed = { analysis, context };
    // A private catalog is gone soon, and what a transaction has changed with it.
    if (this.#private === undefined && !this.touched) this.#shared.cache.set(text, analysed);
    return analysed;
  }

  /** Temporary tables, too, are seen by this connection only. What is private follows what the shared one notices. */
  #catalog(): Catalog {
    const { catalog } = this.#shared;
    if (this.#private === undefined && this.#temporary !== null) this.#private = new Catalog();
    if (this.#private === undefined) return catalog;
    if (this.#followed !== catalog.version) {
      this.#followed = catalog.version;
      this.#private.invalidate();
    }
    return this.#private;
  }

  #query(): CatalogQuery {
    if (this.#private === undefined) return this.#shared.query;
    return (sql) =>
      this.#ask(sql) ??
      Promise.reject(new AnalysisError('the transaction has failed already', 'transaction-failed'));
  }
}

/** lock_not_available, deadlock_detected; internal_error is what a relation gives that was dropped since the query's snapshot. */
function isPassing(error: unknown): boolean {
  return error instanceof ServerRefusal && ['55P03', '40P01', 'XX000'].includes(error.fields.get('C') ?? '');
}

/** Settings by which names are resolved, or the role that they are resolved for. */
const PATH_SETTINGS = new Set(['search_path', 'role', 'session_authorization', 'all']);

function setsPath({ session }: Statement): boolean {
  switch (session.kind) {
    case 'set':
      return PATH_SETTINGS.has(session.name.toLowerCase());
    case 'set-role':
    case 'discard':
      return true;
    default:
      return false;
  }
}

function onlySession(analysis: Exclude<Analysis, { kind: 'needs' }>): boolean {
  if (analysis.kind === 'unparseable') return true;
  return analysis.statements.every(({ facts }) => facts.effects.every((effect) => effect === 'session'));
}

function schemaNames(json: string): readonly string[] {
  const names: unknown = JSON.parse(json);
  return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : [];
}
