import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { payloadHash, readManifest } from '../documents.ts';
import {
  openSample,
  sampleComplete,
  sampleDecision,
  sampleFolder,
  signer,
  trusted,
} from '../sample-session.ts';
import { FORMAT, parseJson, parseSealed, seal } from '../sealed.ts';
import type { SessionList } from '../session-list.ts';
import { verifyRecording } from '../verify.ts';
import { ObjectRecordingStore } from './object-recording-store.ts';
import { bucketOf } from './testing-bucket.ts';
import { verifySession } from './verify-session.ts';

const FOLDER = 'access/orders/orders-1/';

/** Objects by key. The first listing has two pages: one to `boundary`, and one after it that `between` comes before. */
class PagedStore {
  readonly objects = new Map<string, Buffer>();
  boundary = '';
  between: () => void = () => undefined;
  listings = 0;

  answer(url: URL): { readonly status: number; readonly body: string | Buffer } {
    const key = decodeURIComponent(url.pathname.slice('/recordings/'.length));
    if (key !== '') {
      const body = this.objects.get(key);
      return body === undefined ? refusal(404, 'NoSuchKey') : { status: 200, body };
    }
    if (!url.searchParams.has('list-type')) return refusal(403, 'AccessDenied');
    const first = this.listings === 0;
    const second = url.searchParams.has('continuation-token');
    if (second) this.between();
    else this.listings += 1;
    const keys = [...this.objects.keys()]
      .filter((each) => each.startsWith(url.searchParams.get('prefix') ?? ''))
      .filter((each) => (second ? each > this.boundary : !first || each <= this.boundary))
      .sort();
    const contents = keys.map(
      (each) => `<Contents><Key>${each}</Key><Size>${this.objects.get(each)?.length}</Size></Contents>`,
    );
    const more = first ? '<NextContinuationToken>more</NextContinuationToken>' : '';
    const body = `<ListBucketResult><IsTruncated>${first}</IsTruncated>${more}${contents.join('')}</ListBucketResult>`;
    return { status: 200, body };
  }
}

function refusal(status: number, code: string): { readonly status: number; readonly body: string } {
  return { status, body: `<Error><Code>${code}</Code></Error>` };
}

interface Scene {
  readonly paged: PagedStore;
  readonly open: () => Promise<ObjectRecordingStore>;
}

async function scene(t: TestContext): Promise<Scene> {
  const paged = new PagedStore();
  const bucket = await bucketOf(t, (request, response) => {
    const { status, body } = paged.answer(new URL(request.url ?? '', 'http://store'));
    response.writeHead(status, { 'content-type': 'application/xml' }).end(body);
  });
  return { paged, open: () => ObjectRecordingStore.open(bucket, '') };
}

interface Recorded {
  readonly recording: string;
  /** By key in the bucket. */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly key: (file: string) => string;
}

/** In the order of their ids; of one segment each. */
async function recorded(t: TestContext, howMany: number): Promise<readonly Recorded[]> {
  const { folder, store } = await sampleFolder(t);
  for (let nth = 0; nth < howMany; nth++) {
    const recorder = await openSample(store);
    recorder.append(sampleDecision(1));
    recorder.append(sampleComplete(1));
    await recorder.close('end');
  }
  return Promise.all(
    (await store.sessions()).map(async (recording) => {
      const key = (file: string): string => `${FOLDER}${recording}/${file}`;
      const names = await readdir(join(folder, recording));
      const read = names.map(
        async (name) => [key(name), await readFile(join(folder, recording, name))] as const,
      );
      return { recording, key, files: new Map(await Promise.all(read)) };
    }),
  );
}

