/** A certificate authority for one test cluster, by openssl 3: ECDSA P-256, valid for two days. */
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface KeyPair {
  /** PEM */
  readonly certificate: string;
  /** PEM, PKCS #8 */
  readonly key: string;
}

/** Kubernetes reads a client's name from CN and its groups from the O fields. */
export interface Subject {
  readonly user: string;
  readonly groups?: readonly string[];
}

export interface Authority {
  /** PEM */
  readonly certificate: string;
  client(subject: Subject): Promise<KeyPair>;
  /** Names as openssl writes them, e.g. `DNS:localhost`, `IP:127.0.0.1`. */
  server(names: readonly string[]): Promise<KeyPair>;
}

/** Keeps its certificate and key in the folder, which it makes. */
export async function createAuthority(folder: string): Promise<Authority> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Without a configuration of its own openssl makes every certificate an authority.
  await writeFile(join(folder, 'openssl.cnf'), '[req]\ndistinguished_name=names\n[names]\n');
  let issued = 0;
  const issue = async (subject: string, extensions: readonly string[], signedBy: readonly string[]) => {
    const { privateKey } = signingKey();
    const key = join(folder, `${issued++}.key`);
    await writeFile(key, privateKey, { mode: 0o600 });
    const request = ['req', '-x509', '-new', '-utf8', '-sha256', '-days', '2', '-subj', subject, '-key', key];
    const added = extensions.flatMap((extension) => ['-addext', extension]);
    const config = ['-config', join(folder, 'openssl.cnf')];
    const { stdout } = await run('openssl', [...request, ...config, ...signedBy, ...added]);
    return { certificate: stdout, key: privateKey, keyFile: key };
  };
  const own = await issue('/CN=sidewarden test authority', authority, []);
  const file = join(folder, 'ca.crt');
  await writeFile(file, own.certificate);
  const signedBy = ['-CA', file, '-CAkey', own.keyFile];
  return {
    certificate: own.certificate,
    client: ({ user, groups = [] }) => {
      const fields = [...groups.map((group) => `/O=${escape(group)}`), `/CN=${escape(user)}`];
      return issue(fields.join(''), [...leaf, 'extendedKeyUsage=clientAuth'], signedBy);
    },
    server: (names) => {
      const extensions = [...leaf, 'extendedKeyUsage=serverAuth', `subjectAltName=${names.join(',')}`];
      return issue('/CN=sidewarden test server', extensions, signedBy);
    },
  };
}

const authority = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'];
const leaf = ['basicConstraints=critical,CA:FALSE', 'keyUsage=critical,digitalSignature'];

/** A pair for signing service account tokens, PEM. */
export function signingKey(): { readonly publicKey: string; readonly privateKey: string } {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}

function escape(text: string): string {
  return text.replaceAll(/[\\/+]/g, String.raw`\$&`);
}
