/**
 * A decision as a file in the state folder's `decisions`: what a person wants is its content, who that person is its owner.
 * A reader trusts the operating system for the second and nothing for the first.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { MAX_OPERATION_TEXT } from '../../crds/approval.ts';
import { isApprovalName } from './name.ts';

export const VERDICTS = ['Approve', 'Deny', 'Modify'] as const;
export type Verdict = (typeof VERDICTS)[number];

const MAX_REASON = 1024;
/** A modified text at its longest in JSON, where each character can take six. */
const MAX_BYTES = MAX_OPERATION_TEXT * 6 + 16_384;
const FILE_NAME = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.json$/;
const FIELDS = new Set(['approval', 'digest', 'shown', 'verdict', 'reason', 'modified']);

/** What a decision file says. */
export interface WrittenDecision {
  readonly approval: string;
  /** Of the operation that the person was shown. */
  readonly digest: string;
  /** SHA-256 of the whole request as shown, so that a changed object on disk does not get its approval. */
  readonly shown: string;
  readonly verdict: Verdict;
  readonly reason: string;
  /** Null unless the verdict is Modify. */
  readonly modified: string | null;
}

export type ReadDecision =
  | { readonly kind: 'decision'; readonly uid: number; readonly decision: WrittenDecision }
  | { readonly kind: 'invalid'; readonly why: string }
  /** Its writer took it back. */
  | { readonly kind: 'gone' }
  /** It cannot be removed (a folder), so that it must not count: it would again. */
  | { readonly kind: 'stuck' };

/** The identifier in a decision file's name; null for another file, such as one that is still being written. */
export function decisionId(fileName: string): string | null {
  return FILE_NAME.exec(fileName)?.[1] ?? null;
}

/** Reads the file and takes it away: whoever removes it has it, so that a decision counts or is withdrawn, never both. */
export async function takeDecision(path: string): Promise<ReadDecision> {
  const read = await readOwned(path);
  if (read.kind === 'gone') return read;
  try {
    await unlink(path);
  } catch (error) {
    if (isMissing(error)) return { kind: 'gone' };
    return { kind: 'stuck' };
  }
  if (read.kind === 'invalid') return read;
  const decision = parseDecision(read.text);
  return typeof decision === 'string'
    ? { kind: 'invalid', why: decision }
    : { kind: 'decision', uid: read.uid, decision };
}

type Owned =
  | { readonly kind: 'owned'; readonly uid: number; readonly text: string }
  | Exclude<ReadDecision, { readonly kind: 'decision' | 'stuck' }>;

async function readOwned(path: string): Promise<Owned> {
  let file: FileHandle;
  try {
    // Neither follows a link nor waits for the other end of a pipe.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    return isMissing(error)
      ? { kind: 'gone' }
      : { kind: 'invalid', why: 'the decision is no file that can be read' };
  }
  try {
    const stat = await file.stat();
    const { uid, nlink, size, mode } = stat;
    if (!stat.isFile()) return { kind: 'invalid', why: 'the decision is not a regular file' };
    if (nlink === 0) return { kind: 'gone' };
    if (nlink !== 1) return { kind: 'invalid', why: 'the decision file has more than one name' };
    if ((mode & 0o022) !== 0)
      return { kind: 'invalid', why: 'the decision file is writable for others than its owner' };
    if (size > MAX_BYTES)
      return { kind: 'invalid', why: `the decision file has ${size} bytes, more than ${MAX_BYTES}` };
    const buffer = Buffer.alloc(size + 1);
    const { bytesRead } = await file.read(buffer, 0, size + 1, 0);
    if (bytesRead !== size)
      return { kind: 'invalid', why: 'the decision file was changed while it was read' };
    return { kind: 'owned', uid, text: buffer.toString('utf8', 0, size) };
  } catch {
    return { kind: 'invalid', why: 'the decision file cannot be read' };
  } finally {
    await file.close();
  }
}

/** The complaint when it is none. */
export function parseDecision(text: string): WrittenDecision | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'the decision file is not JSON';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return 'the decision file is not an object';
  const unknown = Object.keys(value).find((key) => !FIELDS.has(key));
  if (unknown !== undefined)
    return `the decision file has the unknown field ${JSON.stringify(unknown.slice(0, 40))}`;
  // An object that is no list: its fields are all still unknown.
  const { approval, digest, shown, verdict, reason = '', modified = null } = value as Record<string, unknown>;
  if (typeof approval !== 'string' || !isApprovalName(approval))
    return 'approval must be the name of an approval';
  if (typeof digest !== 'string' || typeof shown !== 'string')
    return 'digest and shown must say what was shown';
  const known = VERDICTS.find((candidate) => candidate === verdict);
  if (known === undefined) return `verdict must be one of ${VERDICTS.join(', ')}`;
  if (typeof reason !== 'string' || reason.length > MAX_REASON)
    return `reason must be text of at most ${MAX_REASON} characters`;
  if (modified !== null && typeof modified !== 'string') return 'modified must be text';
  if ((known === 'Modify') !== (modified !== null))
    return 'modified must be set if the verdict is Modify, and only then';
  if (modified !== null && (modified.trim() === '' || modified.length > MAX_OPERATION_TEXT)) {
    return `modified must have 1 to ${MAX_OPERATION_TEXT} characters`;
  }
  return { approval, digest, shown, verdict: known, reason, modified };
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
