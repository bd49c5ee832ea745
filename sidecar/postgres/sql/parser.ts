/** PostgreSQL's own parser, as WebAssembly that may trap: on deep nesting it runs out of stack, and is started anew. */
import type { Node, ParseResult } from '@pgsql/types';
import { tooCostlyToLex } from './lexing-cost.ts';
import load, { type PgQuery } from 'libpg-query/wasm/libpg-query.js';

/** Longer texts are refused before they are parsed: a tree takes some fifty times the memory of its text. */
export const MAX_TEXT_BYTES = 4 * 1024 * 1024;

export interface ParsedStatement {
  readonly node: Node;
  readonly text: string;
  readonly fingerprint: string;
}

export type Parsed =
  | { readonly kind: 'parsed'; readonly statements: readonly ParsedStatement[] }
  | { readonly kind: 'unparseable'; readonly message: string; readonly position: number };

let current: PgQuery | undefined;
let spare: PgQuery | undefined;
let loading: Promise<void> | undefined;
/** Bytes an instance starts with. WebAssembly memory never shrinks: one that grew is replaced afterwards. */
let initialHeap = 0;

/** Loads the parser, and a spare one for when it traps. Call once before anything is parsed. */
export async function loadParser(): Promise<void> {
  current ??= await load();
  initialHeap = current.HEAPU8.length;
  refill();
  await loading;
}

function refill(): void {
  if (spare !== undefined || loading !== undefined) return;
  loading = load().then(
    (instance) => {
      spare = instance;
      loading = undefined;
    },
    () => {
      loading = undefined;
    },
  );
}

function replace(): void {
  current = spare;
  spare = undefined;
  refill();
}

const refusal = (message: string, position = 0): Parsed => ({ kind: 'unparseable', message, position });

/** Never throws: what the parser cannot take is `unparseable`. */
export function parse(text: string): Parsed {
  if (text.length > MAX_TEXT_BYTES || Buffer.byteLength(text) > MAX_TEXT_BYTES) {
    return refusal(`the statement is longer than ${MAX_TEXT_BYTES} bytes`);
  }
  if (text.includes('\0') || !text.isWellFormed()) return refusal('the statement is not valid text');
  if (tooCostlyToLex(text)) return refusal('the statement has runs of operators too long to be read');
  if (current === undefined) replace();
  const instance = current;
  if (instance === undefined) {
    return refusal('the parser is being started: try again');
  }
  try {
    return parseWith(instance, text);
  } catch {
    // The stack ran out, or memory: what state the instance is in is unknown.
    replace();
    return refusal('the statement is nested too deeply or too large to be parsed');
  } finally {
    if (current === instance && instance.HEAPU8.length > 2 * initialHeap) replace();
  }
}

/** The parse tree as JSON, or undefined when there is none; `parse` then says why. */
export function parseTree(text: string): string | undefined {
  const instance = current;
  if (
    instance === undefined ||
    text.length > MAX_TEMPLATE_TEXT ||
    text.includes('\0') ||
    tooCostlyToLex(text)
  )
    return undefined;
  try {
    const tree = withText(instance, text, (pointer) => rawParse(instance, pointer));
    return typeof tree === 'string' ? tree : undefined;
  } catch {
    replace();
    return undefined;
  }
}

const MAX_TEMPLATE_TEXT = 4_096;

function parseWith(instance: PgQuery, text: string): Parsed {
  const tree = withText(instance, text, (pointer) => rawParse(instance, pointer));
  if (typeof tree !== 'string') return tree;
  // The parser's own output: its types are generated from the same definitions.
  const { stmts = [] } = JSON.parse(tree) as ParseResult;
  if (stmts.length === 0) return { kind: 'parsed', statements: [] };
  const ascii = instance.lengthBytesUTF8(text) === text.length;
  const bytes = ascii ? undefined : Buffer.from(text);
  const statements: ParsedStatement[] = [];
  for (const { stmt, stmt_location: start = 0, stmt_len: length } of stmts) {
    const end = length === undefined || length === 0 ? undefined : start + length;
    const own = (bytes === undefined ? text.slice(start, end) : bytes.subarray(start, end).toString()).trim();
    const fingerprint = withText(instance, own, (pointer) => readFingerprint(instance, pointer));
    if (stmt === undefined || fingerprint === undefined)
      return refusal('the statement could not be taken apart');
    statements.push({ node: stmt, text: own, fingerprint });
  }
  return { kind: 'parsed', statements };
}

function withText<T>(instance: PgQuery, text: string, use: (pointer: number) => T): T {
  const size = instance.lengthBytesUTF8(text) + 1;
  const pointer = instance._malloc(size);
  if (pointer === 0) throw new RangeError('no memory for the text');
  instance.stringToUTF8(text, pointer, size);
  const result = use(pointer);
  // Not in a finally block: an instance that trapped is not used again.
  instance._free(pointer);
  return result;
}

/** `{ tree, stderr, error }`, where an error is `{ message, function, file, line, position }`: all pointers or int32. */
function rawParse(instance: PgQuery, pointer: number): string | Parsed {
  const result = instance._wasm_parse_query_raw(pointer);
  if (result === 0) throw new RangeError('no memory for the tree');
  const error = instance.getValue(result + 8, 'i32');
  const read = error === 0 ? readTree(instance, result) : readError(instance, error);
  instance._wasm_free_parse_result(result);
  return read;
}

function readTree(instance: PgQuery, result: number): string {
  const tree = instance.getValue(result, 'i32');
  if (tree === 0) throw new RangeError('no tree');
  return instance.UTF8ToString(tree);
}

function readError(instance: PgQuery, error: number): Parsed {
  const message = instance.getValue(error, 'i32');
  const position = instance.getValue(error + 16, 'i32');
  return refusal(message === 0 ? 'syntax error' : instance.UTF8ToString(message), Math.max(0, position));
}

function readFingerprint(instance: PgQuery, pointer: number): string | undefined {
  const result = instance._wasm_fingerprint(pointer);
  if (result === 0) throw new RangeError('no memory for the fingerprint');
  const fingerprint = instance.UTF8ToString(result);
  instance._wasm_free_string(result);
  return /^[0-9a-f]{1,16}$/.test(fingerprint) ? fingerprint : undefined;
}
