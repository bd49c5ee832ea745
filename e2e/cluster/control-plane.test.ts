import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import { after, before, suite, test } from 'node:test';
import { join } from 'node:path';
import { CoreV1Api } from '@kubernetes/client-node';
import { createAuthority } from './certificates.ts';
import { until } from './component.ts';
import { type ControlPlane, controlPlaneUnavailable, startControlPlane } from './control-plane.ts';

const unavailable = await controlPlaneUnavailable();

suite('a control plane', { skip: unavailable ?? false }, () => {
  let plane: ControlPlane;
  before(async () => {
    plane = await startControlPlane({ controllers: true });
  });
  after(() => plane.stop());

  test('knows users and groups by their certificates', async () => {
    const as = { user: 'alice', groups: ['dba', 'team/with,signs'] };
    const review = JSON.parse(await plane.kubectl(['auth', 'whoami', '-o', 'json'], { as }));
    assert.equal(review.status.userInfo.username, 'alice');
    assert.deepEqual(review.status.userInfo.groups, ['dba', 'team/with,signs', 'system:authenticated']);
  });

  test('refuses what RBAC does not allow', async () => {
    const { code, stderr } = await plane.kubectlOutcome(['get', 'secrets'], { as: { user: 'alice' } });
    assert.equal(code, 1);
    assert.match(stderr, /User "alice" cannot list resource "secrets"/);
  });

  test('serves the client library', async () => {
    const { items } = await plane.client.makeApiClient(CoreV1Api).listNamespace();
    assert.ok(items.some((each) => each.metadata?.name === 'kube-system'));
  });

  test('has controllers: a namespace gets its service account and goes away whole', async () => {
    await plane.kubectl(['create', 'namespace', 'short-lived']);
    await until('it has a service account', () =>
      plane.kubectl(['get', '-n', 'short-lived', 'serviceaccount', 'default']),
    );
    await plane.kubectl(['create', 'configmap', 'one', '-n', 'short-lived']);
    await plane.kubectl(['delete', 'namespace', 'short-lived']);
    const { code } = await plane.kubectlOutcome(['get', 'namespace', 'short-lived']);
    assert.equal(code, 1);
  });

  test('reaches a webhook by its URL on loopback', async () => {
    const authority = await createAuthority(join(plane.folder, 'webhook-pki'));
    const { certificate: cert, key } = await authority.server(['IP:127.0.0.1']);
    const server = createServer({ cert, key }, (request, response) => {
      void request.toArray().then((chunks) => {
        const { uid } = JSON.parse(Buffer.concat(chunks).toString()).request;
        const answer = { uid, allowed: false, status: { message: 'said by the webhook' } };
        response.setHeader('content-type', 'application/json');
        response.end(
          JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer }),
        );
      });
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    try {
      const address = server.address();
      assert.ok(address !== null && typeof address === 'object');
      await plane.apply(webhook(`https://127.0.0.1:${address.port}/`, authority.certificate));
      // The API server learns of a webhook by a watch of its own.
      const dryRun = ['create', 'configmap', 'refused', '--dry-run=server'];
      const said = await until('the webhook is asked', async () => {
        const { stderr } = await plane.kubectlOutcome(dryRun);
        return stderr.includes('said by the webhook') ? stderr : undefined;
      });
      assert.match(said, /denied the request: said by the webhook/);
      await plane.kubectl(['delete', 'validatingwebhookconfiguration', 'test']);
      await until('it is asked no more', () => plane.kubectl(dryRun));
    } finally {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
  });

  test('keeps its state when the API server is killed, and etcd', async () => {
    await plane.kubectl(['create', 'configmap', 'kept']);
    await plane.kill('kube-apiserver');
    assert.equal((await plane.kubectlOutcome(['get', 'configmap', 'kept'])).code, 1);
    await plane.start('kube-apiserver');
    await plane.kubectl(['get', 'configmap', 'kept']);
    await plane.restart('etcd');
    // The API server's connections to it come back one after the other.
    await until('it is read again', () => plane.kubectl(['get', 'configmap', 'kept']));
  });
});

function webhook(url: string, ca: string): string {
  return JSON.stringify({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'test' },
    webhooks: [
      {
        name: 'test.sidewarden.dev',
        clientConfig: { url, caBundle: Buffer.from(ca).toString('base64') },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] }],
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  });
}
