/** Where certificates come from: a Secret of a real API server that replicas share, or files. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { stringify } from 'yaml';
import { controlPlaneUnavailable, startControlPlane } from '../../e2e/cluster/control-plane.ts';
import { connectKube } from '../kube/connect.ts';
import { SECRETS } from '../kube/kube.ts';
import { bundleOf, LIFETIMES, renewed } from './material.ts';
import { mountedCertificates } from './mounted-certificates.ts';
import { ownCertificates } from './own-certificates.ts';
import { webhookConfigurations } from './webhook-configurations.ts';
import { keepWebhooks, setBundles } from './webhooks.ts';

const log = pino({ level: 'silent' });
const skip = (await controlPlaneUnavailable()) ?? false;
const NAME = 'sidewarden-certificates';

test(
  'replicas share one Secret, whoever makes it, breaks it or deletes it',
  { skip, timeout: 600_000 },
  async (t) => {
    const plane = await startControlPlane();
    t.after(() => plane.stop());
    const kube = await connectKube({ kubeconfig: plane.kubeconfig, log });
    t.after(() => kube.close());
    const replica = () =>
      ownCertificates({
        kube,
        namespace: 'default',
        name: NAME,
        hosts: ['a.b.svc'],
        log,
        interval: 3_600_000,
      });
    const replicas = await Promise.all([replica(), replica(), replica()]);
    t.after(() => Promise.all(replicas.map((each) => each.close())));
    const [first, second, third] = replicas;
    const same = () => {
      for (const each of replicas) assert.deepEqual(each.current(), first.current());
    };
    same();
    const before = first.current();

    await plane.kubectl(['delete', 'secret', NAME]);
    await second.look();
    assert.deepEqual(second.current(), before);

    await kube.patch(SECRETS, 'default', NAME, {
      data: { 'tls.crt': Buffer.from('broken').toString('base64') },
    });
    let told = 0;
    const stop = third.watch(() => (told += 1));
    await third.look();
    await Promise.all([first.look(), second.look()]);
    same();
    assert.equal(first.current().bundle, before.bundle);
    assert.notEqual(first.current().certificate, before.certificate);
    assert.equal(told, 1);
    stop();

    const place = { name: 'sidewarden', namespace: 'default', service: 'sidewarden' };
    await plane.apply(
      webhookConfigurations(place)
        .map((each) => stringify(each))
        .join('---\n'),
    );
    const stopKeeping = keepWebhooks({
      kube,
      name: 'sidewarden',
      certificates: first,
      log,
      interval: 3_600_000,
    });
    await stopKeeping();
    assert.equal(await setBundles(kube, 'sidewarden', first.current().bundle), false);
    for (const kind of ['mutating', 'validating']) {
      const path = 'jsonpath={.webhooks[*].clientConfig.caBundle}';
      const bundles = await plane.kubectl(['get', `${kind}webhookconfiguration`, 'sidewarden', '-o', path]);
      const expected = Buffer.from(first.current().bundle).toString('base64');
      assert.deepEqual([...new Set(bundles.split(' '))], [expected]);
    }
    await assert.rejects(setBundles(kube, 'nothing', ''), /there is no/u);
  },
);

test('mounted files are read again when they change; what does not fit together is not used', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'sidewarden-mounted-'));
  t.after(() => rm(folder, { recursive: true }));
  await assert.rejects(mountedCertificates(folder, log));
  const misfit = Promise.withResolvers<undefined>();
  const listening = {
    info: () => undefined,
    warn: ({ message }: { readonly message?: unknown }) => {
      if (message === 'tls.key is not the key of tls.crt') misfit.resolve(undefined);
    },
  };
  const write = async (looked?: Promise<undefined>) => {
    const material = await renewed(undefined, ['a.b.svc'], Date.now(), LIFETIMES);
    // From here on the key is not that of the certificate, until that is written too.
    await writeFile(join(folder, 'tls.key'), material.serving.key);
    // A look that has read the old key must not read the new authority.
    await looked;
    await writeFile(join(folder, 'ca.crt'), bundleOf(material));
    return material.serving.certificate;
  };
  await writeFile(join(folder, 'tls.crt'), await write());
  const certificates = await mountedCertificates(folder, listening, 20);
  t.after(() => certificates.close());
  const before = certificates.current();
  let told = 0;
  const { promise: changed, resolve } = Promise.withResolvers<undefined>();
  certificates.watch(() => {
    told += 1;
    resolve(undefined);
  });
  const next = await write(misfit.promise);
  assert.equal(certificates.current().certificate, before.certificate);
  await writeFile(join(folder, 'tls.crt'), next);
  await changed;
  assert.equal(certificates.current().certificate, next);
  assert.equal(told, 1);
});
