/**
 * THREATS.md 37, 39 and 43, at the protocol: a held statement runs once, as it was shown, or not at all; what waits
 * behind it waits; and afterwards the connection is as usable as PostgreSQL itself would leave it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile, readdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after, before, describe as suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { usualManifests, type ManifestRule } from '../manifests.ts';
import { freePort, startPostgres, type TestPostgres } from '../postgres.ts';
import { changeManifests, startSidewarden, type ServeOptions, type Sidewarden } from '../serve.ts';
import { decide } from './command.ts';
import {
  Frontend,
  bind,
  cancel,
  copyData,
  copyDone,
  describe,
  describeOf,
  execute,
  fieldsOf,
  flush,
  onlyError,
  parse,
  query,
  run,
  sync,
} from './frontend.ts';

const approvers = { users: [userInfo().username] };
const rules: readonly ManifestRule[] = [
  { name: 'reads', when: 'sql.effects.all(e, e in ["read", "session"])', action: 'Allow' },
  { name: 'never', when: 'sql.tables.exists(t, t.name == "public.forbidden")', action: 'Deny' },
  {
    name: 'short',
    when: 'sql.tables.exists(t, t.name == "public.brief" && "write" in t.access)',
    action: 'Hold',
    hold: { approvers, timeout: '1s' },
  },
  {
    name: 'waits',
    when: 'sql.tables.exists(t, t.name == "public.waits" && "write" in t.access)',
    action: 'Hold',
    hold: { approvers, timeout: '1m', inTransaction: 'Wait' },
  },
  {
    name: 'refuses',
    when: 'sql.tables.exists(t, t.name == "public.refuses" && "write" in t.access)',
    action: 'Hold',
    hold: { approvers, timeout: '1m', inTransaction: 'Refuse' },
  },
  {
    name: 'ledger',
    when: 'sql.tables.exists(t, t.name in ["public.ledger", "public.other_ledger"] && "write" in t.access) || "opaque" in sql.effects',
    action: 'Hold',
    hold: { approvers, timeout: '1m' },
  },
  { name: 'free', when: 'sql.tables.exists(t, t.name == "public.free")', action: 'Allow' },
  {
    name: 'held-reads',
    when: 'sql.tables.exists(t, t.name == "public.precious")',
    action: 'Hold',
    hold: { approvers, timeout: '1m' },
  },
];

const schema = `
CREATE TABLE ledger (id int, note text);
CREATE TABLE other_ledger (id int, note text);
CREATE TABLE waits (id int);
CREATE TABLE refuses (id int);
CREATE TABLE brief (id int);
CREATE TABLE free (id int);
CREATE TABLE forbidden (id int);
CREATE TABLE precious (id int, card text);
INSERT INTO precious VALUES (1, '4111111111111111');
CREATE ROLE other_role; GRANT ALL ON ALL TABLES IN SCHEMA public TO other_role;
CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.ledger (id int, note text);
GRANT USAGE ON SCHEMA elsewhere TO other_role; GRANT ALL ON ALL TABLES IN SCHEMA elsewhere TO other_role;`;

let postgres: TestPostgres;
let served: Sidewarden;
let direct: pg.Client;

function serve(more: Partial<ServeOptions> = {}): Promise<Sidewarden> {
  return startSidewarden({ postgres, rules, connection: { limits: { maxPendingApprovals: 5 } }, ...more });
}

before(async () => {
  postgres = await startPostgres();
  const { host, port, user, password } = postgres;
  direct = new pg.Client({ host, port, user, password, database: 'postgres' });
  await direct.connect();
  await direct.query(schema);
});

after(async () => {
  await direct.end();
  await postgres.stop();
});

/** A process of its own for each suite: one identity may ask for so many approvals and no more. */
function eachServed(): void {
  before(async () => {
    served = await serve();
  });
  after(() => served.stop());
}

async function withClient(
  action: (client: Frontend) => Promise<void>,
  parameters: Readonly<Record<string, string>> = {},
  port = served.port,
): Promise<void> {
  const client = await Frontend.connect(port, parameters);
  try {
    await action(client);
  } finally {
    client.close();
  }
}

