import assert from 'node:assert/strict';
import { createHash, hash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { after, afterEach, before, suite, test } from 'node:test';
import {
  DeleteObjectCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { until } from '../../e2e/cluster/component.ts';
import { objectStoreUnavailable, startObjectStore, type TestObjectStore } from '../../e2e/object-store.ts';
import type { UploadAnswer, UploadRequest } from '../../sidecar/broker/protocol.ts';
import { once } from '../../sidecar/record/parts.ts';
import { FORMAT, seal } from '../../sidecar/record/sealed.ts';
import { newSessionId } from '../../sidecar/record/session-id.ts';
import { checkSeal } from '../../sidecar/record/sealed.ts';
import { recordingReady } from './recording-ready.ts';
import { CONNECTION, connectionSpec, OWNER, startTestRecordings } from '../../e2e/test-recordings.ts';

const unavailable = await objectStoreUnavailable();
let store: TestObjectStore;

function requestFor(bytes: Uint8Array, file = '000001.jsonl.zst', recording = newSessionId()): UploadRequest {
  const digest = hash('sha256', bytes, 'base64url');
  return { connection: CONNECTION, recording, file, bytes: bytes.length, digest };
}

async function put({ url, headers = {} }: UploadAnswer, body: Uint8Array): Promise<number> {
  // The operator's own answer: its values are texts.
  const response = await fetch(url ?? '', {
    method: 'PUT',
    headers: headers as Record<string, string>,
    body,
  });
  await response.arrayBuffer();
  return response.status;
}

function keyOf({ recording, file }: UploadRequest): string {
  return `${OWNER.namespace}/${OWNER.connection}/${OWNER.session}/${recording}/${file}`;
}

const WHO = { issuer: 'i', subject: 's', username: 'u' };

const header = (session: string, more: object = {}) => ({
  format: FORMAT,
  kind: 'header',
  session,
  startedAt: '2026-11-21T12:00:00.000Z',
  durability: 'strict',
  who: WHO,
  connection: {
    name: OWNER.connection,
    namespace: OWNER.namespace,
    protocol: 'postgres',
    database: 'orders',
  },
  ...more,
});

suite('recordings of the operator', { skip: unavailable ?? false }, () => {
  before(async () => {
    store = await startObjectStore();
  });
  afterEach(() => store.start());
  after(() => store.stop());

  test('a URL takes exactly the bytes it was made for, once, and locks them', async (t) => {
    await store.makeBucket('urls');
    const config = { retention: '2d', lockMode: 'Compliance' };
    const { recordings } = await startTestRecordings(t, store, 'urls', { config });
    const right = Buffer.from('the right bytes');
    const request = requestFor(right);
    const answer = await recordings.upload(OWNER, request);
    assert.equal(answer.kind, 'put');
    assert.ok((await put(answer, Buffer.from('other bytes !!!'))) >= 400);
    assert.ok((await put(answer, Buffer.from('the right bytes and more'))) >= 400);
    const { 'x-amz-object-lock-mode': mode, ...unlocked } = answer.headers ?? {};
    assert.equal(mode, 'COMPLIANCE');
    assert.equal(await put({ ...answer, headers: unlocked }, right), 403);
    assert.equal(await put(answer, right), 200);
    assert.equal(await put(answer, right), 412);
    const Bucket = 'urls';
    const Key = keyOf(request);
    const { VersionId } = await store.client.send(new HeadObjectCommand({ Bucket, Key }));
    await assert.rejects(store.client.send(new DeleteObjectCommand({ Bucket, Key, VersionId })), {
      name: 'AccessDenied',
    });
    const { Retention } = await store.client.send(new GetObjectRetentionCommand({ Bucket, Key }));
    const days = ((Retention?.RetainUntilDate?.getTime() ?? 0) - Date.now()) / 86_400_000;
    assert.ok(days > 1.9 && days <= 2.01, String(days));
    assert.equal((await recordings.upload(OWNER, { ...request, conflict: 'yes' })).kind, 'stored');
    await assert.rejects(
      recordings.upload(OWNER, {
        ...requestFor(Buffer.from('x')),
        recording: request.recording,
        conflict: 'yes',
      }),
      { code: 'invalid' },
    );
  });

  test('only documents of the recording are signed, in their one form', async (t) => {
    const { recordings, signer, trusted } = await startTestRecordings(t, store, 'none');
    const id = newSessionId();
    const { payload } = seal(header(id), signer);
    const { keyId, signature } = await recordings.seal(OWNER, id, payload, WHO);
    assert.equal(checkSeal({ payload, keyId, signature }, trusted), undefined);
    const refused: readonly (readonly [string, string])[] = [
      ['another recording', seal(header(newSessionId()), signer).payload],
      [
        'another connection',
        seal(header(id, { connection: { ...header(id).connection, name: 'x' } }), signer).payload,
      ],
      ['somebody else', seal(header(id, { who: { ...WHO, username: 'alice' } }), signer).payload],
      ['another issuer', seal(header(id, { who: { ...WHO, issuer: 'https://x.example' } }), signer).payload],
      ['an unknown field', seal(header(id, { more: 1 }), signer).payload],
      ['a session list', seal({ format: FORMAT, kind: 'session', session: id }, signer).payload],
      ['a field twice', payload.replace('"kind":', '"session":"x","kind":')],
      ['blanks', payload.replace('{', '{ ')],
      ['no JSON', 'x'],
      ['text', '"x"'],
      ['two lines', `${payload}\n`],
    ];
    for (const [what, text] of refused)
      await assert.rejects(recordings.seal(OWNER, id, text, WHO), { code: 'invalid' }, what);
  });

  test('files that a recording does not have are refused', async (t) => {
    const { recordings } = await startTestRecordings(t, store, 'none');
    const good = requestFor(Buffer.from('x'));
    for (const wrong of [
      { file: '000001.jsonl' },
      { file: 'session.json' },
      { file: '../000001.jsonl.zst' },
      { recording: 'x' },
      { recording: '../../other' },
      { bytes: 2 ** 40 },
      { digest: 'abc' },
    ])
      await assert.rejects(
        recordings.upload(OWNER, { ...good, ...wrong }),
        { code: 'invalid' },
        JSON.stringify(wrong),
      );
    await assert.rejects(recordings.upload({ ...OWNER, session: '..' }, good), { code: 'invalid' });
  });

  test('nothing is added to a session whose list was signed, by either replica', async (t) => {
    await store.makeBucket('ended');
    const one = await startTestRecordings(t, store, 'ended');
    assert.equal(await one.recordings.complete(OWNER, 1), undefined);
    const done = await one.recordings.complete(OWNER, 0);
    assert.match(done?.digest ?? '', /^sha256:/);
    assert.deepEqual(await one.recordings.complete(OWNER, 0), done);
    const request = requestFor(Buffer.from('x'));
    await assert.rejects(one.recordings.upload(OWNER, request), { code: 'invalid' });
    await assert.rejects(one.recordings.keep(OWNER, request, once(Buffer.from('x'))), { code: 'invalid' });
    const id = newSessionId();
    const { payload } = seal(header(id), one.signer);
    await assert.rejects(one.recordings.seal(OWNER, id, payload, WHO), { code: 'invalid' });
    // After a restart it is the Session's status that says so.
    await one.reopen();
    await one.recordings.upload(OWNER, request);
    one.objects.put('sidewarden.dev/v1alpha1', 'Session', OWNER.session, {
      spec: {
        connection: OWNER.connection,
        identity: { issuer: 'i', subject: 's', username: 'u' },
        startedAt: '2026-11-21T12:00:00Z',
      },
      status: { phase: 'Ended', recording: { location: done?.location, manifestDigest: done?.digest } },
    });
    await assert.rejects(one.recordings.upload(OWNER, request), { code: 'invalid' });
  });

  test('the spool: a cap, exact bytes, and another file in the store is set aside', async (t) => {
    await store.makeBucket('spool', 'plain');
    const { recordings, spool } = await startTestRecordings(t, store, 'spool', { spoolCapacity: 8 * 1300 });
    const bytes = Buffer.alloc(600, 'a');
    const request = requestFor(bytes);
    // Before ours is in the spool: it is brought as soon as the store is back.
    await store.client.send(new PutObjectCommand({ Bucket: 'spool', Key: keyOf(request), Body: 'another' }));
    await store.kill();
    await assert.rejects(recordings.keep(OWNER, request, once(Buffer.alloc(600, 'b'))), { code: 'invalid' });
    await assert.rejects(recordings.keep(OWNER, request, once(Buffer.alloc(601, 'a'))), { code: 'invalid' });
    assert.equal(recordings.spoolBytes, 0);
    await recordings.keep(OWNER, request, once(bytes));
    await recordings.keep(OWNER, request, once(bytes));
    assert.equal(recordings.spoolBytes, 600);
    const more = Buffer.alloc(800);
    await assert.rejects(recordings.keep(OWNER, requestFor(more), once(more)), { code: 'unavailable' });
    await store.start();
    const location = `s3://spool/${OWNER.namespace}/${OWNER.connection}/${OWNER.session}`;
    assert.equal(await recordings.location(OWNER), location);
    // It is kept for a person: never removed, never tried again.
    const aside = async () =>
      (await readdir(spool, { recursive: true })).some((name) => name.endsWith('.conflict'));
    await until('it is set aside', async () => (await aside()) || undefined);
    assert.equal(recordings.spoolBytes, 600);
  });

  test('a big segment goes through', async (t) => {
    await store.makeBucket('big');
    const { recordings } = await startTestRecordings(t, store, 'big', {
      config: { retention: '1d' },
      spoolCapacity: 2 ** 29,
    });
    const part = Buffer.alloc(1024 * 1024, 'x');
    const digest = createHash('sha256');
    for (let nth = 0; nth < 64; nth++) digest.update(part);
    const request = {
      ...requestFor(part),
      bytes: 64 * part.length,
      digest: digest.digest('base64url'),
    };
    const content = async function* () {
      for (let nth = 0; nth < 64; nth++) yield await Promise.resolve(part);
    };
    await recordings.keep(OWNER, request, content());
    await until('it is stored', () => recordings.spoolBytes === 0 || undefined, {
      limit: 120_000,
    });
    const { ContentLength } = await store.client.send(
      new HeadObjectCommand({ Bucket: 'big', Key: keyOf(request) }),
    );
    assert.equal(ContentLength, request.bytes);
  });

  test('a connection without store keeps its recordings', async (t) => {
    const { recordings, objects } = await startTestRecordings(t, store, 'none');
    objects.put('sidewarden.dev/v1alpha1', 'ProtectedConnection', OWNER.connection, {
      spec: connectionSpec(),
    });
    assert.deepEqual(await recordings.upload(OWNER, requestFor(Buffer.from('x'))), { kind: 'kept' });
    assert.equal(await recordings.location(OWNER), undefined);
  });

  test('RecordingReady says what is wrong', async (t) => {
    await Promise.all([store.makeBucket('ready'), store.makeBucket('unlocked', 'plain')]);
    const cases: readonly (readonly [string, Record<string, string>, RegExp])[] = [
      ['ready', { retention: '1d' }, /ready.*Governance lock for 1 days/],
      ['unlocked', {}, /ready.*no lock/],
      ['unlocked', { retention: '1d' }, /RecordingMisconfigured.*no Object Lock/],
      ['missing', {}, /RecordingMisconfigured.*404/],
      ['ready', { prefix: '/' }, /RecordingMisconfigured.*prefix: /],
      ['ready', { credentialsSecret: 'none' }, /RecordingMisconfigured.*no Secret production-access\/none/],
      ['ready', { endpoint: 'http://127.0.0.1:1' }, /RecordingUnreachable.*ECONNREFUSED/],
    ];
    for (const [bucket, config, expected] of cases) {
      const { recordings } = await startTestRecordings(t, store, bucket, { config });
      const found = await recordingReady(recordings.places, OWNER.namespace, 'recordings');
      assert.match(JSON.stringify(found), expected);
    }
  });
});
