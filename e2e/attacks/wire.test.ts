/** The wire under attack: bytes that are no messages, refusals anywhere in a pipeline, sides that go away at any point. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, afterEach, before, describe, it } from 'node:test';
import pg from 'pg';
import { message } from '../../bench/wire.ts';
import { startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden, type Sidewarden } from '../serve.ts';
import * as send from './frontend.ts';
import { Frontend, describe as tell, fieldsOf } from './frontend.ts';
import {
  CANCEL_REQUEST,
  GSS_REQUEST,
  PROTOCOL_3_0,
  PROTOCOL_3_2,
  RawClient,
  SSL_REQUEST,
  int32,
  request,
  say,
  sqlstateOf,
  startup,
  untagged,
} from './raw.ts';
import { SCHEMA, script, seeded } from './scripts.ts';

let server: TestPostgres;
let warden: Sidewarden;
let admin: pg.Client;
const open = new Set<Frontend>();

async function client(parameters: Readonly<Record<string, string>> = {}): Promise<Frontend> {
  const one = await Frontend.connect(warden.port, parameters);
  open.add(one);
  return one;
}

before(async () => {
  server = await startPostgres();
  admin = new pg.Client({ ...server, database: 'postgres' });
  await admin.connect();
  await admin.query(SCHEMA);
  warden = await startSidewarden({
    postgres: server,
    rules: [
      { name: 'all', when: 'true', action: 'Allow' },
      { name: 'no-truncate', when: 'sql.verb.startsWith("TRUNCATE")', action: 'Deny' },
      { name: 'no-other', when: 'sql.tables.exists(t, t.name == "other.items")', action: 'Deny' },
      { name: 'no-thirteen', when: 'sql.parameters.exists(p, p == "13")', action: 'Deny' },
      {
        name: 'hold-deletes',
        when: 'sql.verb == "DELETE"',
        action: 'Hold',
        hold: { approvers: { groups: ['dba'] }, timeout: '1m', inTransaction: 'Wait' },
      },
    ],
  });
});

after(async () => {
  await admin.end();
  await warden.stop();
  await server.stop();
});

afterEach(() => {
  for (const one of open) one.close();
  open.clear();
});

/** Nothing crashed, nothing of ours failed, and others are served. */
async function stillServes(): Promise<void> {
  const other = await client();
  assert.equal(tell(await other.query('SELECT 1')), 'T D(1) C(SELECT 1) Z(I)');
  other.close();
  assert.ok(!/a fault of ours/.test(warden.logs()), warden.logs().slice(-3_000));
}

const START = startup();
const BYE = message('X', Buffer.alloc(0));
const with_ = (...pairs: readonly (readonly [string, string])[]) =>
  startup([['user', 'agent'], ['database', 'postgres'], ...pairs]);
const body3 = (text: string) => untagged(Buffer.concat([int32(PROTOCOL_3_0), Buffer.from(text, 'latin1')]));

