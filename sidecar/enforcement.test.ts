/** What closing waits for, against a real PostgreSQL: clients that are still on their way in. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import pino from 'pino';
import { usualManifests } from '../e2e/manifests.ts';
import { freePort, startPostgres, type TestPostgres } from '../e2e/postgres.ts';
import { FileApprovals } from './approval/files.ts';
import { configure } from './configuration.ts';
import { Enforcement, type OpenRecording, recordInto } from './enforcement.ts';
import { loadManifests } from './manifests/manifests.ts';
import { loadParser } from './postgres/sql/parser.ts';
import { DirectoryStore } from './record/directory-store.ts';
import { loadSigner, trustedKeyOf } from './record/signer.ts';
import { verifyRecording } from './record/verify.ts';

let postgres: TestPostgres;

before(async () => {
  [postgres] = await Promise.all([startPostgres(), loadParser()]);
});
after(() => postgres.stop());

const log = pino({ level: 'silent' });

async function enforcing(
  t: TestContext,
  port: number,
  server: { readonly port: number },
  open: (record: OpenRecording) => OpenRecording,
) {
  const state = await mkdtemp(join(tmpdir(), 'enforcement-'));
  const manifests = join(state, 'manifests.yaml');
  await writeFile(manifests, usualManifests({ postgres: { ...postgres, port: server.port }, port }));
  const loaded = await loadManifests(manifests);
  assert.equal(loaded.kind, 'loaded');
  const configured = configure(loaded.manifests);
  assert.equal(configured.kind, 'configured');
  const approvals = new FileApprovals({ state, approvers: new Map(), group: null, log });
  const store = new DirectoryStore(join(state, 'recordings'));
  const signer = await loadSigner(state);
  const openRecording = open(recordInto(store, signer));
  const enforcement = new Enforcement({ log, approvals, openRecording }, configured.configuration);
  t.after(async () => {
    await enforcement.close('the test is over');
    await approvals.close();
    await rm(state, { recursive: true, force: true });
  });
  await enforcement.start();
  return { enforcement, store, trusted: trustedKeyOf(signer) };
}

function entering(port: number): Promise<unknown> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'agent', database: 'postgres' });
  client.on('error', () => undefined);
  return client.connect().then(
    () => assert.fail('it came in'),
    (error: unknown) => error,
  );
}

test('a recording that is being opened is closed before closing has ended', async (t) => {
  const port = await freePort();
  const begun = Promise.withResolvers<undefined>();
  const gate = Promise.withResolvers<undefined>();
  const { enforcement, store, trusted } = await enforcing(t, port, postgres, (record) => async (...all) => {
    begun.resolve(undefined);
    await gate.promise;
    return record(...all);
  });
  const client = entering(port);
  await begun.promise;
  const closing = enforcement.close('it ends');
  assert.equal(await Promise.race([closing.then(() => 'closed'), sleep(100, 'waits')]), 'waits');
  gate.resolve(undefined);
  await Promise.all([closing, client]);
  const [session = ''] = await store.sessions();
  assert.equal((await verifyRecording(store, session, trusted)).kind, 'clean');
});

test('a client whose target answers after closing has no recording', async (t) => {
  const port = await freePort();
  const gate = Promise.withResolvers<undefined>();
  const come = Promise.withResolvers<undefined>();
  const gone = Promise.withResolvers<undefined>();
  // Before the real server, and open only when told.
  const slow = createServer((near) => {
    near.pause();
    near.on('error', () => undefined).once('close', () => gone.resolve(undefined));
    come.resolve(undefined);
    void gate.promise.then(() => {
      const far = connect(postgres.port, '127.0.0.1').on('error', () => undefined);
      near.pipe(far).pipe(near);
    });
  });
  await once(slow.listen(0, '127.0.0.1'), 'listening');
  t.after(() => slow.close());
  let opened = 0;
  // A server that listens on a port has an AddressInfo, says Node's documentation.
  const server = slow.address() as AddressInfo;
  const { enforcement } = await enforcing(t, port, server, (record) => (...all) => {
    opened += 1;
    return record(...all);
  });
  const client = entering(port);
  await come.promise;
  await Promise.all([enforcement.close('it ends'), client]);
  gate.resolve(undefined);
  await gone.promise;
  assert.equal(opened, 0);
});
