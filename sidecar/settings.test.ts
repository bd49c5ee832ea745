import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settingsFrom } from './settings.ts';

const ca = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
const good = { SIDEWARDEN_BROKER_URL: 'https://broker.sidewarden.svc:8443', SIDEWARDEN_BROKER_CA: ca };

test('what injection gives is taken, and the rest has its usual values', () => {
  const settings = settingsFrom({ ...good, SIDEWARDEN_POD_IP: 'fd00::7', SIDEWARDEN_REDIRECT: 'true' });
  assert.ok('state' in settings);
  assert.equal(settings.broker.url.host, 'broker.sidewarden.svc:8443');
  assert.equal(settings.broker.tokenFile, '/var/run/secrets/sidewarden.dev/token');
  assert.equal(settings.state, '/var/lib/sidewarden');
  assert.deepEqual(settings.health, { address: 'fd00::7', port: 15_090 });
  assert.deepEqual([settings.redirect, settings.grace], [true, 25_000]);
});

const wrong: readonly (readonly [string, string])[] = [
  ['SIDEWARDEN_BROKER_URL', 'http://broker:8443'],
  ['SIDEWARDEN_BROKER_URL', 'https://user@broker:8443'],
  ['SIDEWARDEN_BROKER_URL', 'https://broker:8443/path'],
  ['SIDEWARDEN_BROKER_URL', 'https://broker:8443/?x'],
  ['SIDEWARDEN_BROKER_CA', 'AAAA'],
  ['SIDEWARDEN_TOKEN_FILE', 'relative'],
  ['SIDEWARDEN_SPOOL', 'relative'],
  ['SIDEWARDEN_POD_IP', 'pod.name'],
  ['SIDEWARDEN_HEALTH_PORT', '65536'],
  ['SIDEWARDEN_HEALTH_PORT', '1e3'],
  ['SIDEWARDEN_REDIRECT', '1'],
  ['SIDEWARDEN_GRACE_SECONDS', '0'],
  ['SIDEWARDEN_LOG_LEVEL', 'loud'],
];
for (const [name, value] of wrong) {
  test(`${name}=${value} is refused`, () => {
    const settings = settingsFrom({ ...good, [name]: value });
    assert.ok(!('state' in settings));
    assert.equal(settings.length, 1);
    assert.ok(settings[0]?.startsWith(name));
  });
}
