/** PostgreSQL's own command-line tools, as this machine has them. */
import { execFile, spawn } from 'node:child_process';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Endpoint, libpqEnvironment } from './client.ts';

const execute = promisify(execFile);
const debian = '/usr/lib/postgresql';

export interface Output {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Major version of an installed tool; undefined when there is none. */
export async function toolVersion(name: string): Promise<number | undefined> {
  try {
    const { stdout } = await execute(await toolPath(name), ['--version']);
    const match = /(\d+)(?:\.\d+)?/.exec(stdout);
    return match ? Number(match[1]) : undefined;
  } catch {
    return undefined;
  }
}

/** Debian keeps the server's tools, pgbench among them, off PATH; its wrappers are on it. */
export async function toolPath(name: string): Promise<string> {
  for (let version = 19; version >= 13; version--) {
    const path = join(debian, String(version), 'bin', name);
    try {
      await access(path);
      return path;
    } catch {
      // Not this version: the next older one.
    }
  }
  return name;
}

/** The newest installed server that a `pg_dump` of `version` can read, by its `bin` folder. */
export async function serverBinaries(version: number): Promise<string | undefined> {
  const folder = join(debian, String(version), 'bin');
  try {
    await access(join(folder, 'postgres'));
    return folder;
  } catch {
    return undefined;
  }
}

/** Runs a tool against an endpoint; never throws for its exit status. */
export async function runTool(
  name: string,
  args: readonly string[],
  endpoint: Endpoint,
  input = '',
): Promise<Output> {
  const child = spawn(await toolPath(name), args, {
    env: { ...process.env, ...libpqEnvironment(endpoint), LC_ALL: 'C.UTF-8', PSQLRC: '/dev/null' },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 230_000,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // A tool that fails at once no longer reads its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const status = await new Promise<number>((done, fail) => {
    child.once('error', fail);
    child.once('close', (code) => done(code ?? -1));
  });
  return { status, stdout, stderr };
}
