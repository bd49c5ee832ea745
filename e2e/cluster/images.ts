/** The images of the test cluster, put together from what is on this machine. */
import { globSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ensureBundle } from '../bundle.ts';
import { embeddedBinaries } from '../postgres.ts';
import { program } from './binaries.ts';
import { pauseImageName } from './configuration.ts';
import { readDockerfile } from './dockerfile.ts';
import { folderEntries, type Image, type ImageEntry } from './image.ts';
import { findProgram, librariesOf, programsOfMachine } from './programs-of-machine.ts';

export const agentImageName = 'sidewarden.test/agent:e2e';
export const postgresImageName = 'sidewarden.test/postgres:e2e';
export const storeImageName = 'sidewarden.test/store:e2e';

/** Holds a pod's namespaces. */
export async function pauseImage(): Promise<Image> {
  return {
    name: pauseImageName,
    entries: [{ kind: 'copy', path: '/pause', from: await program('pause'), mode: 0o755 }],
    entrypoint: ['/pause'],
  };
}

const shellPrograms =
  'bash sh awk base64 basename cat chmod chown cp curl cut date df dirname echo env expr false find getent grep head hostname id kill ln ls md5sum mkdir mktemp mv nproc od openssl printf ps pwd readlink rm sed seq sha256sum sleep sort stat stty tail tee test timeout touch tr true tty uname uniq wc whoami xargs'.split(
    ' ',
  );

/** What an agent's image may be: shell, usual tools and the real psql; root unless a pod says otherwise, users up to 2000 too. */
export async function agentImage(): Promise<Image> {
  const psql = psqlOfMachine();
  return {
    name: agentImageName,
    entries: [
      ...accounts,
      ...(await programsOfMachine(shellPrograms)),
      { kind: 'link', path: '/bin', target: 'usr/bin' },
      { kind: 'copy', path: '/usr/bin/psql', from: psql, mode: 0o755 },
      ...(await librariesOf([psql])),
      {
        kind: 'copy',
        path: '/etc/ssl/certs/ca-certificates.crt',
        from: '/etc/ssl/certs/ca-certificates.crt',
      },
      { kind: 'directory', path: '/tmp', mode: 0o1777 },
      { kind: 'directory', path: '/home/agent', uid: 1000, gid: 1000 },
    ],
    command: ['/usr/bin/bash'],
  };
}

/** What a Dockerfile of ours makes, with this project's own Node and this machine's libraries in place of its base image. */
async function ownImage(name: string, dockerfile: string, more: readonly ImageEntry[]): Promise<Image> {
  await ensureBundle();
  const node = createRequire(import.meta.url).resolve('node/bin/node');
  const { entries, ...config } = await readDockerfile(dockerfile);
  return {
    name,
    ...config,
    entries: [
      ...entries,
      ...accounts,
      { kind: 'copy', path: '/usr/local/bin/node', from: node, mode: 0o755 },
      ...(await librariesOf([node])),
      {
        kind: 'copy',
        path: '/etc/ssl/certs/ca-certificates.crt',
        from: '/etc/ssl/certs/ca-certificates.crt',
      },
      { kind: 'directory', path: '/tmp', mode: 0o1777 },
      ...more,
    ],
  };
}

export async function operatorImage(tag: string): Promise<Image> {
  return ownImage(`sidewarden-operator:${tag}`, 'Dockerfile.operator', []);
}

/** With iptables, as its Dockerfile installs it. */
export async function sidecarImage(tag: string): Promise<Image> {
  return ownImage(`sidewarden-sidecar:${tag}`, 'Dockerfile.sidecar', await iptables());
}

async function iptables(): Promise<ImageEntry[]> {
  const program = findProgram('iptables');
  const plugins = globSync('/usr/lib/*/xtables');
  const names = ['iptables', 'ip6tables', 'iptables-restore', 'ip6tables-restore', 'iptables-save'];
  return [
    { kind: 'copy', path: '/usr/sbin/xtables-nft-multi', from: program, mode: 0o755 },
    ...names.map((name): ImageEntry => ({
      kind: 'link',
      path: `/usr/sbin/${name}`,
      target: 'xtables-nft-multi',
    })),
    ...(await librariesOf([program])),
    ...(await Promise.all(plugins.map((folder) => folderEntries(folder, folder)))).flat(),
  ];
}

