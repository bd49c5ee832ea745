/** One process of a test cluster: logs to a file, dies with the test process, can be killed and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ComponentOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Where stdout and stderr are appended to. */
  readonly log: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Put before the command, e.g. `nsenter …` that forks once: signals go to its child. */
  readonly inside?: readonly string[];
  /** Starts it again when it ends by itself, as an init system would. */
  readonly keep?: boolean;
}

export interface Component {
  readonly name: string;
  readonly running: boolean;
  /** It does not run, and nothing starts it again by itself. */
  readonly lost: boolean;
  /** Id of the program itself as this process sees it, not of what it was started through. Undefined when it does not run. */
  readonly pid: number | undefined;
  /** Last 200,000 characters that it wrote. */
  logs(): string;
  /** Sends the signal (SIGKILL when none is named) and returns when the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again after `kill`; does not wait until it serves. */
  start(): void;
}

/** Linux only: the kernel kills a component whose test process dies, however that dies. */
const dieWithParent = ['setpriv', '--pdeathsig', 'KILL', '--'] as const;

export function startComponent(options: ComponentOptions): Component {
  const inside = options.inside ?? [];
  const argv = [
    ...dieWithParent,
    ...inside,
    ...(inside.length > 0 ? dieWithParent : []),
    options.command,
    ...options.args,
  ];
  let child: ChildProcess | undefined;
  let ended: Promise<unknown> = Promise.resolve();
  let wanted = true;
  const start = () => {
    wanted = true;
    if (isRunning(child)) throw new Error(`${options.name} runs already`);
    const log = openSync(options.log, 'a');
    const [command = '', ...args] = argv;
    const started = spawn(command, args, {
      env: { ...process.env, ...options.env },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    ended = new Promise((done) => {
      started.once('exit', done);
      started.once('error', done);
    });
    // A test that forgot to stop its cluster still ends; its components end with it.
    started.unref();
    child = started;
    if (options.keep === true)
      void ended.then(() => {
        setTimeout(() => {
          if (wanted && !isRunning(child)) start();
        }, 300).unref();
      });
  };
  start();
  return {
    name: options.name,
    get running() {
      return isRunning(child);
    },
    get lost() {
      return !isRunning(child) && !(wanted && options.keep === true);
    },
    get pid() {
      return programId(child, inside.length > 0);
    },
    logs: () => readFileSync(options.log, 'utf8').slice(-200_000),
    kill: async (signal = 'SIGKILL') => {
      wanted = false;
      if (!isRunning(child)) return;
      const pid = programId(child, inside.length > 0);
      if (pid === undefined) child?.kill('SIGKILL');
      else signalTo(pid, signal);
      // A child that is not referenced does not keep the event loop alive while it is waited for.
      const alive = setInterval(() => undefined, 1000);
      await ended;
      clearInterval(alive);
    },
    start,
  };
}

function isRunning(child: ChildProcess | undefined): boolean {
  return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

function programId(child: ChildProcess | undefined, forks: boolean): number | undefined {
  if (!isRunning(child)) return undefined;
  const pid = child?.pid;
  return pid === undefined || !forks ? pid : childrenOf(pid)[0];
}

/** Ids of a process's children, oldest first; none when it is gone. */
export function childrenOf(pid: number): number[] {
  try {
    const list = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return list.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has just ended by itself.
  }
}

/**
 * Asks until the answer is neither undefined nor an error. Throws the last error, or one that names `what`, after the limit
 * (milliseconds), or at once when a component that must be running is not, with the end of its log.
 */
export async function until<Answer>(
  what: string,
  ask: () => Promise<Answer | undefined> | Answer | undefined,
  {
    limit = 60_000,
    every = 100,
    needs = [],
  }: { readonly limit?: number; readonly every?: number; readonly needs?: readonly Component[] } = {},
): Promise<Answer> {
  const end = performance.now() + limit;
  let cause: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      cause = error;
    }
    for (const component of needs) {
      if (component.lost) throw new Error(`${component.name} has ended:\n${component.logs().slice(-4000)}`);
    }
    if (performance.now() > end) {
      const logs = needs.map((each) => `--- ${each.name}\n${each.logs().slice(-2000)}`).join('\n');
      throw new Error(
        `${what}: not within ${limit} ms: ${cause instanceof Error ? cause.message : ''}\n${logs}`,
        { cause },
      );
    }
    await sleep(every);
  }
}
