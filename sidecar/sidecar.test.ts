/** The sidecar against a broker and a PostgreSQL, both real servers: what a run may, what it is told, and what fails how. */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import pg from 'pg';
import pino from 'pino';
import type { ManifestOptions } from '../e2e/manifests.ts';
import { freePort, startPostgres, type TestPostgres } from '../e2e/postgres.ts';
import { runConfiguration } from '../e2e/run-configuration.ts';
import { BrokerState, TestBroker, testPki, until, type TestPki } from '../e2e/test-broker.ts';
import type { BrokerEvent } from './broker/protocol.ts';
import { DirectoryStore } from './record/directory-store.ts';
import { readLines } from './record/read.ts';
import { loadSigner, trustedKeyOf } from './record/signer.ts';
import { verifyRecording } from './record/verify.ts';
import { Sidecar } from './sidecar.ts';

const CONNECTION = 'production-access/orders-db';
const rules: NonNullable<ManifestOptions['rules']> = [
  {
    name: 'held',
    when: 'sql.tables.exists(t, t.name == "public.ledger" && "write" in t.access)',
    action: 'Hold',
    hold: { approvers: { groups: ['dba'] }, timeout: '1m', inTransaction: 'Wait' },
  },
  {
    name: 'brief',
    when: 'sql.tables.exists(t, t.name == "public.brief" && "write" in t.access)',
    action: 'Hold',
    hold: { approvers: { groups: ['dba'] }, timeout: '1s' },
  },
  { name: 'rest', when: 'true', action: 'Allow' },
];
const by = [{ username: 'alice', uid: 'u-1' }];
const approved = { kind: 'approved', by, at: '2026-11-21T12:00:00.000Z', reason: 'fine' } as const;

let postgres: TestPostgres;
let pki: TestPki;
let state: BrokerState;
let broker: TestBroker;
let sidecar: Sidecar | undefined;
let folder: string;
let port: number;
let log: string[];
const clients = new Set<pg.Client>();
let folders = 0;

const schema = 'CREATE TABLE ledger (id int); CREATE TABLE brief (id int);';

before(async () => {
  [postgres, pki] = await Promise.all([startPostgres(), testPki()]);
  const admin = new pg.Client({ ...postgres, database: 'postgres' });
  await admin.connect();
  await admin.query(
    `${schema} CREATE ROLE run_one LOGIN PASSWORD 'first'; GRANT ALL ON ledger, brief TO run_one`,
  );
  await admin.end();
});
after(async () => {
  await postgres.stop();
  await pki.remove();
});

beforeEach(async () => {
  state = new BrokerState();
  state.session = () => ({ session: 'orders-db-run', username: postgres.user, password: postgres.password });
  // A port that is still its own when it comes back.
  broker = await TestBroker.start(pki, state, '127.0.0.1', await freePort());
  port = await freePort();
  folder = join(pki.folder, `state-${++folders}`);
  log = [];
});
afterEach(async () => {
  for (const client of clients) await client.end().catch(() => undefined);
  clients.clear();
  await sidecar?.stop(2_000);
  sidecar = undefined;
  await broker.stop();
  await rm(folder, { recursive: true, force: true });
});

type Options = Omit<Partial<ManifestOptions>, 'rules'> & {
  readonly rules?: NonNullable<ManifestOptions['rules']>;
};

function configuration(options: Options = {}, more: Partial<BrokerEvent> = {}): BrokerEvent {
  return runConfiguration([{ postgres, port, rules, ...options }], more);
}

async function start(
  resolve?: () => readonly string[],
  more: { readonly redirect?: boolean; readonly spoolBytes?: number } = {},
): Promise<Sidecar> {
  const write = (line: string) => void log.push(line);
  sidecar = await Sidecar.start({
    broker: {
      url: new URL(`https://broker.test:${broker.port}`),
      ca: pki.ca,
      tokenFile: pki.tokenFile,
      resolve: (_host, done) =>
        done(
          null,
          (resolve?.() ?? ['127.0.0.1']).map((address) => ({ address, family: 4 })),
        ),
    },
    state: folder,
    redirect: false,
    ...more,
    log: pino({ level: 'debug', base: null }, { write }),
  });
  return sidecar;
}

async function started(options: Options = {}): Promise<Sidecar> {
  state.event = configuration(options);
  const one = await start();
  await until(() => one.ready, 'the sidecar is ready');
  return one;
}

