import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { bundleOf, LIFETIMES, renewed, type Material } from './material.ts';

const DAY = 86_400_000;
const START = Date.parse('2026-01-01T00:00:00Z');
const HOSTS = ['sidewarden.sidewarden.svc', 'sidewarden.sidewarden.svc.cluster.local'];
const at = (material: Material | undefined, days: number, hosts = HOSTS) =>
  renewed(material, hosts, START + days * DAY, LIFETIMES);
const trusted = (certificate: string, by: Material) => {
  const serving = new X509Certificate(certificate);
  return by.authorities.some((each) => serving.verify(new X509Certificate(each.certificate).publicKey));
};

test('what is made first is one authority and a certificate for the hosts, valid at once', async () => {
  const material = await at(undefined, 0);
  const certificate = new X509Certificate(material.serving.certificate);
  assert.equal(material.authorities.length, 1);
  assert.equal(certificate.subjectAltName, HOSTS.map((host) => `DNS:${host}`).join(', '));
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  assert.equal(certificate.ca, false);
  assert.ok(certificate.validFromDate.getTime() < START);
  assert.equal(certificate.validToDate.getTime(), START + 90 * DAY);
});

test('nothing changes before two thirds, then the certificate does, and for other hosts', async () => {
  const first = await at(undefined, 0);
  assert.equal(await at(first, 59), first);
  const second = await at(first, 60);
  assert.equal(second.authorities, first.authorities);
  assert.notEqual(second.serving.certificate, first.serving.certificate);
  const other = await at(second, 61, [...HOSTS, 'other.sidewarden.svc']);
  assert.notEqual(other.serving.certificate, second.serving.certificate);
});

test('over twenty years every certificate is trusted by the bundle of half a year before', async () => {
  const history: Material[] = [];
  for (let day = 0; day < 7300; day += 30) history.push(await at(history.at(-1), day));
  history.forEach((material, index) => {
    const before = history[Math.max(0, index - 5)];
    assert.ok(before !== undefined && trusted(material.serving.certificate, before), `month ${index}`);
    const after = history[index + 2] ?? material;
    assert.ok(trusted(material.serving.certificate, after), `month ${index}, seen later`);
    assert.ok(material.authorities.length <= 2);
  });
  const all = new Set(history.flatMap((material) => material.authorities.map((each) => each.certificate)));
  assert.equal(all.size, 3);
});

test('what is broken is made anew, and authorities that are whole stay', async () => {
  const good = await at(undefined, 0);
  const authority = good.authorities[0];
  assert.ok(authority !== undefined);
  const broken = { certificate: 'x', key: 'y' };
  const rows: readonly [Material, boolean][] = [
    [{ ...good, serving: broken }, true],
    [{ ...good, serving: { ...good.serving, key: authority.key } }, true],
    [{ ...good, authorities: [broken, authority] }, true],
    [{ ...good, authorities: [good.serving] }, false],
    [{ ...good, authorities: [] }, false],
  ];
  for (const [material, same] of rows) {
    const next = await at(material, 1);
    assert.notEqual(next, material);
    assert.equal(bundleOf(next) === bundleOf(good), same);
    assert.ok(trusted(next.serving.certificate, next));
  }
});
