/** A server that breaks the protocol, at sign-in and after: the client gets one error, nobody else notices, nothing gets past a mask. */
import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { message } from '../../bench/wire.ts';
import { type ManifestOptions, usualManifests } from '../manifests.ts';
import { freePort, startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden, type Sidewarden } from '../serve.ts';
import * as send from './frontend.ts';
import { Frontend, describe as tell, fieldsOf } from './frontend.ts';
import { int32 } from './raw.ts';

const of = (tag: string, ...parts: readonly (Buffer | string)[]) =>
  message(
    tag,
    Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part))),
  );
const raw = (tag: string, length: number, rest = '') =>
  Buffer.concat([Buffer.from(tag), int32(length), Buffer.from(rest)]);
const int16 = (value: number) => Buffer.from([(value >> 8) & 255, value & 255]);
const field = (name: string, format = 0) =>
  Buffer.concat([
    Buffer.from(`${name}\0`),
    int32(0),
    int16(0),
    int32(25),
    int16(-1),
    int32(-1),
    int16(format),
  ]);
const layout = (...names: readonly string[]) =>
  of('T', int16(names.length), ...names.map((name) => field(name)));
const row = (...values: readonly string[]) =>
  of('D', int16(values.length), ...values.flatMap((value) => [int32(value.length), value]));
const done = of('C', 'SELECT 1\0');
const ready = of('Z', 'I');
const all = (...messages: readonly Buffer[]) => Buffer.concat(messages);

/** Answers to a query that the server itself never sees. */
const EVIL: Readonly<Record<string, Buffer>> = {
  unknown_tag: all(of('?'), ready),
  zero_tag: of('\0'),
  row_without_layout: all(row('SECRET'), done, ready),
  layout_of_fewer: all(of('T', int16(2), field('a')), ready),
  layout_of_negative: all(of('T', int16(-1), field('a')), ready),
  layout_without_end: all(of('T', int16(1), 'abc'), ready),
  layout_twice: all(layout('a', 'b'), row('1', 'x'), layout('b'), row('SECRET'), done, ready),
  negative_length: raw('D', -1, 'SECRET'),
  length_of_zero: raw('D', 0, 'SECRET'),
  length_of_three: raw('C', 3, 'SECRET'),
  greatest_length: raw('D', 0x7fff_ffff, 'SECRET'),
  long_ready: of('Z', 'IIII'),
  ready_of_another_kind: of('Z', 'X'),
  ready_at_once: ready,
  done_twice: all(layout('a'), done, done, ready),
  done_without_text: all(layout('a'), of('C'), ready),
  other_encoding: all(of('S', 'client_encoding\0SJIS\0'), layout('a'), done, ready),
  other_lexing: all(of('S', 'standard_conforming_strings\0off\0'), layout('a'), done, ready),
  parameter_without_end: all(of('S', 'work_mem'), ready),
  copy_both: all(of('W', '\0', int16(0)), ready),
  copy_in: all(of('G', '\0', int16(0)), ready),
  copy_out: all(of('H', '\0', int16(0)), of('d', 'SECRET\n'), of('c'), done, ready),
  copy_data: all(of('d', 'SECRET'), ready),
  copy_done: all(of('c'), ready),
  authentication: of('R', int32(0)),
  password_request: of('R', int32(3)),
  key: of('K', int32(1), int32(1)),
  negotiation: of('v', int32(0x3_0000), int32(0)),
  function_result: all(of('V', int32(6), 'SECRET'), ready),
  parse_complete: all(of('1'), ready),
  bind_complete: all(of('2'), ready),
  close_complete: all(of('3'), ready),
  no_data: all(of('n'), ready),
  parameters: all(of('t', int16(0)), ready),
  suspended: all(layout('a'), of('s'), ready),
  error_without_end: all(of('E', 'SERROR\0C0A000\0Mx'), ready),
  error_of_nothing: all(of('E'), ready),
  notice_without_end: all(of('N', 'SNOTICE'), layout('a'), done, ready),
  notification_cut: all(of('A', int32(1), 'abc'), layout('a'), done, ready),
};

