/** Reads the manifest files of a folder, within limits. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ManifestError } from './location.ts';

const MAX_FILE_BYTES = 1_048_576;
const MAX_FILES = 1000;
const NAME = /^[^.].*\.(yaml|yml|json)$/iu;

export interface ManifestFile {
  readonly file: string;
  readonly text: string;
}

export interface Folder {
  readonly files: readonly ManifestFile[];
  readonly errors: readonly ManifestError[];
  /** Of all that was read: equal for equal content. */
  readonly digest: string;
}

/**
 * `path` is a folder or a single file. Hidden files (editors' and kubelet's own) and subfolders are left aside;
 * links are followed, since a mounted ConfigMap is made of them.
 */
export async function readFolder(path: string): Promise<Folder> {
  const listing = await listFiles(path);
  if (listing.kind === 'invalid') return finish([listing.error]);
  return finish(await Promise.all(listing.files.map(readManifest)));
}

type Listing =
  | { readonly kind: 'listed'; readonly files: readonly string[] }
  | { readonly kind: 'invalid'; readonly error: ManifestError };

async function listFiles(path: string): Promise<Listing> {
  try {
    const entry = await stat(path);
    if (!entry.isDirectory()) return { kind: 'listed', files: [path] };
    const names = (await readdir(path)).filter((name) => NAME.test(name)).sort();
    if (names.length <= MAX_FILES) return { kind: 'listed', files: names.map((name) => join(path, name)) };
    return { kind: 'invalid', error: wholeFile(path, `has more than ${MAX_FILES} manifest files`) };
  } catch (error) {
    return { kind: 'invalid', error: wholeFile(path, `cannot be read: ${codeOf(error)}`) };
  }
}

async function readManifest(file: string): Promise<ManifestFile | ManifestError> {
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for its other end.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const entry = await handle.stat();
      if (!entry.isFile()) return wholeFile(file, 'is not a regular file');
      const buffer = Buffer.alloc(MAX_FILE_BYTES + 1);
      let length = 0;
      while (length < buffer.length) {
        const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      return decode(file, buffer.subarray(0, length));
    } finally {
      await handle.close();
    }
  } catch (error) {
    return wholeFile(file, `cannot be read: ${codeOf(error)}`);
  }
}

function decode(file: string, bytes: Buffer): ManifestFile | ManifestError {
  if (bytes.length > MAX_FILE_BYTES) return wholeFile(file, `is larger than ${MAX_FILE_BYTES} bytes`);
  try {
    return { file, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return wholeFile(file, 'is not UTF-8 text');
  }
}

function finish(results: readonly (ManifestFile | ManifestError)[]): Folder {
  const files = results.filter((result) => 'text' in result);
  const errors = results.filter((result) => 'message' in result);
  const digest = createHash('sha256');
  for (const result of results) {
    digest.update(JSON.stringify([result.file, 'text' in result ? result.text : result.message]));
  }
  return { files, errors, digest: digest.digest('hex') };
}

/**
 * What changes whenever the folder's files may have: names, identities, sizes and times of all that would be read.
 * Cheap enough to ask every few seconds.
 */
export async function folderSignature(path: string): Promise<string> {
  const listing = await listFiles(path);
  if (listing.kind === 'invalid') return listing.error.message;
  return (await Promise.all(listing.files.map(fileSignature))).join('\n');
}

async function fileSignature(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return JSON.stringify([file, ...[dev, ino, size, mtimeNs, ctimeNs].map(String)]);
  } catch (error) {
    return JSON.stringify([file, codeOf(error)]);
  }
}

function wholeFile(file: string, message: string): ManifestError {
  return { file, line: 0, column: 0, path: '', message };
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : 'unknown error';
}
