/** What a process has computed so far: says the same on a busy machine as on an idle one. */
import { readFile } from 'node:fs/promises';

/** Linux counts in hundredths of a second, on all its platforms. */
const TICK = 10;

/** Milliseconds, in user mode and in the kernel. */
export async function processorTime(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may hold spaces; user and system time are the twelfth and thirteenth field behind it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}
