/** Bodies of requests: bounded, in time, and nothing but what is expected. */
import type { IncomingMessage } from 'node:http';
import type { Parsed } from '../../crds/schema/failure.ts';
import { formatPath } from '../../crds/schema/path.ts';
import { MAX_REQUEST } from '../../sidecar/broker/protocol.ts';
import { Shares } from '../shares.ts';
import { BrokerFailure } from './broker-failure.ts';
import { ByteQuota } from './quota.ts';

/** Milliseconds for a whole message, and between two pieces of a file. */
const MESSAGE_DEADLINE = 15_000;
const IDLE_DEADLINE = 20_000;

/** Bytes of messages that are being read, in all and of one pod: the operator's memory is 512 MiB, and one message has at most 4. */
const UNDER_WAY = { whole: 64 * 1024 * 1024, each: 8 * 1024 * 1024 };

/** The messages of all pods. */
export class Messages {
  readonly #underWay = new Shares(UNDER_WAY);
  readonly #quota = new ByteQuota();
  readonly #clock: () => number;

  /** Milliseconds of a clock that never jumps. */
  constructor(clock = () => performance.now()) {
    this.#clock = clock;
  }

  /** Rejects with `invalid`, and with `unavailable` when the pod sends too much. */
  async read<T>(podUid: string, request: IncomingMessage, parse: (input: unknown) => Parsed<T>): Promise<T> {
    if (request.headers['content-type'] !== 'application/json')
      throw new BrokerFailure('invalid', 'the content type must be application/json');
    const bytes: Buffer[] = [];
    let length = 0;
    const late = setTimeout(() => request.destroy(), MESSAGE_DEADLINE);
    try {
      for await (const piece of pieces(request, MAX_REQUEST)) {
        if (length + piece.length > MAX_REQUEST)
          throw new BrokerFailure('invalid', 'the message is too long');
        this.#quota.spend(podUid, piece.length, this.#clock());
        if (!this.#underWay.take(podUid, piece.length))
          throw new BrokerFailure('unavailable', 'too much is being sent at once; try again');
        length += piece.length;
        bytes.push(piece);
      }
      return parsedMessage(Buffer.concat(bytes), parse);
    } finally {
      clearTimeout(late);
      this.#underWay.give(podUid, length);
    }
  }
}

export function parsedMessage<T>(bytes: Buffer, parse: (input: unknown) => Parsed<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new BrokerFailure('invalid', 'the message is not JSON');
  }
  const parsed = parse(value);
  if (parsed.kind === 'parsed') return parsed.value;
  const [first] = parsed.errors;
  throw new BrokerFailure(
    'invalid',
    first === undefined
      ? 'the message is not valid'
      : `${formatPath(first.path)}: ${first.message}`.slice(0, 1024),
  );
}

/** A file's content: exactly so many bytes, or the reading throws `invalid`. */
export async function* fileContent(request: IncomingMessage, bytes: number): AsyncGenerator<Uint8Array> {
  let left = bytes;
  let late = setTimeout(() => request.destroy(), IDLE_DEADLINE);
  try {
    for await (const piece of pieces(request, bytes)) {
      clearTimeout(late);
      left -= piece.length;
      if (left < 0) throw new BrokerFailure('invalid', 'the file is longer than it was said to be');
      yield piece;
      late = setTimeout(() => request.destroy(), IDLE_DEADLINE);
    }
  } finally {
    clearTimeout(late);
  }
  if (left > 0) throw new BrokerFailure('invalid', 'the file is shorter than it was said to be');
}

async function* pieces(request: IncomingMessage, most: number): AsyncGenerator<Buffer> {
  const declared = request.headers['content-length'];
  if (declared !== undefined && Number(declared) > most)
    throw new BrokerFailure('invalid', 'the body is too long');
  try {
    // An IncomingMessage without an encoding yields Buffers, says Node's documentation.
    yield* request as AsyncIterable<Buffer>;
  } catch (error) {
    throw new BrokerFailure('invalid', 'the body ended early', error);
  }
}