async function connect(options: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'agent', database: 'postgres', ...options });
  client.on('error', () => undefined);
  await client.connect();
  clients.add(client);
  return client;
}

function pending(name: string, seconds = 60) {
  return {
    kind: 'pending',
    name,
    expiresAt: new Date(Date.now() + seconds * 1000).toISOString(),
  } as const;
}

describe('a run', () => {
  test('is ready by its first configuration, gets credentials by its first client, and is reported', async () => {
    await started();
    assert.deepEqual(state.sessions, []);
    const client = await connect();
    const { rows } = await client.query('SELECT 40 + 2 AS answer');
    assert.deepEqual(rows, [{ answer: 42 }]);
    await connect();
    assert.deepEqual(state.sessions, [CONNECTION]);
    assert.deepEqual([...state.tokens], ['Bearer token-1']);
    await until(() => {
      const { decisions, recordings } = state.reports.at(-1) ?? {};
      return (decisions?.allow ?? 0) >= 1 && recordings === 2;
    }, 'its counts are reported');
    assert.equal(state.reports.at(-1)?.ended, 'no');
    await sidecar?.stop(60_000);
    sidecar = undefined;
    assert.equal(state.reports.at(-1)?.ended, 'yes');
    assert.ok(!log.join('').includes(postgres.password), 'no password in the log');
    assert.ok(!log.join('').includes('token-1'), 'no token in the log');
  });

  test('reads its token anew for each request', async () => {
    await started();
    await writeFile(pki.tokenFile, 'token-2\n');
    await connect();
    assert.ok(state.tokens.has('Bearer token-2'));
    await writeFile(pki.tokenFile, 'token-1\n');
  });

  test('takes a changed policy while its sessions go on', async () => {
    await started();
    const client = await connect();
    await client.query('SELECT 1');
    broker.configure(
      configuration({ rules: [{ name: 'none', when: 'true', action: 'Deny', message: 'closed' }] }),
    );
    await until(() => log.filter((line) => line.includes('is in force')).length >= 2, 'it is in force');
    await assert.rejects(client.query('SELECT 1'), /closed/);
  });
});

describe('what the pod asks for', () => {
  const noIpv6 = !Object.values(networkInterfaces()).some((all) =>
    all?.some(({ address }) => address === '::1'),
  );

  test('with the redirect, ::1 is listened for too', { skip: noIpv6 && 'there is no ::1' }, async () => {
    state.event = configuration();
    const one = await start(undefined, { redirect: true });
    await until(() => one.ready, 'the sidecar is ready');
    await (await connect({ host: '::1' })).query('SELECT 1');
    await (await connect()).query('SELECT 1');
  });

  test('with a full spool, strict sessions refuse operations, and new ones do not begin', async () => {
    state.event = configuration({ durability: 'strict' });
    const one = await start(undefined, { spoolBytes: 16_384 });
    await until(() => one.ready, 'the sidecar is ready');
    const client = await connect();
    const fill = async () => {
      for (let turn = 0; turn < 200; turn++) await client.query(`SELECT '${'x'.repeat(500)}${turn}'`);
    };
    await assert.rejects(fill(), /recording of this session cannot be written/);
    assert.equal(one.spoolFull, true);
    await assert.rejects(client.query('SELECT 1'), /recording of this session cannot be written/);
    await assert.rejects(connect(), /recording of this session cannot be written/);
  });
});

describe('a recording that fails on the way', () => {
  test('its operation does not go forward, and at the end what it has is sealed', async () => {
    state.upload = () => ({ kind: 'kept' });
    await started({ rules: [{ name: 'all', when: 'true', action: 'Allow' }] });
    const client = await connect();
    await client.query("SELECT 'recorded'");
    // More than a line of a recording may have, once written as JSON.
    const large = client.query('INSERT INTO brief SELECT length($1)', ['\x01'.repeat(12 * 1024 * 1024)]);
    await assert.rejects(large, /recording of this session cannot be written/);
    await assert.rejects(client.query('SELECT 1'), /recording of this session cannot be written/);
    await sidecar?.stop(60_000);
    sidecar = undefined;
    const store = new DirectoryStore(join(folder, 'recordings'));
    const [recording = ''] = await store.sessions();
    const verified = await verifyRecording(store, recording, trustedKeyOf(await loadSigner(folder)));
    assert.ok(verified.kind === 'clean' && verified.interrupted !== undefined, JSON.stringify(verified));
    const lines: string[] = [];
    for await (const line of readLines(store, recording)) lines.push(line);
    assert.match(lines.join('\n'), /SELECT 'recorded'/);
    const admin = new pg.Client({ ...postgres, database: 'postgres' });
    await admin.connect();
    const { rows } = await admin.query('SELECT 1 FROM brief WHERE id > 1000000');
    await admin.end();
    assert.deepEqual(rows, []);
  });
});

