/** Peers that take part and then stop, and what comes while something is looked up: nothing hangs, and nobody else is cut off. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { connectServer, type ServerTarget } from '../../sidecar/postgres/server.ts';
import { SideConnection } from '../../sidecar/postgres/side.ts';
import { startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden } from '../serve.ts';
import { CANCEL_REQUEST, int32, untagged } from './raw.ts';

let postgres: TestPostgres;
before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port; // It listens on a port.
}

function targetAt(port: number, mode: ServerTarget['tls']['mode']): ServerTarget {
  const { user, password } = postgres;
  return {
    host: '127.0.0.1',
    port,
    database: 'postgres',
    credentials: { current: async () => ({ user, password }) },
    tls: { mode, ca: undefined, serverName: undefined },
  };
}

describe('peers that stop', () => {
  test('a target that takes the connection and never answers: given up, and its reset ends nothing', async (t) => {
    const taken: Socket[] = [];
    const server = createServer((socket) => void taken.push(socket.on('error', () => undefined)));
    const port = await listening(server);
    t.after(() => server.close());
    await assert.rejects(connectServer(targetAt(port, 'require'), new Map()), { code: 'timeout' });
    const [socket] = taken;
    assert.ok(socket !== undefined);
    // What it sent is read only now: then its end is seen.
    const closed = once(socket, 'close');
    socket.resume();
    await closed;
  });

  test('a target that resets what it never answered: nothing but this connection ends', async (t) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).once('data', () => socket.resetAndDestroy());
    });
    const port = await listening(server);
    t.after(() => server.close());
    await assert.rejects(connectServer(targetAt(port, 'require'), new Map()), { code: 'closed' });
  });

  test('a connection of our own that falls silent is given up, and another is opened', async (t) => {
    let forwards = true;
    const pairs: Socket[] = [];
    const server = createServer((from) => {
      const to = connect(postgres.port, postgres.host);
      for (const [one, other] of [
        [from, to],
        [to, from],
      ] as const) {
        one
          .on('error', () => undefined)
          .on('data', (chunk: Buffer) => {
            if (forwards) other.write(chunk);
          });
        one.on('close', () => other.destroy());
      }
      pairs.push(from, to);
    });
    const port = await listening(server);
    t.after(() => {
      for (const socket of pairs) socket.destroy();
      server.close();
    });
    const side = new SideConnection(targetAt(port, 'disable'), new Map());
    t.after(() => side.close());
    assert.deepEqual(await side.query('SELECT 1'), [['1']]);
    forwards = false;
    const [silent, behind] = [side.query('SELECT 2'), side.query('SELECT 3')];
    silent.then(
      () => undefined,
      () => (forwards = true),
    );
    await assert.rejects(silent, { message: /did not answer within/ });
    assert.deepEqual(await behind, [['3']]);
    assert.deepEqual(await side.query('SELECT 4'), [['4']]);
  });

  test('a cancel request whose connection is kept open keeps nothing from ending', async () => {
    const sidewarden = await startSidewarden({ postgres });
    // It does not close when the other side does.
    const client = connect({ port: sidewarden.port, host: '127.0.0.1', allowHalfOpen: true });
    client.on('error', () => undefined).resume();
    client.write(untagged(Buffer.concat([int32(CANCEL_REQUEST), int32(1), int32(2)])));
    await once(client, 'end');
    client.write('more');
    sidewarden.signal('SIGTERM');
    assert.equal(await sidewarden.ended, 0);
    client.destroy();
    await sidewarden.stop();
  });
});

test('answers whose types must be looked up one after the other come whole', async () => {
  const admin = new pg.Client({ ...postgres, database: 'postgres' });
  await admin.connect();
  const rounds = Array.from({ length: 10 }, (_, round) => round);
  for (const round of rounds)
    await admin.query(`CREATE TYPE mood${round} AS ENUM ('fine'); CREATE TYPE word${round} AS ENUM ('said');
      CREATE TABLE moods${round} (mood mood${round}); CREATE TABLE words${round} (word word${round}, rest text);
      INSERT INTO moods${round} VALUES ('fine'); INSERT INTO words${round} SELECT 'said', repeat('w', 1000) FROM generate_series(1, 2000)`);
  await admin.end();
  const columns = rounds.flatMap((round) => [`public.moods${round}.mood`, `public.words${round}.word`]);
  const sidewarden = await startSidewarden({ postgres, masks: [{ columns, with: 'Redact' }] });
  const client = new pg.Client({
    host: '127.0.0.1',
    port: sidewarden.port,
    user: 'agent',
    database: 'postgres',
  });
  await client.connect();
  for (const round of rounds) {
    const text = `SELECT mood FROM moods${round}; SELECT word, rest FROM words${round}`;
    // Of several statements the driver gives several results, which its types do not say.
    const results = (await client.query(text)) as unknown as readonly pg.QueryResult[];
    assert.deepEqual(results[0]?.rows, [{ mood: null }]);
    assert.equal(results[1]?.rowCount, 2000);
    assert.ok(results[1].rows.every(({ word }: { word: unknown }) => word === null));
  }
  await client.end();
  await sidewarden.stop();
});
