/** What tests do to containers behind kubelet's back. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { program, toolEnvironment } from './binaries.ts';
import { containerdSocket } from './configuration.ts';
import type { Node } from './node.ts';

const run = promisify(execFile);

export interface ContainerReference {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

interface Task {
  readonly id: string;
  /** Inside the node's process namespace. */
  readonly pid: number;
}

export class Containers {
  readonly #folder: string;
  readonly #node: Node;

  constructor(folder: string, node: Node) {
    this.#folder = folder;
    this.#node = node;
  }

  /** `ctr -n k8s.io …`, inside the node; gives its stdout. */
  async ctr(args: readonly string[]): Promise<string> {
    const [command = '', ...prefix] = this.#node.inside;
    const call = [await program('ctr'), '-a', containerdSocket, '-n', 'k8s.io', ...args];
    const { stdout } = await run(command, [...prefix, ...call], {
      env: toolEnvironment,
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  }

  /** A docker-archive or OCI archive that lies on this machine. */
  async importImage(tar: string): Promise<void> {
    await this.ctr(['images', 'import', tar]);
  }

  /** The running container's id and first process. Throws when there is none. */
  async find(reference: ContainerReference): Promise<Task> {
    const labels = {
      'io.kubernetes.pod.namespace': reference.namespace,
      'io.kubernetes.pod.name': reference.pod,
      'io.kubernetes.container.name': reference.container,
    };
    const filter = Object.entries(labels).map(([name, value]) => `labels."${name}"==${value}`);
    const known = (await this.ctr(['containers', 'list', '--quiet', filter.join(',')])).split('\n');
    const tasks = (await this.ctr(['tasks', 'list'])).split('\n').map((line) => line.trim().split(/\s+/));
    for (const [id, pid, state] of tasks)
      if (id !== undefined && known.includes(id) && state === 'RUNNING') return { id, pid: Number(pid) };
    throw new Error(`no running container ${Object.values(reference).join('/')}`);
  }

  /** Sends a signal (SIGKILL when none is named) to the container's first process, as a crash would. */
  async kill(
    reference: ContainerReference,
    signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT' = 'SIGKILL',
  ) {
    const { pid } = await this.find(reference);
    await this.#node.shell(`kill -${signal.slice(3)} ${pid}`);
  }

  /** Runs a shell script in the network of the container, with this machine's programs. */
  async shellInNetwork(reference: ContainerReference, script: string): Promise<string> {
    const { pid } = await this.find(reference);
    return this.#node.shell(`nsenter --target ${pid} --net -- sh -ec '${script.replaceAll("'", `'\\''`)}'`);
  }

  /** What containerd itself wrote, for a test that failed. */
  log(): Promise<string> {
    return readFile(join(this.#folder, 'containerd.log'), 'utf8');
  }
}
