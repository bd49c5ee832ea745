/** TLS on both sides: towards the server with its certificate checked, towards the client where the connection asks for it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import pg from 'pg';
import { encodeStartup, encodeTlsRequest } from '../sidecar/postgres/wire/startup.ts';
import { freePort, startPostgres, type TestPostgres } from './postgres.ts';
import { type Sidewarden, startSidewarden } from './serve.ts';

const TOKEN = 'a-token-of-this-run-only';

interface Certificates {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** A CA and a certificate for `localhost`, made by openssl. */
function makeCertificates(folder: string): Certificates {
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const subject = (name: string) => [
    '-subj',
    `/CN=${name}`,
    '-days',
    '2',
    '-nodes',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
  ];
  openssl('req', '-x509', ...subject('test CA'), '-keyout', file('ca.key'), '-out', file('ca.crt'));
  openssl(
    'req',
    ...subject('localhost').filter((word, index, all) => word !== '-days' && all[index - 1] !== '-days'),
    '-keyout',
    file('server.key'),
    '-out',
    file('server.csr'),
  );
  writeFileSync(file('names'), 'subjectAltName=DNS:localhost\n');
  openssl(
    'x509',
    '-req',
    '-in',
    file('server.csr'),
    '-CA',
    file('ca.crt'),
    '-CAkey',
    file('ca.key'),
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    file('names'),
    '-out',
    file('server.crt'),
  );
  const read = (name: string) => readFileSync(file(name), 'utf8');
  return { ca: read('ca.crt'), certificate: read('server.crt'), key: read('server.key') };
}

const indented = (text: string) => text.trim().replaceAll(/^/gm, '      ');

function manifests(
  postgres: TestPostgres,
  certificates: Certificates,
  connections: readonly { name: string; port: number; tls: string; listen?: string }[],
): string {
  const documents = connections.map(
    ({ name, port, tls, listen = '' }) => `
apiVersion: sidewarden.dev/v1alpha1
kind: ProtectedConnection
metadata: { name: ${name} }
spec:
  protocol: postgres
  target: { host: 127.0.0.1, port: ${postgres.port}, database: postgres, tls: { ${tls} } }
  credentials: { secretRef: { name: login } }
  identity: { sources: [{ token: { secretKeyRef: { name: run, key: token }, subject: agent, groups: [agents] } }] }
  listen: { port: ${port} ${listen} }
`,
  );
  return [
    ...documents,
    `
apiVersion: v1
kind: Secret
metadata: { name: login }
stringData: { username: ${postgres.user}, password: ${postgres.password} }
`,
    `
apiVersion: v1
kind: Secret
metadata: { name: run }
stringData: { token: ${TOKEN} }
`,
    `
apiVersion: v1
kind: Secret
metadata: { name: listener }
stringData:
  tls.crt: |
${indented(certificates.certificate)}
  tls.key: |
${indented(certificates.key)}
`,
    `
apiVersion: v1
kind: ConfigMap
metadata: { name: authority }
data:
  ca.crt: |
${indented(certificates.ca)}
`,
    `
apiVersion: sidewarden.dev/v1alpha1
kind: AccessPolicy
metadata: { name: all }
spec:
  connections: [${connections.map(({ name }) => name).join(', ')}]
  subjects: [{ groups: [agents] }]
  rules: [{ name: all, when: 'true', action: Allow }]
`,
  ].join('---');
}

const CA = 'caFrom: { configMapKeyRef: { name: authority, key: ca.crt } }';

