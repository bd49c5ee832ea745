/** `sidewarden recordings verify`: is it what was written? Exit code 0 clean, 1 tampered, 3 unfinished. */
import { displayJson, escapeLine } from '../sidecar/approval/display.ts';
import { verifyRecording, type Verification } from '../sidecar/record/verify.ts';
import { out, paint, plural } from './recordings-output.ts';
import {
  checkingKey,
  findSession,
  sessionsIn,
  storeOf,
  UsageError,
  type CheckingKey,
  type PlaceOptions,
} from './recordings-place.ts';

export interface VerifyOptions extends PlaceOptions {
  readonly all?: boolean;
  readonly key?: string;
}

export async function verify(typed: string | undefined, options: VerifyOptions): Promise<void> {
  if ((typed === undefined) === (options.all !== true))
    throw new UsageError('name one session, or give --all');
  const sessions = typed === undefined ? await sessionsIn(options) : [await findSession(options, typed)];
  const key = await checkingKey(options, options.key);
  const store = storeOf(options);
  const found: Verification[] = [];
  if (options.json !== true) await out(keyLine(key));
  for (const session of sessions) {
    const verification = await verifyRecording(store, session, key);
    found.push(verification);
    if (options.json !== true) await out(resultLines(verification));
  }
  if (options.json === true) {
    const { path, keyId, fromState } = key;
    await out(`${displayJson({ key: { path, keyId, fromState }, sessions: found }, 2)}\n`);
  }
  process.exitCode = exitCode(found);
}

function exitCode(found: readonly Verification[]): number {
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
      return `${line}  The writer was killed.${from}${torn} May be missing: ${escapeLine(late.admits)}.\n`;
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