describe('a broker that is away', () => {
  test('at the start: not ready until it is there', async () => {
    state.event = configuration();
    await broker.stop();
    const one = await start();
    assert.equal(one.ready, false);
    broker = await TestBroker.start(pki, state, '127.0.0.1', broker.port);
    await until(() => one.ready, 'the sidecar is ready');
  });

  test('another replica is found, and a client notices nothing', async () => {
    state.event = configuration();
    const second = await TestBroker.start(pki, state, '127.0.0.2', broker.port);
    try {
      const one = await start(() => ['127.0.0.1', '127.0.0.2']);
      await until(() => one.ready, 'the sidecar is ready');
      await broker.stop();
      await until(() => second.streams === 1 && one.age === 0, 'the stream goes to the other replica');
      const client = await connect();
      await client.query('SELECT 1');
    } finally {
      await second.stop();
    }
  });

  test('a silent replica is left, a failing one too', async () => {
    state.event = configuration();
    const second = await TestBroker.start(pki, state, '127.0.0.2', broker.port);
    second.failing = 502;
    try {
      const one = await start(() => ['127.0.0.1', '127.0.0.2']);
      await until(() => one.ready, 'the sidecar is ready');
      broker.silent = true;
      broker.hanging = true;
      second.failing = undefined;
      // Found within a second of the silence it never ages; a machine that is late may miss that second.
      await until(() => second.streams === 1 && one.age === 0, 'the stream goes to the other replica');
    } finally {
      await second.stop();
    }
  });

  test('allowed operations go on for policyMaxAge, then are refused, and go on again when it is back', async () => {
    const { port: brokerPort } = broker;
    await started({
      connection: { limits: { policyMaxAge: '20s' }, identity: { sources: [{ serviceAccount: {} }] } },
    });
    const client = await connect();
    await broker.stop();
    await until(() => (sidecar?.age ?? 0) > 0, 'the broker is missed');
    await client.query('SELECT 1');
    await until(() => (sidecar?.age ?? 0) > 20_100, 'the policy is too old');
    await assert.rejects(client.query('SELECT 1'), /too old/);
    broker = await TestBroker.start(pki, state, '127.0.0.1', brokerPort);
    await until(() => sidecar?.age === 0, 'the broker is heard');
    await client.query('SELECT 1');
  });

  test('a new session cannot begin, and says so', async () => {
    await started();
    state.session = () => ({ code: 'forbidden', message: 'agents may not use it' });
    await assert.rejects(connect(), /agents may not use it/);
  });
});

