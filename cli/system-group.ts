/** Groups of the operating system by name. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';

export class UnknownGroup extends Error {
  readonly code = 'unknown-group';
}

/** The group's number. Throws `UnknownGroup`. */
export async function groupId(name: string): Promise<number> {
  const entry = (await getent(name)) ?? (await fromFile(name));
  const id = Number(entry?.split(':')[2] ?? Number.NaN);
  if (Number.isSafeInteger(id)) return id;
  throw new UnknownGroup(`--approver-group: this system has no group ${name}`);
}

/** Also knows directories of users; null where there is no such command or group. */
function getent(name: string): Promise<string | null> {
  return new Promise((done) => {
    execFile('getent', ['group', '--', name], { timeout: 5_000 }, (error, stdout) =>
      done(error === null ? stdout : null),
    );
  });
}

async function fromFile(name: string): Promise<string | undefined> {
  const lines = (await readFile('/etc/group', 'utf8').catch(() => '')).split('\n');
  return lines.find((line) => line.startsWith(`${name}:`));
}
