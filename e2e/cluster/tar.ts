/** Writes tar archives (POSIX ustar, with GNU long names) to a stream. All times are zero, so that equal content is equal bytes. */
import type { Writable } from 'node:stream';

export interface TarEntry {
  /** Without a leading slash. */
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly kind: 'file' | 'directory' | 'link';
  /** Where a link points. */
  readonly target?: string;
  /** Bytes of a file. */
  readonly size: number;
}

const block = 512;
const flags = { file: '0', link: '2', directory: '5' } as const;

/** The header block of an entry, with blocks before it for a name or target that does not fit into 100 bytes. */
export function tarHeader(entry: TarEntry): Buffer {
  const long = [
    ...(Buffer.byteLength(entry.path) > 100 ? [longName('L', entry.path)] : []),
    ...(Buffer.byteLength(entry.target ?? '') > 100 ? [longName('K', entry.target ?? '')] : []),
  ];
  return Buffer.concat([...long, plainHeader(entry, flags[entry.kind])]);
}

/** Zeros that fill up the last block of `size` bytes. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((block - (size % block)) % block);
}

export const tarEnd = Buffer.alloc(2 * block);

/** Resolves when the stream takes more. */
export function writeAll(stream: Writable, bytes: Buffer): Promise<void> {
  return new Promise((done, fail) => {
    stream.write(bytes, (error) => (error ? fail(error) : done()));
  });
}

function longName(flag: 'L' | 'K', name: string): Buffer {
  const bytes = Buffer.from(`${name}\0`);
  const header = plainHeader(
    { path: '././@LongLink', mode: 0o644, uid: 0, gid: 0, kind: 'file', size: bytes.length },
    flag,
  );
  return Buffer.concat([header, bytes, tarPadding(bytes.length)]);
}

function plainHeader(entry: TarEntry, flag: string): Buffer {
  const header = Buffer.alloc(block);
  const octal = (value: number, offset: number, length: number) =>
    header.write(value.toString(8).padStart(length - 1, '0'), offset, length - 1, 'ascii');
  header.write(entry.path, 0, 100);
  octal(entry.mode, 100, 8);
  octal(entry.uid, 108, 8);
  octal(entry.gid, 116, 8);
  octal(entry.size, 124, 12);
  octal(0, 136, 12);
  header.write('        ', 148);
  header.write(flag, 156);
  header.write(entry.target ?? '', 157, 100);
  header.write('ustar\0' + '00', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
