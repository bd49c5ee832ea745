/**
 * Array literals (PostgreSQL documentation, "Array Input and Output Syntax"), as the server writes them:
 *
 *   [1:2][0:1]={{a,"b \" c"},{NULL,d}}
 *
 * Characters are bytes (latin1): all that has a meaning is ASCII.
 */

/** Undefined when the literal is none that a server writes. The text of what is not changed stays as it was. */
export function mapArrayLiteral(
  literal: string,
  delimiter: string,
  map: (element: string | null) => string | null,
): string | undefined {
  let position = /^(?:\[-?\d{1,10}:-?\d{1,10}\]){0,6}=/.exec(literal)?.[0].length ?? 0;
  let out = literal.slice(0, position);
  let depth = 0;
  /** What may come next: an element or brace, or what follows one. */
  let expected: 'open' | 'first' | 'item' | 'after' = 'open';
  while (position < literal.length) {
    const character = literal.charAt(position);
    if (expected === 'after') {
      if (character === '}') depth--;
      else if (character !== delimiter) return undefined;
      else expected = 'item';
      out += character;
      position++;
      if (depth === 0) return position === literal.length ? out : undefined;
    } else if (character === '{') {
      depth++;
      expected = 'first';
      out += character;
      position++;
    } else if (character === '}' && expected === 'first') {
      expected = 'after';
    } else {
      const element = expected === 'open' ? undefined : readElement(literal, position, delimiter);
      if (element === undefined) return undefined;
      const mapped = map(element.value);
      out +=
        mapped === element.value
          ? literal.slice(position, element.end)
          : writeArrayElement(mapped, delimiter);
      position = element.end;
      expected = 'after';
    }
  }
  return undefined;
}

interface Element {
  readonly value: string | null;
  readonly end: number;
}

function readElement(literal: string, start: number, delimiter: string): Element | undefined {
  if (literal.charAt(start) === '"') return readQuoted(literal, start + 1);
  let position = start;
  while (position < literal.length) {
    const character = literal.charAt(position);
    if (character === delimiter || character === '}') break;
    if (/[\s"\\{]/.test(character)) return undefined;
    position++;
  }
  if (position === start) return undefined;
  const value = literal.slice(start, position);
  return { value: value.toUpperCase() === 'NULL' ? null : value, end: position };
}

function readQuoted(literal: string, start: number): Element | undefined {
  let value = '';
  let from = start;
  for (let position = start; position < literal.length; position++) {
    const character = literal.charAt(position);
    if (character === '"') return { value: value + literal.slice(from, position), end: position + 1 };
    if (character !== '\\') continue;
    value += literal.slice(from, position);
    from = ++position;
  }
  return undefined;
}

/** Quoted when it must be, as the server does. */
export function writeArrayElement(value: string | null, delimiter: string): string {
  if (value === null) return 'NULL';
  const plain =
    value !== '' && !/[\s"\\{}]/.test(value) && !value.includes(delimiter) && value.toUpperCase() !== 'NULL';
  return plain ? value : `"${value.replace(/["\\]/g, '\\$&')}"`;
}
