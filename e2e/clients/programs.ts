/** Drivers of other languages: fetched by their package managers into `.cache`, run as programs. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../bundle.ts';
import type { Client, Missing, Program } from './client.ts';

const execute = promisify(execFile);
const cache = join(root, '.cache', 'clients');
const sources = import.meta.dirname;

async function run(command: string, args: readonly string[], cwd: string): Promise<string> {
  const { stdout } = await execute(command, args, { cwd, timeout: 240_000, maxBuffer: 16 << 20 });
  return stdout;
}

async function isThere(command: string, version: string): Promise<boolean> {
  try {
    await run(command, [version], sources);
    return true;
  } catch {
    return false;
  }
}

/** Runs `work` unless it was already done for the same contents of these files. */
async function once(name: string, inputs: readonly string[], work: () => Promise<void>): Promise<void> {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(await readFile(join(sources, input)));
  const digest = hash.digest('hex');
  const stamp = join(cache, `${name}.stamp`);
  const before = await readFile(stamp, 'utf8').catch(() => '');
  if (before === digest) return;
  await mkdir(cache, { recursive: true });
  await work();
  await writeFile(stamp, digest);
}

/** A network that is away makes a client missing, not broken. */
async function fetched(
  name: string,
  inputs: readonly string[],
  work: () => Promise<void>,
): Promise<Missing | undefined> {
  try {
    await once(name, inputs, work);
    return undefined;
  } catch (error) {
    return { missing: `${name} could not be set up: ${String(error).slice(0, 2_000)}` };
  }
}

async function psycopg(): Promise<Program | Missing> {
  if (!(await isThere('python3', '--version'))) return { missing: 'no python3' };
  const home = join(cache, 'psycopg');
  const requirements = join(sources, 'psycopg', 'requirements.txt');
  const failure = await fetched('psycopg', ['psycopg/requirements.txt'], async () => {
    await rm(home, { recursive: true, force: true });
    await run('python3', ['-m', 'venv', home], sources);
    await run(join(home, 'bin', 'pip'), ['install', '--quiet', '-r', requirements], sources);
  });
  const script = join(sources, 'psycopg', 'client.py');
  return failure ?? { command: join(home, 'bin', 'python'), args: ['-B', script] };
}

async function pgx(): Promise<Program | Missing> {
  if (!(await isThere('go', 'version'))) return { missing: 'no go' };
  const program = join(cache, 'pgx');
  const failure = await fetched('pgx', ['pgx/go.mod', 'pgx/go.sum', 'pgx/main.go'], async () => {
    await run('go', ['build', '-o', program, '.'], join(sources, 'pgx'));
  });
  return failure ?? { command: program, args: [] };
}

async function jdbc(): Promise<Program | Missing> {
  if (!(await isThere('java', '-version'))) return { missing: 'no java' };
  if (!(await isThere('mvn', '--version'))) return { missing: 'no mvn' };
  const home = join(cache, 'jdbc');
  const classes = join(home, 'classes');
  const source = join(sources, 'jdbc', 'Client.java');
  const failure = await fetched('jdbc', ['jdbc/pom.xml', 'jdbc/Client.java'], async () => {
    await rm(home, { recursive: true, force: true });
    const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${home}`];
    await run('mvn', ['-q', '-B', '-f', join(sources, 'jdbc', 'pom.xml'), ...goal], sources);
    await run('javac', ['-cp', `${home}/*`, '-d', classes, source], sources);
  });
  return (
    failure ?? { command: 'java', args: ['-XX:TieredStopAtLevel=1', '-cp', `${home}/*:${classes}`, 'Client'] }
  );
}

export const programs: readonly Client[] = [
  { name: 'psycopg 3', server: 'current', prepare: psycopg },
  { name: 'pgx', server: 'current', prepare: pgx },
  { name: 'JDBC', server: 'current', prepare: jdbc },
];
