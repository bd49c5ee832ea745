/** One YAML or JSON file to its documents: plain values that remember where they came from. */
import { isScalar, LineCounter, parseAllDocuments, type Document } from 'yaml';
import type { ManifestFile } from './folder.ts';
import type { Locator, ManifestError } from './location.ts';
import { documentLocator, locationOf, type Source } from './locator.ts';
import { startOf, valueOf, type NodeError, type NodeValue } from './value.ts';

export interface ManifestDocument {
  readonly value: unknown;
  readonly locator: Locator;
}

export interface ParsedFile {
  readonly documents: readonly ManifestDocument[];
  /** Of syntax: what such a document would have said is unknown, and it is left out. */
  readonly errors: readonly ManifestError[];
}

/** Never throws. */
export function parseFile({ file, text }: ManifestFile): ParsedFile {
  const source: Source = { file, text, lines: new LineCounter() };
  try {
    const documents = parseAllDocuments(text, {
      version: '1.2',
      merge: false,
      // The library's own check takes quadratic time; value.ts has one.
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: 'silent',
      lineCounter: source.lines,
    });
    const results = Array.from(documents, (document) => readDocument(source, document));
    return {
      documents: results.flatMap((result) => result.documents),
      errors: results.flatMap((result) => result.errors),
    };
  } catch {
    return {
      documents: [],
      errors: [{ file, line: 0, column: 0, path: '', message: 'cannot be parsed as YAML' }],
    };
  }
}

function readDocument(source: Source, document: Document): ParsedFile {
  // A document of comments only is none.
  if (isEmpty(document)) return { documents: [], errors: [] };
  const syntax = document.errors.length > 0 ? syntaxErrors(document) : directiveErrors(document);
  const result: NodeValue = syntax.length > 0 ? { kind: 'invalid', errors: syntax } : valueOf(document);
  if (result.kind === 'invalid') {
    return { documents: [], errors: result.errors.map((error) => errorAt(source, error)) };
  }
  return { documents: [{ value: result.value, locator: documentLocator(source, document) }], errors: [] };
}

/** Another version would read the same text as something else. */
function directiveErrors({ directives }: Document): readonly NodeError[] {
  if (directives === undefined || directives.yaml.version === '1.2') return [];
  return [{ offset: 0, message: 'only YAML 1.2 is read' }];
}

function isEmpty({ contents, errors }: Document): boolean {
  if (errors.length > 0) return false;
  return contents === null || (isScalar(contents) && contents.value === null && contents.source === '');
}

function syntaxErrors({ contents, errors }: Document): readonly NodeError[] {
  // Too deep for the library, which then reports the same at each level.
  const overflow = errors.find(({ message }) => message.includes('call stack'));
  if (overflow !== undefined) {
    const offset = contents === null ? 0 : startOf(contents);
    return [{ offset, message: 'is nested too deeply' }];
  }
  return errors.map(({ message, pos }) => ({ offset: pos[0], message }));
}

function errorAt(source: Source, { offset, message }: NodeError): ManifestError {
  return { ...locationOf(source, offset), path: '', message };
}
