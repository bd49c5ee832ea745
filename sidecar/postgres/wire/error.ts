/** Bytes that are no valid message. The connection that sent them is closed; `message` names the message type. */
export class WireError extends Error {
  readonly code: 'invalid-message' | 'message-too-long' | 'unexpected-message';
  constructor(code: WireError['code'], message: string) {
    super(message);
    this.name = 'WireError';
    this.code = code;
  }
}
