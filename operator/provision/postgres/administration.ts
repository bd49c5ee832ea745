/** The administrator's connections: a few a target, closed when idle, whatever the number of sessions. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool, type PoolClient } from 'pg';
import { targetPort } from '../../../crds/connection.ts';
import type { Target } from '../provisioner.ts';
import { AdministratorClient, clientConfig } from './client.ts';
import { failure, isConcurrent } from './failure.ts';

export type Row = Readonly<Record<string, unknown>>;
export type Query = (text: string, values?: readonly unknown[]) => Promise<readonly Row[]>;

const MAX_CONNECTIONS = 3;
/** Milliseconds. */
const IDLE = 5_000;
const ATTEMPTS = 10;
const PAUSE = 20;

/**
 * Names are looked up in pg_catalog alone: whatever a run has made in other schemas must not be what the administrator calls.
 * Nobody waits long for a lock that a run may hold.
 */
const BEGIN = `BEGIN; SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '25s'; SET LOCAL idle_in_transaction_session_timeout = '60s'`;

export class Administration {
  readonly #pools = new Map<string, Pool>();
  /** By target: what changes roles and privileges goes one after the other, since PostgreSQL fails two that change one row. */
  readonly #lanes = new Map<string, Promise<unknown>>();

  /** One transaction in the target's database, or another one. Rejects with a ProvisionError that says what was being done. */
  async read<T>(
    target: Target,
    doing: string,
    work: (query: Query) => Promise<T>,
    database?: string,
  ): Promise<T> {
    try {
      return await this.#retried(() => this.#transaction(target, work, database));
    } catch (error) {
      throw failure(error, doing);
    }
  }

  /** As `read`, for changes: one at a time on a target; again, when another replica's change came between. */
  change<T>(
    target: Target,
    doing: string,
    work: (query: Query) => Promise<T>,
    database?: string,
  ): Promise<T> {
    const lane = serverOf(target);
    const result = (this.#lanes.get(lane) ?? Promise.resolve()).then(() =>
      this.read(target, doing, work, database),
    );
    const settled = result.then(
      () => undefined,
      () => undefined,
    );
    this.#lanes.set(lane, settled);
    void settled.then(() => {
      if (this.#lanes.get(lane) === settled) this.#lanes.delete(lane);
    });
    return result;
  }

  /** Outside of a transaction, for what PostgreSQL runs nowhere else. */
  async alone<T>(
    target: Target,
    doing: string,
    work: (query: Query) => Promise<T>,
    database?: string,
  ): Promise<T> {
    try {
      // What the work sets on the connection must not stay: it is closed afterwards.
      return await this.#with(target, database, (query) => work(query), 'close');
    } catch (error) {
      throw failure(error, doing);
    }
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.end()));
  }

  async #retried<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        if (attempt >= ATTEMPTS || !isConcurrent(error)) throw error;
        await sleep(PAUSE * attempt * (0.5 + Math.random()));
      }
    }
  }

  async #transaction<T>(
    target: Target,
    work: (query: Query) => Promise<T>,
    database: string | undefined,
  ): Promise<T> {
    return this.#with(target, database, async (query) => {
      await query(BEGIN);
      try {
        const result = await work(query);
        await query('COMMIT');
        return result;
      } catch (error) {
        await query('ROLLBACK').catch(() => undefined);
        throw error;
      }
    });
  }

  async #with<T>(
    target: Target,
    database: string | undefined,
    work: (query: Query) => Promise<T>,
    afterwards: 'keep' | 'close' = 'keep',
  ): Promise<T> {
    const client = await this.#pool(target, database ?? databaseOf(target)).connect();
    let broken = afterwards === 'close';
    const breaks = () => {
      broken = true;
    };
    client.on('error', breaks);
    try {
      return await work(queryOn(client));
    } catch (error) {
      // A connection that failed otherwise than by the server's orderly word is not used again.
      if (!isOrderly(error)) broken = true;
      throw error;
    } finally {
      client.off('error', breaks);
      client.release(broken);
    }
  }

  #pool(target: Target, database: string): Pool {
    const key = keyOf(target, database);
    const known = this.#pools.get(key);
    if (known) return known;
    const pool = new Pool({
      ...clientConfig(target, database),
      Client: AdministratorClient,
      max: MAX_CONNECTIONS,
      idleTimeoutMillis: IDLE,
      allowExitOnIdle: true,
    });
    // A connection that breaks while idle is the pool's matter; the next use makes a new one, or fails and says so.
    pool.on('error', () => undefined);
    pool.on('remove', () => {
      if (pool.totalCount > 0 || pool.waitingCount > 0 || this.#pools.get(key) !== pool) return;
      this.#pools.delete(key);
      void pool.end();
    });
    this.#pools.set(key, pool);
    return pool;
  }
}

function isOrderly(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const severity: unknown = Reflect.get(error, 'severity');
  return error.name === 'ProvisionError' || severity === 'ERROR';
}

function queryOn(client: PoolClient): Query {
  return async (text, values) => {
    const result = await client.query<Row>(text, values === undefined ? undefined : [...values]);
    // Several statements in one text have several results; nobody here reads those.
    return Array.isArray(result) ? [] : result.rows;
  };
}

export function databaseOf({ connection }: Target): string {
  return connection.spec.target.database ?? 'postgres';
}

/** Roles are the server's, whatever the database. */
function serverOf({ connection }: Target): string {
  return `${connection.spec.target.host}:${targetPort(connection.spec)}`;
}

/** Other credentials, other connections; no password stands in the key. */
function keyOf(target: Target, database: string): string {
  const { administrator, connection } = target;
  const parts = [serverOf(target), database, connection.spec.target.tls, administrator];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}
