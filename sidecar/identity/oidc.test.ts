/** With a real issuer: oidc-provider over TLS, its keys and its tokens. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { SignJWT, type JWTPayload } from 'jose';
import Provider from 'oidc-provider';
import { OidcIssuers, type OidcTrust } from './oidc.ts';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid: 'now', alg: 'ES256', use: 'sig' };
let server: Server;
let issuer: string;
let folder: string;
const usual = getCACertificates('default');

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'issuer-'));
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'].concat([
      ...[
        '-subj',
        '/CN=localhost',
        '-addext',
        'subjectAltName=DNS:localhost',
        '-keyout',
        key,
        '-out',
        certificate,
      ],
    ]),
    { stdio: 'ignore' },
  );
  setDefaultCACertificates([...usual, readFileSync(certificate, 'utf8')]);
  server = createServer({ key: readFileSync(key), cert: readFileSync(certificate) });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  // A TCP server's address is an object.
  issuer = `https://localhost:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, { jwks: { keys: [jwk] }, clients: [] });
  server.on('request', (request, response) => void provider.callback()(request, response));
});

after(() => {
  server.closeAllConnections();
  server.close();
  setDefaultCACertificates(usual);
  rmSync(folder, { recursive: true });
});

const trust = (more: Partial<OidcTrust> = {}): OidcTrust => ({
  issuer,
  audience: 'orders-db',
  claims: {},
  usernameClaim: 'sub',
  groupsClaim: 'groups',
  ...more,
});

interface Made {
  readonly claims?: JWTPayload;
  readonly issuer?: string;
  readonly audience?: string;
  /** Seconds from now. */
  readonly expires?: number;
  readonly kid?: string;
}

function token({ claims = {}, issuer: by, audience = 'orders-db', expires = 60, kid = 'now' }: Made = {}) {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ sub: 'repo:acme/shop:ref:refs/heads/main', repository: 'acme/shop', ...claims })
    .setProtectedHeader({ alg: 'ES256', kid })
    .setIssuer(by ?? issuer)
    .setAudience(audience)
    .setIssuedAt(now)
    .setExpirationTime(now + expires)
    .sign(privateKey);
}

test('a token of the issuer says who it is', async () => {
  const claims = { groups: ['ai-agents', 7, ''], actor: 'ada' };
  const issuers = new OidcIssuers();
  const answer = await issuers.verify(
    trust({ claims: { repository: 'acme/shop', groups: 'ai-agents' }, usernameClaim: 'actor' }),
    await token({ claims }),
  );
  assert.ok(answer.kind === 'identified');
  assert.deepEqual(
    { ...answer.identity, claims: undefined },
    {
      issuer,
      subject: 'repo:acme/shop:ref:refs/heads/main',
      username: 'ada',
      groups: ['ai-agents'],
      claims: undefined,
      serviceAccount: '',
      pod: '',
    },
  );
  assert.equal(answer.identity.claims['repository'], 'acme/shop');
});

test('whatever cannot be verified stands for nobody', async () => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const now = Math.floor(Date.now() / 1000);
  const body = { sub: 'x', iss: issuer, aud: 'orders-db', iat: now, exp: now + 60 };
  const endless = { sub: 'x', iss: issuer, aud: 'orders-db', iat: now };
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const cases: readonly (readonly [string, string, OidcTrust, RegExp])[] = [
    ['expired', await token({ expires: -120 }), trust(), /expired/],
    ['another audience', await token({ audience: 'other' }), trust(), /aud/],
    ['another issuer', await token({ issuer: 'https://elsewhere.example' }), trust(), /iss/],
    ['an unknown key', await token({ kid: 'later' }), trust(), /JWKS/],
    [
      'signed by somebody else',
      await new SignJWT(body).setProtectedHeader({ alg: 'ES256', kid: 'now' }).sign(other),
      trust(),
      /SIGNATURE/,
    ],
    ['no signature', `${encoded({ alg: 'none' })}.${encoded(body)}.`, trust(), /cannot be verified/],
    [
      'a public key as a secret',
      await new SignJWT(body)
        .setProtectedHeader({ alg: 'HS256', kid: 'now' })
        .sign(Buffer.from(jwk.kid.padEnd(32))),
      trust(),
      /cannot be verified/,
    ],
    [
      'no expiry',
      await new SignJWT(endless).setProtectedHeader({ alg: 'ES256', kid: 'now' }).sign(privateKey),
      trust(),
      /exp/,
    ],
    ['a claim that differs', await token(), trust({ claims: { repository: 'acme/other' } }), /repository/],
    ['a claim that lacks', await token(), trust({ claims: { environment: 'production' } }), /environment/],
    ['no user name', await token(), trust({ usernameClaim: 'actor' }), /actor/],
    [
      'a user name that is none',
      await token({ claims: { actor: { name: 'ada' } } }),
      trust({ usernameClaim: 'actor' }),
      /actor/,
    ],
    ['no token', 'hunter2', trust(), /no JWT/],
    ['too much', `${'a'.repeat(9000)}.${'b'.repeat(9000)}.c`, trust(), /long/],
    ['an issuer that is away', await token(), trust({ issuer: 'https://localhost:1' }), /cannot be had/],
    ['an issuer of another name', await token(), trust({ issuer: `${issuer}/realm` }), /cannot be had/],
  ];
  const issuers = new OidcIssuers();
  for (const [name, text, to, why] of cases) {
    const answer = await issuers.verify(to, text);
    assert.ok(answer.kind === 'refused', name);
    assert.match(answer.why, why, name);
    assert.ok(!answer.why.includes(text), name);
  }
});

test('an issuer that was away is asked again', async () => {
  const issuers = new OidcIssuers();
  assert.equal((await issuers.verify(trust({ issuer: `${issuer}/away` }), await token())).kind, 'refused');
  assert.equal((await issuers.verify(trust(), await token())).kind, 'identified');
});
