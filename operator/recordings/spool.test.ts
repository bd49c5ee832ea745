import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { mkdtemp, open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { once } from '../../sidecar/record/parts.ts';
import { newSessionId } from '../../sidecar/record/session-id.ts';
import { Spool, type SpooledFile } from './spool.ts';

const BYTES = Buffer.alloc(600, 'a');
const FACTS = { bytes: BYTES.length, digest: hash('sha256', BYTES, 'base64url') };

interface Scene {
  readonly root: string;
  readonly spool: Spool;
  readonly file: SpooledFile;
}

async function opened(t: TestContext): Promise<Scene> {
  const root = await mkdtemp(join(tmpdir(), 'spool-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const spool = new Spool(root, 1000);
  await spool.open();
  const owner = { namespace: 'access', connection: 'orders', session: 'orders-1' };
  return { root, spool, file: { owner, recording: newSessionId(), file: '000001.jsonl.zst' } };
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