describe('what comes on the stream', () => {
  for (const [what, bytes] of [
    ['no JSON', 'garbage\n'],
    ['an unknown kind', '{"kind":"surprise"}\n'],
    ['an unknown field', '{"kind":"ping","more":1}\n'],
    ['a decision without an outcome', '{"kind":"decision","approval":"a"}\n'],
    ['no UTF-8', Buffer.from([0xff, 0xfe, 0x0a])],
  ] as const) {
    test(`${what} ends the stream and not the sidecar`, async () => {
      const one = await started();
      broker.write(bytes);
      await until(
        () => log.some((line) => line.includes('cannot be read') || line.includes('not UTF-8')),
        'it is told',
      );
      await until(() => one.connected && broker.streams === 1, 'the stream is there again');
      const client = await connect();
      await client.query('SELECT 1');
    });
  }

  test('an event byte by byte is one event', async () => {
    await started();
    const event = configuration({
      rules: [{ name: 'none', when: 'true', action: 'Deny', message: 'slowly closed' }],
    });
    state.event = event;
    const text = JSON.stringify(event);
    // No ping in the middle of it: the stream would end, and the next one begin with the whole.
    broker.silent = true;
    for (let at = 0; at < text.length; at += 97) {
      broker.write(text.slice(at, at + 97));
      await new Promise((done) => setImmediate(done));
    }
    broker.write('\n');
    broker.silent = false;
    const client = await connect();
    await until(() => log.filter((line) => line.includes('is in force')).length >= 2, 'it is in force');
    await assert.rejects(client.query('SELECT 1'), /slowly closed/);
  });

  test('a connection that is broken leaves the others alone, and tells its clients why', async () => {
    const otherPort = await freePort();
    const good = { postgres, port, rules };
    const bad: ManifestOptions = {
      postgres,
      port: otherPort,
      name: 'broken-db',
      rules: [{ name: 'wrong', when: 'sql.nothing == 1', action: 'Allow' }],
    };
    state.event = runConfiguration([good, bad]);
    const one = await start();
    await until(() => one.ready, 'the sidecar is ready');
    await (await connect()).query('SELECT 1');
    await assert.rejects(connect({ port: otherPort }), /broken-db-policy, rule "wrong"/);
    broker.configure(runConfiguration([good, { ...bad, rules }]));
    await until(
      () => log.some((line) => line.includes('"listening"') && line.includes('broken-db')),
      'it is repaired',
    );
    await (await connect({ port: otherPort })).query('SELECT 1');
  });

  test('a connection that becomes broken goes on with what it had, and ages', async () => {
    await started();
    const client = await connect();
    broker.configure({
      ...configuration(),
      manifests: [],
      credentials: {},
      unusable: [{ connection: CONNECTION, message: 'its Secret is gone' }],
    });
    await until(() => log.some((line) => line.includes('its Secret is gone')), 'it is told');
    await client.query('SELECT 1');
  });

  test('a revoked connection is cut in the middle of a query, and comes back with a configuration', async () => {
    await started();
    const client = await connect();
    const running = client.query('SELECT pg_sleep(600)');
    await until(() => (state.reports.at(-1)?.decisions.allow ?? 0) >= 1, 'the query runs');
    broker.send({ kind: 'revoked', connection: CONNECTION, reason: 'the run has ended' });
    await assert.rejects(running, /revoked: the run has ended/);
    await assert.rejects(connect(), /revoked: the run has ended/);
    const admin = new pg.Client({ ...postgres, database: 'postgres' });
    await admin.connect();
    try {
      const left =
        "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
      for (const end = performance.now() + 60_000; ;) {
        const { rows } = await admin.query<{ n: number }>(left);
        if (rows[0]?.n === 0) break;
        assert.ok(performance.now() < end, 'the query is stopped on the server');
        await new Promise((done) => setTimeout(done, 50));
      }
    } finally {
      await admin.end();
    }
    broker.configure(configuration());
    await until(
      () => log.filter((line) => line.includes('"listening"')).length >= 2,
      'it is listened for anew',
    );
    await (await connect()).query('SELECT 1');
    broker.send({ kind: 'revoked', connection: CONNECTION, reason: 'somebody erred' });
    await until(() => log.some((line) => line.includes('somebody erred')), 'it is revoked');
    await assert.rejects(connect(), /revoked: somebody erred/);
    // As it was, with the same revision.
    broker.configure(state.event);
    await until(
      () => log.filter((line) => line.includes('"listening"')).length >= 3,
      'it is listened for once more',
    );
    await (await connect()).query('SELECT 1');
  });
});

describe('credentials', () => {
  test('that were changed are asked for anew, and sessions that are there go on', async () => {
    state.session = () => ({ session: 'orders-db-run', username: 'run_one', password: 'first' });
    await started();
    const client = await connect();
    const admin = new pg.Client({ ...postgres, database: 'postgres' });
    await admin.connect();
    await admin.query("ALTER ROLE run_one PASSWORD 'second'");
    await admin.end();
    // The server refuses the old ones before the stream tells of others.
    state.session = () => ({ session: 'orders-db-run', username: 'run_one', password: 'second' });
    const other = await connect();
    assert.equal((await other.query<{ u: string }>('SELECT current_user AS u')).rows[0]?.u, 'run_one');
    assert.equal(state.sessions.length, 2);
    broker.configure({ ...configuration(), credentials: { [CONNECTION]: 'version-2' } });
    await until(() => log.filter((line) => line.includes('is in force')).length >= 2, 'it is in force');
    await connect();
    assert.equal(state.sessions.length, 3);
    await client.query('SELECT 1');
  });
});

