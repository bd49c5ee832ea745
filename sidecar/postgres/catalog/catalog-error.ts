/** Why the catalog could not be read. Errors of the server itself come through as they are. */
export class CatalogError extends Error {
  readonly code: 'bad-name' | 'too-many' | 'unexpected-answer';

  constructor(code: CatalogError['code'], message: string) {
    super(message);
    this.name = 'CatalogError';
    this.code = code;
  }
}
