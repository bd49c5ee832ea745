/**
 * The client's side of a session: each message is parsed, what would run is decided, and what was permitted is sent on
 * byte for byte. In place of a refused message the server gets one that must fail, so that it is the server which fails
 * the batch and the transaction, and its own answers tell the client the truth about both.
 */
import type { Denial } from '../operation.ts';
import type { RecordingEvent } from '../record/event.ts';
import type { Exchange } from './exchange.ts';
import type { ExtendedQuery } from './extended-query.ts';
import type { Masking } from './masking.ts';
import { denialFields } from './refusal.ts';
import { type Run, takesCopy } from './run.ts';
import type { SimpleQuery } from './simple-query.ts';
import { type Step, step } from './step.ts';
import { WireError } from './wire/error.ts';
import type { Frame } from './wire/frame.ts';
import { FRONTEND, readBind, readEmpty, readQuery } from './wire/frontend.ts';

export interface RequestParts {
  readonly exchange: Exchange;
  readonly simple: SimpleQuery;
  readonly extended: ExtendedQuery;
  readonly masking: Masking;
  readonly record: (event: RecordingEvent) => void;
  readonly terminate: () => void;
}

export class Requests {
  readonly #parts: RequestParts;
  readonly #exchange: Exchange;

  constructor(parts: RequestParts) {
    this.#parts = parts;
    this.#exchange = parts.exchange;
  }

  /**
   * Takes one message of the client. A promise when the next must wait; the frame's bytes stay as they are until then.
   * Throws WireError for bytes that are no valid message.
   */
  handle(frame: Frame): Step {
    const exchange = this.#exchange;
    if (frame.tag === FRONTEND.terminate) {
      // As the server does: what was sent before is answered first.
      const waiting = exchange.copyIn ? undefined : exchange.drained();
      return step(waiting, () => {
        this.#parts.terminate();
        return undefined;
      });
    }
    if (exchange.copyIn) return this.#copy(exchange.copyIn, frame);
    if (frame.tag === FRONTEND.sync) return this.#sync(frame);
    if (exchange.discarding) return undefined;
    switch (frame.tag) {
      case FRONTEND.bind:
        return this.#parts.extended.bind(readBind(frame), { ...frame });
      case FRONTEND.execute:
        return this.#parts.extended.execute({ ...frame });
      case FRONTEND.parse:
        return this.#parts.extended.parse({ ...frame });
      case FRONTEND.query:
        return this.#parts.simple.query(readQuery(frame), { ...frame });
      case FRONTEND.describe:
        return this.#parts.extended.describe({ ...frame });
      case FRONTEND.close:
        return this.#parts.extended.close(frame);
      case FRONTEND.flush:
        readEmpty('Flush', frame);
        this.#forward(frame);
        return undefined;
      case FRONTEND.copyData:
      case FRONTEND.copyDone:
      case FRONTEND.copyFail:
        // Left over from a COPY that failed; the server, too, takes no notice.
        return undefined;
      case FRONTEND.functionCall:
        this.#parts.simple.refuse(denialFields(FUNCTION_CALL));
        return undefined;
      default:
        throw new WireError('unexpected-message', `'${String.fromCharCode(frame.tag)}' out of turn`);
    }
  }

  #forward(frame: Frame): void {
    this.#exchange.toServer.forward(frame.buffer, frame.start, frame.end);
  }

  #sync(frame: Frame): undefined {
    readEmpty('Sync', frame);
    const exchange = this.#exchange;
    exchange.discarding = false;
    exchange.midBatch = false;
    exchange.bound = false;
    exchange.executed = false;
    exchange.batch += 1;
    exchange.expectations.push({ kind: 'sync' });
    this.#forward(frame);
  }

  #copy(run: Run, frame: Frame): Step {
    switch (frame.tag) {
      case FRONTEND.copyData:
        this.#parts.masking.copyIn(run, frame, this.#parts.record);
        this.#forward(frame);
        return undefined;
      case FRONTEND.copyDone:
        readEmpty('CopyDone', frame);
        this.#exchange.copyIn = undefined;
        this.#forward(frame);
        return this.#nextCopy(run);
      case FRONTEND.copyFail:
        this.#exchange.copyIn = undefined;
        this.#forward(frame);
        return undefined;
      case FRONTEND.flush:
      case FRONTEND.sync:
        // The server takes no notice of them while it copies.
        return undefined;
      default:
        throw new WireError('unexpected-message', `'${String.fromCharCode(frame.tag)}' during COPY`);
    }
  }

  /** A text may hold several COPY FROM STDIN: data for the next wait until it takes them. */
  #nextCopy(run: Run): Step {
    const { first } = this.#exchange.expectations;
    if (first?.kind !== 'query' || first.failed) return undefined;
    const next = first.runs.slice(first.runs.indexOf(run) + 1).find(takesCopy);
    return next && this.#exchange.copyStarted(next);
  }
}

const FUNCTION_CALL: Denial = {
  code: 'unsupported',
  message: 'the FunctionCall message is not taken here',
  detail: '',
  hint: 'Call the function by a SELECT.',
};
