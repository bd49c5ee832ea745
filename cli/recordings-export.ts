/** `sidewarden recordings export`: JSON Lines as recorded, CSV for spreadsheets, asciicast v2 for players. */
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { escapeForDisplay } from '../sidecar/approval/display.ts';
import { readEvents, readLines } from '../sidecar/record/read.ts';
import type { RecordedEvent } from '../sidecar/record/recorded.ts';
import type { RecordingStore } from '../sidecar/record/store.ts';
import { out, plain, ruleNames } from './recordings-output.ts';
import { type CheckedOptions, checkFirst } from './recordings-checked.ts';
import { findSession, storeOf } from './recordings-place.ts';
import { UsageError } from './usage-error.ts';
import { Scene } from './recordings-scene.ts';

export interface ExportOptions extends CheckedOptions {
  readonly format: string;
  readonly output?: string;
}

type Exporter = (store: RecordingStore, session: string) => AsyncIterable<string>;

export const FORMATS: Readonly<Record<string, Exporter>> = { jsonl, csv, asciicast };

export async function exportSession(typed: string, options: ExportOptions): Promise<void> {
  const exporter = Object.hasOwn(FORMATS, options.format) ? FORMATS[options.format] : undefined;
  if (exporter === undefined)
    throw new UsageError(`--format must be one of ${Object.keys(FORMATS).join(', ')}`);
  const session = await findSession(options, typed);
  await checkFirst(options, session);
  const content = exporter(await storeOf(options), session);
  if (options.output === undefined) {
    for await (const part of content) await out(part);
    return;
  }
  const file = createWriteStream(options.output, { mode: 0o600 });
  const done = finished(file);
  // Told by the await below, also when it fails while this still reads.
  done.catch(() => undefined);
  for await (const part of content) {
    if (file.errored !== null) break;
    await Promise.race([out(part, file), done]);
  }
  file.end();
  await done.catch((cause: unknown) => {
    throw new UsageError(`cannot write ${options.output ?? ''}`, { cause });
  });
}

/** The exact lines: their chain can be followed by whoever has them. */
async function* jsonl(store: RecordingStore, session: string): AsyncGenerator<string> {
  for await (const line of readLines(store, session)) yield `${line}\n`;
}

const COLUMNS = [
  'n',
  'time',
  'kind',
  'operation',
  'decision',
  'rules',
  'statement',
  'parameters',
  'role',
  'approval',
  'verdict',
  'by',
  'text',
  'tag',
  'error',
  'rows',
  'bytes',
  'masked',
  'rowsNotRecorded',
] as const;

type CsvRow = Partial<Record<(typeof COLUMNS)[number], string | number>>;

async function* csv(store: RecordingStore, session: string): AsyncGenerator<string> {
  yield `${COLUMNS.join(',')}\r\n`;
  for await (const event of readEvents(store, session)) {
    const row = rowOf(event);
    yield `${COLUMNS.map((column) => csvCell(row[column] ?? '')).join(',')}\r\n`;
  }
}

/** A text that a spreadsheet would run as a formula is kept from that by an apostrophe before it. */
export function csvCell(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const shown = escapeForDisplay(value);
  const safe = /^[\s'"]*[=+\-@\t\r\n|%]/.test(shown) ? `'${shown}` : shown;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function rowOf({ n, at, event }: RecordedEvent): CsvRow {
  const row: CsvRow = { n, time: isoTime(at), kind: event.kind };
  switch (event.kind) {
    case 'decision': {
      const { facts, decision, operation } = event;
      const rules = decision.kind === 'refuse' ? decision.denial.code : ruleNames(decision.rules);
      const base = { ...row, operation, decision: decision.kind, rules };
      if (facts.kind === 'unknown') return { ...base, statement: facts.text };
      const { statement, parameters, role } = facts.sql;
      return {
        ...base,
        statement: statement.text,
        parameters: parameters.length === 0 ? '' : JSON.stringify(parameters),
        role,
      };
    }
    case 'hold':
      return { ...row, operation: event.operation, approval: event.approval, rules: ruleNames(event.rules) };
    case 'approval': {
      const { operation, approval, verdict, by, reason, modified } = event;
      return { ...row, operation, approval, verdict, by, text: reason, statement: modified ?? '' };
    }
    case 'rows':
      return {
        ...row,
        operation: event.operation,
        rows: event.rows.length,
        text: JSON.stringify(event.rows),
      };
    case 'copy':
      return { ...row, operation: event.operation, bytes: event.data.length, text: event.data.toString() };
    case 'complete': {
      const { operation, tag, error, rows, bytes, masked, rowsNotRecorded } = event;
      return {
        ...row,
        operation,
        tag: tag ?? '',
        error: error?.code ?? '',
        text: error?.message ?? '',
        rows,
        bytes,
        masked,
        rowsNotRecorded,
      };
    }
    case 'notice':
      return { ...row, operation: event.operation ?? '', text: event.message };
    case 'policy-change':
      return { ...row, text: event.error ?? event.policies.map(({ name }) => name).join(', ') };
    case 'session-start':
      return {
        ...row,
        by: event.identity.username,
        text: `${event.connection.namespace}/${event.connection.name}`,
      };
    case 'session-end':
      return { ...row, rows: event.counts.rows, text: event.reason };
  }
}

async function* asciicast(store: RecordingStore, session: string): AsyncGenerator<string> {
  const scene = new Scene(plain);
  let started: number | undefined;
  for await (const event of readEvents(store, session)) {
    if (started === undefined) {
      started = event.at;
      const timestamp = Math.floor(started / 1_000_000);
      yield `${JSON.stringify({ version: 2, width: 120, height: 40, timestamp, title: `sidewarden ${session}` })}\n`;
    }
    const { at, text } = scene.frame(event);
    if (text !== '')
      yield `${JSON.stringify([(at - started) / 1_000_000, 'o', text.replaceAll('\n', '\r\n')])}\n`;
  }
}

function isoTime(at: number): string {
  const date = new Date(at / 1000);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString();
}
