/** What is shown, played and handed on was checked first: a changed recording is evidence of something else. */
import { escapeLine } from '../sidecar/approval/display.ts';
import { RecordingError } from '../sidecar/record/recording-error.ts';
import { verifyRecording } from '../sidecar/record/verify.ts';
import { checkingKey, storeOf, type CheckingKey, type PlaceOptions } from './recordings-place.ts';

export interface CheckedOptions extends PlaceOptions {
  readonly unverified?: boolean;
  readonly key?: string;
}

/** The recording is not what was written. Exit code 1. */
export class TamperedError extends Error {}

/** Notes go to standard error. Throws TamperedError unless `--unverified` was given. */
export async function checkFirst(options: CheckedOptions, session: string): Promise<void> {
  if (options.unverified === true) return;
  let key: CheckingKey;
  try {
    key = await checkingKey(options, options.key);
  } catch (error) {
    if (!(error instanceof RecordingError) || options.key !== undefined) throw error;
    note(
      'not verified, since there is no public key beside it: `recordings verify --key` checks it with one',
    );
    return;
  }
  const found = await verifyRecording(await storeOf(options), session, key);
  if (found.kind === 'unfinished')
    note(`unfinished: ${found.reason}; the first ${found.signedEvents} events are signed`);
  if (found.kind !== 'tampered') return;
  throw new TamperedError(
    `TAMPERED: ${found.file}: ${found.reason}. \`recordings verify\` tells more; --unverified shows it all the same`,
  );
}

function note(text: string): void {
  process.stderr.write(`sidewarden: ${escapeLine(text)}\n`);
}
