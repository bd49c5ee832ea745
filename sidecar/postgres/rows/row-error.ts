/** What the server sent is no row of the layout it announced: nothing of it can be let out. */
export class RowError extends Error {
  readonly code: 'malformed-row' | 'malformed-copy' | 'row-too-large';

  constructor(code: RowError['code'], message: string) {
    super(message);
    this.name = 'RowError';
    this.code = code;
  }
}
