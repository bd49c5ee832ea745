import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, suite, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { until } from '../../../e2e/cluster/component.ts';
import {
  objectStoreUnavailable,
  startObjectStore,
  STORE_CREDENTIALS,
  type TestObjectStore,
} from '../../../e2e/object-store.ts';
import {
  OWNER,
  recordingHeader,
  startTestRecordings,
  type TestRecordings,
} from '../../../e2e/test-recordings.ts';
import { DirectoryStore } from '../directory-store.ts';
import type { Durability } from '../event.ts';
import { Bucket } from '../object-store/bucket.ts';
import { ObjectRecordingStore } from '../object-store/object-recording-store.ts';
import { openRecording, type SessionRecorder } from '../recorder.ts';
import { recoverRecordings } from '../recover.ts';
import { sampleComplete, sampleDecision, sampleStatement } from '../sample-session.ts';
import { loadSigner, trustedKeyOf, type RecordingSigner } from '../signer.ts';
import { verifyRecording } from '../verify.ts';
import type { RecordingBroker } from './recording-broker.ts';
import { Uploader, type UploaderOptions } from './uploader.ts';

const unavailable = await objectStoreUnavailable();
const log = pino({ level: process.env['LOG'] ?? 'silent' });
let store: TestObjectStore;

interface Sidecar {
  readonly state: string;
  readonly folder: DirectoryStore;
  readonly signer: RecordingSigner;
  readonly uploader: Uploader;
  readonly record: (durability?: Durability, segmentBytes?: number) => Promise<SessionRecorder>;
}

type More = Partial<UploaderOptions>;

async function newState(t: TestContext): Promise<string> {
  const state = await mkdtemp(join(tmpdir(), 'sidecar-'));
  t.after(() => rm(state, { recursive: true, force: true }));
  return state;
}

/** As a sidecar starts: seals what was left, takes it up. */
async function startSidecar(state: string, broker: RecordingBroker, more: More = {}): Promise<Sidecar> {
  const signer = await loadSigner(state);
  const folder = new DirectoryStore(join(state, 'recordings'));
  await recoverRecordings(folder, signer);
  const trusted = trustedKeyOf(signer);
  const uploader = new Uploader({ folder, trusted, broker, log, longestWait: 200, ...more });
  await uploader.start();
  const record = (durability: Durability = 'batched', segmentBytes = 20_000): Promise<SessionRecorder> =>
    openRecording(uploader.store, recordingHeader(), signer, {
      durability,
      segmentBytes,
      onFailure: (error) => log.error({ err: error }, 'failed'),
    });
  return { state, folder, signer, uploader, record };
}

async function fill(recorder: SessionRecorder, operations: number, from = 1): Promise<void> {
  for (let operation = from; operation < from + operations; operation++) {
    // Texts that hardly compress.
    const statement = sampleStatement(`SELECT '${randomBytes(400).toString('base64')}'`);
    recorder.append(sampleDecision(operation, statement));
    recorder.append(sampleComplete(operation));
    if (operation % 20 === 0) await sleep(5);
  }
}

async function bucketOf(name: string): Promise<ObjectRecordingStore> {
  return ObjectRecordingStore.open(await Bucket.open(store.place(name), STORE_CREDENTIALS), '');
}

/** Also of what the store was too slow for, so that the operator has it first. */
async function assertClean(
  bucket: string,
  { trusted, recordings }: TestRecordings,
  recorder: SessionRecorder,
): Promise<void> {
  await until('all is in the store', () => recordings.spoolBytes === 0 || undefined, { every: 20 });
  const found = await verifyRecording(await bucketOf(bucket), recorder.session, trusted);
  assert.equal(found.kind, 'clean', JSON.stringify(found));
}

const idle = (uploader: Uploader): Promise<boolean> =>
  until('all is stored', () => uploader.waiting === 0 || undefined, { every: 20 });
const soon = () => performance.now() + 60_000;

