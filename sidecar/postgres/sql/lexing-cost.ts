/**
 * What PostgreSQL's lexer spends on runs of operator characters, from `scan.l`: each `/*` within a run looks at all that
 * follows it there, and a run is shortened by its trailing signs one at a time, for each of which all before is searched. Some
 * kilobytes of `+` would keep this process busy for minutes.
 */

const RUN = /[~!@#^&|`?+\-*/%<>=]{64,}/g;
/** Steps; some tenths of a second. Runs within strings and comments count too: which they are is not known yet. */
const MOST = 200_000_000;

export function tooCostlyToLex(text: string): boolean {
  let cost = 0;
  for (const [run] of text.matchAll(RUN)) {
    const comments = occurrences(run, '/*');
    // What is behind `--` is a comment, and no sign.
    const signs = occurrences(run.replaceAll('--', ''), '+') + occurrences(run.replaceAll('--', ''), '-');
    cost += run.length * (comments + (signs * signs) / 2);
    if (cost > MOST) return true;
  }
  return false;
}

function occurrences(text: string, part: string): number {
  let count = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count += 1;
  return count;
}
