/** Who an operating system's user is, by the system's own word. */
import { execFile } from 'node:child_process';

export interface Approver {
  readonly username: string;
  readonly uid: number;
  /** Of the operating system, and those that the operator of `serve` gave. */
  readonly groups: readonly string[];
}

/** Further groups by user name. */
export type ApproverGroups = ReadonlyMap<string, readonly string[]>;

/** A user that the system has no name for is called `uid:1234` and has no groups of the system. */
export async function approverOf(uid: number, further: ApproverGroups): Promise<Approver> {
  const [name, groups] = await Promise.all([id(['-un'], uid), systemGroups(uid)]);
  const username = name?.trim() ?? '';
  const known = username === '' ? `uid:${uid}` : username;
  return { username: known, uid, groups: [...new Set([...groups, ...(further.get(known) ?? [])])] };
}

/** Group names can have blanks in them, which only GNU's `-z` tells apart; elsewhere names and numbers must agree in number. */
async function systemGroups(uid: number): Promise<readonly string[]> {
  const exact = await id(['-Gnz'], uid);
  if (exact !== null) return exact.split('\0').filter((group) => group !== '');
  const [names, numbers] = await Promise.all([id(['-Gn'], uid), id(['-G'], uid)]);
  const listed = names?.trim().split(/\s+/) ?? [];
  return listed.length === numbers?.trim().split(/\s+/).length ? listed.filter((group) => group !== '') : [];
}

/** Null when the command fails, as it does for an unknown user. */
function id(options: readonly string[], uid: number): Promise<string | null> {
  return new Promise((done) => {
    const settings = { env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C' }, timeout: 5_000 };
    execFile('id', [...options, String(uid)], settings, (error, stdout) =>
      done(error === null ? stdout : null),
    );
  });
}
