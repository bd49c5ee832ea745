import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import pino from 'pino';
import { until } from '../e2e/cluster/component.ts';
import {
  objectStoreUnavailable,
  startObjectStore,
  STORE_CREDENTIALS,
  type TestObjectStore,
} from '../e2e/object-store.ts';
import { OWNER, recordingHeader, startTestRecordings } from '../e2e/test-recordings.ts';
import { DirectoryStore } from '../sidecar/record/directory-store.ts';
import { openRecording } from '../sidecar/record/recorder.ts';
import { sampleEvents } from '../sidecar/record/sample-session.ts';
import { loadSigner, trustedKeyOf } from '../sidecar/record/signer.ts';
import { Uploader } from '../sidecar/record/upload/uploader.ts';
import { profileOf } from './recordings-bucket.ts';

const MAIN = `
import { Command } from 'commander';
import { addRecordingsCommands } from '${import.meta.dirname}/recordings.ts';
const program = new Command('sidewarden');
addRecordingsCommands(program, { environment: process.env });
await program.parseAsync(['node', 'sidewarden', 'recordings', ...process.argv.slice(1)]);`;

const unavailable = await objectStoreUnavailable();
let store: TestObjectStore;

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Scene {
  readonly bucket: string;
  readonly recordings: readonly string[];
  readonly key: string;
  /** Key of a recording's file in the bucket. */
  readonly keyOf: (recording: string, file: string) => string;
  readonly run: (...args: readonly string[]) => Promise<Result>;
}

async function run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Result> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', MAIN, '--', ...args], {
    cwd: join(import.meta.dirname, '..'),
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, stdout, stderr };
}

/** A session of two recordings in a bucket without lock, so that the test can tamper with it. */
async function scene(
  t: TestContext,
  bucket: string,
  versions: 'plain' | 'versioned' = 'plain',
): Promise<Scene> {
  await store.makeBucket(bucket, versions);
  const operator = await startTestRecordings(t, store, bucket, { config: { prefix: 'prod' } });
  const state = await mkdtemp(join(tmpdir(), 'sidecar-'));
  t.after(() => rm(state, { recursive: true, force: true }));
  const signer = await loadSigner(state);
  const folder = new DirectoryStore(join(state, 'recordings'));
  const log = pino({ level: 'silent' });
  const uploader = new Uploader({ folder, trusted: trustedKeyOf(signer), broker: operator.broker, log });
  await uploader.start();
  const recordings: string[] = [];
  for (let nth = 0; nth < 2; nth++) {
    const options = { durability: 'batched', onFailure: () => undefined } as const;
    const recorder = await openRecording(uploader.store, recordingHeader(), signer, options);
    for (const event of sampleEvents()) recorder.append(event);
    await recorder.close('client left');
    recordings.push(recorder.session);
  }
  await until('all is in the store', () => uploader.waiting === 0 || undefined);
  await uploader.close(performance.now() + 60_000);
  assert.ok(await operator.recordings.complete(OWNER, 2));
  const key = join(state, 'operator.pub');
  await writeFile(key, operator.signer.publicKey.export({ format: 'pem', type: 'spki' }));
  const place = ['--store', `s3://${bucket}/prod`, '--endpoint', store.endpoint, '--key', key];
  const environment = {
    AWS_ACCESS_KEY_ID: STORE_CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: STORE_CREDENTIALS.secretAccessKey,
  };
  return {
    bucket,
    recordings: recordings.sort(),
    key,
    keyOf: (recording, file) =>
      `prod/${OWNER.namespace}/${OWNER.connection}/${OWNER.session}/${recording}/${file}`,
    run: (...args) => run([...args, ...(args[0] === 'list' ? place.slice(0, 4) : place)], environment),
  };
}