/** What may follow a right answer; `sees` is what the client gets when that goes on. */
const BEHIND: Readonly<Record<string, Buffer>> = {
  second_ready: ready,
  row: row('SECRET'),
  layout: layout('a'),
  copy_data: of('d', 'SECRET'),
  copy_in: of('G', '\0', int16(0)),
  encoding: of('S', 'client_encoding\0LATIN1\0'),
};

/** Rows that are not as their layout says, under a mask. */
const MASKED: Readonly<Record<string, Buffer>> = {
  more_values: all(layout('id', 'card'), row('1', 'SECRET', 'SECRET'), done, ready),
  fewer_values: all(layout('id', 'card'), row('SECRET'), done, ready),
  other_layout: all(layout('card'), row('SECRET'), done, ready),
  no_layout: all(row('1', 'SECRET'), done, ready),
  value_that_wraps: all(layout('id', 'card'), of('D', int16(2), int32(0x7fff_ffff), 'SECRET'), done, ready),
  negative_value: all(layout('id', 'card'), of('D', int16(2), int32(-7), int32(6), 'SECRET'), done, ready),
  more_behind: all(
    layout('id', 'card'),
    of('D', int16(2), int32(1), '1', int32(1), 'x', 'SECRET'),
    done,
    ready,
  ),
  error_text: all(
    layout('id', 'card'),
    of('E', 'SERROR\0VERROR\0C22P02\0Mbad value SECRET\0DSECRET\0\0'),
    ready,
  ),
  notice_text: all(layout('id', 'card'), of('N', 'SNOTICE\0VNOTICE\0C01000\0MSECRET\0\0'), done, ready),
  notification: all(layout('id', 'card'), of('A', int32(1), 'c\0SECRET\0'), done, ready),
};

let server: TestPostgres;
let warden: Sidewarden;
/** Between Sidewarden and the real server: answers texts with `evil:NAME` in them itself. */
let between: Server;
/** Never a real server: says this to whoever connects. */
let liar: Server;
let lie: (socket: Socket, said: Buffer) => void = (socket) => socket.destroy();
const sockets = new Set<Socket>();

function answers(name: string): Buffer {
  const [group, key = ''] = name.split('.');
  const found = group === 'evil' ? EVIL[key] : group === 'masked' ? MASKED[key] : BEHIND[key];
  if (found === undefined) throw new Error(`no answer for ${name}`);
  return group === 'behind' ? all(layout('a'), row('1'), done, ready, found) : found;
}

function keep(socket: Socket): void {
  sockets.add(socket);
  socket.on('error', () => undefined);
  socket.on('close', () => sockets.delete(socket));
}

async function listening(onConnection: (socket: Socket) => void): Promise<[Server, number]> {
  const one = createServer(onConnection);
  await new Promise<void>((listen) => one.listen(0, '127.0.0.1', listen));
  // A server on loopback that listens has such an address.
  return [one, (one.address() as AddressInfo).port];
}

before(async () => {
  server = await startPostgres();
  const admin = new pg.Client({ ...server, database: 'postgres' });
  await admin.connect();
  await admin.query("CREATE TABLE customers (id int, card text); INSERT INTO customers VALUES (1, '4929')");
  await admin.end();
  const [one, port] = await listening((socket) => {
    const real = connect(server.port, '127.0.0.1');
    for (const each of [socket, real]) keep(each);
    real.pipe(socket);
    socket.on('close', () => real.destroy());
    socket.on('data', (chunk: Buffer) => {
      const name = /lie:([\w.]+)/.exec(chunk.toString('latin1'))?.[1];
      if (name === undefined) real.write(chunk);
      else if (name === 'close') socket.destroy();
      else if (name === 'cut') socket.end(raw('D', 100, 'SECRET'));
      else socket.write(answers(name));
    });
  });
  between = one;
  const [other, liarPort] = await listening((socket) => {
    keep(socket);
    socket.on('data', (chunk: Buffer) => lie(socket, chunk));
  });
  liar = other;
  const target = { ...server, port };
  const usual: ManifestOptions = { name: 'plain', postgres: target, port: await freePort() };
  const connections: readonly ManifestOptions[] = [
    usual,
    {
      ...usual,
      name: 'masked',
      port: await freePort(),
      masks: [{ columns: ['public.customers.card'], with: 'Redact' }],
    },
    { ...usual, name: 'liar', postgres: { ...server, port: liarPort }, port: await freePort() },
    {
      ...usual,
      name: 'liar-tls',
      postgres: { ...server, port: liarPort },
      port: await freePort(),
      connection: {
        target: { host: '127.0.0.1', port: liarPort, database: 'postgres', tls: { mode: 'require' } },
      },
    },
  ];
  warden = await startSidewarden({ manifests: usualManifests(...connections) });
});