describe('before sign-in', () => {
  const refused: readonly (readonly [string, Buffer, string | undefined])[] = [
    ['a length of zero', Buffer.alloc(8), '08P01'],
    ['a length without itself', Buffer.from([0, 0, 0, 3, 0, 3, 0, 0]), '08P01'],
    ['nothing but a length', int32(4), '08P01'],
    ['a negative length', Buffer.concat([int32(-1), int32(PROTOCOL_3_0)]), '08P01'],
    ['a length that wraps', Buffer.concat([int32(0x7fff_ffff), int32(PROTOCOL_3_0)]), '08P01'],
    ['more than a start-up packet may have', Buffer.concat([int32(10_001), int32(PROTOCOL_3_0)]), '08P01'],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), '08P01'],
    ['direct TLS where none is offered', Buffer.from('16030100a5010000a10303', 'hex'), undefined],
    ['protocol 2', startup([['user', 'agent']], 0x2_0000), '0A000'],
    ['protocol 4', startup([['user', 'agent']], 0x4_0000), '0A000'],
    ['a query at once', send.query('SELECT 1'), '08P01'],
    ['replication', with_(['replication', 'true']), '42501'],
    ['logical replication', with_(['replication', 'database']), '42501'],
    ['replication in other letters', with_(['Replication', '1']), '42501'],
    ['a role', with_(['role', 'postgres']), '42501'],
    ['a role by options', with_(['options', '-c role=postgres']), '42501'],
    ['a session user by options', with_(['options', '--session_authorization=postgres']), '42501'],
    ['another encoding', with_(['client_encoding', 'SJIS']), '42501'],
    ['an encoding by options', with_(['options', '-c client_encoding=SJIS']), '42501'],
    ['other lexing by options', with_(['options', '-cstandard_conforming_strings=off']), '42501'],
    ['options that are none', with_(['options', '-B 100']), '42501'],
    ['an unknown setting', with_(['session_preload_libraries', 'x']), '42501'],
    ['a parameter twice', with_(['user', 'postgres']), '08P01'],
    [
      'another database',
      startup([
        ['user', 'agent'],
        ['database', 'template1'],
      ]),
      '3D000',
    ],
    ['an empty name with more behind it', body3('user\0agent\0\0x\0\0'), '08P01'],
    ['no end', body3('user\0agent\0'), '08P01'],
    ['a name without a value', body3('user\0agent\0database\0'), '08P01'],
    ['text that is not UTF-8', body3('user\0\xff\xfe\0\0'), '08P01'],
    ['plaintext behind a TLS request', Buffer.concat([request(SSL_REQUEST), START]), '08P01'],
    ['two TLS requests at once', Buffer.concat([request(SSL_REQUEST), request(SSL_REQUEST)]), '08P01'],
    ['plaintext behind a GSS request', Buffer.concat([request(GSS_REQUEST), START]), '08P01'],
    ['a TLS request with a body', untagged(Buffer.concat([int32(SSL_REQUEST), int32(0)])), '08P01'],
  ];
  for (const [name, bytes, sqlstate] of refused) {
    it(`refuses ${name}`, async () => {
      const said = await say(warden.port, bytes);
      assert.ok(said.closed, 'the connection stays open');
      assert.equal(sqlstateOf(said.bytes), sqlstate, JSON.stringify(said.bytes.toString('latin1')));
      assert.ok(!said.bytes.includes('server_version'));
    });
  }

  const taken: readonly (readonly [string, Buffer, number])[] = [
    ['protocol 3.0', startup(), 4],
    ['protocol 3.1', startup(undefined, 0x3_0001), 4],
    ['protocol 3.2', startup(undefined, PROTOCOL_3_2), 32],
    ['an empty options', with_(['options', '']), 4],
    ['options as libpq sends them', with_(['options', '-c statement_timeout=5s -c geqo=off']), 4],
    ['UTF-8 by its other names', with_(['client_encoding', "'utf-8'"]), 4],
    ['what JDBC sends', with_(['DateStyle', 'ISO'], ['TimeZone', 'UTC'], ['extra_float_digits', '2']), 4],
    ['no database', startup([['user', 'postgres']]), 4],
  ];
  for (const [name, bytes, keyLength] of taken) {
    it(`takes ${name}`, async () => {
      const raw = await RawClient.connect(warden.port);
      raw.send(bytes);
      const { bytes: said } = await raw.said((got) => got.includes(Buffer.from('Z\0\0\0\x05I', 'latin1')));
      raw.close();
      const key = said.indexOf(Buffer.from([0x4b, 0, 0, 0, 8 + keyLength]));
      assert.ok(key > 0, JSON.stringify(said.toString('latin1').slice(0, 200)));
    });
  }

  it('negotiates down what is newer, and names the options that it lacks', async () => {
    const newer = startup(
      [
        ['user', 'agent'],
        ['_pq_.one', '1'],
        ['_pq_.two', '2'],
      ],
      0x3_270f,
    );
    const { bytes } = await say(warden.port, Buffer.concat([newer, BYE]));
    const names = Buffer.from('_pq_.one\0_pq_.two\0');
    const expected = Buffer.concat([
      Buffer.from('v'),
      int32(12 + names.length),
      int32(PROTOCOL_3_2),
      int32(2),
      names,
    ]);
    assert.deepEqual(bytes.subarray(0, expected.length), expected);
  });

  it('answers N to requests for encryption, and then signs in', async () => {
    for (const requests of [
      [SSL_REQUEST],
      [GSS_REQUEST],
      [GSS_REQUEST, SSL_REQUEST],
      [SSL_REQUEST, GSS_REQUEST],
    ]) {
      const raw = await RawClient.connect(warden.port);
      for (const [index, code] of requests.entries()) {
        raw.send(request(code));
        await raw.said((got) => got.length > index);
      }
      raw.send(Buffer.concat([START, BYE]));
      const { bytes } = await raw.said();
      assert.match(bytes.toString('latin1'), new RegExp(`^N{${requests.length}}R`));
    }
  });

  it('takes a start-up packet byte by byte', async () => {
    const raw = await RawClient.connect(warden.port);
    for (const byte of Buffer.concat([START, send.query('SELECT 42'), BYE])) {
      raw.send(Buffer.from([byte]));
      await sleep(1);
    }
    assert.match((await raw.said()).bytes.toString('latin1'), /42/);
  });

  it('says nothing to a CancelRequest, whatever it holds', async () => {
    const keys = [Buffer.alloc(0), Buffer.alloc(3), Buffer.alloc(4), Buffer.alloc(256), Buffer.alloc(257)];
    for (const key of keys) {
      const { closed } = await say(
        warden.port,
        untagged(Buffer.concat([int32(CANCEL_REQUEST), int32(1), key])),
      );
      assert.ok(closed);
    }
    await stillServes();
  });
});