describe('approvals', () => {
  test('one that is approved runs once, and is reported as used', async () => {
    state.approval = () => pending('appr-1');
    await started();
    const client = await connect();
    const notices: string[] = [];
    client.on('notice', ({ message }) => void notices.push(message ?? ''));
    const running = client.query('INSERT INTO ledger VALUES (1)');
    await until(() => state.asked.length === 1, 'it is asked for');
    const [asked] = state.asked;
    assert.equal(asked?.connection, CONNECTION);
    assert.deepEqual(asked.requirements, [{ policy: 'production-access/orders-db-policy', rule: 'held' }]);
    assert.match(asked.digest, /^sha256:/);
    broker.decide('appr-1', approved);
    await running;
    assert.match(notices.join(), /appr-1/);
    await until(() => state.ends.length === 1, 'its use is reported');
    assert.deepEqual(state.ends, [{ connection: CONNECTION, name: 'appr-1', how: 'used' }]);
    broker.decide('appr-1', approved);
    await client.query('SELECT 1');
    assert.equal(state.ends.length, 1);
  });

  test('a decision that comes before the answer counts', async () => {
    state.approval = () => {
      broker.decide('appr-2', approved);
      return pending('appr-2');
    };
    await started();
    const client = await connect();
    await client.query('INSERT INTO ledger VALUES (2)');
  });

  test('denied, expired by the broker, expired by our own clock', async () => {
    let names = 0;
    state.approval = () => pending(`appr-3-${++names}`);
    await started();
    const client = await connect();
    const denied = client.query('INSERT INTO ledger VALUES (3)');
    await until(() => names === 1, 'it is asked for');
    broker.decide('appr-3-1', { ...approved, kind: 'denied', reason: 'not today' });
    await assert.rejects(denied, /denied by alice/);
    const expired = client.query('INSERT INTO ledger VALUES (3)');
    await until(() => names === 2, 'it is asked for');
    broker.decide('appr-3-2', { kind: 'expired', after: 60_000 });
    await assert.rejects(expired, /expired after 1m/);
    await assert.rejects(client.query('INSERT INTO brief VALUES (3)'), /expired after 1s/);
  });

  test('a broker that dies during a hold: decided meanwhile, it runs when another is found; and only once', async () => {
    const { port: brokerPort } = broker;
    state.approval = () => pending('appr-4');
    await started();
    const client = await connect();
    const running = client.query('INSERT INTO ledger VALUES (4) RETURNING id');
    await until(() => log.some((line) => line.includes('appr-4')), 'it is asked for');
    await broker.stop();
    broker.decide('appr-4', approved);
    broker = await TestBroker.start(pki, state, '127.0.0.1', brokerPort);
    assert.equal((await running).rowCount, 1);
    await until(() => state.ends.length === 1, 'its use is reported');
    const { rows } = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM ledger WHERE id = 4');
    assert.equal(rows[0]?.n, 1);
  });

  test('a broker that stays away: refused when its time is up', async () => {
    state.approval = () => pending('appr-5', 1);
    await started();
    const client = await connect();
    const running = client.query('INSERT INTO brief VALUES (5)');
    // With the broker's answer: without it, nobody was asked.
    await until(() => log.some((line) => line.includes('appr-5')), 'it is asked for');
    await broker.stop();
    await assert.rejects(running, /expired after 1s/);
  });

  test('that cannot be asked for are refused, and say so', async () => {
    await started();
    const client = await connect();
    await assert.rejects(client.query('INSERT INTO brief VALUES (6)'), /nobody could be asked/);
    state.approval = () => ({
      kind: 'refused',
      denial: { code: 'denied', message: 'too many approvals are pending', detail: '', hint: '' },
    });
    await assert.rejects(client.query('INSERT INTO ledger VALUES (6)'), /too many approvals/);
    await client.query('SELECT 1');
  });

  test('are void when the client cancels or goes away, also while they are asked for', async () => {
    state.approval = () => pending(`appr-7-${state.asked.length}`);
    await started();
    const one = await connect();
    void one.query('INSERT INTO ledger VALUES (7)').catch(() => undefined);
    await until(() => log.some((line) => line.includes('appr-7-1')), 'it is asked for');
    await one.end();
    await until(() => state.ends.length === 1, 'it is void');
    assert.equal(state.ends[0]?.how, 'ClientDisconnected');
    broker.hanging = true;
    const two = await connect();
    void two.query('INSERT INTO ledger VALUES (7)').catch(() => undefined);
    await until(() => broker.hung.includes('/v1/approvals'), 'it is on its way');
    await two.end();
    broker.hanging = false;
    await until(() => state.ends.length === 2, 'it is void');
    assert.deepEqual(state.ends[1], { connection: CONNECTION, name: 'appr-7-2', how: 'ClientDisconnected' });
  });

  test('of an earlier start are given up', async () => {
    state.decisions.set('appr-8', {
      kind: 'decision',
      approval: 'appr-8',
      connection: CONNECTION,
      outcome: approved,
    });
    await started();
    await until(() => state.ends.length === 1, 'it is void');
    assert.deepEqual(state.ends[0], { connection: CONNECTION, name: 'appr-8', how: 'SessionEnded' });
  });

  test('of a killed sidecar are void before it asks again', async () => {
    await started();
    await (await connect()).query('SELECT 1');
    assert.deepEqual(state.lost, [], 'nothing was before');
    await sidecar?.stop(2_000);
    // As a kill leaves the folder: what was counted stands in it.
    let lostBefore: number | undefined;
    state.approval = () => {
      lostBefore = state.lost.length;
      return pending('appr-9');
    };
    broker.hanging = true;
    state.event = configuration();
    const again = await start();
    broker.hanging = false;
    await until(() => again.ready, 'the sidecar is ready');
    const held = (await connect()).query('INSERT INTO ledger VALUES (9)');
    held.catch(() => undefined);
    await until(() => lostBefore !== undefined, 'an approval is asked for');
    assert.equal(lostBefore, 1);
    assert.deepEqual(state.lost, [CONNECTION]);
  });
});

