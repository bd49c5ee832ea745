/** What has been read of one database's catalog, kept until something changes. */
import { CatalogError } from './catalog-error.ts';
import { type Details, readDetails } from './details.ts';
import { detailsQuery, versionsQuery } from './details-query.ts';
import { truncateName } from './literal.ts';
import { type NameAnswers, namesQuery, readNames } from './names.ts';
import type { CatalogNeed, CatalogQuery, CatalogView } from './relation.ts';
import { type Loaded, catalogView } from './view.ts';

/** More than any analysis names at once. */
const MAX_NEEDS = 4096;
/** Beyond either, all is dropped and read anew as it is needed: an agent cannot fill the memory with made-up names. */
const MAX_NAMES = 20_000;
const MAX_RELATIONS = 60_000;
/** Of relations that share a name, in schemas no view looks at: so many are read without being asked for. */
const MAX_NAMESAKES = 8;
const MAX_VIEWS = 64;
/**
 * Schemas with the masked views of runs, named like their roles. They come and go with their runs, and reading a view's definition waits
 * for whoever drops it: those of other runs are read by none that does not name them.
 */
const SCHEMA_OF_A_RUN = /^sw_[a-z0-9_]*_[0-9a-f]{20}$/;

interface NameSets {
  readonly relations: Set<string>;
  readonly functions: Set<string>;
  readonly types: Set<string>;
  readonly operators: Set<string>;
}

const noNames = (): NameSets => ({
  relations: new Set(),
  functions: new Set(),
  types: new Set(),
  operators: new Set(),
});

/** All that is dropped together. */
interface Contents {
  readonly relations: Map<string, readonly { readonly oid: number; readonly schema: string }[]>;
  readonly functions: NameAnswers['functions'];
  readonly types: NameAnswers['types'];
  readonly operators: NameAnswers['operators'];
  readonly nameVersions: Map<string, string>;
  /** By oid; null when there is none. */
  readonly details: Map<number, Details | null>;
  /** Oids that a view was asked for and did not have. */
  readonly wanted: Set<number>;
}

const nothing = (): Contents => ({
  relations: new Map(),
  functions: new Map(),
  types: new Map(),
  operators: new Map(),
  nameVersions: new Map(),
  details: new Map(),
  wanted: new Set(),
});

/**
 * One for each connection, loaded through a side connection; and a private one for a session that has uncommitted DDL,
 * loaded through the session's own. Negative answers are kept too.
 *
 * What it can miss: between a change made elsewhere and the next `poll` it answers as before (PostgreSQL itself would
 * see the change at once); and a private one under REPEATABLE READ or SERIALIZABLE sees the catalog of the
 * transaction's snapshot, while PostgreSQL resolves names by the newest.
 */
export class Catalog {
  #version = 1;
  #contents = nothing();
  #views = new Map<string, CatalogView>();
  #schemas = new Set<string>();
  /** The server's snapshot at the last poll that found no change. */
  #snapshot: string | undefined;
  readonly #loaded: Loaded;

