/**
 * PostgreSQL's own drivers and tools, unchanged, through Sidewarden with a policy that allows all.
 * `SIDEWARDEN_CLIENTS_DIRECT=1` runs them against the server itself, which proves the suite.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, describe, test, type TestContext } from 'node:test';
import pg from 'pg';
import { usualManifests } from '../manifests.ts';
import { freePort, startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden } from '../serve.ts';
import { type Check, type Client, libpqEnvironment, type Program, type Target } from './client.ts';
import { dumpClient } from './dump.ts';
import { nodePostgres } from './node-postgres.ts';
import { pgbenchClient } from './pgbench.ts';
import { postgresJs } from './postgres-js.ts';
import { programs } from './programs.ts';
import { psqlClient } from './psql.ts';
import { serverBinaries, toolVersion } from './tool.ts';

const direct = process.env['SIDEWARDEN_CLIENTS_DIRECT'] === '1';
const clients = [nodePostgres, postgresJs, psqlClient, pgbenchClient, dumpClient, ...programs];

interface Served {
  readonly target: Target;
  readonly stop: () => Promise<void>;
}

async function createCopy(postgres: TestPostgres): Promise<void> {
  const client = new pg.Client({ ...postgres, database: 'postgres' });
  await client.connect();
  await client.query('create database copy template template0');
  await client.end();
}

/** A server with two databases, and Sidewarden before each of them. */
async function serve(binaries: string | undefined): Promise<Served> {
  const postgres = await startPostgres(binaries === undefined ? {} : { binaries });
  const { host, user, password } = postgres;
  const endpoint = { host, user, password, port: postgres.port };
  try {
    await createCopy(postgres);
    if (direct) {
      const target = { main: { ...endpoint, database: 'postgres' }, copy: { ...endpoint, database: 'copy' } };
      return { target, stop: () => postgres.stop() };
    }
    const [port, copyPort] = [await freePort(), await freePort()];
    const manifests = usualManifests(
      { postgres, name: 'main-db', port },
      { postgres, name: 'copy-db', port: copyPort, database: 'copy' },
    );
    const sidewarden = await startSidewarden({ manifests });
    return {
      target: {
        main: { ...endpoint, port, database: 'postgres' },
        copy: { ...endpoint, port: copyPort, database: 'copy' },
      },
      stop: async () => {
        await sidewarden.stop();
        await postgres.stop();
      },
    };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

/** pg_dump refuses servers newer than itself, psql's `\d` fails on them: those get a server of their own age. */
async function toolsBinaries(): Promise<string | undefined> {
  const version = (await toolVersion('pg_dump')) ?? (await toolVersion('psql'));
  return version === undefined || version >= 18 ? undefined : serverBinaries(version);
}

async function runChecks(t: TestContext, checks: readonly Check[], target: Target): Promise<void> {
  for (const check of checks) {
    const skip = !direct && check.refused !== undefined ? check.refused : false;
    await t.test(check.name, { timeout: 240_000, skip }, () => check.run(target));
  }
}

/** One subtest a line of the program's own report. */
async function runProgram(t: TestContext, program: Program, target: Target): Promise<void> {
  const env = { ...process.env, ...libpqEnvironment(target.main), ...program.env };
  const child = spawn(program.command, program.args, {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 240_000,
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const closed = new Promise<number | NodeJS.Signals | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', (code, signal) => done(code ?? signal));
  });
  let reported = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const match = /^(ok|not ok) ([^:]+)(?:: (.*))?$/.exec(line);
    if (match === null) continue;
    reported++;
    await t.test(match[2] ?? '', () => assert.equal(match[1], 'ok', match[3]));
  }
  const status = await closed;
  assert.ok(reported > 0 && (status === 0 || status === 1), `ended with ${String(status)}: ${errors}`);
}

describe(`clients, ${direct ? 'direct' : 'through Sidewarden'}`, () => {
  const served = new Map<Client['server'], Served>();
  // Started now, so that slow set-ups pass while the first clients run.
  const prepared = new Map(clients.map((client) => [client, client.prepare()]));

  before(async () => {
    const binaries = await toolsBinaries();
    const current = await serve(undefined);
    served.set('current', current);
    served.set('tools', binaries === undefined ? current : await serve(binaries));
  });

  after(async () => {
    for (const one of new Set(served.values())) await one.stop();
    await Promise.allSettled(prepared.values());
  });

  for (const client of clients) {
    test(client.name, { timeout: 600_000 }, async (t) => {
      const target = served.get(client.server)?.target;
      const ready = await prepared.get(client);
      assert.ok(target !== undefined && ready !== undefined);
      if ('missing' in ready) t.skip(ready.missing);
      else if ('command' in ready) await runProgram(t, ready, target);
      else await runChecks(t, ready, target);
    });
  }
});