suite('recordings in a bucket', { skip: unavailable ?? false }, () => {
  before(async () => {
    store = await startObjectStore();
  });
  after(() => store.stop());

  test('are listed, shown, verified and exported', async (t) => {
    const { run: recordings, recordings: ids } = await scene(t, 'commands');
    const [first = ''] = ids;
    const list = await recordings('list');
    assert.equal(list.code, 0, list.stderr);
    for (const id of ids)
      assert.match(list.stdout, new RegExp(`production-access/orders-db .* closed +${id}`));
    const show = await recordings('show', first);
    assert.match(show.stdout, /#1 allow by production\/agents\/reads/, show.stderr);
    const exported = await recordings('export', first, '--format', 'jsonl');
    assert.equal(exported.stdout.trim().split('\n').length, 18, exported.stderr);
    const verify = await recordings('verify', '--all');
    assert.equal(verify.code, 0, verify.stdout + verify.stderr);
    assert.match(verify.stdout, /clean +session .*orders-db-run-1\/ +2 recordings, none missing/);
    const json: unknown = JSON.parse((await recordings('verify', '--all', '--json')).stdout);
    assert.ok(typeof json === 'object' && json !== null && 'lists' in json && Array.isArray(json.lists));
  });

  const TAMPERINGS: readonly [string, (scene: Scene) => Promise<void>, RegExp][] = [
    [
      'removed-recording',
      async ({ bucket, recordings: [first = ''], keyOf }) => {
        for (const file of ['header.json', '000001.jsonl.zst', '000001.head.json', 'manifest.json'])
          await store.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: keyOf(first, file) }));
      },
      /TAMPERED +session .*is missing/,
    ],
    [
      'swapped-segment',
      async ({ bucket, recordings: [first = '', second = ''], keyOf }) => {
        const source = `${bucket}/${keyOf(second, '000001.jsonl.zst')}`;
        const Key = keyOf(first, '000001.jsonl.zst');
        await store.client.send(new CopyObjectCommand({ Bucket: bucket, Key, CopySource: source }));
      },
      /TAMPERED +\S+ +the first wrong event is \d+: 000001.jsonl.zst/,
    ],
    [
      'removed-manifest',
      async ({ bucket, recordings: [first = ''], keyOf }) => {
        const Key = keyOf(first, 'manifest.json');
        await store.client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
      },
      /TAMPERED +session .*no manifest any more/,
    ],
    [
      'added-recording',
      async ({ bucket, recordings: [first = ''], keyOf }) => {
        const Key = keyOf(
          first.replace(/.$/, (last) => (last === '0' ? '1' : '0')),
          'header.json',
        );
        const CopySource = `${bucket}/${keyOf(first, 'header.json')}`;
        await store.client.send(new CopyObjectCommand({ Bucket: bucket, Key, CopySource }));
      },
      /TAMPERED +session .*is not in the list/,
    ],
  ];
  for (const [name, tamper, expected] of TAMPERINGS) {
    test(`tampering is found: ${name}`, async (t) => {
      const made = await scene(t, name);
      await tamper(made);
      const verify = await made.run('verify', '--all');
      assert.match(verify.stdout, expected, verify.stderr);
      assert.equal(verify.code, 1);
    });
  }

  test('tampering is found: an older version brought back over another', async (t) => {
    const {
      bucket,
      recordings: [first = ''],
      keyOf,
      run: recordings,
    } = await scene(t, 'versions', 'versioned');
    const Key = keyOf(first, 'header.json');
    const { Body } = await store.client.send(new GetObjectCommand({ Bucket: bucket, Key }));
    const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array();
    await store.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'something else' }));
    await store.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: bytes }));
    const verify = await recordings('verify', '--all');
    assert.match(verify.stdout, /TAMPERED +session .*header.json: it was written again/, verify.stderr);
    assert.equal(verify.code, 1);
  });

  test('without a key nothing is verified, and it is said how to get it', async (t) => {
    const made = await scene(t, 'no-key');
    const place = ['--store', `s3://${made.bucket}/prod`, '--endpoint', store.endpoint];
    const environment = { AWS_SHARED_CREDENTIALS_FILE: join(made.key, '..', 'credentials') };
    const { accessKeyId, secretAccessKey } = STORE_CREDENTIALS;
    await writeFile(
      environment.AWS_SHARED_CREDENTIALS_FILE,
      `[other]\naws_access_key_id = x\n[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`,
    );
    const verify = await run(['verify', '--all', ...place], environment);
    assert.equal(verify.code, 2);
    assert.match(verify.stderr, /sidewarden-recording-key/);
    assert.doesNotMatch(await readFile(made.key, 'utf8'), /PRIVATE/);
    const nobody = await run(['list', ...place], {});
    assert.equal(nobody.code, 2);
    assert.match(nobody.stderr, /AWS_ACCESS_KEY_ID/);
  });
});

test('a profile is one section of the file', () => {
  const text = '[a]\naws_access_key_id=1\n\n[ b ]\naws_access_key_id = 2\n';
  assert.equal(profileOf(text, 'b').get('aws_access_key_id'), '2');
  assert.equal(profileOf(text, 'c').size, 0);
});
