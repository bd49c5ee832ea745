/** `sidewarden recordings verify`: is it what was written? Exit code 0 clean, 1 tampered, 3 unfinished. */
import { displayJson, escapeLine } from '../sidecar/approval/display.ts';
import { verifyRecording, type Verification } from '../sidecar/record/verify.ts';
import type { SessionVerification } from '../sidecar/record/object-store/verify-session.ts';
import { out, paint, plural, progress } from './recordings-output.ts';
import {
  bucketOf,
  checkingKey,
  findSession,
  sessionsIn,
  storeOf,
  type CheckingKey,
  type PlaceOptions,
} from './recordings-place.ts';
import { UsageError } from './usage-error.ts';

export interface VerifyOptions extends PlaceOptions {
  readonly all?: boolean;
  readonly key?: string;
}

export async function verify(typed: string | undefined, options: VerifyOptions): Promise<void> {
  if ((typed === undefined) === (options.all !== true))
    throw new UsageError('name one session, or give --all');
  const sessions = typed === undefined ? await allIn(options) : [await findSession(options, typed)];
  const key = await checkingKey(options, options.key);
  const store = await storeOf(options);
  const found: Verification[] = [];
  const checking = progress();
  if (options.json !== true) await out(keyLine(key));
  for (const [index, session] of sessions.entries()) {
    checking.say(`checking ${index + 1} of ${sessions.length}`);
    const verification = await verifyRecording(store, session, key);
    found.push(verification);
    checking.end();
    if (options.json !== true) await out(resultLines(verification));
  }
  const lists = await verifyLists(typed === undefined ? undefined : sessions[0], options, key);
  if (options.json === true) {
    const { path, keyId, fromState } = key;
    const inBucket = options.store === undefined ? {} : { lists };
    await out(`${displayJson({ key: { path, keyId, fromState }, sessions: found, ...inBucket }, 2)}\n`);
  } else for (const list of lists) await out(listLine(list));
  process.exitCode = exitCode([...found, ...lists]);
}

/** In a bucket, also none: a list may be all that somebody left. */
async function allIn(options: VerifyOptions): Promise<readonly string[]> {
  const bucket = await bucketOf(options);
  return bucket !== undefined && bucket.folders().size > 0 ? bucket.sessions() : sessionsIn(options);
}

/** In a bucket each session has a list of its recordings: that of the one recording, or all. */
async function verifyLists(
  recording: string | undefined,
  options: VerifyOptions,
  key: CheckingKey,
): Promise<readonly SessionVerification[]> {
  const bucket = await bucketOf(options);
  if (bucket === undefined) return [];
  const { verifySession } = await import('../sidecar/record/object-store/verify-session.ts');
  const only = recording === undefined ? undefined : bucket.folderOf(recording);
  const folders =
    recording === undefined ? [...bucket.folders().keys()].sort() : only === undefined ? [] : [only];
  const lists: SessionVerification[] = [];
  for (const folder of folders) lists.push(await verifySession(bucket, folder, key));
  return lists;
}

function listLine(found: SessionVerification): string {
  const folder = escapeLine(found.folder);
  switch (found.kind) {
    case 'clean':
      return `${paint('green', 'clean')}       session ${folder}  ${plural(found.recordings, 'recording')}, none missing\n`;
    case 'unfinished':
      return `${paint('yellow', 'unfinished')}  session ${folder}  ${escapeLine(found.reason)}\n`;
    case 'tampered':
      return `${paint('red', 'TAMPERED')}    session ${folder}  ${escapeLine(found.file)}: ${escapeLine(found.reason)}\n`;
  }
}

function exitCode(found: readonly { readonly kind: Verification['kind'] }[]): number {
  if (found.some(({ kind }) => kind === 'tampered')) return 1;
  return found.some(({ kind }) => kind === 'unfinished') ? 3 : 0;
}

function keyLine({ path, keyId, fromState }: CheckingKey): string {
  const line = `checked with ${path} (key id ${keyId})\n`;
  if (!fromState) return line;
  return `${line}${paint('dim', 'This key lies where the recordings do: give a copy kept elsewhere with --key to check against whoever can write there.')}\n`;
}

function resultLines(found: Verification): string {
  switch (found.kind) {
    case 'clean': {
      const late = found.interrupted;
      const line = `${paint('green', 'clean')}       ${found.session}  ${plural(found.events, 'event')}, digest ${found.digest}\n`;
      if (late === undefined) return line;
      const torn =
        late.tornBytes > 0 ? ` A torn last line of ${plural(late.tornBytes, 'byte')} was left out.` : '';
      const from =
        late.sealedLateFrom > 0 ? ` Events from ${late.sealedLateFrom} on were signed after it.` : '';
      return `${line}  The writer was killed or could not go on.${from}${torn} May be missing: ${escapeLine(late.admits)}.\n`;
    }
    case 'unfinished':
      return (
        `${paint('yellow', 'unfinished')}  ${found.session}  ${escapeLine(found.reason)}\n` +
        `  ${plural(found.events, 'event')} follow on each other, the first ${found.signedEvents} are signed.\n`
      );
    case 'tampered': {
      const where =
        found.event === null ? 'no event is wrong, but' : `the first wrong event is ${found.event}:`;
      return `${paint('red', 'TAMPERED')}    ${found.session}  ${where} ${escapeLine(found.file)}: ${escapeLine(found.reason)}\n`;
    }
  }
}
