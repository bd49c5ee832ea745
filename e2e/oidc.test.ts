/** Without a cluster, a run says who it is by a token of its CI's issuer: a real one, over TLS. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SignJWT } from 'jose';
import Provider from 'oidc-provider';
import pg from 'pg';
import { until } from './cluster/component.ts';
import { startPostgres } from './postgres.ts';
import { startSidewarden } from './serve.ts';

test(
  'serve takes the token of an issuer as the password, and nothing else',
  { timeout: 300_000 },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'issuer-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const [keyFile, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const files = ['-keyout', keyFile, '-out', certificate];
    execFileSync('openssl', ['req', '-x509', ...curve, ...name, ...files], { stdio: 'ignore' });
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const server = createServer({ key: readFileSync(keyFile), cert: readFileSync(certificate) });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    // A TCP server's address is an object.
    const issuer = `https://localhost:${(server.address() as AddressInfo).port}`;
    const jwk = { ...privateKey.export({ format: 'jwk' }), kid: 'now', alg: 'ES256', use: 'sig' };
    const provider = new Provider(issuer, { jwks: { keys: [jwk] }, clients: [] });
    server.on('request', (request, response) => void provider.callback()(request, response));

    const postgres = await startPostgres();
    t.after(() => postgres.stop());
    const oidc = { issuer, audience: 'orders-db', claims: { repository: 'acme/shop' } };
    const sidewarden = await startSidewarden({
      postgres,
      groups: ['ai-agents'],
      connection: { identity: { sources: [{ oidc }] } },
      env: { NODE_EXTRA_CA_CERTS: certificate },
    });
    t.after(() => sidewarden.stop());

    const token = (claims: Readonly<Record<string, unknown>>) =>
      new SignJWT({ groups: ['ai-agents'], repository: 'acme/shop', ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'now' })
        .setIssuer(issuer)
        .setSubject('repo:acme/shop')
        .setAudience('orders-db')
        .setIssuedAt()
        .setExpirationTime('1m')
        .sign(privateKey);
    const ask = async (password: string): Promise<unknown> => {
      const { host, port } = sidewarden;
      const client = new pg.Client({ host, port, user: 'agent', database: 'postgres', password });
      await client.connect();
      try {
        const { rows } = await client.query<{ one: number }>('select 1 as one');
        return rows[0]?.one;
      } finally {
        await client.end();
      }
    };
    assert.equal(await ask(await token({})), 1);
    await assert.rejects(ask('hunter2'), { code: '28P01' });
    await assert.rejects(ask(await token({ repository: 'acme/other' })), { code: '28P01' });
    // Known, and no policy is for these groups.
    await assert.rejects(ask(await token({ groups: [] })), { code: '42501' });
    await until(
      'the log says why',
      () =>
        sidewarden.logs().includes('the claim repository is not what the connection asks for') || undefined,
    );
  },
);
