/** `sidewarden serve` as a child process for tests: manifests from YAML text, a state folder of its own, ready when it returns. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundlePath, ensureBundle } from './bundle.ts';
import { type ManifestOptions, usualManifests } from './manifests.ts';
import { freePort } from './postgres.ts';

export interface Sidewarden {
  readonly host: '127.0.0.1';
  /** Where the first connection listens. */
  readonly port: number;
  /** Port by the connection's name. */
  readonly ports: ReadonlyMap<string, number>;
  /** Folder with the manifests, `manifests.yaml` among them: `changeManifests` changes it, and with it the policy. */
  readonly manifests: string;
  /** The `--state` folder. */
  readonly state: string;
  readonly pid: number;
  /** Milliseconds from starting the process to its ready line. */
  readonly startedIn: number;
  /** Resolves with exit code or signal when the process has ended. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** All that it wrote to stdout and stderr, newest 1 MB. */
  logs(): string;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, SIGKILL after half a minute; removes the folders that it made. */
  stop(): Promise<void>;
}

export interface ServeOptions extends Partial<ManifestOptions> {
  /** YAML documents. Without them `usualManifests` makes some from the rest of these options. */
  readonly manifests?: string;
  /** An existing `--state` folder, which is kept; by default a new one that goes away. */
  readonly state?: string;
  /** Further arguments of `serve`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds to the ready line; 60,000 when not given. */
  readonly timeout?: number;
}

async function manifestText(options: ServeOptions): Promise<string> {
  if (options.manifests !== undefined) return options.manifests;
  const { postgres } = options;
  if (postgres === undefined) throw new Error('startSidewarden needs manifests or postgres');
  return usualManifests({ ...options, postgres, port: options.port ?? (await freePort()) });
}

/** Builds the bundle when needed and starts it. Throws with its log when it is not ready in time. */
export async function startSidewarden(options: ServeOptions): Promise<Sidewarden> {
  await ensureBundle();
  const text = await manifestText(options);
  const directory = await mkdtemp(join(tmpdir(), 'sidewarden-serve-'));
  const manifests = await mkdtemp(join(directory, 'manifests-'));
  await writeFile(join(manifests, 'manifests.yaml'), text, { mode: 0o600 });
  const state = options.state ?? join(directory, 'state');
  const serve = [bundlePath, 'serve', '--manifests', manifests, '--state', state, ...(options.args ?? [])];
  const begun = performance.now();
  const child = spawn(process.execPath, serve, {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | NodeJS.Signals>((done) => {
    child.once('close', (code, signal) => done(code ?? signal ?? -1));
  });
  const log = collect(child);
  const stop = async () => {
    await end(child, ended);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const ports = await ready(child, ended, log, options.timeout ?? 60_000);
    const [port] = ports.values();
    if (port === undefined || child.pid === undefined)
      throw new Error('serve got ready without a connection');
    const startedIn = performance.now() - begun;
    const signal = (name: NodeJS.Signals) => void child.kill(name);
    const { pid } = child;
    return {
      host: '127.0.0.1',
      port,
      ports,
      manifests,
      state,
      pid,
      startedIn,
      ended,
      logs: () => log.text,
      signal,
      stop,
    };
  } catch (error) {
    await stop();
    throw new Error(`${String(error)}\n${log.text}`, { cause: error });
  }
}

/** By renaming, as an editor saves: a file that is written in place may be seen while it is empty. */
export async function changeManifests({ manifests }: Sidewarden, text: string): Promise<void> {
  const hidden = join(manifests, '.manifests.yaml.tmp');
  await writeFile(hidden, text, { mode: 0o600 });
  await rename(hidden, join(manifests, 'manifests.yaml'));
}

interface Log {
  text: string;
  /** Called with each line of stdout. */
  onLine: (line: string) => void;
}

function collect(child: ChildProcess): Log {
  const log: Log = { text: '', onLine: () => undefined };
  const add = (text: string) => {
    log.text = (log.text + text).slice(-1_000_000);
  };
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    add(text);
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) log.onLine(line);
  });
  child.stderr?.setEncoding('utf8').on('data', add);
  return log;
}

/** Waits for `ready NAME HOST:PORT` of each connection and the `ready` that closes them. */
function ready(
  child: ChildProcess,
  ended: Promise<number | NodeJS.Signals>,
  log: Log,
  timeout: number,
): Promise<ReadonlyMap<string, number>> {
  return new Promise((done, fail) => {
    const ports = new Map<string, number>();
    const timer = setTimeout(() => fail(new Error(`serve was not ready within ${timeout} ms`)), timeout);
    log.onLine = (line) => {
      const words = line.trim().split(/\s+/);
      if (words[0] !== 'ready') return;
      const [, name, address] = words;
      if (name !== undefined && address !== undefined) {
        ports.set(name, Number(address.slice(address.lastIndexOf(':') + 1)));
      } else {
        clearTimeout(timer);
        done(ports);
      }
    };
    child.once('error', fail);
    void ended.then((code) => {
      clearTimeout(timer);
      fail(new Error(`serve ended with ${code}`));
    });
  });
}

async function end(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
  await ended;
  clearTimeout(timer);
}