const int16 = (value: number) => Buffer.from([(value >> 8) & 255, value & 255]);
const str = (value: string) => Buffer.from(`${value}\0`, 'latin1');
const of = (tag: string, ...parts: readonly Buffer[]) => message(tag, Buffer.concat(parts));
const raw = (tag: string, length: number, ...parts: readonly Buffer[]) =>
  Buffer.concat([Buffer.from(tag), int32(length), ...parts]);

describe('bytes that are no message', () => {
  const cases: readonly (readonly [string, Buffer])[] = [
    ['an unknown tag', of('?')],
    ['a zero tag', of('\0')],
    ['a tag of the server', of('Z', Buffer.from('I'))],
    ['an AuthenticationOk', of('R', int32(0))],
    ['a password out of turn', of('p', str('secret'))],
    ['a length of zero', raw('Q', 0)],
    ['a length of three', raw('Q', 3)],
    ['a negative length', raw('Q', -1)],
    ['the least length there is', raw('Q', 0x8000_0000)],
    ['the greatest length there is', raw('Q', 0x7fff_ffff, Buffer.alloc(64))],
    ['more than a Sync can have', raw('S', 0x0fff_ffff, Buffer.alloc(64))],
    ['a Sync with a body', of('S', Buffer.from('x'))],
    ['a Flush with a body', of('H', Buffer.from('x'))],
    ['a Query without its end', of('Q', Buffer.from('SELECT 1'))],
    ['a Query that ends twice', of('Q', str('SELECT 1'), str('SELECT 2'))],
    ['an empty Query body', of('Q')],
    ['a Query that is not UTF-8', of('Q', Buffer.from("SELECT '\xff'\0", 'latin1'))],
    ['overlong UTF-8', of('Q', Buffer.from("SELECT '\xc0\xa7'\0", 'latin1'))],
    ['a surrogate in UTF-8', of('Q', Buffer.from("SELECT '\xed\xa0\x80'\0", 'latin1'))],
    ['a Parse without types', of('P', str(''), str('SELECT 1'))],
    ['a Parse with fewer types than it says', of('P', str(''), str('SELECT 1'), int16(2), int32(23))],
    ['a Parse with a negative count', of('P', str(''), str('SELECT 1'), int16(-1))],
    ['a Parse with more behind it', of('P', str(''), str('SELECT 1'), int16(0), Buffer.from('x'))],
    ['a Parse without a name’s end', of('P', Buffer.from('abc'))],
    ['a Bind of nothing', of('B')],
    ['a Bind with a format too few', of('B', str(''), str(''), int16(2), int16(0), int16(0), int16(0))],
    ['a Bind with a negative count', of('B', str(''), str(''), int16(0), int16(-1), int16(0))],
    ['a Bind whose value wraps', of('B', str(''), str(''), int16(0), int16(1), int32(0x7fff_ffff), int16(0))],
    [
      'a Bind whose value is shorter than null',
      of('B', str(''), str(''), int16(0), int16(1), int32(-2), int16(0)),
    ],
    ['a Bind with more behind it', of('B', str(''), str(''), int16(0), int16(0), int16(0), int16(0))],
    ['a Bind in a third format', of('B', str(''), str(''), int16(1), int16(7), int16(0), int16(0))],
    ['a Describe of nothing', of('D')],
    ['a Describe of another kind', of('D', Buffer.from('X'), str(''))],
    ['a Describe with more behind it', of('D', Buffer.from('S'), str(''), Buffer.from('x'))],
    ['a Close of another kind', of('C', Buffer.from('X'), str(''))],
    ['an Execute without a count', of('E', str(''))],
    ['an Execute with more behind it', of('E', str(''), int32(0), int32(0))],
  ];
  for (const [name, bytes] of cases) {
    it(`ends the session at ${name}, and nothing behind it runs`, async () => {
      const one = await client();
      const behind = send.query('CREATE TABLE behind (x int)');
      one.send(send.parse('', 'SELECT 1'), bytes, send.sync, behind);
      const said = await one.until(() => false);
      assert.ok(one.closed);
      const codes = said.filter(({ tag }) => tag === 'E').map((error) => fieldsOf(error)['C']);
      assert.deepEqual(codes, ['08P01'], tell(said));
      const { rows } = await admin.query("SELECT to_regclass('behind') AS made");
      assert.deepEqual(rows, [{ made: null }]);
    });
  }

  it('ends within any message, at any byte', async () => {
    const whole = Buffer.concat([send.run('SELECT $1::text', ['x']), send.sync]);
    for (let length = 1; length < whole.length; length += 5) {
      const one = await client();
      one.send(whole.subarray(0, length));
      one.socket.end();
      await one.until(() => false);
    }
    await stillServes();
  });

  it('survives scripts with bits turned over', async () => {
    for (let seed = 1; seed <= 120; seed++) {
      const random = seeded(seed);
      const bytes = Buffer.concat(script(random, 6).map((sent) => sent.bytes));
      if (bytes.length === 0) continue;
      for (let times = 1 + random(4); times > 0; times--) bytes.writeUInt8(random(256), random(bytes.length));
      const one = await client();
      one.send(bytes);
      await sleep(5);
      one.socket.end();
      await one.until(() => false);
      one.close();
    }
    await admin.query(`DROP SCHEMA public, other CASCADE; CREATE SCHEMA public; ${SCHEMA}`);
    await stillServes();
  });
});

