/** The catalog read from real servers: the same tests on each version that is there. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import { Catalog } from '../sidecar/postgres/catalog/cache.ts';
import type { CatalogQuery, CatalogView, Relation } from '../sidecar/postgres/catalog/relation.ts';
import { type QueryConnection, queryConnection } from './catalog-query.ts';
import { CATALOG_SCHEMA } from './catalog-schema.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';

export const DEBIAN = '/usr/lib/postgresql/15/bin';

/** Two connections to one server that has `CATALOG_SCHEMA`; usable within tests. */
export interface LiveCatalog {
  readonly admin: { readonly query: CatalogQuery };
  readonly other: { readonly query: CatalogQuery };
  /** Folder of the server's programs; undefined for the embedded one. */
  readonly binaries: string | undefined;
  /** Loads a relation as an analysis would and gives it, null when there is none. */
  readonly relation: (
    view: CatalogView,
    catalog: Catalog,
    schema: string | null,
    name: string,
    query?: CatalogQuery,
  ) => Promise<Relation | null>;
  /** A relation that exists, by a catalog of its own. */
  readonly loaded: (schema: string | null, name: string, path?: string[]) => Promise<Relation>;
}

export function onEachServer(title: string, body: (live: LiveCatalog) => void): void {
  for (const [label, binaries] of [
    ['18', undefined],
    ['15', DEBIAN],
  ] as const) {
    const skip = binaries !== undefined && !existsSync(binaries) ? 'not installed' : false;
    describe(`${title} ${label}`, { skip }, () => body(live(binaries)));
  }
}

function live(binaries: string | undefined): LiveCatalog {
  let server: TestPostgres;
  let admin: QueryConnection;
  let other: QueryConnection;
  before(async () => {
    server = await startPostgres(binaries === undefined ? {} : { binaries });
    admin = await queryConnection(server);
    other = await queryConnection(server);
    await admin.query(CATALOG_SCHEMA);
  });
  after(async () => {
    await admin.close();
    await other.close();
    await server.stop();
  });
  const byAdmin: CatalogQuery = (sql) => admin.query(sql);
  const relation: LiveCatalog['relation'] = async (view, catalog, schema, name, query = byAdmin) => {
    if (view.relation(schema, name) === undefined)
      await catalog.load([{ kind: 'relation', schema, name }], query);
    const found = view.relation(schema, name);
    assert.notEqual(found, undefined, `${name} is loaded`);
    return found ?? null;
  };
  return {
    admin: { query: byAdmin },
    other: { query: (sql) => other.query(sql) },
    binaries,
    relation,
    loaded: async (schema, name, path = ['app', 'public']) => {
      const catalog = new Catalog();
      const found = await relation(catalog.view(path, null), catalog, schema, name);
      assert.ok(found, `${name} exists`);
      return found;
    },
  };
}
