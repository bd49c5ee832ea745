import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConnection } from '../../crds/connection.ts';
import { type Kube, KubeError, SECRETS } from '../kube/kube.ts';
import { readConnectionMaterial } from './connection-material.ts';

const parsed = parseConnection({
  apiVersion: 'sidewarden.dev/v1alpha1',
  kind: 'ProtectedConnection',
  metadata: { name: 'orders', namespace: 'elsewhere' },
  spec: {
    protocol: 'postgres',
    target: {
      host: 'db',
      database: 'orders',
      tls: { mode: 'verify-full', caFrom: { configMapKeyRef: { name: 'ca', key: 'ca.crt' } } },
    },
    credentials: { secretRef: { name: 'admin' } },
    identity: { sources: [{ serviceAccount: {} }] },
    listen: { port: 15_432 },
  },
});
assert.ok(parsed.kind === 'parsed');
const connection = parsed.value;

const secret = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'admin', namespace: 'elsewhere', uid: 'u', resourceVersion: '1', creationTimestamp: '' },
  data: { username: 'YQ==', password: 'Yg==' },
};

function refusing(status: number, kind: 'Secret' | 'ConfigMap'): Pick<Kube, 'get'> {
  return {
    get: (resource) =>
      (resource === SECRETS) === (kind === 'Secret')
        ? Promise.reject(new KubeError('no', status))
        : Promise.resolve(secret),
  };
}

test('a namespace that the operator may not read is said, with what to do', async () => {
  for (const [kind, reason] of [
    ['Secret', 'SecretNotFound'],
    ['ConfigMap', 'ConfigMapNotFound'],
  ] as const) {
    const material = await readConnectionMaterial(refusing(403, kind), connection);
    assert.ok(material.kind === 'wrong', kind);
    assert.equal(material.reason, reason);
    assert.match(
      material.message,
      /may not read .* in the namespace elsewhere: add it to connectionNamespaces/,
    );
    await assert.rejects(readConnectionMaterial(refusing(500, kind), connection), { status: 500 });
  }
});