describe('refusals in pipelines', () => {
  const DENIED = 'TRUNCATE items';
  const { parse, bind, execute, sync, flush, query, run } = send;
  const close = (kind: 'S' | 'P', name: string) => message('C', str(kind + name));

  /** What is sent, and what comes up to the number of ReadyForQuery in it. */
  const cases: readonly (readonly [string, readonly Buffer[], string])[] = [
    ['first', [run(DENIED), run('SELECT 1'), sync], 'E(42501) Z(I)'],
    ['last', [run('SELECT 1'), run(DENIED), sync], '1 2 D(1) C(SELECT 1) E(42501) Z(I)'],
    ['twice', [run(DENIED), run(DENIED), sync, sync], 'E(42501) Z(I) Z(I)'],
    [
      'by batch',
      [run(DENIED), sync, run('SELECT 1'), sync, run(DENIED), sync],
      'E(42501) Z(I) 1 2 D(1) C(SELECT 1) Z(I) E(42501) Z(I)',
    ],
    [
      'in a transaction',
      [query('BEGIN'), run(DENIED), sync, run('SELECT 1'), sync, query('ROLLBACK')],
      'C(BEGIN) Z(T) E(42501) Z(E) E(25P02) Z(E) C(ROLLBACK) Z(I)',
    ],
    [
      'in a transaction of the batch',
      [run('BEGIN'), run(DENIED), sync, query('ROLLBACK')],
      '1 2 C(BEGIN) E(42501) Z(E) C(ROLLBACK) Z(I)',
    ],
    [
      'after a savepoint',
      [
        query('BEGIN; SAVEPOINT s'),
        run(DENIED),
        sync,
        query('ROLLBACK TO s'),
        run('SELECT 1'),
        sync,
        query('COMMIT'),
      ],
      'C(BEGIN) C(SAVEPOINT) Z(T) E(42501) Z(E) C(ROLLBACK) Z(T) 1 2 D(1) C(SELECT 1) Z(T) C(COMMIT) Z(I)',
    ],
    [
      'that undoes what the batch wrote',
      [
        run('INSERT INTO items VALUES (900, NULL)'),
        run(DENIED),
        sync,
        query('SELECT count(*) FROM items WHERE id = 900'),
      ],
      '1 2 C(INSERT 0 1) E(42501) Z(I) T D(0) C(SELECT 1) Z(I)',
    ],
    [
      'in a failed transaction',
      [query('BEGIN'), query('SELECT 1/0'), run(DENIED), sync, query(DENIED), query('ROLLBACK')],
      'C(BEGIN) Z(T) E(22012) Z(E) E(42501) Z(E) E(42501) Z(E) C(ROLLBACK) Z(I)',
    ],
    ['by flush', [parse('', DENIED), flush, bind('', ''), flush, execute(''), flush, sync], 'E(42501) Z(I)'],
    [
      'between Parse and Bind',
      [
        parse('a', 'SELECT 1'),
        parse('', DENIED),
        bind('', 'a'),
        execute(''),
        sync,
        bind('', 'a'),
        execute(''),
        sync,
      ],
      '1 E(42501) Z(I) 2 D(1) C(SELECT 1) Z(I)',
    ],
    [
      'and the old unnamed statement is gone',
      [parse('', 'SELECT 1'), sync, parse('', DENIED), sync, bind('', ''), execute(''), sync],
      '1 Z(I) E(42501) Z(I) E(26000) Z(I)',
    ],
    [
      'and the old named statement stays',
      [
        parse('n', 'SELECT 1'),
        sync,
        parse('n', DENIED),
        sync,
        bind('', 'n'),
        execute(''),
        sync,
        close('S', 'n'),
        sync,
      ],
      '1 Z(I) E(42501) Z(I) 2 D(1) C(SELECT 1) Z(I) 3 Z(I)',
    ],
    [
      'by a parameter',
      [
        parse('', 'SELECT $1::text'),
        bind('', '', ['12']),
        execute(''),
        bind('', '', ['13']),
        execute(''),
        sync,
      ],
      '1 2 D(12) C(SELECT 1) E(42501) Z(I)',
    ],
    [
      'by a parameter, and the portal before it is not run again',
      [parse('', 'SELECT $1::text'), bind('p', '', ['12']), bind('p', '', ['13']), execute('p'), sync],
      '1 2 E(42501) Z(I)',
    ],
    ['by text', [query(DENIED), query('SELECT 1')], 'E(42501) Z(I) T D(1) C(SELECT 1) Z(I)'],
    [
      'in several texts: none of them runs',
      [
        query(`INSERT INTO items VALUES (901, NULL); ${DENIED}`),
        query('SELECT count(*) FROM items WHERE id = 901'),
      ],
      'E(42501) Z(I) T D(0) C(SELECT 1) Z(I)',
    ],
    ['in several texts after COMMIT', [query(`BEGIN; SELECT 1; COMMIT; ${DENIED}`)], 'E(42501) Z(I)'],
    [
      'next to a COPY',
      [query(`COPY items FROM STDIN; ${DENIED}`), send.copyData('1\tx\n'), send.copyDone, query('SELECT 1')],
      'E(42501) Z(I) T D(1) C(SELECT 1) Z(I)',
    ],
    [
      'prepared by SQL',
      [query(`PREPARE bad AS SELECT * FROM other.items`), query('EXECUTE bad')],
      'E(42501) Z(I) E(26000) Z(I)',
    ],
    [
      'of FunctionCall',
      [of('F', int32(1), int16(0), int16(0), int16(0)), query('SELECT 1')],
      'E(0A000) Z(I) T D(1) C(SELECT 1) Z(I)',
    ],
    ['of two statements in one Parse', [run('SELECT 1; SELECT 2'), sync], 'E(42601) Z(I)'],
    ['of what cannot be read', [run('SELEC 1'), sync, query('SELEC 1')], 'E(42601) Z(I) E(42601) Z(I)'],
    [
      'of an encoding',
      [
        query("SET client_encoding = 'SJIS'"),
        query("SET NAMES 'LATIN1'"),
        query('SET standard_conforming_strings = off'),
      ],
      'E(0A000) Z(I) E(0A000) Z(I) E(0A000) Z(I)',
    ],
  ];
  for (const [name, sent, expected] of cases) {
    for (const manner of ['at once', 'by byte'] as const) {
      it(`${name}, sent ${manner}`, async () => {
        const one = await client();
        const bytes = Buffer.concat(sent);
        if (manner === 'at once') one.send(bytes);
        else for (const byte of bytes) one.send(Buffer.from([byte]));
        const said: send.Message[] = [];
        for (let ready = expected.match(/Z\(/g)?.length ?? 0; ready > 0; ready--)
          said.push(...(await one.ready()));
        if (name === 'prepared by SQL')
          assert.match(tell(said), /^E\(42501\) Z\(I\) E\((?:26000|42501)\) Z\(I\)$/);
        else assert.equal(tell(said), expected);
        await one.query('ROLLBACK');
        assert.equal(tell(await one.query('SELECT 1')), 'T D(1) C(SELECT 1) Z(I)');
      });
    }
  }

  it('does not lose track of settings and names that EXECUTE of a Parse message changes', async () => {
    const one = await client();
    one.send(parse('path', 'SET search_path = other'), parse('drop', 'DEALLOCATE victim'), sync);
    await one.ready();
    assert.equal(tell(await one.query('SELECT count(*) FROM items')), 'T D(5) C(SELECT 1) Z(I)');
    await one.query('EXECUTE path');
    // `items` is other.items now.
    assert.equal(tell(await one.query('SELECT count(*) FROM items')), 'E(42501) Z(I)');
    await one.query('RESET search_path');
    await one.query('PREPARE victim AS SELECT 1');
    await one.query('EXECUTE drop');
    one.send(parse('again', 'PREPARE victim AS SELECT id FROM other.items'), sync);
    assert.equal(tell(await one.ready()), 'E(42501) Z(I)');
    assert.equal(tell(await one.query('EXECUTE victim')), 'E(26000) Z(I)');
  });

  it('sees in a batch what the batch has changed', async () => {
    const one = await client();
    one.send(
      run('CREATE VIEW changed AS SELECT id FROM items'),
      run('SELECT count(*) FROM changed'),
      run('CREATE OR REPLACE VIEW changed AS SELECT id FROM other.items'),
      run('SELECT count(*) FROM changed'),
      sync,
    );
    assert.match(tell(await one.ready()), /E\(42501\) Z\(I\)$/);
    one.send(
      run('CREATE VIEW renamed AS SELECT id FROM items'),
      run('ALTER VIEW renamed RENAME TO renamed2'),
      run('SELECT count(*) FROM renamed2'),
      sync,
    );
    assert.equal(tell(await one.ready()), '1 2 C(CREATE VIEW) 1 2 C(ALTER VIEW) 1 2 D(5) C(SELECT 1) Z(I)');
    await one.query('DROP VIEW renamed2');
  });

  it('gives COPY data to the COPY they are for, however slow the server', async () => {
    const one = await client();
    const text =
      'SELECT pg_sleep(0.05); COPY items FROM STDIN; SELECT pg_sleep(0.05); COPY items FROM STDIN; SELECT count(*) FROM items WHERE id > 800';
    one.send(
      query('SELECT pg_sleep(0.05)'),
      query(text),
      send.copyData('801\ta\n'),
      send.copyDone,
      send.copyData('802\tb\n'),
      send.copyDone,
      query('SELECT 1'),
    );
    await one.ready();
    assert.equal(
      tell(await one.ready()),
      'T D C(SELECT 1) G C(COPY 1) T D C(SELECT 1) G C(COPY 1) T D(2) C(SELECT 1) Z(I)',
    );
    assert.equal(tell(await one.ready()), 'T D(1) C(SELECT 1) Z(I)');
    await admin.query('DELETE FROM items WHERE id > 800');
  });
});

async function backends(name: string): Promise<number> {
  const { rows } = await admin.query<{ count: string }>(
    'SELECT count(*) FROM pg_stat_activity WHERE application_name = $1',
    [name],
  );
  return Number(rows[0]?.count);
}

async function sleeps(name: string): Promise<boolean> {
  const { rowCount } = await admin.query(
    "SELECT FROM pg_stat_activity WHERE application_name = $1 AND query LIKE 'SELECT pg_sleep%' AND state = 'active'",
    [name],
  );
  return rowCount === 1;
}

async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end; await sleep(20)) if (await holds()) return;
  assert.fail(`not within 30 seconds: ${what}`);
}

