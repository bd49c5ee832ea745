/** The CEL environment of rules: declared facts, and the functions whose own implementations are not safe to use. */
import { Environment } from '@marcbachmann/cel-js';
import { ZONED_PARTS, zonedPart } from './clock.ts';
import {
  ColumnView,
  ConnectionView,
  FACT_NAMES,
  FACT_TYPES,
  FunctionView,
  IdentityView,
  SqlView,
  TableView,
} from './facts.ts';
import { compilePattern, MatchBudget, type Pattern, type PatternResult } from './pattern.ts';

const MAX_NODES = 1000;
const MAX_DEPTH = 48;
const MAX_ITEMS = 256;

/** Steps of `matches` left; reset before each decision. Decisions are synchronous, so that one is enough. */
export const matchBudget = new MatchBudget();

const MAX_PATTERNS = 2048;
const patterns = new Map<string, Pattern>();

/** Compiled patterns by source. Reloaded policies bring new ones: the oldest go, and come back when asked for. */
function patternOf(source: string): PatternResult {
  const known = patterns.get(source);
  if (known !== undefined) return { kind: 'pattern', pattern: known };
  const result = compilePattern(source);
  if (result.kind === 'invalid') return result;
  const oldest = patterns.keys().next();
  if (patterns.size >= MAX_PATTERNS && oldest.done !== true) patterns.delete(oldest.value);
  patterns.set(source, result.pattern);
  return result;
}

/** What is wrong with a literal pattern of a rule; compiles it at the same time. */
export function patternProblem(source: string): string | undefined {
  const result = patternOf(source);
  return result.kind === 'invalid' ? result.message : undefined;
}

function matches(text: string, source: string): boolean {
  const result = patternOf(source);
  if (result.kind === 'invalid') throw new RangeError('invalid pattern');
  return matchBudget.match(result.pattern, text);
}

const MAX_INT = 2n ** 63n - 1n;

function intOfText(text: string): bigint {
  if (!/^[+-]?[0-9]{1,19}$/.test(text)) throw new RangeError('not an int');
  const value = BigInt(text.replace('+', ''));
  if (value > MAX_INT || value < -MAX_INT - 1n) throw new RangeError('int overflow');
  return value;
}

function intOfDouble(value: number): bigint {
  if (!(Math.abs(value) < 2 ** 63)) throw new RangeError('int overflow');
  return BigInt(Math.trunc(value));
}

const RFC3339 =
  /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$/;

function timestampOfText(text: string): Date {
  const at = new Date(RFC3339.test(text) ? text : Number.NaN);
  if (Number.isNaN(at.getTime())) throw new RangeError('not an RFC 3339 timestamp');
  return at;
}

function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/gu, (upper) => upper.toLowerCase());
}

function asciiUpper(text: string): string {
  return text.replace(/[a-z]+/gu, (lower) => lower.toUpperCase());
}

/**
 * Functions that rules call by CEL's name and that run under another: the library's own `matches` backtracks, its
 * zoned clock depends on the process's zone, its case mapping is not ASCII's (U+212A would become `k`), and its
 * conversions take more texts than CEL's (`int("")` is 0, `timestamp` reads what `Date` reads).
 * Keys are `name/number of arguments`.
 */
export const REPLACED: ReadonlyMap<string, string> = new Map([
  ['matches/1', 'matchesLinear'],
  ['lowerAscii/0', 'asciiLower'],
  ['upperAscii/0', 'asciiUpper'],
  ['getDayOfYear/0', 'utcDayOfYear'],
  ['int/1', 'strictInt'],
  ['timestamp/1', 'strictTimestamp'],
  ...ZONED_PARTS.map((part): [string, string] => [`${part}/1`, `zoned_${part}`]),
]);

const TIMESTAMP = 'google.protobuf.Timestamp';
const SYNC = { async: false } as const;

function build(): Environment {
  const environment = new Environment({
    unlistedVariablesAreDyn: false,
    enableOptionalTypes: false,
    limits: {
      maxAstNodes: MAX_NODES,
      maxDepth: MAX_DEPTH,
      maxListElements: MAX_ITEMS,
      maxMapEntries: MAX_ITEMS,
    },
  });
  environment.registerType('Table', { ctor: TableView, fields: FACT_TYPES.Table });
  environment.registerType('Column', { ctor: ColumnView, fields: FACT_TYPES.Column });
  environment.registerType('Function', { ctor: FunctionView, fields: FACT_TYPES.Function });
  environment.registerType('Sql', { ctor: SqlView, fields: FACT_TYPES.Sql });
  environment.registerType('Identity', { ctor: IdentityView, fields: FACT_TYPES.Identity });
  environment.registerType('Connection', { ctor: ConnectionView, fields: FACT_TYPES.Connection });
  for (const [name, type] of FACT_NAMES) environment.registerVariable(name, type);
  environment.registerFunction('string.matchesLinear(string): bool', matches, SYNC);
  environment.registerFunction('string.asciiLower(): string', asciiLower, SYNC);
  environment.registerFunction('string.asciiUpper(): string', asciiUpper, SYNC);
  environment.registerFunction('strictInt(int): int', (value: bigint) => value, SYNC);
  environment.registerFunction('strictInt(double): int', intOfDouble, SYNC);
  environment.registerFunction('strictInt(string): int', intOfText, SYNC);
  environment.registerFunction(`strictTimestamp(string): ${TIMESTAMP}`, timestampOfText, SYNC);
  environment.registerFunction(
    `${TIMESTAMP}.utcDayOfYear(): int`,
    (at: Date) => zonedPart('getDayOfYear', at, 'UTC'),
    SYNC,
  );
  for (const part of ZONED_PARTS) {
    const zoned = (at: Date, zone: string) => zonedPart(part, at, zone);
    environment.registerFunction(`${TIMESTAMP}.zoned_${part}(string): int`, zoned, SYNC);
  }
  return environment;
}

let environment: Environment | undefined;

/** Made once: it holds no state but declarations. */
export function ruleEnvironment(): Environment {
  environment ??= build();
  return environment;
}
