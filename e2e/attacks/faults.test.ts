/** THREATS.md 43 and the faults: whatever fails, nothing goes forward on a guess and nothing acknowledged is lost. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { after, before, describe as suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { usualManifests, type ManifestOptions } from '../manifests.ts';
import { freePort, startPostgres, type TestPostgres } from '../postgres.ts';
import { changeManifests, startSidewarden, type ServeOptions, type Sidewarden } from '../serve.ts';
import { sidewarden } from './command.ts';
import { Frontend, describe, onlyError, query } from './frontend.ts';

let postgres: TestPostgres;
let place: string;

before(async () => {
  postgres = await startPostgres();
  place = await mkdtemp(join(tmpdir(), 'sidewarden-faults-'));
});
after(async () => {
  await postgres.stop();
  await rm(place, { recursive: true, force: true });
});

function serve(more: Partial<ServeOptions> = {}): Promise<Sidewarden> {
  return startSidewarden({ postgres, ...more });
}

async function using(
  more: Partial<ServeOptions>,
  action: (served: Sidewarden, client: Frontend) => Promise<void>,
): Promise<void> {
  const served = await serve(more);
  const client = await Frontend.connect(served.port);
  try {
    await action(served, client);
  } finally {
    client.close();
    await served.stop();
  }
}

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(20)) if (await holds()) return;
}

async function logged(served: Sidewarden, pattern: RegExp): Promise<void> {
  await until(() => pattern.test(served.logs()));
  assert.match(served.logs(), pattern);
}

const works = async (client: Frontend) =>
  assert.equal(describe(await client.query('SELECT 1')), 'T D(1) C(SELECT 1) Z(I)');

async function verify(state: string): Promise<{ code: number; out: string }> {
  return sidewarden(['recordings', 'verify', '--all', '--state', state]);
}

suite('starting', () => {
  test('a second serve on the same state folder is refused, and the first one goes on', async () => {
    const state = join(place, 'shared');
    await using({ state }, async (_first, client) => {
      await works(client);
      const port = await freePort();
      await assert.rejects(serve({ state, port }), (error: Error) => {
        assert.match(error.message, /serve ended with 1/);
        assert.match(error.message, /another `sidewarden serve` uses the state folder/);
        return true;
      });
      await works(client);
    });
    assert.equal((await verify(state)).code, 0);
  });

  test('a port that is taken: exit code 1, and the state folder is free again', async () => {
    const state = join(place, 'port');
    await using({}, async (first) => {
      await assert.rejects(serve({ state, port: first.port }), /serve ended with 1[^]*EADDRINUSE/);
      const second = await serve({ state });
      await second.stop();
    });
  });

  test('a group that is none', async () => {
    const wrong = serve({ state: join(place, 'group'), args: ['--approver-group', 'no-such-group'] });
    await assert.rejects(wrong, /serve ended with 1[^]*this system has no group no-such-group/);
  });

  test('a target that cannot be reached, and one that comes later', async () => {
    const port = await freePort();
    const nowhere = { ...postgres, host: '127.0.0.1', port };
    const served = await startSidewarden({ postgres: nowhere });
    await assert.rejects(
      Frontend.connect(served.port),
      /^Error: 08006 the target of orders-db cannot be reached$/,
    );
    await served.stop();
  });

  test('a wrong credential: neither it nor its user in the error, and no password in the log', async () => {
    const served = await serve({ user: 'postgres', password: 'wr0ng-credential' });
    await assert.rejects(Frontend.connect(served.port), (error: Error) => {
      assert.match(error.message, /08004 the target does not take the connection's credentials$/);
      assert.doesNotMatch(String(error), /wr0ng|postgres"/);
      return true;
    });
    assert.doesNotMatch(served.logs(), /wr0ng/);
    await served.stop();
  });

  test('manifests with errors: all at once, with file, line and path', async () => {
    const port = await freePort();
    const rules = [
      { name: 'one', when: 'sql.nothing == 1', action: 'Allow' as const },
      { name: 'two', when: 'sql.verb ==', action: 'Allow' as const },
    ];
    const good = usualManifests(
      { postgres, port, rules },
      {
        postgres,
        port: await freePort(),
        name: 'second',
        connection: { credentials: { secretRef: { name: 'missing' } } },
      },
    );
    const text = good.replace('durability: batched', 'durability: often');
    await assert.rejects(startSidewarden({ postgres, manifests: text }), (error: Error) => {
      assert.match(error.message, /serve ended with 2/);
      for (const wrong of [/recording\.durability/, /rules\[0\]/, /rules\[1\]/, /missing/])
        assert.match(error.message, wrong);
      assert.match(error.message, /manifests\.yaml:\d+/);
      return true;
    });
  });
});

suite('manifests that change', () => {
  const options = (port: number, more: Partial<ManifestOptions> = {}): ManifestOptions => ({
    postgres,
    port,
    ...more,
  });

  test('broken: the old ones stay, loudly; mended: the next operation of an open session', async () => {
    const port = await freePort();
    await using({ port }, async (served, client) => {
      await changeManifests(served, 'kind: [');
      await logged(served, /the changed manifests are refused, and the old ones stay in force/);
      await works(client);
      await changeManifests(served, usualManifests(options(port, { default: 'Deny' })));
      await logged(served, /the changed manifests are in force/);
      assert.equal(describe(await client.query('SELECT 1')), 'E(42501) Z(I)');
    });
  });

  test('the folder is deleted: refused when the policy is older than it may be, and as before when it is back', async () => {
    const port = await freePort();
    const connection = { limits: { policyMaxAge: '1s' } };
    await using({ port, connection }, async (served, client) => {
      const aside = `${served.manifests}-aside`;
      await rename(served.manifests, aside);
      await logged(served, /old ones stay in force/);
      const refused = async () => describe(await client.query('SELECT 1')).startsWith('E');
      await until(refused);
      const seen = await client.query('SELECT 1');
      assert.match(onlyError(seen)['M'] ?? '', /too old to decide by/);
      await rename(aside, served.manifests);
      await until(async () => !(await refused()));
      await works(client);
    });
  });

  test('a connection or its Secret changed: its sessions are told and end; removed: nobody listens', async () => {
    const port = await freePort();
    const other = await freePort();
    const served = await serve({
      port,
      manifests: usualManifests(options(port), options(other, { name: 'other' })),
    });
    const client = await Frontend.connect(port);
    const kept = await Frontend.connect(other);
    try {
      const changed = options(port, { password: 'another' });
      await changeManifests(served, usualManifests(changed, options(other, { name: 'other' })));
      const seen = await client.until(() => false);
      assert.equal(onlyError(seen)['C'], '57P01');
      assert.match(onlyError(seen)['M'] ?? '', /the connection was changed/);
      await works(kept);
      // The port was closed and opened anew by the first change: the second is waited for.
      await changeManifests(served, usualManifests(options(other, { name: 'other' })));
      await logged(served, /changed manifests are in force[^]*changed manifests are in force/);
      await works(kept);
      await until(async () => {
        const refused = await Frontend.connect(port).then(
          (again) => again.close(),
          (error: unknown) => String(error),
        );
        return refused?.includes('ECONNREFUSED') ?? false;
      });
      await assert.rejects(Frontend.connect(port), /ECONNREFUSED/);
    } finally {
      client.close();
      kept.close();
      await served.stop();
    }
  });
});

suite('the database', () => {
  test('restarts: sessions are told, new ones work', async () => {
    const own = await startPostgres();
    const served = await startSidewarden({ postgres: own });
    const client = await Frontend.connect(served.port);
    await works(client);
    await own.stop();
    const seen = await client.until(() => false);
    assert.ok(client.closed);
    assert.ok(seen.filter(({ tag }) => tag === 'E').length <= 1, describe(seen));
    await assert.rejects(Frontend.connect(served.port), /08006|57P03/);
    assert.equal(served.logs().includes('a fault of ours'), false);
    client.close();
    await served.stop();
    assert.equal((await verify(served.state)).code === 1, false);
  });
});

suite('what statements name', () => {
  test('held by somebody when the catalog is read: the statement waits a little, as it would at the server', async () => {
    const { host, port, user, password } = postgres;
    const owner = new pg.Client({ host, port, user, password, database: 'postgres' });
    await owner.connect();
    await owner.query('create table held (id int); create view of_held as select id from held');
    await using({}, async (_served, client) => {
      await owner.query('begin; alter view of_held rename to other');
      const answer = client.query('SELECT id FROM of_held');
      // Longer than one attempt, and shorter than all, by the server's clock.
      await owner.query('select pg_sleep(1.5); rollback');
      assert.equal(describe(await answer), 'T C(SELECT 0) Z(I)');
    });
    await owner.query('drop table held cascade');
    await owner.end();
  });
});

suite('killed', () => {
  for (const durability of ['strict', 'batched'] as const) {
    test(`${durability}: what was acknowledged is there, and verifies after the next start`, async () => {
      const state = join(place, `killed-${durability}`);
      const served = await serve({ state, durability });
      const acknowledged: number[] = [];
      const clients = await Promise.all([1, 2, 3].map(() => Frontend.connect(served.port)));
      const busy = clients.map(async (client, which) => {
        for (let n = which * 10_000; !client.closed; n++) {
          const seen = await client.query(`SELECT ${n}`).catch(() => []);
          if (describe(seen).startsWith(`T D(${n})`)) acknowledged.push(n);
        }
      });
      await until(() => acknowledged.length > 50);
      const before = durability === 'strict' ? undefined : acknowledged.length;
      if (before !== undefined) {
        await sleep(1_000);
        // It was not the process that slept: what it has answered since then came after what it had to write.
        const awake = acknowledged.length;
        await until(() => acknowledged.length > awake + 50);
      }
      served.signal('SIGKILL');
      await served.ended;
      await Promise.all(busy);
      assert.ok(acknowledged.length > 10);
      const again = await serve({ state });
      await again.stop();
      const checked = await verify(state);
      assert.equal(checked.code, 0, checked.out);
      const shown: string[] = [];
      for (const line of checked.out.split('\n')) {
        const session = /clean\s+(\S+)/.exec(line)?.[1];
        if (session === undefined) continue;
        const { out } = await sidewarden([
          'recordings',
          'export',
          session,
          '--format',
          'jsonl',
          '--state',
          state,
        ]);
        shown.push(out);
      }
      const recorded = new Set(shown.join('').match(/"SELECT \d+"/g));
      // What batched admits to: the last 20 milliseconds. Those acknowledged 100 ms before the kill are there.
      const must = before === undefined ? acknowledged : acknowledged.slice(0, before);
      const missing = must.filter((n) => !recorded.has(`"SELECT ${n}"`));
      assert.deepEqual(missing, []);
      await served.stop();
    });
  }
});

suite('the disk', () => {
  const root = process.getuid?.() === 0;

  for (const durability of ['strict', 'batched'] as const) {
    test(`full, ${durability}: sessions refuse with one clear error, and new ones are refused`, async (t) => {
      const state = join(place, `full-${durability}`);
      await mkdir(state);
      try {
        if (!root) throw new Error('not root');
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=700', 'tmpfs', state], {
          stdio: 'ignore',
        });
      } catch {
        t.skip('no file system can be mounted');
        return;
      }
      try {
        await using({ state, durability }, async (served, client) => {
          await works(client);
          await writeFile(join(state, 'filler'), Buffer.alloc(1_000_000)).catch(() => undefined);
          let seen = '';
          for (let i = 0; i < 2_000 && !seen.startsWith('E'); i++) {
            seen = describe(await client.query(`SELECT ${i}, '${'x'.repeat(200)}'`)).slice(0, 20);
          }
          assert.match(seen, /^E\(/);
          const error = onlyError(await client.query('SELECT 1'));
          assert.match(error['M'] ?? '', /the recording of this session cannot be written/);
          await assert.rejects(Frontend.connect(served.port), /58030/);
          assert.doesNotMatch(served.logs(), /a fault of ours/);
        });
      } finally {
        execFileSync('umount', ['-l', state]);
      }
    });

    test(`recordings deleted under a session, ${durability}: it refuses`, async () => {
      await using({ durability }, async (served, client) => {
        await works(client);
        // Again when the session's first segment comes in between.
        await rm(join(served.state, 'recordings'), { recursive: true, maxRetries: 5 });
        let seen = '';
        await until(async () => {
          seen = describe(await client.query('SELECT 1'));
          return seen.startsWith('E');
        });
        assert.match(seen, /^E\(/);
        // A new session makes the folder anew.
        const next = await Frontend.connect(served.port);
        await works(next);
        next.close();
      });
    });
  }

  test('the state folder deleted: holds are refused, and the process goes on', async () => {
    const rules = [
      {
        name: 'all',
        when: 'sql.verb == "CREATE TABLE"',
        action: 'Hold' as const,
        hold: { approvers: { users: [userInfo().username] }, timeout: '1m' },
      },
    ];
    await using({ rules, default: 'Allow' }, async (served, client) => {
      // Again when the session's first segment comes in between.
      await rm(served.state, { recursive: true, maxRetries: 5 });
      client.send(query('CREATE TABLE nowhere (id int)'));
      const seen = await client.ready();
      assert.match(describe(seen), /^E\(\w+\) Z\(I\)$/);
      assert.equal(served.logs().includes('a fault of ours'), false);
    });
  });
});

suite('stopping', () => {
  test('SIGTERM: sessions are told, recordings are closed, exit code 0', async () => {
    const state = join(place, 'stopped');
    const served = await serve({ state });
    const clients = await Promise.all(Array.from({ length: 5 }, () => Frontend.connect(served.port)));
    for (const client of clients) await works(client);
    const [busy] = clients;
    busy?.send(query('SELECT pg_sleep(30)'));
    await sleep(100);
    served.signal('SIGTERM');
    assert.equal(await served.ended, 0);
    for (const client of clients) assert.equal(onlyError(await client.until(() => false))['C'], '57P01');
    const checked = await verify(state);
    assert.equal(checked.code, 0, checked.out);
    assert.equal(checked.out.match(/^clean/gm)?.length, 5);
    assert.doesNotMatch(checked.out, /was killed/);
    await served.stop();
  });

  test('a client that reads nothing does not keep it', async () => {
    const served = await serve();
    const client = await Frontend.connect(served.port);
    client.socket.pause();
    client.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"));
    await sleep(300);
    served.signal('SIGTERM');
    const code = await Promise.race([served.ended, sleep(30_000, 'still there')]);
    assert.equal(code, 0);
    client.close();
    await served.stop();
  });
});

suite('secrets', () => {
  test('no credential or token in the environment, arguments, logs, recordings, approvals or errors', async () => {
    const token = 'run-token-0123456789';
    const port = await freePort();
    const text = usualManifests({
      postgres,
      port,
      password: postgres.password,
      connection: {
        identity: {
          sources: [
            {
              token: { secretKeyRef: { name: 'run', key: 'token' }, subject: 'agent', groups: ['ai-agents'] },
            },
          ],
        },
      },
    });
    const secret = `---\napiVersion: v1\nkind: Secret\nmetadata: { name: run, namespace: production-access }\nstringData: { token: ${token} }\n`;
    const state = join(place, 'secrets');
    const served = await startSidewarden({
      postgres,
      manifests: text + secret,
      state,
      args: ['--log-level', 'debug'],
    });
    const connect = (password: string) =>
      new pg.Client({ host: '127.0.0.1', port, user: 'agent', database: 'postgres', password });
    const wrong = connect('wrong-token-0123456789');
    await assert.rejects(wrong.connect(), (error: Error) => !/wrong-token|run-token/.test(error.message));
    const right = connect(token);
    await right.connect();
    await right.query('SELECT 1');
    await assert.rejects(right.query('SELEC 1'));
    await right.end();
    const environment = await readFile(`/proc/${served.pid}/environ`, 'latin1');
    const command = await readFile(`/proc/${served.pid}/cmdline`, 'latin1');
    served.signal('SIGTERM');
    await served.ended;
    const recorded = await sidewarden(['recordings', 'show', 'last', '--state', state, '--json']);
    const everything = [environment, command, served.logs(), recorded.out].join('\n');
    for (const word of [token, 'wrong-token', postgres.password].filter((one) => one.length > 8))
      assert.ok(!everything.includes(word), 'a secret is told');
    await served.stop();
  });
});
