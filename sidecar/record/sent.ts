/**
 * What stays of a segment that went to the object store while its recording goes on: its signed head, and what was counted in it,
 * so that a crash later on can still be told whole in the manifest.
 */
import { counts } from './documents.ts';
import type { SessionCounts } from './event.ts';
import { jsonText } from './json-text.ts';
import { once } from './parts.ts';
import { RecordingError } from './recording-error.ts';
import { parseJson } from './sealed.ts';
import { sentName } from './segment.ts';
import { count, record } from './shape.ts';
import { readWhole, type RecordingStore } from './store.ts';
import type { Tally } from './tally.ts';

const MAX_SENT = 4096;
/** A line's kind stands before what an operation brought along: number, hash and time come first. */
const COUNTED = /"kind":"(?:decision|complete)"/;
const BEGINNING = 256;

/** Counts decisions and rows of exact lines. */
export async function tallyLines(lines: AsyncIterable<string>, tally: Tally): Promise<void> {
  for await (const line of lines) {
    // Most bytes of a recording are rows: those lines are not parsed.
    if (!COUNTED.test(line.slice(0, BEGINNING))) continue;
    const fields = record(parseJson(line, 'the event'), 'the event');
    if (fields['kind'] === 'decision') {
      const kind = record(fields['decision'], 'decision')['kind'];
      if (kind === 'allow' || kind === 'deny' || kind === 'hold' || kind === 'refuse') tally.decided(kind);
    } else if (fields['kind'] === 'complete') {
      tally.returned(count(fields['rows'], 'rows'));
    }
  }
}

export async function readSent(
  store: RecordingStore,
  session: string,
  segment: number,
): Promise<SessionCounts> {
  const name = sentName(segment);
  const bytes = await readWhole(store, session, name, MAX_SENT);
  if (bytes === undefined) throw new RecordingError('format', `${name} is missing`);
  return counts(parseJson(bytes.toString(), name), name);
}

/** From now on the segment counts as stored elsewhere. */
export function writeSent(
  store: RecordingStore,
  session: string,
  segment: number,
  counted: SessionCounts,
): Promise<void> {
  return store.put(session, sentName(segment), once(Buffer.from(jsonText(counted))));
}