/** Milliseconds that the work took while this process was let run: a machine that is busy elsewhere makes nothing slow. */
async function ranFor(work: Promise<unknown>): Promise<number> {
  let [sum, last] = [0, performance.now()];
  const ticks = setInterval(() => {
    sum += Math.min(performance.now() - last, 100);
    last = performance.now();
  }, 20);
  await work.finally(() => clearInterval(ticks));
  return sum;
}

describe('the end', () => {
  test('idle sessions end at once, what runs may end, and nobody new gets in', async () => {
    const one = await started();
    const [idle, busy] = [await connect(), await connect()];
    const idleEnded = new Promise((done) => idle.once('end', done));
    const admin = new pg.Client({ ...postgres, database: 'postgres' });
    await admin.connect();
    // It runs until we let it.
    await admin.query('SELECT pg_advisory_lock(1)');
    const running = busy.query<{ done: string }>("SELECT 'done' AS done FROM pg_advisory_xact_lock(1)");
    await until(() => (state.reports.at(-1)?.decisions.allow ?? 0) >= 1, 'the query runs');
    const stopping = one.stop(60_000);
    sidecar = undefined;
    await idleEnded;
    await assert.rejects(connect());
    await admin.end();
    assert.equal((await running).rows[0]?.done, 'done');
    await stopping;
    assert.equal(state.reports.at(-1)?.ended, 'yes');
  });

  test('a broker that hangs does not keep it beyond its time', async () => {
    const one = await started();
    const client = await connect();
    broker.hanging = true;
    await client.query('SELECT 1');
    await until(() => broker.hung.includes('/v1/sessions/report'), 'a report hangs');
    const took = await ranFor(one.stop(2_000));
    sidecar = undefined;
    assert.ok(took < 4_500, `${took} ms`);
  });

  test('what runs for too long is ended at the deadline', async () => {
    const one = await started();
    const client = await connect();
    const running = client.query('SELECT pg_sleep(600)');
    running.catch(() => undefined);
    await until(() => (state.reports.at(-1)?.decisions.allow ?? 0) >= 1, 'the query runs');
    await one.stop(2_000);
    sidecar = undefined;
    await assert.rejects(running, /the sidecar is ending/);
  });

  test('recordings that nobody takes leave time for the last report', async () => {
    state.upload = () => ({ code: 'unavailable', message: 'there is no store' });
    const one = await started();
    await (await connect()).query('SELECT 1');
    // Of less time, less than two seconds would be left for the report: some machines are late by more.
    await one.stop(8_000);
    sidecar = undefined;
    assert.equal(state.reports.at(-1)?.ended, 'yes');
    assert.ok(log.some((line) => line.includes('files of recordings are NOT in the store')));
    assert.ok(!log.some((line) => line.includes('the last report was not taken')));
  });

  test('counts outlive the process', async () => {
    await started();
    await (await connect()).query('SELECT 1');
    await sidecar?.stop(2_000);
    for (const client of clients) await client.end().catch(() => undefined);
    clients.clear();
    const counts = JSON.parse(await readFile(join(folder, 'sessions.json'), 'utf8'));
    assert.equal(counts[0].recordings, 1);
    await started();
    await (await connect()).query('SELECT 1');
    await until(() => state.reports.at(-1)?.recordings === 2, 'it goes on counting');
  });
});