  constructor() {
    const current = () => this.#contents;
    const version = () => this.#version;
    this.#loaded = {
      get version() {
        return version();
      },
      named: (name) => current().relations.get(name),
      relation: (oid) => {
        const found = current().details.get(oid);
        if (found === undefined) current().wanted.add(oid);
        return found === undefined ? undefined : (found?.relation ?? null);
      },
      functions: (name) => current().functions.get(name),
      types: (name) => current().types.get(name),
      operator: (name) => current().operators.get(name),
    };
  }

  /** Grows with each change that was noticed. */
  get version(): number {
    return this.#version;
  }

  /**
   * The catalog under a search_path. `searchPath` is what the server really searches: `"$user"` replaced, schemas that
   * do not exist or that the role may not use left out (`current_schemas(true)` gives just that, pg_catalog and the
   * temporary schema in their places). `tempSchema` is this session's own (`pg_temp_3`), null while it has none;
   * `maskedSchema` the one with the operator's masked views, null when there is none.
   * Cheap: the same path gives the same object.
   */
  view(
    searchPath: readonly string[],
    tempSchema: string | null,
    maskedSchema: string | null = null,
  ): CatalogView {
    const key = JSON.stringify([searchPath, tempSchema, maskedSchema]);
    const known = this.#views.get(key);
    if (known !== undefined) return known;
    if (this.#views.size >= MAX_VIEWS) {
      this.#views = new Map();
      this.#schemas = new Set();
    }
    const view = catalogView(this.#loaded, searchPath, tempSchema, maskedSchema);
    this.#views.set(key, view);
    for (const schema of [...searchPath, ...(tempSchema === null ? [] : [tempSchema])])
      this.#schemas.add(schema);
    return view;
  }

  /**
   * Reads all that is needed and what it implies (partition trees, what views are made of), in two texts at most, one
   * of them tiny. Rejects with CatalogError, or with whatever `query` rejects with; nothing is kept then. The caller
   * sets the connection's statement_timeout and lock_timeout: deparsing a view waits for whoever holds its tables. Takes
   * some 0.1 ms a relation: a second for ten thousand partitions.
   * Must not be called while the connection is in a failed transaction.
   */
  async load(needs: readonly CatalogNeed[], query: CatalogQuery): Promise<void> {
    if (needs.length > MAX_NEEDS) throw new CatalogError('too-many', 'the statement names too much');
    this.#makeRoom();
    const { version, contents } = { version: this.#version, contents: this.#contents };
    const names = this.#missingNames(needs);
    const answers = readNames(names, await query(namesQuery(names)));
    const oids = this.#missingOids(needs, answers);
    const details = oids.size === 0 ? [] : readDetails(await query(detailsQuery(oids, answers.searchPath)));
    // What was read before an invalidation must not outlive it, nor a name that meant another relation a moment ago
    // (dropped between the two texts, perhaps made anew); the analysis will ask again.
    if (this.#version !== version || vanished(answers, oids, details)) return;
    store(contents, answers, details, oids);
    for (const oid of oids) contents.wanted.delete(oid);
  }

  /** Drops everything. Views stay usable: they know nothing then. */
  invalidate(): void {
    this.#version += 1;
    this.#contents = nothing();
    this.#snapshot = undefined;
  }

  /**
   * Whether anything of what is kept has changed on the server; if so, all of it is dropped. Exact for committed
   * changes to the kept relations and names, schemas and new namesakes included. While no transaction has ended on the
   * server since the last time, it costs one tiny query; otherwise index look-ups, some 30 µs a kept relation, and one
   * pass over pg_constraint.
   */
  async poll(query: CatalogQuery): Promise<boolean> {
    const { version, contents } = { version: this.#version, contents: this.#contents };
    if (contents.details.size === 0 && countNames(contents) === 0) return false;
    const snapshot = (await query(SNAPSHOT))[0]?.[0] ?? undefined;
    if (this.#version !== version) return true;
    if (snapshot !== undefined && snapshot === this.#snapshot) return false;
    const before = keptVersions(contents);
    const now = await currentVersions(contents, query);
    if (this.#version !== version) return true;
    if (sameVersions(before, now)) {
      this.#snapshot = snapshot;
      return false;
    }
    this.invalidate();
    return true;
  }

  #makeRoom(): void {
    if (countNames(this.#contents) > MAX_NAMES || this.#contents.details.size > MAX_RELATIONS)
      this.invalidate();
  }

  #missingNames(needs: readonly CatalogNeed[]): NameSets {
    const names = noNames();
    for (const need of needs) {
      if (need.kind === 'relation-oid') continue;
      const kind = KIND_SETS[need.kind];
      const name = truncateName(need.name);
      if (!this.#contents[kind].has(name)) names[kind].add(name);
    }
    return names;
  }

  #missingOids(needs: readonly CatalogNeed[], answers: NameAnswers): Set<number> {
    const oids = new Set(this.#contents.wanted);
    const asked = new Set(this.#schemas);
    for (const need of needs) {
      if (need.kind === 'relation-oid') oids.add(need.oid);
      else if (need.kind === 'relation' && need.schema !== null) asked.add(truncateName(need.schema));
    }
    for (const need of needs) {
      if (need.kind !== 'relation') continue;
      const name = truncateName(need.name);
      const namesakes = answers.relations.get(name) ?? this.#contents.relations.get(name) ?? [];
      const others = namesakes.filter(({ schema }) => !asked.has(schema) && !SCHEMA_OF_A_RUN.test(schema));
      for (const { oid, schema } of namesakes) if (asked.has(schema)) oids.add(oid);
      if (others.length <= MAX_NAMESAKES) for (const { oid } of others) oids.add(oid);
    }
    for (const oid of oids) if (this.#contents.details.has(oid)) oids.delete(oid);
    return oids;
  }
}

const KIND_SETS = {
  relation: 'relations',
  function: 'functions',
  type: 'types',
  operator: 'operators',
} as const;

/** A standby's snapshots do not show which transactions run, so there each one counts as new. */
const SNAPSHOT = `SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
ELSE pg_catalog.pg_current_snapshot()::pg_catalog.text END`;

function countNames(contents: Contents): number {
  return contents.relations.size + contents.functions.size + contents.types.size + contents.operators.size;
}

function copy<K, V>(from: ReadonlyMap<K, V>, to: Map<K, V>): void {
  for (const [key, value] of from) to.set(key, value);
}

function store(
  contents: Contents,
  answers: NameAnswers,
  details: readonly Details[],
  oids: ReadonlySet<number>,
): void {
  copy(answers.relations, contents.relations);
  copy(answers.functions, contents.functions);
  copy(answers.types, contents.types);
  copy(answers.operators, contents.operators);
  copy(answers.versions, contents.nameVersions);
  for (const oid of oids) contents.details.set(oid, null);
  for (const entry of details) contents.details.set(entry.relation.oid, entry);
}

/** Whether a relation was found by its name, and then was there no longer. */
function vanished(answers: NameAnswers, oids: ReadonlySet<number>, details: readonly Details[]): boolean {
  const found = new Set(details.map(({ relation }) => relation.oid));
  const named = [...answers.relations.values()].flat();
  return named.some(({ oid }) => oids.has(oid) && !found.has(oid));
}

type Versions = ReadonlyMap<string | number, string>;

function keptVersions(contents: Contents): Versions {
  const versions = new Map<string | number, string>(contents.nameVersions);
  for (const [oid, details] of contents.details) if (details !== null) versions.set(oid, details.version);
  return versions;
}

async function currentVersions(contents: Contents, query: CatalogQuery): Promise<Versions> {
  // Before anything is awaited: what is loaded meanwhile is no change.
  const oids = [...contents.details.keys()];
  const names = {
    relations: new Set(contents.relations.keys()),
    functions: new Set(contents.functions.keys()),
    types: new Set(contents.types.keys()),
    operators: new Set(contents.operators.keys()),
  };
  const versions = new Map<string | number, string>(
    readNames(names, await query(namesQuery(names))).versions,
  );
  if (oids.length === 0) return versions;
  for (const [oid, version] of await query(versionsQuery(oids))) {
    versions.set(Number(oid), version ?? '');
  }
  return versions;
}

function sameVersions(before: Versions, now: Versions): boolean {
  return before.size === now.size && [...before].every(([key, version]) => now.get(key) === version);
}
