/** The sidecar's bundle as a container runs it: its environment, its start, its end, and what a kill leaves. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import pg from 'pg';
import { DirectoryStore } from '../sidecar/record/directory-store.ts';
import { loadTrustedKey, PUBLIC_KEY } from '../sidecar/record/signer.ts';
import { verifyRecording } from '../sidecar/record/verify.ts';
import { bundlePath, ensureBundle } from './bundle.ts';
import { freePort, startPostgres, type TestPostgres } from './postgres.ts';
import { runConfiguration } from './run-configuration.ts';
import { BrokerState, TestBroker, testPki, until, type TestPki } from './test-broker.ts';

const program = join(dirname(bundlePath), 'sidecar.mjs');
const CONNECTION = 'production-access/orders-db';

let postgres: TestPostgres;
let pki: TestPki;
let broker: TestBroker;
let state: BrokerState;
let folder: string;
let port: number;
let healthPort: number;
let child: ChildProcess | undefined;
let output = '';
let folders = 0;

before(async () => {
  await ensureBundle();
  [postgres, pki] = await Promise.all([startPostgres(), testPki()]);
});
after(async () => {
  await postgres.stop();
  await pki.remove();
});
beforeEach(async () => {
  state = new BrokerState();
  state.session = () => ({ session: 'orders-db-run', username: postgres.user, password: postgres.password });
  [port, healthPort] = [await freePort(), await freePort()];
  state.event = runConfiguration([{ postgres, port, durability: 'strict' }]);
  broker = await TestBroker.start(pki, state);
  folder = join(pki.folder, `spool-${++folders}`);
});
afterEach(async () => {
  if (child?.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
  await broker.stop();
});

function environment(): Record<string, string> {
  return {
    SIDEWARDEN_BROKER_URL: `https://127.0.0.1:${broker.port}`,
    SIDEWARDEN_BROKER_CA: pki.ca,
    SIDEWARDEN_TOKEN_FILE: pki.tokenFile,
    SIDEWARDEN_SPOOL: folder,
    SIDEWARDEN_POD_IP: '127.0.0.1',
    SIDEWARDEN_HEALTH_PORT: String(healthPort),
    SIDEWARDEN_REDIRECT: 'false',
  };
}

function run(env: Readonly<Record<string, string>>, args: readonly string[] = []): ChildProcess {
  const started = spawn(process.execPath, [program, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  output = '';
  for (const stream of [started.stdout, started.stderr])
    stream.setEncoding('utf8').on('data', (part: string) => (output += part));
  return started;
}

async function health(path: string): Promise<{ readonly status: number; readonly body: string }> {
  try {
    const response = await fetch(`http://127.0.0.1:${healthPort}${path}`);
    return { status: response.status, body: await response.text() };
  } catch {
    return { status: 0, body: '' };
  }
}

/** Resolves with the milliseconds from the start of the process to its being ready. */
async function ready(): Promise<number> {
  const began = performance.now();
  child = run(environment());
  while ((await health('/readyz')).status !== 200) {
    assert.equal(child.exitCode, null, output);
    assert.ok(performance.now() - began < 60_000, output);
    await new Promise((done) => setTimeout(done, 10));
  }
  return performance.now() - began;
}

async function query(sql: string): Promise<unknown> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'agent', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Holds the lock 1 on the server, until the connection ends. */
async function holdLock(): Promise<pg.Client> {
  const server = new pg.Client({ ...postgres, database: 'postgres' });
  await server.connect();
  await server.query('SELECT pg_advisory_lock(1)');
  return server;
}

/** Until a client's statement waits for it. */
async function waitedFor(server: pg.Client): Promise<void> {
  const found = () => server.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
  const end = performance.now() + 60_000;
  while ((await found()).rowCount === 0) assert.ok(performance.now() < end, output);
}

const noPsql = spawnSync('psql', ['--version']).error !== undefined && 'there is no psql';

