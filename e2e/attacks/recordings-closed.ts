/** Recordings of sessions that have ended: when they are whole. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until each recording of a `--state` folder has what its end writes last. */
export async function recordingsClosed(state: string): Promise<void> {
  const folder = join(state, 'recordings');
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(20)) {
    const files = await Promise.all((await readdir(folder)).map((session) => readdir(join(folder, session))));
    if (files.every((names) => names.includes('manifest.json'))) return;
  }
  assert.fail('a recording was not closed');
}
