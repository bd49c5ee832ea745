import assert from 'node:assert/strict';

/** Equality of long texts; a failure shows the first line that differs and not all of them. */
export function assertSameText(actual: string, expected: string): void {
  if (actual === expected) return;
  const [got, wanted] = [actual.split('\n'), expected.split('\n')];
  const line = wanted.findIndex((text, i) => text !== got[i]);
  const at = line < 0 ? wanted.length : line;
  const show = (text: string | undefined) =>
    text === undefined ? 'nothing' : JSON.stringify(text.slice(0, 200));
  assert.fail(
    `${actual.length} characters, ${expected.length} expected; line ${at + 1}: ${show(got[at])}, expected ${show(wanted[at])}`,
  );
}
