/** `sidewarden recordings list`: which sessions there are. */
import { displayJson, escapeLine } from '../sidecar/approval/display.ts';
import { summarize, type SessionSummary } from '../sidecar/record/read.ts';
import { RecordingError } from '../sidecar/record/recording-error.ts';
import { byteSize, dateTime, duration, out, paint } from './recordings-output.ts';
import { sessionsIn, storeOf, type PlaceOptions } from './recordings-place.ts';
import { width } from './recordings-table.ts';

type Listed = SessionSummary | { readonly session: string; readonly problem: string };

export async function list(options: PlaceOptions): Promise<void> {
  const store = await storeOf(options);
  const listed: Listed[] = [];
  for (const session of await sessionsIn(options)) {
    try {
      listed.push(await summarize(store, session));
    } catch (error) {
      if (!(error instanceof RecordingError)) throw error;
      listed.push({ session, problem: error.message });
    }
  }
  if (options.json === true) await out(`${displayJson(listed.map(jsonOf), 2)}\n`);
  else await out(`${tableOf(listed).join('\n')}\n`);
}

function jsonOf(one: Listed): object {
  if ('problem' in one) return { session: one.session, state: 'unreadable', problem: one.problem };
  const { session, header, manifest, size } = one;
  return {
    session,
    state: stateOf(one),
    startedAt: header.startedAt,
    closedAt: manifest?.closedAt ?? null,
    who: header.who,
    connection: header.connection,
    durability: header.durability,
    events: manifest?.events ?? null,
    counts: manifest?.counts ?? null,
    digest: manifest?.digest ?? null,
    bytes: size,
  };
}

function stateOf({ manifest }: SessionSummary): 'closed' | 'interrupted' | 'unfinished' {
  return manifest === undefined ? 'unfinished' : manifest.end.kind;
}

const TITLES = [
  'STARTED (UTC)',
  'LASTED',
  'WHO',
  'CONNECTION',
  'ALLOWED',
  'DENIED',
  'HELD',
  'ROWS',
  'SIZE',
  'STATE',
  'SESSION',
];

function tableOf(listed: readonly Listed[]): readonly string[] {
  const rows = [TITLES, ...listed.map(cellsOf)];
  const widths = TITLES.map((_, index) => Math.max(...rows.map((row) => width(row[index] ?? ''))));
  return rows.map((row, at) => {
    const line = row
      .map((cell, index) => cell + ' '.repeat((widths[index] ?? 0) - width(cell)))
      .join('  ')
      .trimEnd();
    return at === 0 ? paint('bold', line) : line;
  });
}

function cellsOf(one: Listed): readonly string[] {
  if ('problem' in one) return ['', '', '', '', '', '', '', '', '', 'unreadable', one.session];
  const { session, header, manifest, size } = one;
  const started = Date.parse(header.startedAt);
  const counts = manifest?.counts;
  const refused = counts === undefined ? undefined : counts.deny + counts.refuse;
  return [
    dateTime(started),
    manifest === undefined ? '-' : duration((Date.parse(manifest.closedAt) - started) * 1000),
    escapeLine(header.who.username),
    escapeLine(`${header.connection.namespace}/${header.connection.name}`),
    ...[counts?.allow, refused, counts?.hold, counts?.rows].map((count) =>
      count === undefined ? '-' : String(count),
    ),
    byteSize(size),
    stateOf(one),
    session,
  ];
}
