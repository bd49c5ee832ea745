/** Resident memory, from `/proc`. */
import { readdir, readFile } from 'node:fs/promises';

async function status(pid: number, field: string): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  const match = new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text);
  return Number(match?.[1] ?? 0);
}

/** Of a process and all that it has started, in megabytes (10^6 bytes). */
export async function residentMemory(pid: number): Promise<number> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // A process may end between the listing and the reading.
    const parent = await status(Number(name), 'PPid').catch(() => 0);
    parents.set(Number(name), parent);
  }
  const family = new Set([pid]);
  for (let grown = true; grown;) {
    const size = family.size;
    for (const [child, parent] of parents) if (family.has(parent)) family.add(child);
    grown = family.size > size;
  }
  let kilobytes = 0;
  for (const member of family) kilobytes += await status(member, 'VmRSS').catch(() => 0);
  return (kilobytes * 1024) / 1e6;
}
