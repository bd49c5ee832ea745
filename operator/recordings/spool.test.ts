import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { mkdtemp, open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { FileFacts } from '../../sidecar/record/object-store/bucket.ts';
import { once } from '../../sidecar/record/parts.ts';
import { newSessionId } from '../../sidecar/record/session-id.ts';
import { Spool, type SpooledFile } from './spool.ts';

const BYTES = Buffer.alloc(600, 'a');
const FACTS = factsOf(BYTES);

const CAPACITY = 8000;

interface Scene {
  readonly root: string;
  readonly spool: Spool;
  readonly file: SpooledFile;
}

async function opened(t: TestContext): Promise<Scene> {
  const root = await mkdtemp(join(tmpdir(), 'spool-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const spool = new Spool(root, CAPACITY);
  await spool.open();
  return { root, spool, file: fileOf('orders-1') };
}

function fileOf(session: string): SpooledFile {
  const owner = { namespace: 'access', connection: 'orders', session };
  return { owner, recording: newSessionId(), file: '000001.jsonl.zst' };
}

function factsOf(bytes: Buffer): FileFacts {
  return { bytes: bytes.length, digest: hash('sha256', bytes, 'base64url') };
}

/** Something happens before the first folder is synced: the file is there under its name. */
async function beforeFolders(t: TestContext, root: string, what: () => Promise<void>): Promise<void> {
  const handle = await open(root);
  // All handles have this one.
  const prototype = Object.getPrototypeOf(handle) as { sync: (this: FileHandle) => Promise<void> };
  await handle.close();
  let happened = false;
  const original = prototype.sync;
  t.mock.method(prototype, 'sync', async function (this: FileHandle) {
    if (!happened && (await this.stat()).isDirectory()) {
      happened = true;
      await what();
    }
    return original.call(this);
  });
}

test('a file that is brought to the store while its folders are synced was kept, and counts once', async (t) => {
  const { root, spool, file } = await opened(t);
  let brought = 0;
  await beforeFolders(t, root, async () => {
    for (const each of await spool.files()) {
      await spool.remove(each);
      brought += 1;
    }
  });
  await spool.put(file, FACTS, once(BYTES));
  assert.equal(brought, 1);
  assert.equal(spool.bytes, 0);
  assert.deepEqual(await readdir(root), []);
});

test('a file whose folders cannot be synced counts as long as it is there', async (t) => {
  const { root, spool, file } = await opened(t);
  const failure = new Error('EIO');
  await beforeFolders(t, root, () => Promise.reject(failure));
  await assert.rejects(spool.put(file, FACTS, once(BYTES)), failure);
  assert.equal(spool.bytes, FACTS.bytes);
  await spool.remove(file);
  assert.equal(spool.bytes, 0);
});

test('one session has its share, whatever it announces, and another has its own', async (t) => {
  const { spool, file } = await opened(t);
  const stop = Promise.withResolvers<never>();
  const begun: Promise<unknown>[] = [];
  // Each has sent one byte and holds on.
  for (let nth = 0; nth < 20; nth += 1) {
    const read = Promise.withResolvers<unknown>();
    const content = async function* () {
      yield Buffer.from('x');
      read.resolve(undefined);
      yield await stop.promise;
    };
    const drip = spool.put(fileOf('orders-1'), { bytes: 900, digest: 'x' }, content());
    begun.push(assert.rejects(drip, /given up/));
    await read.promise;
  }
  assert.equal(spool.bytes, 20);
  await spool.put(file, FACTS, once(BYTES));
  const refused = { code: 'unavailable', message: /no more room for recordings of this session/ };
  await assert.rejects(spool.put(fileOf('orders-1'), FACTS, once(BYTES)), refused);
  // Said to be less than it is.
  await assert.rejects(spool.put(fileOf('orders-1'), { ...FACTS, bytes: 300 }, once(BYTES)), refused);
  assert.equal(spool.bytes, 20 + FACTS.bytes);
  await spool.put(fileOf('orders-2'), FACTS, once(BYTES));
  stop.reject(new Error('given up'));
  await Promise.all(begun);
  assert.equal(spool.bytes, 2 * FACTS.bytes);
});

/** As when the store has other bytes under every name. */
async function setAside(spool: Spool): Promise<void> {
  for (const file of await spool.files()) await spool.setAside(file);
}

test('files that the store has otherwise are set aside once a name, in all as much as one share, and others have room', async (t) => {
  const { root, spool, file } = await opened(t);
  for (let nth = 0; nth < 30; nth += 1) {
    const bytes = Buffer.alloc(600, nth);
    await spool.put(file, factsOf(bytes), once(bytes));
    await setAside(spool);
    assert.equal(spool.bytes, 600);
  }
  // Of other recordings, and other sessions, one after the other.
  for (let nth = 0; nth < 30; nth += 1) {
    const bytes = Buffer.alloc(150, nth);
    await spool.put(fileOf(`orders-${nth}`), factsOf(bytes), once(bytes));
    await setAside(spool);
    assert.ok(spool.bytes <= CAPACITY / 8, String(spool.bytes));
  }
  const names = (await readdir(root, { recursive: true })).filter((name) => /jsonl/.test(name));
  assert.deepEqual([names.length, names.filter((name) => name.endsWith('.conflict')).length], [3, 3]);
  assert.equal(spool.bytes, 900);
  await spool.put(file, FACTS, once(BYTES));
  // A restart counts the same.
  const again = new Spool(root, CAPACITY);
  await again.open();
  assert.equal(again.bytes, 1500);
  await assert.rejects(again.put(fileOf('orders-1'), FACTS, once(BYTES)), { code: 'unavailable' });
  await again.put(fileOf('orders-2'), FACTS, once(BYTES));
  await setAside(again);
  assert.equal(again.bytes, 900);
});