async function count(table: string, where = 'true'): Promise<number> {
  const { rows } = await direct.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM ${table} WHERE ${where}`,
  );
  return rows[0]?.n ?? -1;
}

interface Seen {
  readonly phase: string;
  readonly operation: {
    readonly text: string;
    readonly parameters: readonly (string | null)[];
    readonly inTransaction: boolean;
    readonly role: string;
  };
  readonly locks: number;
}

async function approval(name: string, state = served.state): Promise<Seen> {
  // What serve wrote; the assertions below look at it.
  const read = JSON.parse(await readFile(join(state, 'approvals', `${name}.json`), 'utf8')) as {
    spec: { request: { operation: Seen['operation']; evidence: { locks?: unknown[] } } };
    status: { phase: string };
  };
  const { operation, evidence } = read.spec.request;
  return { phase: read.status.phase, operation, locks: evidence.locks?.length ?? 0 };
}

async function phase(name: string, wanted: string, state = served.state): Promise<void> {
  for (let i = 0; i < 3000 && (await approval(name, state)).phase !== wanted; i++) await sleep(20);
  assert.equal((await approval(name, state)).phase, wanted);
}

/** The connection answers as before. */
async function usable(client: Frontend): Promise<void> {
  assert.match(describe(await client.query('SELECT 40 + 2')), /^T D\(42\) C\(SELECT 1\) Z\(.\)$/);
}

let next = 100;
const id = () => ++next;

suite('simple query', () => {
  eachServed();

  test('approved: the notice comes at once, nothing else before the decision', () =>
    withClient(async (client) => {
      const n = id();
      client.send(query(`INSERT INTO ledger VALUES (${n}, 'a')`));
      const name = await client.held();
      assert.ok(await client.silent(100));
      assert.equal(await count('ledger', `id = ${n}`), 0);
      await decide(served.state, 'approve', name);
      assert.equal(describe(await client.ready()), 'C(INSERT 0 1) Z(I)');
      assert.equal(await count('ledger', `id = ${n}`), 1);
      await phase(name, 'Used');
      await usable(client);
    }));

  test('denied: one error with the reason', () =>
    withClient(async (client) => {
      client.send(query(`INSERT INTO ledger VALUES (${id()}, 'b')`));
      const name = await client.held();
      await decide(served.state, 'deny', name, '--reason', 'not today');
      const seen = await client.ready();
      assert.equal(describe(seen), 'E(42501) Z(I)');
      assert.match(onlyError(seen)['M'] ?? '', new RegExp(`approval ${name} was denied by`));
      assert.match(onlyError(seen)['D'] ?? '', /not today/);
      await usable(client);
    }));

  test('modified: the other text runs', () =>
    withClient(async (client) => {
      const n = id();
      client.send(query(`INSERT INTO ledger VALUES (${n}, 'agent')`));
      const name = await client.held();
      await decide(served.state, 'modify', name, '--text', `INSERT INTO ledger VALUES (${n}, 'person') -- x`);
      assert.equal(describe(await client.ready()), 'C(INSERT 0 1) Z(I)');
      assert.equal(await count('ledger', `id = ${n} AND note = 'person'`), 1);
      assert.equal(await count('ledger', `id = ${n}`), 1);
    }));

  test('expired', () =>
    withClient(async (client) => {
      client.send(query('INSERT INTO brief VALUES (1)'));
      const name = await client.held();
      const seen = await client.ready();
      assert.equal(onlyError(seen)['M'], `approval ${name} expired after 1s: nobody decided`);
      await phase(name, 'Expired');
      await assert.rejects(decide(served.state, 'approve', name), /too late/);
      await usable(client);
      assert.equal(await count('brief'), 0);
    }));

  test('cancelled by the client', () =>
    withClient(async (client) => {
      const n = id();
      client.send(query(`INSERT INTO ledger VALUES (${n}, 'c')`));
      const name = await client.held();
      await cancel(served.port, client.processId, client.secret);
      assert.equal(describe(await client.ready()), 'E(57014) Z(I)');
      await phase(name, 'Void');
      await assert.rejects(decide(served.state, 'approve', name), /too late/);
      await usable(client);
      assert.equal(await count('ledger', `id = ${n}`), 0);
    }));

  test('a cancel with another secret, or of another session, changes nothing', () =>
    withClient(async (client) => {
      client.send(query(`INSERT INTO ledger VALUES (${id()}, 'c')`));
      const name = await client.held();
      const wrong = Buffer.from(client.secret);
      wrong.writeUInt8((wrong[0] ?? 0) ^ 1, 0);
      await cancel(served.port, client.processId, wrong);
      await cancel(served.port, client.processId + 1, client.secret);
      await cancel(served.port, client.processId, Buffer.concat([client.secret, Buffer.from([0])]));
      assert.ok(await client.silent(100));
      assert.equal((await approval(name)).phase, 'Pending');
      await decide(served.state, 'approve', name);
      assert.equal(describe(await client.ready()), 'C(INSERT 0 1) Z(I)');
    }));

  test('client gone: void at once, by close, by Terminate, and by reset', async () => {
    const ways: ((client: Frontend) => void)[] = [
      (client) => client.socket.destroy(),
      (client) => client.socket.end(),
      (client) => client.socket.resetAndDestroy(),
      (client) => client.socket.end(Buffer.from([0x58, 0, 0, 0, 4])),
    ];
    for (const leave of ways) {
      const client = await Frontend.connect(served.port);
      const n = id();
      client.send(query(`INSERT INTO ledger VALUES (${n}, 'gone')`));
      const name = await client.held();
      leave(client);
      // A Terminate behind a statement is read when the statement's turn is over; the connection's end is seen at once.
      await phase(name, 'Void');
      await assert.rejects(decide(served.state, 'approve', name), /too late/);
      assert.equal(await count('ledger', `id = ${n}`), 0);
      client.close();
    }
  });

  test('client gone behind megabytes of what it sent meanwhile', async () => {
    const client = await Frontend.connect(served.port);
    const n = id();
    client.send(query(`INSERT INTO ledger VALUES (${n}, 'flood')`));
    const name = await client.held();
    const filler = Buffer.concat(Array.from({ length: 100 }, () => query(`SELECT '${'x'.repeat(60_000)}'`)));
    client.socket.write(filler);
    await sleep(300);
    client.socket.destroy();
    await sleep(100);
    await phase(name, 'Void');
    assert.equal(await count('ledger', `id = ${n}`), 0);
  });

  test('server gone: the client is told, the approval is void', () =>
    withClient(async (client) => {
      const [row] = (await client.query('SELECT pg_backend_pid()')).filter(({ tag }) => tag === 'D');
      const pid = Number(row?.body.subarray(6).toString());
      const n = id();
      client.send(query(`INSERT INTO ledger VALUES (${n}, 'server')`));
      const name = await client.held();
      await direct.query('SELECT pg_terminate_backend($1)', [pid]);
      const seen = await client.until(() => false);
      assert.ok(client.closed);
      assert.equal(seen.filter(({ tag }) => tag === 'E').length, 1, describe(seen));
      assert.equal(onlyError(seen)['C'], '57P01');
      await phase(name, 'Void');
    }));

  test('a hold in the middle of a message: all or nothing', () =>
    withClient(async (client) => {
      const n = id();
      const text = `INSERT INTO free VALUES (${n}); INSERT INTO ledger VALUES (${n}, 'm'); SELECT 7`;
      client.send(query(text));
      const first = await client.held();
      assert.equal(await count('free', `id = ${n}`), 0);
      await decide(served.state, 'deny', first);
      assert.equal(describe(await client.ready()), 'E(42501) Z(I)');
      assert.equal(await count('free', `id = ${n}`), 0);
      client.send(query(text.replace("'m'", "'n'")));
      await decide(served.state, 'approve', await client.held());
      assert.equal(describe(await client.ready()), 'C(INSERT 0 1) C(INSERT 0 1) T D(7) C(SELECT 1) Z(I)');
    }));

  test('one refused later in the message: nobody is asked about the others', () =>
    withClient(async (client) => {
      const before = (await readdir(join(served.state, 'approvals'))).length;
      const seen = await client.query(
        `INSERT INTO ledger VALUES (${id()}, 'x'); SELECT * FROM forbidden; INSERT INTO ledger VALUES (1, 'y')`,
      );
      assert.equal(describe(seen), 'E(42501) Z(I)');
      assert.equal((await readdir(join(served.state, 'approvals'))).length, before);
      await usable(client);
    }));

  test('two held in a message are asked for one after the other; the second denied, none runs', () =>
    withClient(async (client) => {
      const n = id();
      client.send(query(`INSERT INTO ledger VALUES (${n}, 'one'); INSERT INTO ledger VALUES (${n}, 'two')`));
      await decide(served.state, 'approve', await client.held());
      await decide(served.state, 'deny', await client.held());
      assert.equal(describe(await client.ready()), 'E(42501) Z(I)');
      assert.equal(await count('ledger', `id = ${n}`), 0);
      await usable(client);
    }));

  test('a modified text in a message does not change what is behind it', () =>
    withClient(async (client) => {
      const n = id();
      client.send(query(`INSERT INTO ledger VALUES (${n}, 'm'); SELECT count(*) FROM ledger`));
      await decide(served.state, 'modify', await client.held(), '--text', 'SET search_path = elsewhere');
      assert.match(describe(await client.ready()), /^E\(\w+\) Z\(I\)$/);
      client.send(query(`INSERT INTO ledger VALUES (${n}, 'm'); SELECT note FROM ledger WHERE id = ${n}`));
      const text = `INSERT INTO ledger VALUES (${n}, 'changed')`;
      await decide(served.state, 'modify', await client.held(), '--text', text);
      assert.equal(describe(await client.ready()), 'C(INSERT 0 1) T D(changed) C(SELECT 1) Z(I)');
    }));

  test('a denial stands for a modified text, whatever it is wrapped in', async () => {
    const texts = [
      'DELETE FROM forbidden',
      'WITH d AS (DELETE FROM forbidden RETURNING 1) INSERT INTO ledger SELECT 1',
      'INSERT INTO ledger VALUES (1); DELETE FROM forbidden',
      'INSERT INTO ledger VALUES (1); INSERT INTO ledger VALUES (2)',
      'INSERT INTO',
      '-- nothing',
      'INSERT INTO ledger VALUES ($1)',
      'SET client_encoding = latin1',
    ];
    await withClient(async (client) => {
      for (const text of texts) {
        const n = id();
        client.send(query(`INSERT INTO ledger VALUES (${n}, 'mod')`));
        await decide(served.state, 'modify', await client.held(), '--text', text);
        const seen = await client.ready();
        assert.match(describe(seen), /^E\(\w+\) Z\(I\)$/, text);
        assert.equal(await count('ledger', `id = ${n}`), 0);
      }
      await usable(client);
    });
  });
});

suite('transactions', () => {
  eachServed();

  test('Auto waits when nothing was written, and refuses when something was', () =>
    withClient(async (client) => {
      const n = id();
      await client.query('BEGIN');
      client.send(query(`INSERT INTO ledger VALUES (${n}, 't')`));
      const name = await client.held();
      assert.ok((await approval(name)).operation.inTransaction);
      await decide(served.state, 'approve', name);
      assert.equal(describe(await client.ready()), 'C(INSERT 0 1) Z(T)');
      const seen = await client.query(`INSERT INTO ledger VALUES (${n}, 'u')`);
      assert.equal(describe(seen), 'E(42501) Z(E)');
      assert.match(onlyError(seen)['H'] ?? '', /COMMIT or ROLLBACK/);
      assert.equal(describe(await client.query('ROLLBACK')), 'C(ROLLBACK) Z(I)');
      assert.equal(await count('ledger', `id = ${n}`), 0);
    }));

  test('Wait keeps the locks, and shows them', () =>
    withClient(async (client) => {
      await client.query('BEGIN');
      await client.query('INSERT INTO free VALUES (1)');
      client.send(query('INSERT INTO waits VALUES (1)'));
      const name = await client.held();
      assert.ok((await approval(name)).locks > 0, 'no locks are shown');
      await decide(served.state, 'approve', name);
      assert.equal(describe(await client.ready()), 'C(INSERT 0 1) Z(T)');
      await client.query('ROLLBACK');
    }));

  test('Refuse', () =>
    withClient(async (client) => {
      await client.query('BEGIN');
      assert.equal(describe(await client.query('INSERT INTO refuses VALUES (1)')), 'E(42501) Z(E)');
      assert.equal(describe(await client.query('SELECT 1')), 'E(25P02) Z(E)');
      assert.equal(describe(await client.query('ROLLBACK')), 'C(ROLLBACK) Z(I)');
      client.send(query('INSERT INTO refuses VALUES (1)'));
      await decide(served.state, 'approve', await client.held());
      assert.equal(describe(await client.ready()), 'C(INSERT 0 1) Z(I)');
    }));

  test('denied, expired and cancelled inside one: the transaction has failed, as PostgreSQL would say', () =>
    withClient(async (client) => {
      for (const end of ['deny', 'cancel'] as const) {
        await client.query('BEGIN');
        client.send(query(`INSERT INTO ledger VALUES (${id()}, 'f${end}')`));
        const name = await client.held();
        if (end === 'deny') await decide(served.state, 'deny', name);
        else await cancel(served.port, client.processId, client.secret);
        assert.match(describe(await client.ready()), /^E\(\w+\) Z\(E\)$/);
        assert.equal(describe(await client.query('COMMIT')), 'C(ROLLBACK) Z(I)');
      }
    }));
});

suite('extended protocol', () => {
  eachServed();

  const insert = 'INSERT INTO ledger VALUES ($1, $2)';

  test('parameters are shown, text and binary, and asked anew at each execution', () =>
    withClient(async (client) => {
      client.send(parse('ins', insert, [23, 25]), describeOf('S', 'ins'), sync);
      assert.match(describe(await client.ready()), /Z\(I\)$/);
      const binary = (n: number) => {
        const bytes = Buffer.alloc(4);
        bytes.writeInt32BE(n);
        return bytes;
      };
      for (const form of ['text', 'binary'] as const) {
        const n = id();
        client.send(bind('', 'ins', [form === 'text' ? String(n) : binary(n), 'p']), execute(''), sync);
        const name = await client.held();
        assert.deepEqual((await approval(name)).operation.parameters, [String(n), 'p']);
        await decide(served.state, 'approve', name);
        assert.equal(describe(await client.ready()), '2 C(INSERT 0 1) Z(I)');
        assert.equal(await count('ledger', `id = ${n}`), 1);
      }
      // The same values again: another approval.
      const n = id();
      for (const verdict of ['approve', 'deny'] as const) {
        client.send(bind('', 'ins', [String(n), 'again']), execute(''), sync);
        await decide(served.state, verdict, await client.held());
        await client.ready();
      }
      assert.equal(await count('ledger', `id = ${n}`), 1);
    }));

  test('a pipeline: what is before has run, what is behind waits', () =>
    withClient(async (client) => {
      const n = id();
      client.send(run('SELECT 1'), sync, run(insert, [String(n), 'pipe']), sync, run('SELECT 2'), sync);
      assert.equal(describe(await client.ready()), '1 2 D(1) C(SELECT 1) Z(I)');
      const name = await client.held();
      assert.ok(await client.silent(100));
      await decide(served.state, 'approve', name);
      assert.match(describe(await client.ready()), /2 C\(INSERT 0 1\) Z\(I\)$/);
      assert.equal(describe(await client.ready()), '1 2 D(2) C(SELECT 1) Z(I)');
    }));

  test('a pipeline without Syncs between: denied, all up to the Sync is discarded and rolled back', () =>
    withClient(async (client) => {
      const n = id();
      client.send(
        run('INSERT INTO free VALUES ($1)', [String(n)]),
        run(insert, [String(n), 'mid']),
        run('SELECT 3'),
        sync,
        run('SELECT 4'),
        sync,
      );
      const seen = await client.until(({ tag }) => tag === 'N' || tag === 'E' || tag === 'Z');
      const last = seen.at(-1);
      assert.ok(last);
      // The first statement has written: by default its transaction is not kept open for a person.
      if (last.tag === 'N') await decide(served.state, 'deny', fieldsOf(last)['M']?.split(' ').at(-1) ?? '');
      if (last.tag !== 'Z') await client.ready();
      assert.equal(describe(await client.ready()), '1 2 D(4) C(SELECT 1) Z(I)');
      assert.equal(await count('free', `id = ${n}`), 0);
      assert.equal(await count('ledger', `id = ${n}`), 0);
    }));

  test('modified: parameters are kept, other columns than described are refused', () =>
    withClient(async (client) => {
      const n = id();
      client.send(parse('', insert), describeOf('S', ''), flush);
      await client.until(({ tag }) => tag === 'n');
      client.send(bind('', '', [String(n), 'mine']), execute(''), sync);
      const text = 'INSERT INTO ledger VALUES ($1, upper($2))';
      await decide(served.state, 'modify', await client.held(), '--text', text);
      assert.match(describe(await client.ready()), /C\(INSERT 0 1\) Z\(I\)$/);
      assert.equal(await count('ledger', `id = ${n} AND note = 'MINE'`), 1);

      const others = [
        'SELECT id, id FROM precious',
        'SELECT card FROM precious',
        'SELECT id FROM precious LIMIT 0; SELECT 1',
      ];
      for (const other of others) {
        client.send(parse('', 'SELECT id FROM precious'), describeOf('S', ''), flush);
        await client.until(({ tag }) => tag === 'T');
        client.send(bind('', ''), execute(''), sync);
        await decide(served.state, 'modify', await client.held(), '--text', other);
        const seen = await client.ready();
        assert.match(describe(seen), /^E\(\w+\) Z\(I\)$/, other);
        await usable(client);
      }
      client.send(parse('', 'SELECT id FROM precious'), bind('', ''), describeOf('P', ''), execute(''), sync);
      await decide(
        served.state,
        'modify',
        await client.held(),
        '--text',
        'SELECT id + 1 AS id FROM precious',
      );
      assert.match(describe(await client.ready()), /T D\(2\) C\(SELECT 1\) Z\(I\)$/);
    }));

  test('a portal that was approved does not run under another role, path or transaction', async () => {
    const changes: readonly (readonly [string, string])[] = [
      ['SET ROLE other_role', 'role'],
      ['SET search_path = elsewhere', 'path'],
      ["SELECT set_config('search_path', 'elsewhere', false)", 'path by function'],
      ["SELECT set_config('role', 'other_role', false)", 'role by function'],
    ];
    for (const [change, what] of changes) {
      await withClient(async (client) => {
        const n = id();
        client.send(parse('ins', insert), bind('p', 'ins', [String(n), what]), flush);
        await decide(served.state, 'approve', await client.held());
        client.send(run(change), flush);
        const seen = [...(await client.until(({ tag }) => tag === 'C' || tag === 'E' || tag === 'N'))];
        const last = seen.at(-1);
        if (last?.tag === 'N')
          await decide(served.state, 'approve', fieldsOf(last)['M']?.split(' ').at(-1) ?? '');
        client.send(execute('p'), sync);
        await client.ready();
        assert.equal(await count('ledger', `id = ${n}`), 0, what);
        assert.equal(await count('elsewhere.ledger', `id = ${n}`), 0, what);
      });
    }
  });

  test('an approved portal runs once', () =>
    withClient(async (client) => {
      const n = id();
      client.send(parse('ins', insert), bind('p', 'ins', [String(n), 'once']), flush);
      await decide(served.state, 'approve', await client.held());
      client.send(execute('p'), execute('p'), execute('p'), sync);
      await client.ready();
      assert.ok((await count('ledger', `id = ${n}`)) <= 1);
      await usable(client);
    }));

  test('a changed Bind value, a Parse of the same name and a replaced portal ask anew', () =>
    withClient(async (client) => {
      const n = id();
      client.send(parse('ins', insert), bind('p', 'ins', [String(n), 'first']), flush);
      await decide(served.state, 'approve', await client.held());
      client.send(bind('p2', 'ins', [String(n), 'second']), execute('p2'), sync);
      await decide(served.state, 'deny', await client.held());
      await client.ready();
      assert.equal(await count('ledger', `id = ${n}`), 0);
    }));

  test('SQL PREPARE and EXECUTE: each EXECUTE asks', () =>
    withClient(async (client) => {
      const n = id();
      client.send(query('PREPARE held_one(int) AS SELECT id FROM precious WHERE id < $1'));
      await decide(served.state, 'approve', await client.held());
      assert.equal(describe(await client.ready()), 'C(PREPARE) Z(I)');
      for (const verdict of ['approve', 'deny'] as const) {
        client.send(query(`EXECUTE held_one(${n})`));
        const name = await client.held();
        await decide(served.state, verdict, name);
        await client.ready();
      }
    }));

  test('a cursor: DECLARE asks, FETCH goes on', () =>
    withClient(async (client) => {
      await client.query('BEGIN');
      client.send(query('DECLARE c CURSOR FOR SELECT id FROM precious'));
      await decide(served.state, 'approve', await client.held());
      assert.equal(describe(await client.ready()), 'C(DECLARE CURSOR) Z(T)');
      client.send(query('FETCH 1 FROM c'));
      const seen = await client.until(({ tag }) => tag === 'Z' || tag === 'N');
      assert.equal(describe(seen), 'T D(1) C(FETCH 1) Z(T)');
      await client.query('ROLLBACK');
    }));
});

suite('COPY', () => {
  eachServed();

  test('FROM STDIN: data is asked for when it was approved, and data that was sent on waits', () =>
    withClient(async (client) => {
      const n = id();
      client.send(query('COPY ledger FROM STDIN'));
      const name = await client.held();
      await decide(served.state, 'approve', name);
      await client.until(({ tag }) => tag === 'G');
      client.send(copyData(`${n}\tcopied\n`), copyDone);
      assert.equal(describe(await client.ready()), 'C(COPY 1) Z(I)');
      // A client that does not wait, by both protocols.
      for (const start of [query('COPY ledger FROM STDIN'), Buffer.concat([run('COPY ledger FROM STDIN')])]) {
        const m = id();
        const ends = start[0] === 0x51 ? [] : [sync];
        client.send(start, copyData(`${m}\tcopied\n`), copyDone, ...ends);
        await decide(served.state, 'approve', await client.held());
        await client.ready();
        assert.equal(await count('ledger', `id = ${m}`), 1);
      }
    }));

  test('FROM STDIN denied: data that was sent already is dropped', () =>
    withClient(async (client) => {
      const n = id();
      client.send(query('COPY ledger FROM STDIN'), copyData(`${n}\tx\n`), copyDone);
      await decide(served.state, 'deny', await client.held());
      assert.equal(describe(await client.ready()), 'E(42501) Z(I)');
      assert.equal(await count('ledger', `id = ${n}`), 0);
      await usable(client);
    }));

  test('TO STDOUT of what is held', () =>
    withClient(async (client) => {
      client.send(query('COPY (SELECT id FROM precious) TO STDOUT'));
      await decide(served.state, 'approve', await client.held());
      assert.equal(describe(await client.ready()), 'H d c C(COPY 1) Z(I)');
    }));
});

suite('bound to its session', () => {
  eachServed();

  test('the same text in another session, and after a reconnect, asks anew', async () => {
    const n = id();
    const text = `INSERT INTO ledger VALUES (${n}, 'same')`;
    const first = await Frontend.connect(served.port);
    const second = await Frontend.connect(served.port);
    first.send(query(text));
    const name = await first.held();
    second.send(query(text));
    const other = await second.held();
    assert.notEqual(name, other);
    first.close();
    await phase(name, 'Void');
    await assert.rejects(decide(served.state, 'approve', name), /too late/);
    await decide(served.state, 'approve', other);
    assert.equal(describe(await second.ready()), 'C(INSERT 0 1) Z(I)');
    second.send(query(text));
    await decide(served.state, 'deny', await second.held());
    await second.ready();
    assert.equal(await count('ledger', `id = ${n}`), 1);
    second.close();
  });

  test('a session that sends on while it waits does not make the process grow', () =>
    withClient(async (client) => {
      client.send(query(`INSERT INTO ledger VALUES (${id()}, 'memory')`));
      const name = await client.held();
      const before = await residentMegabytes();
      const filler = query(`SELECT '${'x'.repeat(1_000_000)}'`);
      for (let i = 0; i < 64; i++) client.socket.write(filler);
      await sleep(400);
      const grown = (await residentMegabytes()) - before;
      assert.ok(grown < 24, `grew by ${grown} MB`);
      await decide(served.state, 'approve', name);
      for (let i = 0; i < 65; i++) await client.ready();
      await usable(client);
    }));
});

async function residentMegabytes(pid = served.pid): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

suite('while it waits', () => {
  eachServed();

  async function replaced(options: Partial<ServeOptions>, own: Sidewarden, port: number): Promise<void> {
    await changeManifests(own, usualManifests({ postgres, rules, port, ...options }));
    for (let i = 0; i < 3000 && !own.logs().includes('the changed manifests are in force'); i++)
      await sleep(20);
    assert.match(own.logs(), /the changed manifests are in force/);
  }

  test('a policy that now denies it: approved all the same, it does not run', async () => {
    const port = await freePort();
    const own = await serve({ port });
    const client = await Frontend.connect(port);
    try {
      const n = id();
      client.send(query(`INSERT INTO ledger VALUES (${n}, 'policy')`));
      const name = await client.held();
      const stricter = rules.map((rule) =>
        rule.name === 'ledger' ? { name: 'ledger', when: rule.when, action: 'Deny' as const } : rule,
      );
      await replaced({ rules: stricter }, own, port);
      await decide(own.state, 'approve', name).catch(() => undefined);
      assert.equal(describe(await client.ready()), 'E(42501) Z(I)');
      assert.equal(await count('ledger', `id = ${n}`), 0);
    } finally {
      client.close();
      await own.stop();
    }
  });

  test('a mask that came meanwhile applies, or it does not run', async () => {
    const port = await freePort();
    const own = await serve({ port });
    const one = await Frontend.connect(port);
    const two = await Frontend.connect(port);
    try {
      one.send(query('SELECT card FROM precious'));
      const simple = await one.held();
      two.send(run('SELECT card FROM precious WHERE true'), sync);
      const extended = await two.held();
      await replaced({ masks: [{ columns: ['public.precious.card'], with: 'Redact' }] }, own, port);
      for (const name of [simple, extended]) await decide(own.state, 'approve', name).catch(() => undefined);
      for (const client of [one, two]) {
        const seen = describe(await client.ready());
        assert.ok(!seen.includes('4111'), seen);
      }
    } finally {
      one.close();
      two.close();
      await own.stop();
    }
  });

  test('an unrelated change of the policy does not make it void', async () => {
    const port = await freePort();
    const own = await serve({ port });
    const client = await Frontend.connect(port);
    try {
      const n = id();
      client.send(query(`INSERT INTO ledger VALUES (${n}, 'unrelated')`));
      const name = await client.held();
      const more = [...rules, { name: 'more', when: 'sql.verb == "VACUUM"', action: 'Allow' as const }];
      await replaced({ rules: more }, own, port);
      await decide(own.state, 'approve', name);
      assert.equal(describe(await client.ready()), 'C(INSERT 0 1) Z(I)');
    } finally {
      client.close();
      await own.stop();
    }
  });

  test('the table is replaced by a view over another one: what was shown does not run', () =>
    withClient(async (client) => {
      await direct.query('CREATE TABLE precious_two (id int); DROP VIEW IF EXISTS shown');
      await direct.query(
        'CREATE VIEW shown AS SELECT id FROM precious; CREATE VIEW open AS SELECT id FROM free',
      );
      client.send(query('SELECT * FROM shown'));
      const name = await client.held();
      await withClient(async (other) => {
        const answer = async () => describe(await other.query('SELECT * FROM open'));
        assert.match(await answer(), /^T /);
        // Both at once: when the one is known, the other is.
        await direct.query(
          ['shown', 'open']
            .map((view) => `CREATE OR REPLACE VIEW ${view} AS SELECT id FROM forbidden`)
            .join(';'),
        );
        for (let i = 0; i < 1500 && (await answer()) !== 'E(42501) Z(I)'; i++) await sleep(20);
        assert.equal(await answer(), 'E(42501) Z(I)');
      });
      await decide(served.state, 'approve', name);
      assert.equal(describe(await client.ready()), 'E(42501) Z(I)');
      await usable(client);
    }));

  test('serve is stopped: the client is told, the approval is void, the recording is closed', async () => {
    const own = await serve();
    const client = await Frontend.connect(own.port);
    client.send(query(`INSERT INTO ledger VALUES (${id()}, 'stop')`));
    const name = await client.held();
    own.signal('SIGTERM');
    const seen = await client.until(() => false);
    assert.equal(onlyError(seen)['C'], '57P01');
    assert.equal(await own.ended, 0);
    assert.equal((await approval(name, own.state)).phase, 'Void');
    await own.stop();
  });

  test('serve is killed: nothing runs, and the next start makes it void', async () => {
    const state = join(served.manifests, '..', 'killed-state');
    const own = await serve({ state });
    const client = await Frontend.connect(own.port);
    const n = id();
    client.send(query(`INSERT INTO ledger VALUES (${n}, 'kill')`));
    const name = await client.held();
    own.signal('SIGKILL');
    await own.ended;
    await client.until(() => false);
    assert.equal((await approval(name, state)).phase, 'Pending');
    const again = await serve({ state });
    assert.equal((await approval(name, state)).phase, 'Void');
    await assert.rejects(decide(state, 'approve', name), /too late/);
    assert.equal(await count('ledger', `id = ${n}`), 0);
    await again.stop();
    await own.stop();
  });
});

suite('real clients', () => {
  eachServed();

  interface Psql {
    readonly child: ChildProcess;
    text(): string;
    readonly ended: Promise<number | null>;
  }

  function psql(sql: string): Psql {
    const where = `host=127.0.0.1 port=${served.port} dbname=postgres user=agent`;
    const child = spawn('psql', ['-X', where, '-c', sql], { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
    const ended = new Promise<number | null>((done) => {
      child.once('close', done);
      child.once('error', () => done(null));
    });
    return { child, text: () => text, ended };
  }

  async function heldBy(client: Psql): Promise<string> {
    for (let i = 0; i < 1500 && !client.text().includes('HINT:'); i++) await sleep(20);
    return /waiting for approval (\S+)/.exec(client.text())?.[1] ?? '';
  }

  const none = spawnSync('psql', ['--version']).error !== undefined && 'there is no psql';

  test('psql: approved, denied, and given up by Ctrl-C', { skip: none }, async () => {
    const approved = psql("INSERT INTO ledger VALUES (1, 'psql')");
    await decide(served.state, 'approve', await heldBy(approved));
    assert.equal(await approved.ended, 0);
    assert.match(approved.text(), /INSERT 0 1/);
    const denied = psql("INSERT INTO ledger VALUES (2, 'psql')");
    await decide(served.state, 'deny', await heldBy(denied), '--reason', 'not now');
    assert.equal(await denied.ended, 1);
    assert.match(denied.text(), /ERROR: {2}approval \S+ was denied by \S+\nDETAIL: {2}Reason: not now/);
    const cancelled = psql("INSERT INTO ledger VALUES (3, 'psql')");
    const name = await heldBy(cancelled);
    cancelled.child.kill('SIGINT');
    await cancelled.ended;
    await phase(name, 'Void');
    assert.equal(await count('ledger', "note = 'psql'"), 1);
  });

  test('node-postgres: the notice, a parameter, and a promise that is kept when it is approved', async () => {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: served.port,
      user: 'agent',
      database: 'postgres',
    });
    await client.connect();
    const notice = once(client, 'notice');
    const inserted = client.query('INSERT INTO ledger VALUES ($1, $2) RETURNING note', [77, 'driver']);
    // `notice` has one argument, a message.
    const [{ message = '' }] = (await notice) as [{ message?: string }];
    await decide(served.state, 'approve', message.split(' ').at(-1) ?? '');
    assert.deepEqual((await inserted).rows, [{ note: 'driver' }]);
    await client.end();
  });
});

suite('fatigue', () => {
  test('no more than the cap wait, from one session or from many, and what was denied is not asked again', async () => {
    const own = await serve({ connection: { limits: { maxPendingApprovals: 1 } } });
    const clients: Frontend[] = [];
    try {
      const held: string[] = [];
      let refused = 0;
      for (let i = 0; i < 8; i++) {
        const client = await Frontend.connect(own.port);
        clients.push(client);
        client.send(query(`INSERT INTO ledger VALUES (${i}, 'cap')`));
        const seen = await client.until(({ tag }) => tag === 'N' || tag === 'Z');
        const last = seen.at(-1);
        if (last?.tag === 'N') held.push(fieldsOf(last)['M']?.split(' ').at(-1) ?? '');
        else {
          refused++;
          assert.match(onlyError(seen)['M'] ?? '', /too many approvals are pending/);
        }
      }
      assert.ok(held.length >= 1 && held.length <= 4, `${held.length} wait`);
      assert.equal(held.length + refused, 8);
      const [first] = clients;
      assert.ok(first);
      await decide(own.state, 'deny', held[0] ?? '');
      await first.ready();
      const again = await first.query("INSERT INTO ledger VALUES (0, 'cap')");
      assert.match(onlyError(again)['M'] ?? '', /the same operation was denied/);
      await usable(first);
    } finally {
      for (const client of clients) client.close();
      await own.stop();
    }
  });
});