/** Each state that a session can be in, by what the client has sent. */
const STATES: readonly (readonly [string, (one: Frontend) => unknown])[] = [
  ['idle', () => undefined],
  ['in a transaction', (one) => one.query('BEGIN; SELECT 1')],
  ['in a failed transaction', async (one) => [await one.query('BEGIN'), await one.query('SELECT 1/0')]],
  ['in a query', (one) => [one.send(send.query('SELECT pg_sleep(3)')), sleep(100)][1]],
  [
    'in a batch',
    (one) => [one.send(send.run('SELECT 1'), send.flush), one.until(({ tag }) => tag === 'C')][1],
  ],
  [
    'in a batch that failed',
    (one) => [one.send(send.run('SELECT 1/0')), one.until(({ tag }) => tag === 'E')][1],
  ],
  [
    'in a refused batch',
    (one) => [one.send(send.run('TRUNCATE items'), send.flush), one.until(({ tag }) => tag === 'E')][1],
  ],
  [
    'in COPY in',
    (one) => [one.send(send.query('COPY items FROM STDIN')), one.until(({ tag }) => tag === 'G')][1],
  ],
  [
    'in COPY out',
    (one) =>
      [
        one.send(
          send.query("COPY (SELECT repeat('x', 9000), pg_sleep(0.1) FROM generate_series(1, 30)) TO STDOUT"),
        ),
        one.until(({ tag }) => tag === 'H'),
      ][1],
  ],
  [
    'with a portal in parts',
    (one) =>
      [
        one.send(
          send.parse('', 'SELECT generate_series(1, 9)'),
          send.bind('', ''),
          send.execute('', 2),
          send.flush,
        ),
        one.until(({ tag }) => tag === 's'),
      ][1],
  ],
  ['held', (one) => [one.send(send.query('DELETE FROM items WHERE id = 77')), one.held()][1]],
  [
    'held in a batch',
    (one) =>
      [
        one.send(send.run('SELECT 1'), send.run('DELETE FROM items WHERE id = 77'), send.sync),
        one.held().catch(() => one.held()),
      ][1],
  ],
  ['in a message', (one) => [one.send(send.query('SELECT 1').subarray(0, 7)), sleep(20)][1]],
];

