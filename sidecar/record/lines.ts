/** Lines of a segment, out of its bytes, live or compressed, within caps: a folder to read may come from anywhere. */
import { Readable } from 'node:stream';
import { constants, createZstdDecompress } from 'node:zlib';
import { MAX_LINE } from './chain.ts';
import { RecordingError } from './recording-error.ts';

export interface Line {
  /** The exact bytes, without the line feed. */
  readonly bytes: Buffer;
  /** False for a last line that has no line feed. */
  readonly whole: boolean;
}

/** Decompresses as it is read; fails after `maximum` bytes of output. */
export async function* decompressed(
  compressed: AsyncIterable<Uint8Array>,
  maximum: number,
): AsyncGenerator<Uint8Array> {
  // 8 MiB of window at most: more than the writer uses, and less than a hostile file may ask for.
  const zstd = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 23 } });
  const source = Readable.from(compressed, { objectMode: false });
  source.on('error', (error) => zstd.destroy(error));
  source.pipe(zstd);
  let total = 0;
  try {
    for await (const part of zstd) {
      // A decompressor gives buffers, though its iterator is typed as any.
      const bytes = part as Buffer;
      total += bytes.length;
      if (total > maximum) throw new RecordingError('format', `it has more than ${maximum} bytes`);
      yield bytes;
    }
  } catch (cause) {
    if (cause instanceof RecordingError) throw cause;
    throw new RecordingError('format', 'it cannot be decompressed', cause);
  } finally {
    source.destroy();
    zstd.destroy();
  }
}

export async function* linesOf(content: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of content) {
    let from = 0;
    for (let at = part.indexOf(10, from); at !== -1; at = part.indexOf(10, from)) {
      parts.push(part.subarray(from, at));
      yield {
        bytes: parts.length === 1 ? asBuffer(part.subarray(from, at)) : Buffer.concat(parts),
        whole: true,
      };
      parts = [];
      length = 0;
      from = at + 1;
    }
    if (from < part.length) {
      parts.push(part.subarray(from));
      length += part.length - from;
    }
    if (length > MAX_LINE) throw new RecordingError('format', `a line is longer than ${MAX_LINE} bytes`);
  }
  if (length > 0) yield { bytes: Buffer.concat(parts), whole: false };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
