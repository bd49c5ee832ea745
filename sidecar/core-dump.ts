/**
 * Credentials live in memory, and are to be in no core dump. Node can neither lower RLIMIT_CORE nor call prctl(PR_SET_DUMPABLE), and the
 * image has no shell that could do it beforehand. What the kernel offers by a file is which mappings a dump holds (core(5)): none.
 */
import { writeFileSync } from 'node:fs';

/** False where there is no such file: not Linux, or /proc is not mounted. */
export function dumpNothing(): boolean {
  try {
    writeFileSync('/proc/self/coredump_filter', '0');
    return true;
  } catch {
    return false;
  }
}
