/**
 * Row literals (PostgreSQL documentation, "Composite Type Input and Output Syntax"), as the server writes them:
 *
 *   (1,"a ""b"" \\ c",,"")
 *
 * where nothing between commas is NULL. Characters are bytes (latin1): all that has a meaning is ASCII.
 */

export interface Attribute {
  readonly value: string | null;
  /** As it stands in the literal. */
  readonly text: string;
}

/** Undefined when the literal is none that a server writes. `()` is one NULL, or no attribute at all. */
export function readRecordLiteral(literal: string): readonly Attribute[] | undefined {
  if (!literal.startsWith('(')) return undefined;
  const attributes: Attribute[] = [];
  for (let position = 1; ;) {
    const attribute =
      literal.charAt(position) === '"' ? readQuoted(literal, position) : readPlain(literal, position);
    if (attribute === undefined) return undefined;
    attributes.push(attribute);
    position += attribute.text.length;
    const next = literal.charAt(position++);
    if (next === ')') return position === literal.length ? attributes : undefined;
    if (next !== ',') return undefined;
  }
}

function readPlain(literal: string, start: number): Attribute | undefined {
  let position = start;
  while (position < literal.length && !/[\s"\\(),]/.test(literal.charAt(position))) position++;
  const text = literal.slice(start, position);
  return { value: text === '' ? null : text, text };
}

function readQuoted(literal: string, start: number): Attribute | undefined {
  let value = '';
  let from = start + 1;
  for (let position = from; position < literal.length; position++) {
    const character = literal.charAt(position);
    if (character === '"' && literal.charAt(position + 1) !== '"') {
      return { value: value + literal.slice(from, position), text: literal.slice(start, position + 1) };
    }
    if (character !== '"' && character !== '\\') continue;
    value += literal.slice(from, position);
    from = ++position;
  }
  return undefined;
}

/** Quoted when it must be, as the server does. */
export function writeAttribute(value: string | null): string {
  if (value === null) return '';
  return value !== '' && !/[\s"\\(),]/.test(value) ? value : `"${value.replace(/["\\]/g, '$&$&')}"`;
}
