/** The largest resident memory of a process since it began, by the kernel's own account. */
import { readFile } from 'node:fs/promises';

/** Megabytes (10^6 bytes). */
export async function peakMemory(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return (Number(/^VmHWM:\s+(\d+)/m.exec(text)?.[1] ?? 0) * 1024) / 1e6;
}
