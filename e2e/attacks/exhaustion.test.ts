/** Clients that would use up the process: slow ones, many, huge messages, floods, unread results. All bounded, all on loopback. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { message } from '../../bench/wire.ts';
import { startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden, type Sidewarden } from '../serve.ts';
import * as send from './frontend.ts';
import { Frontend, describe as tell, fieldsOf } from './frontend.ts';
import { PROTOCOL_3_0, RawClient, int32, startup } from './raw.ts';

const MB = 1024 * 1024;

let server: TestPostgres;
let warden: Sidewarden;

before(async () => {
  server = await startPostgres();
  warden = await startSidewarden({
    postgres: server,
    rules: [
      { name: 'all', when: 'true', action: 'Allow' },
      {
        name: 'hold-deletes',
        when: 'sql.verb == "DELETE"',
        action: 'Hold',
        hold: { approvers: { groups: ['dba'] }, timeout: '1m' },
      },
    ],
  });
  const one = await Frontend.connect(warden.port);
  await one.query('CREATE TABLE items (id int)');
  one.close();
});

after(async () => {
  await warden.stop();
  await server.stop();
});

/** Resident bytes of the process. */
async function resident(): Promise<number> {
  const status = await readFile(`/proc/${warden.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

async function stillServes(within = 60_000): Promise<void> {
  const begun = Date.now();
  const one = await Frontend.connect(warden.port);
  assert.equal(tell(await one.query('SELECT 1')), 'T D(1) C(SELECT 1) Z(I)');
  one.close();
  assert.ok(Date.now() - begun < within, `${Date.now() - begun} ms to serve another`);
  assert.ok(!/a fault of ours/.test(warden.logs()), warden.logs().slice(-2_000));
}

/** Most that the process grows by while something goes on for so long. */
async function growth(milliseconds: number): Promise<number> {
  const before = await resident();
  let most = 0;
  for (const end = Date.now() + milliseconds; Date.now() < end; await sleep(100))
    most = Math.max(most, (await resident()) - before);
  return most;
}

/** Writes as fast as it is read, until it is not, or so many bytes have gone. Resolves with what was taken. */
async function pour(one: Frontend, piece: Buffer, most: number): Promise<number> {
  let taken = 0;
  while (taken < most && !one.closed) {
    taken += piece.length;
    if (one.socket.write(piece)) continue;
    const drained = await Promise.race([
      new Promise((done) => one.socket.once('drain', () => done(true))),
      sleep(500).then(() => false),
    ]);
    if (!drained) break;
  }
  return taken;
}

describe('exhaustion', () => {
  it('hundreds of clients that never sign in are no hindrance to others', async () => {
    const idle = await Promise.all(Array.from({ length: 200 }, async () => RawClient.connect(warden.port)));
    idle.forEach((one, index) => index % 2 === 0 && one.send(startup().subarray(0, 6)));
    await stillServes();
    for (const one of idle) one.close();
    await stillServes();
  });

  it('thousands one after the other leave nothing behind', async () => {
    for (let round = 0; round < 10; round++) {
      const some = await Promise.all(Array.from({ length: 100 }, async () => RawClient.connect(warden.port)));
      for (const one of some) one.send(Buffer.concat([int32(9_999), int32(PROTOCOL_3_0)]));
      for (const one of some) one.close();
    }
    await stillServes();
  });

  it('a result that nobody reads is not read from the server either', async () => {
    const one = await Frontend.connect(warden.port);
    one.send(send.query("SELECT repeat('x', 1000) FROM generate_series(1, 2000000)"));
    one.socket.pause();
    const grown = await growth(2_500);
    one.close();
    assert.ok(grown < 48 * MB, `${Math.round(grown / MB)} MB more`);
    await stillServes();
  });

  it('the same by COPY, by portals and by many clients', async () => {
    const texts = [
      send.query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 2000000)) TO STDOUT"),
      Buffer.concat([send.run("SELECT repeat('x', 1000) FROM generate_series(1, 2000000)"), send.sync]),
    ];
    const clients = await Promise.all(Array.from({ length: 8 }, async () => Frontend.connect(warden.port)));
    clients.forEach((one, index) => {
      one.send(texts[index % 2] ?? send.sync);
      one.socket.pause();
    });
    const grown = await growth(2_500);
    for (const one of clients) one.close();
    assert.ok(grown < 64 * MB, `${Math.round(grown / MB)} MB more`);
    await stillServes();
  });

  it('a pipeline whose answers nobody reads is not read on', async () => {
    const one = await Frontend.connect(warden.port);
    one.socket.pause();
    const batch = Buffer.concat([send.run("SELECT repeat('x', 100000)"), send.sync]);
    const before = await resident();
    await pour(one, Buffer.concat(Array.from({ length: 50 }, () => batch)), 16 * MB);
    await sleep(500);
    const grown = (await resident()) - before;
    one.close();
    assert.ok(grown < 64 * MB, `${Math.round(grown / MB)} MB more`);
    await stillServes();
  });

  it('a huge message is refused before it is kept', async () => {
    const one = await Frontend.connect(warden.port);
    const head = Buffer.concat([Buffer.from('Q'), int32(1_500 * MB)]);
    const before = await resident();
    one.send(head);
    // A client whose write fails does not read any more: the answer comes first.
    const said = [...(await one.until(({ tag }) => tag === 'E'))];
    await pour(one, Buffer.alloc(MB, 'x'), 64 * MB);
    said.push(...(await one.until(() => false)));
    assert.ok(one.closed);
    assert.deepEqual(
      said.filter(({ tag }) => tag === 'E').map((error) => fieldsOf(error)['C']),
      ['08P01'],
    );
    assert.ok((await resident()) - before < 32 * MB);
    await stillServes();
  });

  it('messages that are begun and never ended take no more than what came', async () => {
    const clients = await Promise.all(Array.from({ length: 50 }, async () => Frontend.connect(warden.port)));
    const before = await resident();
    for (const one of clients)
      one.send(Buffer.concat([Buffer.from('Q'), int32(15 * MB), Buffer.from('SELECT')]));
    await sleep(500);
    const grown = (await resident()) - before;
    for (const one of clients) one.close();
    assert.ok(grown < 64 * MB, `${Math.round(grown / MB)} MB more`);
    await stillServes();
  });

  it('a client of one byte at a time is served, and keeps nobody waiting', async () => {
    const slow = await Frontend.connect(warden.port);
    const bytes = send.query(`SELECT '${'x'.repeat(500)}'`);
    let others = 0;
    for (const [index, byte] of bytes.entries()) {
      slow.send(Buffer.from([byte]));
      await sleep(0);
      if (index % 200 === 0) {
        await stillServes();
        others += 1;
      }
    }
    assert.match(tell(await slow.ready()), /C\(SELECT 1\) Z\(I\)$/);
    slow.close();
    assert.ok(others > 1);
  });

  it('a flood of Syncs, of empty queries and of Flushes is answered one by one', async () => {
    const one = await Frontend.connect(warden.port);
    const many = 20_000;
    one.send(Buffer.concat(Array.from({ length: many }, () => send.sync)), send.query("SELECT 'over'"));
    const synced = await one.until(({ tag, body }) => tag === 'D' && body.includes('over'));
    assert.equal(synced.filter(({ tag }) => tag === 'Z').length, many);
    await one.ready();
    const empty = 2_000;
    one.send(Buffer.concat(Array.from({ length: empty }, () => send.query(''))), send.query("SELECT 'over'"));
    const answered = await one.until(({ tag, body }) => tag === 'D' && body.includes('over'));
    assert.equal(answered.filter(({ tag }) => tag === 'I').length, empty);
    await one.ready();
    one.send(Buffer.concat(Array.from({ length: many }, () => send.flush)), send.query('SELECT 1'));
    assert.equal(tell(await one.ready()), 'T D(1) C(SELECT 1) Z(I)');
    one.close();
    await stillServes();
  });

  it('what is sent on during a hold is not kept without bound', async () => {
    const one = await Frontend.connect(warden.port);
    one.send(send.query('DELETE FROM items WHERE id = 1'));
    await one.held();
    const before = await resident();
    await pour(
      one,
      Buffer.concat(Array.from({ length: 1000 }, () => send.query(`SELECT '${'x'.repeat(1000)}'`))),
      64 * MB,
    );
    const grown = (await resident()) - before;
    one.close();
    assert.ok(grown < 32 * MB, `${Math.round(grown / MB)} MB more`);
    await stillServes();
  });

  it('statements and portals that are never closed are the server’s, with a name each here', async () => {
    const one = await Frontend.connect(warden.port);
    const before = await resident();
    for (let round = 0; round < 10; round++) {
      const some = Array.from({ length: 300 }, (_, index) =>
        send.parse(`s${round}-${index}`, `SELECT ${index}`),
      );
      one.send(...some, send.sync);
      await one.ready();
    }
    const grown = (await resident()) - before;
    one.close();
    assert.ok(grown < 48 * MB, `${Math.round(grown / MB)} MB more`);
    await stillServes();
  });

  it('texts of the most that a message may have, and deep ones, are answered in time', async () => {
    const one = await Frontend.connect(warden.port);
    const texts = [
      `SELECT '${'x'.repeat(4 * MB)}' IS NULL`,
      `SELECT ${'('.repeat(20_000)}1${')'.repeat(20_000)}`,
      `SELECT 1${' + 1'.repeat(20_000)}`,
      `SELECT ${'-'.repeat(1)}1${' UNION SELECT 1'.repeat(2_000)}`,
      `/*${'/*'.repeat(50_000)}`,
      `SELECT 1 ${'+'.repeat(20_000)} 1`,
      `SELECT ${"E'\\\\'".repeat(1)}${';'.repeat(100_000)}`,
      `SELECT * FROM (${'SELECT * FROM ('.repeat(500)}SELECT 1${') s'.repeat(500)}) s`,
      'SELECT 1;'.repeat(5_000),
    ];
    for (const text of texts) {
      one.send(send.query(text));
      const said = await one.ready();
      assert.ok(!one.closed, `${text.slice(0, 40)}: ${tell(said).slice(0, 200)}`);
      assert.match(tell(said), /Z\(I\)$/);
    }
    one.close();
    await stillServes();
  });

  it('COPY data of any size are passed on and not kept', async () => {
    const one = await Frontend.connect(warden.port);
    one.send(send.query('COPY items FROM STDIN'));
    await one.until(({ tag }) => tag === 'G');
    const before = await resident();
    const piece = message('d', Buffer.from('1\n'.repeat(100_000)));
    for (let times = 0; times < 40; times++)
      if (!one.socket.write(piece)) await new Promise((done) => one.socket.once('drain', done));
    one.send(send.copyDone);
    assert.equal(tell(await one.ready()), 'C(COPY 4000000) Z(I)');
    const grown = (await resident()) - before;
    one.close();
    assert.ok(grown < 64 * MB, `${Math.round(grown / MB)} MB more`);
  });
});
