/** Recordings of sessions that have ended: when they are whole. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from './cluster/component.ts';

/** Waits until each recording of a `--state` folder has what its end writes last; there may be none. */
export async function recordingsClosed(state: string): Promise<void> {
  const folder = join(state, 'recordings');
  await until(
    'each recording is closed',
    async () => {
      const sessions = await readdir(folder).catch(() => []);
      const files = await Promise.all(sessions.map((session) => readdir(join(folder, session))));
      return files.every((names) => names.includes('manifest.json')) || undefined;
    },
    { every: 20 },
  );
}