void describe('TLS', () => {
  let folder: string;
  let certificates: Certificates;
  let encrypted: TestPostgres;
  let plain: TestPostgres;
  let sidewarden: Sidewarden;
  let plainSidewarden: Sidewarden;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sidewarden-tls-'));
    certificates = makeCertificates(folder);
    [encrypted, plain] = await Promise.all([startPostgres({ tls: certificates }), startPostgres()]);
    const ports = await Promise.all(Array.from({ length: 7 }, () => freePort()));
    const port = (index: number) => ports[index] ?? 0;
    sidewarden = await startSidewarden({
      manifests: manifests(encrypted, certificates, [
        { name: 'full', port: port(0), tls: `mode: verify-full, serverName: localhost, ${CA}` },
        { name: 'other-name', port: port(1), tls: `mode: verify-full, serverName: elsewhere.example, ${CA}` },
        { name: 'no-ca', port: port(2), tls: 'mode: verify-full, serverName: localhost' },
        { name: 'ca-only', port: port(3), tls: `mode: verify-ca, ${CA}` },
        { name: 'unchecked', port: port(4), tls: 'mode: require' },
        {
          name: 'listening',
          port: port(5),
          tls: `mode: verify-full, serverName: localhost, ${CA}`,
          listen: ', tls: { secretRef: { name: listener } }',
        },
      ]),
    });
    plainSidewarden = await startSidewarden({
      manifests: manifests(plain, certificates, [{ name: 'wants-tls', port: port(6), tls: 'mode: require' }]),
    });
  });

  after(async () => {
    await Promise.all([sidewarden.stop(), plainSidewarden.stop()]);
    await Promise.all([encrypted.stop(), plain.stop()]);
    rmSync(folder, { recursive: true, force: true });
  });

  const options = (from: Sidewarden, name: string) => ({
    host: '127.0.0.1',
    port: from.ports.get(name) ?? 0,
    user: 'agent',
    password: TOKEN,
    database: 'postgres',
  });

  async function ask(config: pg.ClientConfig, text: string): Promise<unknown> {
    const client = new pg.Client(config);
    await client.connect();
    try {
      return (await client.query<{ value: unknown }>(text)).rows[0]?.value;
    } finally {
      await client.end();
    }
  }

  const USES_TLS = 'SELECT ssl AS value FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()';

  for (const name of ['full', 'ca-only', 'unchecked']) {
    void test(`the server's side is encrypted: ${name}`, async () => {
      assert.equal(await ask(options(sidewarden, name), USES_TLS), true);
    });
  }

  for (const name of ['other-name', 'no-ca']) {
    void test(`a certificate that does not fit is refused, and the client is not told more: ${name}`, async () => {
      await assert.rejects(ask(options(sidewarden, name), 'SELECT 1'), {
        code: '08006',
        message: `the target of ${name} cannot be reached`,
      });
    });
  }

  void test('a server without TLS is refused where TLS is required', async () => {
    await assert.rejects(ask(options(plainSidewarden, 'wants-tls'), 'SELECT 1'), { code: '08006' });
  });

  void test("the client's side: encrypted with the connection's own certificate", async () => {
    const ssl = { ca: certificates.ca, servername: 'localhost' };
    assert.equal(await ask({ ...options(sidewarden, 'listening'), ssl }, 'SELECT 7 AS value'), 7);
  });

  void test('a client without TLS is refused before it has sent its token', async () => {
    await assert.rejects(ask(options(sidewarden, 'listening'), 'SELECT 1'), { code: '28000' });
  });

  void test('a wrong token is refused', async () => {
    await assert.rejects(ask({ ...options(sidewarden, 'full'), password: 'another token' }, 'SELECT 1'), {
      code: '28P01',
    });
  });

  const listening = () => ({ host: '127.0.0.1', port: sidewarden.ports.get('listening') ?? 0 });

  function direct(protocols: string[] | undefined): Promise<string> {
    return new Promise((done, fail) => {
      const alpn = protocols === undefined ? {} : { ALPNProtocols: protocols };
      const socket = connectTls({ ...listening(), ca: certificates.ca, servername: 'localhost', ...alpn });
      socket.on('secureConnect', () => socket.write(encodeStartup(new Map([['user', 'agent']]))));
      socket.on('data', (bytes: Buffer) => {
        done(bytes.toString('latin1', 0, 1));
        socket.destroy();
      });
      socket.on('close', () => done('closed'));
      // What was sent and not read makes a reset of the closing.
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNRESET') done('closed');
        else fail(error);
      });
      socket.setTimeout(60_000, () => fail(new Error('no answer')));
    });
  }

  void test('direct TLS: taken with the protocol named by ALPN, and not without', async () => {
    assert.equal(await direct(['postgresql']), 'R');
    assert.equal(await direct(undefined), 'closed');
  });

  void test('plaintext behind a TLS request is never read (CVE-2021-23214)', async () => {
    const answer = await new Promise<string>((done, fail) => {
      const socket = connect(listening());
      let all = '';
      socket.on('connect', () =>
        socket.write(Buffer.concat([encodeTlsRequest(), encodeStartup(new Map([['user', 'agent']]))])),
      );
      socket.on('data', (bytes: Buffer) => (all += bytes.toString('latin1')));
      socket.on('close', () => done(all));
      socket.on('error', fail);
      socket.setTimeout(60_000, () => fail(new Error('still open')));
    });
    // One error in clear, no S, and the connection is closed.
    assert.match(answer, /^E.{4}SFATAL\0VFATAL\0C08P01\0/s);
  });
});
