/** The very program that this is, run as its users run it: `sidewarden serve`, `approvals …`, `recordings …`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The bundle when this runs from it, the source of the same command otherwise. */
export function programPath(): string {
  const here = fileURLToPath(import.meta.url);
  return here.endsWith('.ts') ? join(dirname(here), '..', 'main.ts') : here;
}

export interface Ran {
  readonly code: number;
  readonly lines: readonly string[];
}

/** Runs a command in `folder` to its end; lines of both streams come as they are printed. */
export async function runCommand(
  folder: string,
  args: readonly string[],
  signal: AbortSignal,
  onLine: (line: string) => void = () => undefined,
): Promise<Ran> {
  const lines: string[] = [];
  const child = start(folder, args, (line) => {
    lines.push(line);
    onLine(line);
  });
  const kill = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', kill, { once: true });
  const code = await codeOf(child);
  signal.removeEventListener('abort', kill);
  signal.throwIfAborted();
  return { code, lines };
}

export interface Serving {
  /** What it logged, newest 20,000 characters. */
  log(): string;
  stop(): Promise<void>;
}

const READY_MS = 15_000;

/** `sidewarden serve`, ready when it returns. */
export async function startServe(folder: string, args: readonly string[]): Promise<Serving> {
  let log = '';
  let ready: () => void = () => undefined;
  const told = new Promise<void>((done) => (ready = done));
  const child = start(folder, ['serve', ...args], (line) => {
    log = `${log}${line}\n`.slice(-20_000);
    if (line === 'ready') ready();
  });
  const ended = codeOf(child);
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(timer);
  };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((done) => {
    timer = setTimeout(() => done(`was not ready within ${READY_MS} ms`), READY_MS);
  });
  const gone = ended.then((code) => `ended with ${code}`);
  const problem = await Promise.race([told.then(() => ''), gone, late]);
  clearTimeout(timer);
  if (problem === '') return { log: () => log, stop };
  await stop();
  throw new Error(`serve ${problem}:\n${log}`);
}

function start(cwd: string, args: readonly string[], onLine: (line: string) => void): ChildProcess {
  const child = spawn(process.execPath, [programPath(), ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(onLine);
    });
  }
  return child;
}

function codeOf(child: ChildProcess): Promise<number> {
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (code) => done(code ?? -1));
  });
}
