/** How tests talk to a cluster: kubeconfig files for any user, kubectl, a configuration for the client library. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { program } from './binaries.ts';
import type { KeyPair, Subject } from './certificates.ts';

export interface KubectlOptions {
  /** By default the administrator. */
  readonly as?: Subject;
  /** What kubectl reads on stdin, e.g. with `apply -f -`. */
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Access {
  /** `https://HOST:PORT` of the API server. */
  readonly url: string;
  /** PEM of the authority that signed the API server's certificate. */
  readonly ca: string;
  /** Path of the administrator's kubeconfig (group `system:masters`). */
  readonly kubeconfig: string;
  /** The administrator's configuration for `@kubernetes/client-node`. */
  readonly client: KubeConfig;
  /** Path of a kubeconfig with a client certificate of this user and groups. */
  kubeconfigFor(subject: Subject): Promise<string>;
  clientFor(subject: Subject): Promise<KubeConfig>;
  /** What kubectl wrote to stdout. Throws with its stderr when it fails. */
  kubectl(args: readonly string[], options?: KubectlOptions): Promise<string>;
  /** As `kubectl`, for what may fail. */
  kubectlOutcome(args: readonly string[], options?: KubectlOptions): Promise<Outcome>;
  /** `kubectl apply -f -` of YAML documents. Throws with what the API server said. */
  apply(yaml: string, options?: KubectlOptions): Promise<string>;
}

interface AccessOptions {
  readonly folder: string;
  readonly url: string;
  readonly ca: string;
  /** Client certificates of this cluster. */
  readonly client: (subject: Subject) => Promise<KeyPair>;
}

export const administrator: Subject = { user: 'admin', groups: ['system:masters'] };

export async function createAccess(options: AccessOptions): Promise<Access> {
  const { folder, url, ca } = options;
  const files = new Map<string, Promise<string>>();
  const write = async (subject: Subject, name: string) => {
    const file = join(folder, `${name}.kubeconfig`);
    const text = kubeconfigText({ url, ca, subject, pair: await options.client(subject) });
    await writeFile(file, text, { mode: 0o600 });
    return file;
  };
  const kubeconfigFor = (subject: Subject) => {
    const key = JSON.stringify([subject.user, subject.groups ?? []]);
    const known = files.get(key);
    if (known) return known;
    const made = write(subject, createHash('sha256').update(key).digest('hex').slice(0, 16));
    files.set(key, made);
    return made;
  };
  const kubeconfig = await write(administrator, 'admin');
  const clientFor = async (subject: Subject) => load(await kubeconfigFor(subject));
  const outcome = async (args: readonly string[], { as, ...rest }: KubectlOptions = {}) =>
    runKubectl(as ? await kubeconfigFor(as) : kubeconfig, folder, args, rest);
  return {
    url,
    ca,
    kubeconfig,
    client: load(kubeconfig),
    kubeconfigFor,
    clientFor,
    ...kubectlBy(outcome),
  };
}

/** The three ways to call kubectl, by the one that never throws. */
export function kubectlBy(
  kubectlOutcome: Access['kubectlOutcome'],
): Pick<Access, 'kubectl' | 'kubectlOutcome' | 'apply'> {
  const kubectl: Access['kubectl'] = async (args, call) => {
    const { code, stdout, stderr } = await kubectlOutcome(args, call);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} exited with ${code}: ${stderr.trim()}`);
    return stdout;
  };
  const apply: Access['apply'] = (yaml, call) => kubectl(['apply', '-f', '-'], { ...call, input: yaml });
  return { kubectl, kubectlOutcome, apply };
}

function load(file: string): KubeConfig {
  const config = new KubeConfig();
  config.loadFromFile(file);
  return config;
}

interface KubeconfigOptions {
  readonly url: string;
  readonly ca: string;
  readonly subject: Subject;
  readonly pair: KeyPair;
}

/** JSON is YAML. */
export function kubeconfigText({ url, ca, subject, pair }: KubeconfigOptions): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const user = {
    'client-certificate-data': base64(pair.certificate),
    'client-key-data': base64(pair.key),
  };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority-data': base64(ca) } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: subject.user, namespace: 'default' } }],
    users: [{ name: subject.user, user }],
  });
}

export async function runKubectl(
  kubeconfig: string,
  folder: string,
  args: readonly string[],
  { input, cwd, env }: Omit<KubectlOptions, 'as'>,
): Promise<Outcome> {
  const kubectl = await program('kubectl');
  return new Promise((done) => {
    const child = execFile(
      kubectl,
      args,
      {
        cwd,
        env: { ...process.env, KUBECONFIG: kubeconfig, KUBECACHEDIR: join(folder, 'kubectl-cache'), ...env },
        maxBuffer: 256 * 1024 * 1024,
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        done({ code, stdout, stderr: code === -1 ? `${stderr}${error?.message ?? ''}` : stderr });
      },
    );
    // kubectl may end before it has read everything.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input ?? '');
  });
}
