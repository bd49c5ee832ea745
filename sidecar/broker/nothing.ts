/** The answer to a report: `{}`. */
import { parse } from '../../crds/schema/parse.ts';
import type { Parsed } from '../../crds/schema/failure.ts';
import { object } from '../../crds/schema/schema.ts';

const nothing = object('Taken.', {});

export function readNothing(input: unknown): Parsed<object> {
  return parse(nothing, input);
}
