/** What PostgreSQL's own functions do, by name. */
import type { Effect, Volatility } from '../../operation.ts';
import { BUILTIN_DATA } from './builtin-data.ts';
import { GROWING, TOTAL, TOTAL_ON_SCALARS } from './total-functions.ts';

export { SCALAR_TYPES, totalOperator } from './total-functions.ts';

/** A name in pg_catalog; all overloads share it, and the most dangerous one decides. */
export interface BuiltinFunction {
  /** Of the call itself, [] when it only computes. */
  readonly effects: readonly Effect[];
  readonly volatility: Volatility;
  /** Cannot fail, block or blow up for any values of built-in types: see total-functions.ts for what that means. */
  readonly total: boolean;
  /** Total when it has no more than so many arguments and all are of `SCALAR_TYPES`; 0 when it is not. */
  readonly totalOnScalars: number;
  /** The result can be longer than the longest argument: many such calls in a row can reach the 1 GB limit. */
  readonly grows: boolean;
}

function index(): ReadonlyMap<string, BuiltinFunction> {
  const functions = new Map<string, BuiltinFunction>();
  for (const { effects, volatility, names } of BUILTIN_DATA) {
    for (const name of names.trim().split(/\s+/)) {
      functions.set(name, {
        effects,
        volatility,
        total: TOTAL.has(name),
        totalOnScalars: TOTAL.has(name) ? Number.MAX_SAFE_INTEGER : (TOTAL_ON_SCALARS.get(name) ?? 0),
        grows: GROWING.has(name),
      });
    }
  }
  return functions;
}

const FUNCTIONS = index();

/** A function of pg_catalog by its exact name; `undefined` is opaque: unknown, or known to be beyond judgement. */
export function builtinFunction(name: string): BuiltinFunction | undefined {
  return FUNCTIONS.get(name);
}
