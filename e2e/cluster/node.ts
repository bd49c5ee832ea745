/**
 * The machine that a test cluster believes to run on: namespaces of its own for processes, mounts, network and host name. Its
 * first process dies with the test process, and the kernel then ends all that runs in it and takes away its mounts and devices;
 * only cgroups and the state folder can be left, and go with the next start.
 */
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { program, toolEnvironment } from './binaries.ts';
import { childrenOf, type Component, startComponent, until } from './component.ts';
import { isAlive } from './lock.ts';

const run = promisify(execFile);
const cgroups = '/sys/fs/cgroup';

export interface Node {
  readonly name: 'node-1';
  /** Put before a command, it runs inside. */
  readonly inside: readonly string[];
  /** The node's own address, which this machine reaches too. */
  readonly address: string;
  /** This machine's address as pods and the API server see it. */
  readonly hostAddress: string;
  /** CIDR; this machine reaches pods by their addresses. */
  readonly podRange: string;
  readonly serviceRange: string;
  /** First address of the range. */
  readonly serviceAddress: string;
  /** As kubelet's `cgroupRoot`. */
  readonly cgroup: string;
  /** What a shell script wrote. Throws when it fails. */
  shell(script: string): Promise<string>;
  /** Ends every process inside. */
  stop(): Promise<void>;
}

export async function startNode(folder: string): Promise<Node> {
  await removeAbandonedCgroups();
  const names = ['--mount', '--net', '--pid', '--uts', '--ipc'];
  const unshare = startComponent({
    name: 'node',
    command: 'unshare',
    args: [...names, '--kill-child', '--mount-proc', '--propagation=private', await program('pause')],
    log: join(folder, 'node.log'),
  });
  const cgroup = `sidewarden-${process.pid}-${unshare.pid ?? 0}`;
  try {
    const init = await until('the node has its first process', () => firstProcess(unshare), {
      every: 10,
      needs: [unshare],
    });
    const inside = ['nsenter', '--target', String(init), '--mount', '--net', '--pid', '--uts', '--ipc', '--'];
    const [command = '', ...prefix] = inside;
    const shell = async (script: string) =>
      (await run(command, [...prefix, 'sh', '-ec', script], { env: toolEnvironment })).stdout;
    await shell(await insideScript(folder));
    const net = await connect(init, shell);
    await makeCgroups(cgroup);
    const stop = () => stopNode(unshare, cgroup);
    return {
      name: 'node-1',
      inside,
      address: `10.${net}.0.2`,
      hostAddress: `10.${net}.0.1`,
      podRange: `10.${net}.1.0/24`,
      serviceRange: `10.${net}.2.0/24`,
      serviceAddress: `10.${net}.2.1`,
      cgroup: `/${cgroup}`,
      shell,
      stop,
    };
  } catch (error) {
    await stopNode(unshare, cgroup);
    throw error;
  }
}

/** `unshare` forks: its child is the first process, once it is no longer `unshare` itself. */
async function firstProcess(unshare: Component): Promise<number | undefined> {
  const [init] = unshare.pid === undefined ? [] : childrenOf(unshare.pid);
  if (init === undefined) return undefined;
  return (await readFile(`/proc/${init}/comm`, 'utf8')).trim() === 'pause' ? init : undefined;
}

/** kubelet, containerd and CNI keep to some fixed folders: they get their own. */
async function insideScript(folder: string): Promise<string> {
  for (const name of ['lib', 'log', 'cni']) await mkdir(join(folder, 'var', name), { recursive: true });
  return `
    mount --make-rshared /
    mount --bind ${folder}/var/lib /var/lib
    mount --bind ${folder}/var/log /var/log
    mount -t tmpfs tmpfs /run
    mkdir -p /run/lock
    hostname node-1
    ip link set lo up
    echo 1 > /proc/sys/net/ipv4/ip_forward
  `;
}

/**
 * A veth pair between this machine and the node, in a 10.x network that is free here. Returns the x. The device's name is taken by
 * the kernel once only: that keeps clusters that start at the same time apart.
 */
async function connect(init: number, shell: Node['shell']): Promise<number> {
  const { stdout: taken } = await run('ip', ['-4', 'route', 'show', 'table', 'all'], {
    env: toolEnvironment,
  });
  for (let net = 200; net < 255; net += 1) {
    if (new RegExp(`(^|\\s)10\\.${net}\\.`).test(taken)) continue;
    const device = `sidewarden${net}`;
    try {
      await ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(init));
    } catch {
      continue;
    }
    await ip('addr', 'add', `10.${net}.0.1/24`, 'dev', device);
    await ip('link', 'set', device, 'up');
    await shell(`
      ip addr add 10.${net}.0.2/24 dev eth0
      ip link set eth0 up
      ip route add default via 10.${net}.0.1
    `);
    await ip('route', 'add', `10.${net}.0.0/16`, 'via', `10.${net}.0.2`);
    return net;
  }
  throw new Error('no free network 10.200.0.0/16 to 10.254.0.0/16');
}

function ip(...args: string[]): Promise<unknown> {
  return run('ip', args, { env: toolEnvironment });
}

/** Folders of all controllers: one each with cgroup v1, one with v2. */
async function hierarchies(): Promise<string[]> {
  const names = await readdir(cgroups);
  if (names.includes('cgroup.controllers')) return [cgroups];
  const found: string[] = [];
  for (const name of names) {
    const files = await readdir(join(cgroups, name)).catch((): string[] => []);
    if (files.includes('cgroup.procs')) found.push(join(cgroups, name));
  }
  return found;
}

async function makeCgroups(cgroup: string): Promise<void> {
  for (const hierarchy of await hierarchies()) await mkdir(join(hierarchy, cgroup), { recursive: true });
}

async function removeCgroups(cgroup: string): Promise<void> {
  for (const hierarchy of await hierarchies()) await removeCgroup(join(hierarchy, cgroup));
}

/** A cgroup's files cannot be removed, and go with their folder. */
async function removeCgroup(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeCgroup(join(folder, entry.name));
  // Its last processes may be dying.
  await until('the cgroup is removed', () => rmdir(folder).then(() => true, isGone), {
    limit: 5000,
    every: 20,
  }).catch(() => undefined);
}

function isGone(error: unknown): true | undefined {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT' ? true : undefined;
}

async function removeAbandonedCgroups(): Promise<void> {
  for (const hierarchy of await hierarchies()) {
    for (const name of await readdir(hierarchy)) {
      const owner = /^sidewarden-(\d+)-\d+$/.exec(name)?.[1];
      if (owner !== undefined && !isAlive(Number(owner))) await removeCgroup(join(hierarchy, name));
    }
  }
}

async function stopNode(unshare: Component, cgroup: string): Promise<void> {
  // SIGKILL to `unshare` is passed on to the first process by --kill-child, and by the kernel to the rest.
  await unshare.kill();
  await removeCgroups(cgroup);
}
