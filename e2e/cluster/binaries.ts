/**
 * Programs that the suite's clusters are made of: those named by KUBEBUILDER_ASSETS, else those of the cache, else built from Go
 * modules into the cache, which lies outside the checkout so that a fresh clone finds it.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { withLock } from './lock.ts';
import { versions } from './versions.ts';

const run = promisify(execFile);

const kubernetes = [
  'kube-apiserver',
  'kubectl',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
] as const;

export type Program =
  (typeof kubernetes)[number] | 'etcd' | 'containerd' | 'ctr' | 'coredns' | 'versitygw' | 'helm' | 'pause';

/** How a program is had when it is not there yet. */
type Source =
  | { readonly kind: 'package'; readonly package: string }
  | {
      readonly kind: 'build';
      /** Names the folder of the cache; another version is another folder. */
      readonly version: string;
      readonly prepare: (folder: string) => Promise<void>;
      readonly target: string;
      readonly flags: readonly string[];
    };

export const cacheFolder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sidewarden');

/** Go is often installed without being on the PATH of root's shells. */
const path = [process.env['PATH'] ?? '', '/usr/local/go/bin', '/usr/lib/go/bin', '/usr/sbin', '/sbin'].join(
  delimiter,
);
export const toolEnvironment = { ...process.env, PATH: path };

/** Path of a program, built first when need be. Throws with the reason when it cannot be had. */
export async function program(name: Program): Promise<string> {
  const source = sourceOf(name);
  const found = given(name) ?? (source.kind === 'package' ? onPath(name) : cached(name, source.version));
  if (found !== undefined) return found;
  if (source.kind === 'package') throw new Error(`${name} is not installed (package ${source.package})`);
  const folder = join(cacheFolder, 'build', moduleOf(name));
  await mkdir(folder, { recursive: true });
  await withLock(`${folder}.lock`, async () => {
    if (cached(name, source.version) === undefined) await build(name, source, folder);
  });
  return cachePath(name, source.version);
}

function given(name: Program): string | undefined {
  const folder = process.env['KUBEBUILDER_ASSETS'];
  const file = folder === undefined ? undefined : join(folder, name);
  return file !== undefined && existsSync(file) ? file : undefined;
}

function onPath(name: string): string | undefined {
  return path
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));
}

function cachePath(name: Program, version: string): string {
  return join(cacheFolder, 'programs', `${moduleOf(name)}-${version}-${process.arch}`, name);
}

function cached(name: Program, version: string): string | undefined {
  const file = cachePath(name, version);
  return existsSync(file) ? file : undefined;
}

function moduleOf(name: Program): string {
  return isKubernetes(name) ? 'kubernetes' : name;
}

function isKubernetes(name: Program): boolean {
  return (kubernetes as readonly string[]).includes(name);
}

function sourceOf(name: Program): Source {
  switch (name) {
    case 'etcd':
      return { kind: 'package', package: 'etcd-server' };
    case 'containerd':
    case 'ctr':
      return { kind: 'package', package: 'containerd' };
    case 'coredns':
      return fromSources('coredns', versions.coredns);
    case 'pause':
      return fromSources('pause', 'v1');
    case 'versitygw':
      return {
        kind: 'build',
        version: versions.versitygw,
        prepare: (folder) => requireModule(folder, 'github.com/versity/versitygw', versions.versitygw),
        target: 'github.com/versity/versitygw/cmd/versitygw',
        flags: ['-ldflags', '-s -w'],
      };
    case 'helm':
      return {
        kind: 'build',
        version: versions.helm,
        prepare: (folder) => requireModule(folder, 'helm.sh/helm/v3', versions.helm),
        target: 'helm.sh/helm/v3/cmd/helm',
        flags: ['-ldflags', `-s -w -X helm.sh/helm/v3/internal/version.version=${versions.helm}`],
      };
    case 'kube-apiserver':
    case 'kubectl':
    case 'kube-controller-manager':
    case 'kube-scheduler':
    case 'kubelet':
    case 'kube-proxy':
      return {
        kind: 'build',
        version: versions.kubernetes,
        prepare: requireKubernetes,
        target: `k8s.io/kubernetes/cmd/${name}`,
        flags: ['-ldflags', kubernetesFlags()],
      };
  }
}

