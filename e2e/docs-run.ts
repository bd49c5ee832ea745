/** Runs a page's blocks one after the other, as somebody who follows it would: one folder, one shell's environment. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundlePath, ensureBundle, root } from './bundle.ts';
import { until } from './cluster/component.ts';
import { missingLines, type Block } from './docs-page.ts';
import { freePort } from './postgres.ts';
import { recordingsClosed } from './recordings-closed.ts';

export interface Guest {
  run(block: Exclude<Block, { kind: 'not-run' }>): Promise<void>;
  close(): Promise<void>;
}

/** `database` is the port of the PostgreSQL that stands for the reader's own on 5432. */
export async function newGuest(database: number): Promise<Guest> {
  const { folder, bin } = await newFolder();
  const ports = new Map([
    ['5432', String(database)],
    ['15432', String(await freePort())],
  ]);
  await cp(join(root, 'examples'), join(folder, 'examples'), { recursive: true });
  for (const name of ['connection.yaml']) {
    const path = join(folder, 'examples', 'orders', name);
    await writeFile(path, withPorts(await readFile(path, 'utf8'), ports));
  }
  return new PageGuest(folder, bin, { ports });
}

/** One who works on a cluster: `environment` leads kubectl there, `path` has kubectl and helm. Pages go on from one another. */
export async function newClusterGuest(
  environment: Readonly<Record<string, string>>,
  path: readonly string[],
): Promise<Guest> {
  const { folder, bin } = await newFolder();
  await symlink(join(root, 'charts'), join(folder, 'charts'));
  return new PageGuest(folder, [bin, ...path].join(delimiter), { environment, limit: 300_000 });
}

async function newFolder(): Promise<{ readonly folder: string; readonly bin: string }> {
  await ensureBundle();
  const folder = await mkdtemp(join(tmpdir(), 'sidewarden-docs-'));
  const bin = join(folder, '.bin');
  await mkdir(bin);
  for (const name of ['sidewarden', 'kubectl-sidewarden']) {
    const program = `#!/bin/sh\nexec '${process.execPath}' '${join(dirname(bundlePath), name)}.mjs' "$@"\n`;
    await writeFile(join(bin, name), program);
    await chmod(join(bin, name), 0o755);
  }
  return { folder, bin };
}

function withPorts(text: string, ports: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\b1?5432\b/g, (port) => ports.get(port) ?? port);
}

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<number>;
  readonly printed: () => string;
  over: boolean;
}

interface GuestOptions {
  readonly ports?: ReadonlyMap<string, string>;
  readonly environment?: Readonly<Record<string, string>>;
  /** Milliseconds that a block of commands may take. */
  readonly limit?: number;
}

class PageGuest implements Guest {
  readonly #folder: string;
  readonly #path: string;
  readonly #options: GuestOptions;
  readonly #background: Started[] = [];
  #last: Started | undefined;
  /** What the reader copies from a NOTICE in place of NAME. */
  #approval = 'NAME';

  constructor(folder: string, path: string, options: GuestOptions) {
    this.#folder = folder;
    this.#path = path;
    this.#options = options;
  }

  async run(block: Exclude<Block, { kind: 'not-run' }>): Promise<void> {
    const text = this.#adapted(block.text);
    switch (block.kind) {
      case 'file': {
        const path = join(this.#folder, block.path);
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, `${text}\n`);
        return;
      }
      case 'output': {
        const missing = () => missingLines(text, this.#last?.printed() ?? '');
        // What goes on in the background may still be saying it.
        const isSettled = () => missing().length === 0 || this.#last?.over !== false || undefined;
        // If it does not in time, what is missing says more than that.
        await until('it is printed', isSettled, { every: 20 }).catch(() => undefined);
        assert.deepEqual(
          missing(),
          [],
          `line ${block.line}: not printed; printed was:\n${this.#last?.printed() ?? ''}`,
        );
        return;
      }
      case 'run': {
        // A reader takes longer to type it than a session takes to end.
        if (/recordings/.test(text)) await recordingsClosed(join(this.#folder, '.sidewarden'));
        const { ended, printed } = this.#start(text);
        const code = await ended;
        assert.equal(
          code,
          block.exits,
          `line ${block.line}: exit code ${code}:\n${text}\n${printed()}\n${this.#others()}`,
        );
        return;
      }
      case 'background':
        await this.#until(block.until, text);
        this.#approval =
          /waiting for approval (\S+)/.exec(this.#last?.printed() ?? '')?.[1] ?? this.#approval;
    }
  }

  #adapted(text: string): string {
    const { ports } = this.#options;
    return ports === undefined ? text : withPorts(text, ports).replaceAll('NAME', this.#approval);
  }

  #start(text: string): Started {
    const child = spawn('bash', ['-e', '-u', '-o', 'pipefail', '-c', text], {
      cwd: this.#folder,
      env: {
        ...process.env,
        ...this.#options.environment,
        PATH: [this.#path, process.env['PATH'] ?? ''].join(delimiter),
        USER: userInfo().username,
        LC_ALL: 'C.UTF-8',
        PGCONNECT_TIMEOUT: '60',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      timeout: this.#options.limit ?? 180_000,
    });
    let printed = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => (printed += part));
    const ended = new Promise<number>((done) => child.once('close', (code) => done(code ?? -1)));
    const started: Started = { child, ended, printed: () => printed, over: false };
    void ended.then(() => (started.over = true));
    this.#last = started;
    return started;
  }

  #others(): string {
    return this.#background.map(({ printed }) => `in the background:\n${printed()}`).join('\n');
  }

  async #until(wanted: string, text: string): Promise<void> {
    const started = this.#start(text);
    const { printed } = started;
    this.#background.push(started);
    // Of whole lines: a name may come in two parts.
    const isThere = (): boolean =>
      printed()
        .split('\n')
        .slice(0, -1)
        .some((line) => line === wanted || line.includes(`${wanted} `));
    while (!isThere()) {
      assert.ok(!started.over, `ended before it printed "${wanted}":\n${text}\n${printed()}`);
      await sleep(20);
    }
  }

  async close(): Promise<void> {
    for (const { child, ended } of this.#background) {
      // The whole group: bash, and what it started.
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
        process.kill(-child.pid, 'SIGTERM');
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}
