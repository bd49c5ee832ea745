/** Functions whose results are longer than their arguments, and the error at 1 GB that could measure a protected value. */
import { type Value, derived, firstFlow } from './value.ts';
import type { Walk } from './walk.ts';

/** How many times as long as a protected value a result may be. */
const MAX_WEIGHT = 256;
/** The same where its length would tell what is in it. */
const MAX_COMPUTED_WEIGHT = 36;

/** Types whose values are always short: bool, integers, floats, oid, dates, times, uuid. */
const SHORT = new Set([16, 18, 19, 20, 21, 23, 26, 700, 701, 1082, 1083, 1114, 1184, 1186, 1266, 2950]);

const short = (value: Value): boolean => (value.constant && value.long !== true) || SHORT.has(value.type);

/**
 * A result that holds all of the values. Beside a value that the client can make as long as it likes, only the length
 * of a protected value as it is could be told from the error, never that of something computed from it.
 */
export function grow(
  walk: Walk,
  values: readonly Value[],
  factor: number,
  type: number,
  what: string,
): Value {
  const flow = firstFlow(values);
  if (flow === null) return { ...derived('', 0, type), flow: null };
  let weight = 0;
  for (const value of values) weight += value.flow?.weight ?? 0;
  weight *= factor;
  const computed = values.some((value) => value.flow?.plain === false);
  const long = values.some((value) => value.flow === null && !short(value));
  if (weight > (computed ? MAX_COMPUTED_WEIGHT : MAX_WEIGHT))
    walk.refuseFlow(flow, `${what}, too many times over`);
  else if (computed && long)
    walk.refuseFlow(flow, `${what} beside a value of any length, after another function`);
  return derived(flow.column, weight, type, !computed);
}
