/** Where something is in the manifests, and what is wrong there. */
import type { FieldError } from '../../crds/schema/failure.ts';
import { formatPath, type Path } from '../../crds/schema/path.ts';

/** A place in a file. Line and column count from 1, in characters; line 0 is the file as a whole. */
export interface SourceLocation {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface ManifestError extends SourceLocation {
  /** `spec.rules[0].when`; empty when it is about the document or file as a whole. */
  readonly path: string;
  readonly message: string;
}

/** Finds the places of one object's values in its file. */
export interface Locator {
  /**
   * Where the value at a path is, or the nearest thing around it that exists. `offset` counts UTF-16 units into
   * a string value, so that an error inside an expression is found at its own line and column.
   */
  readonly locate: (path: Path, offset?: number) => SourceLocation;
  /** Where the key is that leads to the value. */
  readonly locateKey: (path: Path) => SourceLocation;
}

/** Turns a parser's error into one with its place. */
export function manifestError(locator: Locator, { path, at, message }: FieldError): ManifestError {
  const location = at === 'key' ? locator.locateKey(path) : locator.locate(path);
  return { ...location, path: formatPath(path), message };
}

/** One line an error: `file:line:column: path: message`; nothing in it that a terminal would act on. */
export function formatManifestErrors(errors: readonly ManifestError[]): string {
  return errors.map(formatError).join('\n');
}

function formatError({ file, line, column, path, message }: ManifestError): string {
  const where = line === 0 ? file : `${file}:${line}:${column}`;
  const text = path === '' ? `${where}: ${message}` : `${where}: ${path}: ${message}`;
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, escapeCharacter);
}

function escapeCharacter(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}