describe('the sidecar as a process', () => {
  test('is ready soon, and keeps its memory out of core dumps', async (context) => {
    const took = await ready();
    context.diagnostic(`ready after ${took.toFixed(0)} ms`);
    assert.deepEqual(await query('SELECT 1 AS one'), [{ one: 1 }]);
    const filter = await readFile(`/proc/${child?.pid ?? 0}/coredump_filter`, 'utf8');
    assert.equal(Number.parseInt(filter, 16), 0);
    const metrics = await health('/metrics');
    assert.match(
      metrics.body,
      /sidewarden_operations_total\{connection="production-access\/orders-db",decision="allow"\} 1/,
    );
    assert.equal((await health('/')).status, 404);
    assert.ok(!output.includes(postgres.password), 'no password in its output');
  });

  test('refuses an environment that is wrong, and says all of it', async () => {
    child = run({
      SIDEWARDEN_BROKER_URL: 'http://broker',
      SIDEWARDEN_HEALTH_PORT: 'x',
      SIDEWARDEN_REDIRECT: 'yes',
    });
    const [code] = await once(child, 'close');
    assert.equal(code, 2);
    assert.match(output, /SIDEWARDEN_BROKER_URL must be https/);
    assert.match(output, /SIDEWARDEN_BROKER_CA is not set/);
    assert.match(output, /SIDEWARDEN_HEALTH_PORT must be 0 to 65535/);
    assert.match(output, /SIDEWARDEN_REDIRECT must be true or false/);
  });

  test('trusts no authority but the one it is given', async () => {
    const other = await testPki();
    try {
      child = run({ ...environment(), SIDEWARDEN_BROKER_CA: other.ca });
      await until(
        () => /certificate|self-signed/i.test(output),
        'it tells that it does not trust the broker',
      );
      assert.equal((await health('/readyz')).status, 503);
      assert.deepEqual([...state.tokens], []);
    } finally {
      await other.remove();
    }
  });

  test(
    'SIGTERM: psql gets the answer that it waits for, the last report is sent, exit code 0',
    { skip: noPsql },
    async () => {
      await ready();
      const lock = await holdLock();
      const psql = spawn('psql', [
        '-XAtq',
        `host=127.0.0.1 port=${port} user=agent dbname=postgres`,
        '-c',
        "SELECT 'done' FROM pg_advisory_xact_lock(1)",
      ]);
      const answer = text(psql.stdout);
      await waitedFor(lock);
      const closed = child ? once(child, 'close') : [];
      child?.kill('SIGTERM');
      await until(() => output.includes('"stopping"'), 'it was told to end');
      await lock.end();
      const [code] = await closed;
      assert.equal(code, 0, output);
      assert.equal((await answer).trim(), 'done');
      const last = state.reports.at(-1);
      assert.equal(last?.ended, 'yes');
      assert.deepEqual([last.recordings, last.decisions.allow], [1, 1]);
      const [found] = await verified();
      assert.equal(found?.kind, 'clean');
    },
  );

  test('kill -9: connections drop, the next start seals the recording and goes on counting', async () => {
    await ready();
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'agent', database: 'postgres' });
    client.on('error', () => undefined);
    await client.connect();
    await client.query("SELECT 'before the kill'");
    const lock = await holdLock();
    const running = client.query('SELECT pg_advisory_xact_lock(1)');
    running.catch(() => undefined);
    await waitedFor(lock);
    child?.kill('SIGKILL');
    await assert.rejects(running);
    await lock.end();
    await ready();
    const [found] = await verified();
    assert.ok(found?.kind === 'clean' && found.interrupted, JSON.stringify(found));
    await query('SELECT 2');
    await until(() => state.reports.at(-1)?.recordings === 2, 'both recordings are counted');
    assert.equal(state.reports.at(-1)?.connection, CONNECTION);
    child?.kill('SIGTERM');
    const [code] = child ? await once(child, 'close') : [];
    assert.equal(code, 0, output);
  });
});

async function verified() {
  const store = new DirectoryStore(join(folder, 'recordings'));
  const key = await loadTrustedKey(join(folder, PUBLIC_KEY));
  return Promise.all((await store.sessions()).map((session) => verifyRecording(store, session, key)));
}
