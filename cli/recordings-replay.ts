/** `sidewarden recordings replay`: the session as it happened, in the terminal. */
import { setTimeout as sleep } from 'node:timers/promises';
import { displayJson } from '../sidecar/approval/display.ts';
import { readEvents } from '../sidecar/record/read.ts';
import { out, paint } from './recordings-output.ts';
import { type CheckedOptions, checkFirst } from './recordings-checked.ts';
import { findSession, storeOf } from './recordings-place.ts';
import { UsageError } from './usage-error.ts';
import { Scene } from './recordings-scene.ts';

export interface ReplayOptions extends CheckedOptions {
  readonly speed: string;
  readonly maxPause: string;
}

export async function replay(typed: string, options: ReplayOptions): Promise<void> {
  const speed = positive(options.speed, '--speed');
  const maxPause = positive(options.maxPause, '--max-pause');
  const session = await findSession(options, typed);
  await checkFirst(options, session);
  const scene = new Scene(paint);
  const stop = new AbortController();
  const interrupt = (): void => stop.abort();
  process.on('SIGINT', interrupt);
  try {
    let last: number | undefined;
    for await (const event of readEvents(await storeOf(options), session)) {
      const frame = scene.frame(event);
      if (options.json === true) {
        await out(`${displayJson({ n: event.n, ...frame })}\n`);
        continue;
      }
      const pause =
        last === undefined ? 0 : Math.min(Math.max(0, frame.at - last) / 1000 / speed, maxPause * 1000);
      last = frame.at;
      // Below a few milliseconds nobody sees it, and timers are no finer.
      if (pause > 2) await sleep(pause, undefined, { signal: stop.signal });
      if (stop.signal.aborted) return;
      await out(frame.text);
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    process.off('SIGINT', interrupt);
    if (stop.signal.aborted) {
      await out('\n-- replay stopped\n');
      process.exitCode = 130;
    }
  }
}

function positive(value: string, name: string): number {
  const number = Number(value);
  if (!(number > 0) || value.trim() === '') throw new UsageError(`${name} must be a number above 0`);
  return number;
}