/**
 * PostgreSQL 18 on port 5432 as UID 999, its data in `/data` (an emptyDir keeps it over restarts of the container). Environment:
 * POSTGRES_PASSWORD of the user postgres. Arguments go to `postgres`, e.g. `-c ssl=on`.
 */
export async function postgresImage(): Promise<Image> {
  const binaries = embeddedBinaries();
  const script = `#!/usr/bin/bash
set -e
if [ ! -s /data/pg/PG_VERSION ]; then
  umask 077
  printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
  initdb -D /data/pg -U postgres -E UTF8 --locale=C -A scram-sha-256 --pwfile=/tmp/password -N > /tmp/initdb.log
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> /data/pg/pg_hba.conf
fi
exec postgres -D /data/pg -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
`;
  return {
    name: postgresImageName,
    entries: [
      ...accounts,
      ...(await programsOfMachine(['bash', 'sh', 'cat', 'rm', 'locale'])),
      { kind: 'link', path: '/bin', target: 'usr/bin' },
      { kind: 'file', path: '/start', content: script, mode: 0o755 },
      ...(await folderEntries(dirname(binaries), '/usr/local/pgsql')),
      ...(await librariesOf([join(binaries, 'postgres'), join(binaries, 'initdb')])),
      { kind: 'directory', path: '/data', uid: 999, gid: 999 },
      { kind: 'directory', path: '/tmp', mode: 0o1777 },
    ],
    entrypoint: ['/start'],
    env: { PATH: '/usr/local/pgsql/bin:/usr/bin' },
    user: '999:999',
  };
}

/**
 * S3 on port 7070 with versions and Object Lock (versitygw), objects in `/data`. Environment: ROOT_ACCESS_KEY_ID and
 * ROOT_SECRET_ACCESS_KEY. Runs as UID 999.
 */
export async function storeImage(): Promise<Image> {
  return {
    name: storeImageName,
    entries: [
      ...accounts,
      { kind: 'copy', path: '/usr/bin/versitygw', from: await program('versitygw'), mode: 0o755 },
      { kind: 'directory', path: '/data', uid: 999, gid: 999 },
      { kind: 'directory', path: '/data/objects', uid: 999, gid: 999 },
      { kind: 'directory', path: '/data/versions', uid: 999, gid: 999 },
      { kind: 'directory', path: '/tmp', mode: 0o1777 },
    ],
    entrypoint: ['/usr/bin/versitygw'],
    command: ['--port', ':7070', 'posix', '--versioning-dir', '/data/versions', '/data/objects'],
    user: '999:999',
  };
}

const users = [
  ['root', 0, '/root'],
  ['agent', 1000, '/home/agent'],
  ['other', 1001, '/home/agent'],
  ['postgres', 999, '/data'],
  ['sidecar', 64_937, '/tmp'],
  ['operator', 64_938, '/tmp'],
  ['nobody', 65_534, '/tmp'],
] as const;

const accounts: readonly ImageEntry[] = [
  {
    kind: 'file',
    path: '/etc/passwd',
    content: users.map(([name, id, home]) => `${name}:x:${id}:${id}::${home}:/usr/bin/bash\n`).join(''),
  },
  { kind: 'file', path: '/etc/group', content: users.map(([name, id]) => `${name}:x:${id}:\n`).join('') },
  { kind: 'file', path: '/etc/nsswitch.conf', content: 'passwd: files\ngroup: files\nhosts: files dns\n' },
];

/** Debian's `/usr/bin/psql` is a Perl script around the real one. */
function psqlOfMachine(): string {
  const [newest] = globSync('/usr/lib/postgresql/*/bin/psql').sort().reverse();
  return newest ?? findProgram('psql');
}