/** Programs whose few lines of Go lie in `go/`. */
function fromSources(name: 'coredns' | 'pause', version: string): Source {
  return {
    kind: 'build',
    version,
    prepare: async (folder) => {
      await copyFile(join(import.meta.dirname, 'go', name, 'main.go'), join(folder, 'main.go'));
      if (name === 'coredns') await requireModule(folder, 'github.com/coredns/coredns', version);
      else await writeFile(join(folder, 'go.mod'), 'module sidewarden.dev/e2e\n\ngo 1.25.0\n');
    },
    target: '.',
    flags: ['-ldflags', '-s -w'],
  };
}

/** kubectl and helm ask a server for its version: without these flags it would say v0.0.0. */
function kubernetesFlags(): string {
  const [major = '', minor = ''] = versions.kubernetes.slice(1).split('.');
  const values = { gitVersion: versions.kubernetes, gitMajor: major, gitMinor: minor };
  const flags = Object.entries(values).map(
    ([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`,
  );
  return `-s -w ${flags.join(' ')}`;
}

async function requireModule(folder: string, module: string, version: string): Promise<void> {
  await writeFile(
    join(folder, 'go.mod'),
    `module sidewarden.dev/e2e\n\ngo 1.25.0\n\nrequire ${module} ${version}\n`,
  );
}

/** Its go.mod points to staging modules inside its own tree; outside of it they must be replaced by the published ones. */
async function requireKubernetes(folder: string): Promise<void> {
  await requireModule(folder, 'k8s.io/kubernetes', versions.kubernetes);
  const query = ['mod', 'download', '-json', `k8s.io/kubernetes@${versions.kubernetes}`];
  const { stdout } = await run('go', query, { cwd: folder, env: toolEnvironment });
  // The shape of `go mod download -json`.
  const { GoMod } = JSON.parse(stdout) as { GoMod: string };
  const staging = (await readFile(GoMod, 'utf8')).matchAll(/^\s*(k8s\.io\/[\w-]+) => \.\/staging\//gm);
  const lines = [...staging].map(([, name = '']) => `replace ${name} => ${name} ${versions.staging}`);
  await writeFile(join(folder, 'go.mod'), `\n${lines.join('\n')}\n`, { flag: 'a' });
}

async function build(name: Program, source: Source & { kind: 'build' }, folder: string): Promise<void> {
  if (onPath('go') === undefined)
    throw new Error(`${name} is not in the cache, and there is no go to build it`);
  const began = performance.now();
  process.stderr.write(`building ${name} ${source.version} for the test cluster (once, then cached) …\n`);
  await source.prepare(folder);
  const file = cachePath(name, source.version);
  const unfinished = `${file}.${process.pid}`;
  await mkdir(join(file, '..'), { recursive: true });
  await goBuild(folder, ['-o', unfinished, '-trimpath', ...source.flags, source.target]);
  await rename(unfinished, file);
  process.stderr.write(`built ${name} in ${((performance.now() - began) / 1000).toFixed(0)} s\n`);
}

function goBuild(folder: string, args: readonly string[]): Promise<void> {
  return new Promise((done, fail) => {
    const go = spawn('go', ['build', '-mod=mod', '-buildvcs=false', ...args], {
      cwd: folder,
      env: { ...toolEnvironment, CGO_ENABLED: '0' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let words = '';
    go.stderr.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-4000);
    });
    go.once('error', fail);
    go.once('close', (code) => (code === 0 ? done() : fail(new Error(`go build: ${words.trim()}`))));
  });
}
