import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PodAccess, podPlaceFrom } from './pod-access.ts';

test('what the kubelet says of the API server', () => {
  assert.equal(podPlaceFrom({}), undefined);
  const place = podPlaceFrom({ KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '6443' });
  assert.deepEqual(place, {
    host: '10.0.0.1',
    port: '6443',
    folder: '/var/run/secrets/kubernetes.io/serviceaccount',
  });
});

const addresses: readonly [string, string][] = [
  ['10.0.0.1', 'https://10.0.0.1:443'],
  ['fd00::1', 'https://[fd00::1]:443'],
  ['api.internal', 'https://api.internal:443'],
];
for (const [host, server] of addresses)
  test(`at ${host}`, () => {
    assert.equal(new PodAccess({ host, port: '443', folder: '/none' }).getCurrentCluster().server, server);
  });

test('signs in with the token and trusts the authority that are in the folder', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'service-account-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'token'), 'the-token\n');
  await writeFile(join(folder, 'ca.crt'), 'the-authority');
  const options = { headers: { accept: 'application/json' } };
  await new PodAccess({ host: 'x', port: '1', folder }).applyToHTTPSOptions(options);
  const headers = { accept: 'application/json', authorization: 'Bearer the-token' };
  assert.deepEqual(options, { headers, ca: 'the-authority' });
});

test('says that the files are not there, and not what is in them', async () => {
  const access = new PodAccess({ host: 'x', port: '1', folder: '/nowhere' });
  await assert.rejects(
    access.applyToHTTPSOptions({ headers: {} }),
    /the service account in \/nowhere cannot be read/,
  );
});
