/** The programs that are measured, or measure. */
import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Tools {
  readonly pgbench: string;
  /** What `--version` says. */
  readonly pgbenchVersion: string;
  readonly pgbouncer: string;
  readonly pgbouncerVersion: string;
}

/** A program is not installed; `message` says how to. The bench exits with 3. */
export class MissingTool extends Error {
  readonly code = 'missing-tool';
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

/** Debian keeps pgbench off PATH, and `/usr/sbin` is not on everyone's. */
function usualFolders(): readonly string[] {
  const versions = [19, 18, 17, 16, 15, 14, 13].map((version) => `/usr/lib/postgresql/${version}/bin`);
  const path = (process.env['PATH'] ?? '').split(':').filter((folder) => folder !== '');
  return [...versions, ...path, '/usr/sbin'];
}

async function find(name: string, folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    if (await exists(join(folder, name))) return join(folder, name);
  }
  return undefined;
}

async function version(path: string): Promise<string> {
  const { stdout } = await run(path, ['--version']);
  return (stdout.split('\n')[0] ?? '').trim();
}

/** Finds what is needed; throws `MissingTool` with the line that installs what is not there. */
export async function findTools(folders = usualFolders()): Promise<Tools> {
  const pgbench = await find('pgbench', folders);
  const pgbouncer = await find('pgbouncer', folders);
  if (pgbench === undefined || pgbouncer === undefined) {
    const missing = [...(pgbench ? [] : ['pgbench']), ...(pgbouncer ? [] : ['pgbouncer'])].join(' and ');
    const install = 'apt-get install --no-install-recommends postgresql-contrib pgbouncer';
    throw new MissingTool(`${missing} not found; on Debian and Ubuntu: ${install}`);
  }
  const [pgbenchVersion, pgbouncerVersion] = [await version(pgbench), await version(pgbouncer)];
  return { pgbench, pgbenchVersion, pgbouncer, pgbouncerVersion };
}
