/** Collects what is to be written to one socket: neighbouring ranges of one buffer become one write. */
import type { Socket } from 'node:net';
import { FrameWriter } from './rows/frame-writer.ts';

export class Outlet {
  readonly #socket: Socket;
  #queue: Uint8Array[] = [];
  #buffer: Buffer | undefined;
  #start = 0;
  #end = 0;
  /** Frames that are made here rather than forwarded; made when first needed. */
  #writer: FrameWriter | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Where frames can be written that follow all that was collected so far. */
  writer(): FrameWriter {
    if (this.#buffer) this.#settle();
    this.#writer ??= new FrameWriter();
    return this.#writer;
  }

  /** Bytes `[start, end)` of a buffer that will not change any more. */
  forward(buffer: Buffer, start: number, end: number): void {
    if (this.#buffer === buffer && this.#end === start) {
      this.#end = end;
      return;
    }
    this.#settle();
    this.#buffer = buffer;
    this.#start = start;
    this.#end = end;
  }

  send(message: Uint8Array): void {
    this.#settle();
    this.#queue.push(message);
  }

  /** Writes all that was collected. False when the socket asks to wait for `drain`. */
  flush(): boolean {
    this.#settle();
    const queue = this.#queue;
    if (queue.length === 0) return !this.#socket.writableNeedDrain;
    if (this.#socket.destroyed || this.#socket.writableEnded) {
      queue.length = 0;
      return true;
    }
    this.#queue = [];
    const only = queue[0];
    if (queue.length === 1 && only) return this.#socket.write(only);
    // A few small pieces cost less as one than as a vector.
    const length = queue.reduce((sum, piece) => sum + piece.length, 0);
    if (length <= 16_384) return this.#socket.write(Buffer.concat(queue, length));
    this.#socket.cork();
    for (const piece of queue) this.#socket.write(piece);
    this.#socket.uncork();
    return !this.#socket.writableNeedDrain;
  }

  #settle(): void {
    if (this.#writer && this.#writer.pending > 0) this.#queue.push(this.#writer.take());
    if (!this.#buffer) return;
    this.#queue.push(
      this.#start === 0 && this.#end === this.#buffer.length
        ? this.#buffer
        : this.#buffer.subarray(this.#start, this.#end),
    );
    this.#buffer = undefined;
  }
}