describe('sides that go away', () => {
  for (const [index, [state, enter]] of STATES.entries()) {
    it(`the client, ${state}`, async () => {
      const one = await client({ application_name: `victim ${index}` });
      await enter(one);
      one.close();
      await until('its backend ends', async () => (await backends(`victim ${index}`)) === 0);
      await stillServes();
    });

    it(`the server's backend, ${state}`, async () => {
      const one = await client({ application_name: `victim ${index}` });
      await enter(one);
      await admin.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'victim%'",
      );
      const said = await one.until(() => false);
      assert.ok(one.closed);
      const errors = said.filter(({ tag }) => tag === 'E').map((error) => fieldsOf(error)['C']);
      assert.equal(errors.at(-1), '57P01', tell(said));
      await stillServes();
    });
  }
});

describe('cancels', () => {
  let sleepers = 0;
  const sleeping = async () => {
    const name = `sleeper ${++sleepers}`;
    const one = await client({ application_name: name });
    one.send(send.query('SELECT pg_sleep(300)'));
    await until('it sleeps', () => sleeps(name));
    return one;
  };

  it('cancels what its own key is for', async () => {
    const one = await sleeping();
    await send.cancel(warden.port, one.processId, one.secret);
    assert.equal(tell(await one.ready()), 'T E(57014) Z(I)');
    assert.equal(tell(await one.query('SELECT 1')), 'T D(1) C(SELECT 1) Z(I)');
  });

  it('cancels nothing by any other key', async () => {
    const [one, other] = [await sleeping(), await client()];
    const wrong = Buffer.from(one.secret.map((byte) => byte ^ 1));
    const { rows } = await admin.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'",
    );
    const tries: readonly (readonly [number, Buffer])[] = [
      [one.processId, wrong],
      [one.processId, other.secret],
      [other.processId, one.secret],
      [other.processId, other.secret],
      [one.processId, Buffer.concat([one.secret, Buffer.alloc(1)])],
      [one.processId, Buffer.concat([one.secret, Buffer.alloc(28)])],
      [one.processId, Buffer.alloc(256)],
      ...rows.map(({ pid }) => [pid, one.secret] as const),
    ];
    for (const [processId, secret] of tries) await send.cancel(warden.port, processId, secret);
    assert.ok(await one.silent(300));
    await send.cancel(warden.port, one.processId, one.secret);
    assert.equal(tell(await one.ready()), 'T E(57014) Z(I)');
  });

  it('gives out keys that are not the server’s', async () => {
    const one = await sleeping();
    const { rows } = await admin.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'",
    );
    assert.ok(rows.every(({ pid }) => pid !== one.processId));
    await send.cancel(server.port, one.processId, one.secret);
    assert.ok(await one.silent(200));
  });

  it('of a held statement, and of one in a batch', async () => {
    const one = await client();
    one.send(send.query('DELETE FROM items WHERE id = 77'));
    await one.held();
    await send.cancel(warden.port, one.processId, one.secret);
    assert.equal(tell(await one.ready()), 'E(57014) Z(I)');
    one.send(send.run('DELETE FROM items WHERE id = 77'), send.run('SELECT 1'), send.sync);
    await one.until(({ tag }) => tag === 'N');
    await send.cancel(warden.port, one.processId, one.secret);
    assert.equal(tell(await one.ready()), 'E(57014) Z(I)');
    assert.equal(tell(await one.query('SELECT 1')), 'T D(1) C(SELECT 1) Z(I)');
  });
});