after(async () => {
  await warden.stop();
  for (const socket of sockets) socket.destroy();
  between.close();
  liar.close();
  await server.stop();
});

const portOf = (name: string): number => {
  const found = [...warden.ports].find(([key]) => key === name || key.endsWith(`/${name}`));
  if (!found) throw new Error(`no connection ${name} among ${[...warden.ports.keys()].join()}`);
  return found[1];
};

async function stillServes(): Promise<void> {
  const one = await Frontend.connect(portOf('plain'));
  assert.equal(tell(await one.query('SELECT 1')), 'T D(1) C(SELECT 1) Z(I)');
  one.close();
  assert.ok(!/a fault of ours/.test(warden.logs()), warden.logs().slice(-3_000));
}

/** Sends a text in both protocols, and gives what came until the session had ended or had answered and was quiet. */
async function provoke(port: number, sql: string, extended: boolean) {
  const one = await Frontend.connect(port);
  one.send(extended ? all(send.run(sql), send.sync) : send.query(sql));
  const said = await one.until(({ tag }) => tag === 'Z');
  if (!one.closed) await one.silent(100);
  const rest = one.closed ? await one.until(() => false) : [];
  const { closed } = one;
  one.close();
  return { said: [...said, ...rest], closed };
}

describe('a server that answers what cannot be', () => {
  for (const name of [...Object.keys(EVIL), 'close', 'cut']) {
    for (const extended of [false, true]) {
      it(`${name}, ${extended ? 'extended' : 'simple'}`, async () => {
        const key = name in EVIL ? `evil.${name}` : name;
        const { said, closed } = await provoke(portOf('plain'), `SELECT 1 /* lie:${key} */`, extended);
        assert.ok(!said.some(({ body }) => body.includes('SECRET')), tell(said));
        if (closed) assert.ok(said.filter(({ tag }) => tag === 'E').length <= 1, tell(said));
        else assert.match(tell(said), /E\(|C\(/);
        if (closed && name !== 'close' && name !== 'cut') {
          const error = said.findLast(({ tag }) => tag === 'E');
          assert.equal(error && fieldsOf(error)['C'], '08P01', tell(said));
        }
        await stillServes();
      });
    }
  }
});

describe('a server that goes on after its answer', () => {
  for (const name of Object.keys(BEHIND)) {
    it(name, async () => {
      const { said } = await provoke(portOf('plain'), `SELECT 1 /* lie:behind.${name} */`, false);
      assert.match(tell(said), /^T D\(1\) C\(SELECT 1\) Z\(I\)/);
      assert.ok(!said.some(({ body }) => body.includes('SECRET')), tell(said));
      await stillServes();
    });
  }
});

describe('a server that breaks the layout under a mask', () => {
  for (const name of Object.keys(MASKED)) {
    it(name, async () => {
      const sql = `SELECT id, card FROM customers /* lie:masked.${name} */`;
      const { said } = await provoke(portOf('masked'), sql, false);
      assert.ok(!said.some(({ body }) => body.includes('SECRET')), tell(said));
      await stillServes();
    });
  }
});

const sasl = (code: number, text: string) => of('R', int32(code), text);
const welcome = (parameters: string, status = 'I') =>
  all(of('R', int32(0)), of('S', parameters), of('K', int32(7), int32(7)), of('Z', status));
const nonceOf = (said: Buffer) => /r=([^,\0]+)/.exec(said.toString('latin1'))?.[1] ?? '';

/** What the liar says at each message of the sign-in, in order. */
const LIES: Readonly<Record<string, readonly ((said: Buffer) => Buffer)[]>> = {
  garbage: [() => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
  'a password in the clear': [() => of('R', int32(3))],
  'a password by MD5': [() => of('R', int32(5), 'salt'), () => of('E', 'SFATAL\0VFATAL\0C28P01\0Mno\0\0')],
  Kerberos: [() => of('R', int32(7))],
  'no mechanism': [() => sasl(10, '\0')],
  'an unknown mechanism': [() => sasl(10, 'PLAIN\0\0')],
  'channel binding only': [() => sasl(10, 'SCRAM-SHA-256-PLUS\0\0')],
  'another nonce': [() => sasl(10, 'SCRAM-SHA-256\0\0'), () => sasl(11, 'r=other,s=c2FsdA==,i=4096')],
  'the nonce as it was': [
    () => sasl(10, 'SCRAM-SHA-256\0\0'),
    (said) => sasl(11, `r=${nonceOf(said)},s=c2FsdA==,i=4096`),
  ],
  'no iterations': [
    () => sasl(10, 'SCRAM-SHA-256\0\0'),
    (said) => sasl(11, `r=${nonceOf(said)}x,s=c2FsdA==,i=0`),
  ],
  'iterations without end': [
    () => sasl(10, 'SCRAM-SHA-256\0\0'),
    (said) => sasl(11, `r=${nonceOf(said)}x,s=c2FsdA==,i=2147483647`),
  ],
  'no salt': [() => sasl(10, 'SCRAM-SHA-256\0\0'), (said) => sasl(11, `r=${nonceOf(said)}x,s=,i=4096`)],
  'a signature that is wrong': [
    () => sasl(10, 'SCRAM-SHA-256\0\0'),
    (said) => sasl(11, `r=${nonceOf(said)}x,s=c2FsdA==,i=4096`),
    () => all(sasl(12, `v=${Buffer.alloc(32).toString('base64')}`), welcome('server_version\x0018\0')),
  ],
  'no signature': [
    () => sasl(10, 'SCRAM-SHA-256\0\0'),
    (said) => sasl(11, `r=${nonceOf(said)}x,s=c2FsdA==,i=4096`),
    () => welcome('server_version\x0018\0'),
  ],
  'another encoding': [() => welcome('client_encoding\0LATIN1\0')],
  'other lexing': [() => welcome('standard_conforming_strings\0off\0')],
  'a row': [() => all(of('R', int32(0)), row('SECRET'))],
  'a length that wraps': [() => raw('S', 0x7fff_ffff)],
  'an error without its end': [() => of('E', 'SFATAL')],
};

describe('a server that lies at sign-in', () => {
  for (const [name, steps] of Object.entries(LIES)) {
    it(name, async () => {
      const heard: Buffer[] = [];
      const at = new Map<Socket, number>();
      lie = (socket, said) => {
        heard.push(said);
        const step = at.get(socket) ?? 0;
        at.set(socket, step + 1);
        const next = steps[step];
        if (next) socket.write(next(said));
      };
      await assert.rejects(
        Frontend.connect(portOf('liar')),
        /^Error: (?:08004|08006|08P01|28\w{3}|57P01|XX000) /,
      );
      assert.ok(!Buffer.concat(heard).includes(server.password), 'the password was told');
      lie = (socket) => socket.destroy();
      await stillServes();
    });
  }

  it('by plaintext behind its yes to TLS', async () => {
    lie = (socket) =>
      socket.write(all(Buffer.from('S'), of('R', int32(0)), welcome('server_version\x0018\0')));
    await assert.rejects(Frontend.connect(portOf('liar-tls')), /^Error: 08006 /);
    await stillServes();
  });

  it('by a no to TLS that is required', async () => {
    lie = (socket) => socket.write(all(Buffer.from('N'), welcome('server_version\x0018\0')));
    await assert.rejects(Frontend.connect(portOf('liar-tls')), /^Error: 08006 /);
    await stillServes();
  });

  it('by an error in place of an answer about TLS', async () => {
    lie = (socket) => socket.write(of('E', 'SFATAL\0VFATAL\0C28000\0MSECRET\0\0'));
    await assert.rejects(Frontend.connect(portOf('liar-tls')), (error) => !String(error).includes('SECRET'));
    await stillServes();
  });
});