function listOf(all: readonly Recorded[]): Buffer {
  const recordings = all.map(({ recording, files, key }) => {
    const { payload } = parseSealed(files.get(key('manifest.json')) ?? Buffer.of(), '');
    const { events, digest, counts } = readManifest(parseJson(payload, ''), '');
    return { recording, manifest: payloadHash(payload), events, digest, counts };
  });
  const list: SessionList = {
    format: FORMAT,
    kind: 'session',
    session: 'orders-1',
    connection: { namespace: 'access', name: 'orders' },
    recordings,
    closedAt: '2026-11-21T12:00:00.000Z',
  };
  return Buffer.from(seal(list, signer).bytes);
}

function put({ objects }: PagedStore, { files, key }: Recorded, ...only: readonly string[]): void {
  for (const [each, bytes] of files)
    if (only.length === 0 || only.some((file) => key(file) === each)) objects.set(each, bytes);
}

test('the head comes behind the listing, and the manifest before it: not tampered', async (t) => {
  const { paged, open } = await scene(t);
  const [one] = await recorded(t, 1);
  assert.ok(one);
  put(paged, one, 'header.json', '000001.jsonl.zst');
  paged.boundary = one.key('000001.jsonl.zst');
  paged.between = () => put(paged, one);
  const store = await open();
  assert.deepEqual(await store.list(one.recording), ['000001.jsonl.zst', 'header.json', 'manifest.json']);
  const found = await verifyRecording(store, one.recording, trusted);
  assert.equal(found.kind, 'clean', JSON.stringify(found));
  assert.equal(paged.listings, 2);
});

test('a head that was removed is found missing, before the listing and after it', async (t) => {
  for (const when of ['before', 'after'] as const) {
    const { paged, open } = await scene(t);
    const [one] = await recorded(t, 1);
    assert.ok(one);
    put(paged, one);
    const remove = () => paged.objects.delete(one.key('000001.head.json'));
    if (when === 'before') remove();
    const store = await open();
    if (when === 'after') remove();
    const found = await verifyRecording(store, one.recording, trusted);
    assert.ok(found.kind === 'tampered' && found.file === '000001.head.json', JSON.stringify(found));
    assert.equal(paged.listings, 2);
  }
});

test('a recording ends behind the listing, and its session before it: not tampered', async (t) => {
  const { paged, open } = await scene(t);
  const [one, two] = await recorded(t, 2);
  assert.ok(one && two);
  put(paged, one, 'header.json');
  put(paged, two);
  paged.boundary = two.key('manifest.json');
  paged.between = () => {
    put(paged, one);
    paged.objects.set(`${FOLDER}session.json`, listOf([one, two]));
  };
  const store = await open();
  const found = await verifySession(store, FOLDER, trusted);
  assert.deepEqual(found, { kind: 'clean', folder: FOLDER, recordings: 2 });
  assert.equal((await verifyRecording(store, one.recording, trusted)).kind, 'clean');
});

test('all of a recording comes behind the listing: unfinished, since nobody looked at it', async (t) => {
  const { paged, open } = await scene(t);
  const [one, two] = await recorded(t, 2);
  assert.ok(one && two);
  put(paged, two);
  paged.boundary = two.key('manifest.json');
  paged.between = () => {
    put(paged, one);
    paged.objects.set(`${FOLDER}session.json`, listOf([one, two]));
  };
  const found = await verifySession(await open(), FOLDER, trusted);
  assert.equal(found.kind, 'unfinished', JSON.stringify(found));
  assert.equal((await verifySession(await open(), FOLDER, trusted)).kind, 'clean');
});

test('a recording that the list names and the bucket lacks is missing, however often it is listed', async (t) => {
  const { paged, open } = await scene(t);
  const [one, two] = await recorded(t, 2);
  assert.ok(one && two);
  put(paged, two);
  paged.objects.set(`${FOLDER}session.json`, listOf([one, two]));
  const found = await verifySession(await open(), FOLDER, trusted);
  assert.ok(found.kind === 'tampered' && found.reason.includes(one.recording), JSON.stringify(found));
  assert.equal(paged.listings, 2);
});