suite('uploads', { skip: unavailable ?? false }, () => {
  before(async () => {
    store = await startObjectStore();
  });
  afterEach(() => store.start());
  after(() => store.stop());

  test('a recording goes to the store while it is written; nothing of it stays here', async (t) => {
    await store.makeBucket('plain-way');
    const operator = await startTestRecordings(t, store, 'plain-way', {
      config: { retention: '1d', prefix: 'a/b' },
    });
    const { uploader, folder, record } = await startSidecar(await newState(t), operator.broker);
    const recorder = await record();
    await fill(recorder, 200);
    await until('segments go', () => uploader.spoolBytes < 150_000 || undefined, { every: 10 });
    await recorder.close('end');
    await uploader.close(soon());
    await assertClean('plain-way', operator, recorder);
    assert.deepEqual(await folder.sessions(), []);
    assert.equal(uploader.spoolBytes, 0);
    assert.equal(uploader.lag, 0);
    const done = await operator.recordings.complete(OWNER, 1);
    assert.equal(
      done?.location,
      `s3://plain-way/a/b/${OWNER.namespace}/${OWNER.connection}/${OWNER.session}`,
    );
    assert.match(done.digest, /^sha256:[0-9a-f]{64}$/);
  });

  test('an outage under steady recording: nothing is lost', async (t) => {
    await store.makeBucket('outage');
    const operator = await startTestRecordings(t, store, 'outage', { config: { retention: '1d' } });
    const { uploader, record } = await startSidecar(await newState(t), operator.broker);
    const recorder = await record();
    await fill(recorder, 100);
    await store.kill();
    await fill(recorder, 300, 101);
    await until('it waits', () => uploader.lag > 1000 || undefined, { every: 50 });
    assert.ok(uploader.waiting > 0);
    await store.start();
    await fill(recorder, 100, 401);
    await recorder.close('end');
    await idle(uploader);
    await uploader.close(soon());
    await assertClean('outage', operator, recorder);
  });

  test('the spool is full: strict sessions refuse, until there is room again', async (t) => {
    await store.makeBucket('full');
    const operator = await startTestRecordings(t, store, 'full');
    const { uploader, folder, record } = await startSidecar(await newState(t), operator.broker, {
      capacity: 400_000,
    });
    await store.kill();
    const strict = await record('strict');
    const batched = await record();
    // Each written before the next, so that no disk is late with more than fits into the reserve.
    for (let operation = 1; !uploader.full; operation += 20) {
      await fill(strict, 20, operation);
      await strict.durable();
    }
    assert.ok(strict.failed);
    await fill(batched, 5);
    const size = () => folder.size(batched.session, '000001.jsonl');
    await until('batched goes on', async () => ((await size()) ?? 0) > 5_000 || undefined, { every: 5 });
    assert.ok(!batched.failed);
    await store.start();
    await until('there is room', () => !uploader.full || undefined, { every: 20 });
    assert.ok(!strict.failed);
    strict.append(sampleDecision(1));
    await strict.durable();
    await Promise.all([strict.close('end'), batched.close('end')]);
    await uploader.close(soon());
    await assertClean('full', operator, strict);
    await assertClean('full', operator, batched);
  });

  test('the spool is more than full: nothing is recorded, and so nothing goes forward', async (t) => {
    await store.makeBucket('over');
    const operator = await startTestRecordings(t, store, 'over');
    const { uploader, record } = await startSidecar(await newState(t), operator.broker, { capacity: 50_000 });
    await store.kill();
    const batched = await record();
    await fill(batched, 300);
    await until('it has failed', () => batched.failed || undefined, { every: 20 });
    assert.ok(uploader.spoolBytes <= 62_500);
    await store.start();
    await uploader.close(soon());
  });

  test('the store is away at the end: the operator keeps the files, over its own restart', async (t) => {
    await store.makeBucket('handed');
    const operator = await startTestRecordings(t, store, 'handed', { config: { retention: '1d' } });
    const { uploader, folder, record } = await startSidecar(await newState(t), operator.broker);
    const recorder = await record();
    await fill(recorder, 100);
    store.freeze();
    await fill(recorder, 100, 101);
    await recorder.close('end');
    const began = performance.now();
    await uploader.close(began + 60_000);
    // A PUT that is not given up hangs for 20 s.
    assert.ok(performance.now() - began < 18_000);
    assert.deepEqual(await folder.sessions(), []);
    assert.ok(operator.recordings.spoolBytes > 0);
    await operator.reopen();
    assert.ok(operator.recordings.spoolBytes > 0);
    await store.kill();
    await store.start();
    await assertClean('handed', operator, recorder);
    assert.deepEqual(await readdir(operator.spool), []);
  });

  test('a store without TLS: who stands in for it takes nothing away', async (t) => {
    await store.makeBucket('impostor');
    const operator = await startTestRecordings(t, store, 'impostor', { config: { retention: '1d' } });
    let taken = 0;
    const impostor = createServer((request, response) => {
      request.resume().on('end', () => {
        taken += 1;
        response.end();
      });
    }).listen(0, '127.0.0.1');
    t.after(() => impostor.close());
    await once(impostor, 'listening');
    const { port } = impostor.address() as AddressInfo; // It listens on a port.
    const led: RecordingBroker = {
      ...operator.broker,
      upload: async (request, signal) => {
        const answer = await operator.broker.upload(request, signal);
        return answer.kind === 'put' ? { ...answer, url: `http://127.0.0.1:${port}/` } : answer;
      },
    };
    const sidecar = await startSidecar(await newState(t), led);
    const recorder = await sidecar.record();
    await fill(recorder, 300);
    await until('it was led astray', () => taken > 3 || undefined, { every: 10 });
    await recorder.close('end');
    await sidecar.uploader.close(soon());
    await assertClean('impostor', operator, recorder);
  });

  test('a sidecar that dies in the middle: the next start sends the rest', async (t) => {
    await store.makeBucket('crash');
    const operator = await startTestRecordings(t, store, 'crash', { config: { retention: '1d' } });
    const state = await newState(t);
    let uploads = 0;
    // The store took some of the files, and the sidecar did not hear of the last one.
    const dying: RecordingBroker = {
      ...operator.broker,
      upload: async (request, signal) => {
        const answer = await operator.broker.upload(request, signal);
        if (request.conflict === 'yes') return answer;
        if (++uploads < 4) return answer;
        if (uploads > 4) throw Object.assign(new Error('dead'), { code: 'unavailable' });
        const headers = answer.headers as Record<string, string>;
        const bytes: Buffer[] = [];
        const content = await first.folder.read(request.recording, request.file, 1e9);
        for await (const part of content ?? []) bytes.push(Buffer.from(part));
        if (request.file.endsWith('.zst'))
          await fetch(answer.url ?? '', { method: 'PUT', headers, body: Buffer.concat(bytes) });
        throw Object.assign(new Error('dead'), { code: 'unavailable' });
      },
    };
    const first = await startSidecar(state, dying);
    const recorder = await first.record('strict');
    await fill(recorder, 300);
    await until('it hangs', () => uploads > 5 || undefined, { every: 10 });
    await recorder.durable();
    // One more, so that a segment is open; then this recorder has nothing under way that a dead one would not do.
    recorder.append(sampleDecision(301));
    await recorder.durable();
    await until(
      'all others are sealed',
      async () => {
        const names = await first.folder.list(recorder.session);
        return names.filter((name) => name.endsWith('.jsonl')).length === 1 || undefined;
      },
      { every: 10 },
    );
    // No end, no close: as after SIGKILL. What it still has in hand is stopped.
    await first.uploader.close(performance.now());
    const names = await first.folder.list(recorder.session);
    assert.ok(names.includes('000001.sent.json') && !names.includes('000001.jsonl.zst'), names.join());

    const second = await startSidecar(state, operator.broker);
    await idle(second.uploader);
    await second.uploader.close(soon());
    const bucket = await bucketOf('crash');
    const found = await verifyRecording(bucket, recorder.session, operator.trusted);
    assert.ok(found.kind === 'clean' && found.interrupted !== undefined, JSON.stringify(found));
    assert.deepEqual(await second.folder.sessions(), []);
    const manifest = await operator.recordings.complete(OWNER, 1);
    assert.ok(manifest !== undefined);
  });
});
