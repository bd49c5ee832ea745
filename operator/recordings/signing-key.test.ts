import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, suite, test } from 'node:test';
import pino from 'pino';
import {
  controlPlaneUnavailable,
  startControlPlane,
  type ControlPlane,
} from '../../e2e/cluster/control-plane.ts';
import { parseConfigMap } from '../../crds/core.ts';
import { connectKube, type RunningKube } from '../kube/connect.ts';
import { CONFIG_MAPS, SECRETS } from '../kube/kube.ts';
import { Places } from './places.ts';
import { loadRecordingKey, RECORDING_KEY } from './signing-key.ts';

const unavailable = await controlPlaneUnavailable();

suite('the key of recordings', { skip: unavailable ?? false }, () => {
  let plane: ControlPlane;
  let kube: RunningKube;
  before(async () => {
    plane = await startControlPlane({ flags: ['--disable-admission-plugins=ServiceAccount'] });
    for (const kind of ['protectedconnections', 'accesspolicies', 'approvals', 'sessions'])
      await plane.apply(await readFile(`crds/${kind}.yaml`, 'utf8'));
    kube = await connectKube({ kubeconfig: plane.kubeconfig, log: pino({ level: 'silent' }) });
  });
  after(async () => {
    await kube.close();
    await plane.stop();
  });

  test('is made once, whoever comes first, and its public half is published', async () => {
    const [one, other] = await Promise.all([
      loadRecordingKey(kube, 'default'),
      loadRecordingKey(kube, 'default'),
    ]);
    assert.equal(one.keyId, other.keyId);
    assert.equal((await loadRecordingKey(kube, 'default')).keyId, one.keyId);
    await kube.patch(CONFIG_MAPS, 'default', RECORDING_KEY, { data: { 'recording.ed25519.pub': 'another' } });
    await loadRecordingKey(kube, 'default');
    const published = parseConfigMap(await kube.get(CONFIG_MAPS, 'default', RECORDING_KEY));
    assert.ok(published.kind === 'parsed');
    const pem = published.value.data.get('recording.ed25519.pub') ?? '';
    assert.ok(createPublicKey(pem).equals(one.publicKey));
    assert.doesNotMatch(JSON.stringify([...published.value.data]), /PRIVATE/);
  });

  test('is never replaced when the Secret holds something else', async () => {
    const metadata = { name: RECORDING_KEY, namespace: 'kube-public' };
    await kube.create(SECRETS, { apiVersion: 'v1', kind: 'Secret', metadata, stringData: { other: 'x' } });
    await assert.rejects(loadRecordingKey(kube, 'kube-public'), { code: 'misconfigured' });
  });

  test('a place is read from the API server, and errors name object and field', async () => {
    const metadata = { name: 'recordings', namespace: 'default' };
    const data = { endpoint: 'http://s3', bucket: 'recordings', credentialsSecret: 'store' };
    await kube.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
    const places = new Places(kube);
    await assert.rejects(places.bucket('default', 'recordings'), {
      code: 'misconfigured',
      message: /^ConfigMap default\/recordings: endpoint: .*Plaintext/,
    });
    await kube.patch(CONFIG_MAPS, 'default', 'recordings', { data: { transport: 'Plaintext' } });
    const secret = { name: 'store', namespace: 'default' };
    const stringData = { accessKeyId: 'a', secretAccessKey: 'b c' };
    await kube.create(SECRETS, { apiVersion: 'v1', kind: 'Secret', metadata: secret, stringData });
    await assert.rejects(places.bucket('default', 'recordings'), (error) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, /^Secret default\/store: secretAccessKey: /);
      assert.doesNotMatch(error.message, /b c/);
      return true;
    });
    await kube.patch(SECRETS, 'default', 'store', { stringData: { secretAccessKey: 'b' } });
    assert.equal((await places.bucket('default', 'recordings')).place.bucket, 'recordings');
    places.close();
  });
});
