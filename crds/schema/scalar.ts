/** Strings, integers and booleans from `unknown`. */
import type { Findings } from './failure.ts';
import { quote, type Path } from './path.ts';
import type { BooleanNode, IntegerNode, StringNode } from './schema.ts';

const DATE_TIME = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/u;

export function parseString(node: StringNode, input: unknown, path: Path, findings: Findings): unknown {
  if (typeof input !== 'string') return findings.refuse(path, `must be a string, not ${describe(input)}`);
  const complaint = complainOfString(node, input);
  return complaint === null ? input : findings.refuse(path, complaint);
}

function complainOfString(node: StringNode, value: string): string | null {
  if (node.values !== undefined && !node.values.includes(value)) {
    return `must be one of ${node.values.join(', ')}, not ${quote(value)}`;
  }
  return complainOfLength(node, value) ?? complainOfContent(node, value);
}

function complainOfLength({ minLength = 0, maxLength }: StringNode, value: string): string | null {
  // A code point is one or two UTF-16 units: count only where that matters.
  if (value.length < minLength * 2 && lengthOf(value) < minLength) {
    return minLength === 1 ? 'must not be empty' : `must have at least ${minLength} characters`;
  }
  if (maxLength !== undefined && value.length > maxLength && lengthOf(value) > maxLength) {
    return `must have at most ${maxLength} characters`;
  }
  return null;
}

function lengthOf(value: string): number {
  let length = 0;
  for (const character of value) length += character === '' ? 0 : 1;
  return length;
}

function complainOfContent(node: StringNode, value: string): string | null {
  if (node.pattern !== undefined && !new RegExp(node.pattern, 'u').test(value)) {
    return node.patternMessage ?? `must match ${node.pattern}`;
  }
  if (node.format === 'date-time' && !(DATE_TIME.test(value) && !Number.isNaN(Date.parse(value)))) {
    return 'must be a date and time as in RFC 3339';
  }
  return node.refine?.(value) ?? null;
}

export function parseInteger(node: IntegerNode, input: unknown, path: Path, findings: Findings): unknown {
  if (typeof input !== 'number') return findings.refuse(path, `must be an integer, not ${describe(input)}`);
  if (!Number.isSafeInteger(input)) return findings.refuse(path, 'must be an integer');
  if (input < node.minimum || input > node.maximum) {
    return findings.refuse(path, `must be between ${node.minimum} and ${node.maximum}`);
  }
  return input === 0 ? 0 : input;
}

export function parseBoolean(_node: BooleanNode, input: unknown, path: Path, findings: Findings): unknown {
  if (typeof input !== 'boolean')
    return findings.refuse(path, `must be true or false, not ${describe(input)}`);
  return input;
}

/** The kind of a value in the words of YAML; never the value, which may be a secret. */
export function describe(input: unknown): string {
  if (input === null || input === undefined) return 'null';
  if (Array.isArray(input)) return 'a list';
  switch (typeof input) {
    case 'string':
      return 'a string';
    case 'number':
    case 'bigint':
      return 'a number';
    case 'boolean':
      return 'true or false';
    case 'object':
      return 'an object';
    default:
      return 'something else';
  }
}
