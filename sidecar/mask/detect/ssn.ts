/** US social security numbers, as `123-45-6789` or `123 45 6789`; never-issued areas, groups and serials are none. */
import { byteAt, DIGIT, inWord, is, runEnd, type Text } from './bytes.ts';
import { DIGITS, type Found, type Scanner } from './scanner.ts';
import { separatorAt, separatorLength } from './separator.ts';

export const socialSecurity: Scanner = {
  detector: 'USSocialSecurityNumber',
  triggers: DIGITS,
  match(text: Text, position: number, found: Found): boolean {
    if (inWord(text, position - 1) || runEnd(text, position, DIGIT) !== position + 3) return false;
    const kind = separatorAt(text, position + 3);
    if (kind === undefined || kind === 'dot' || precededByGroup(text, position)) return false;
    const group = position + 3 + separatorLength(text, position + 3);
    if (runEnd(text, group, DIGIT) !== group + 2 || separatorAt(text, group + 2) !== kind) return false;
    const serial = group + 2 + separatorLength(text, group + 2);
    const end = runEnd(text, serial, DIGIT);
    if (end !== serial + 4 || inWord(text, end) || followedByGroup(text, end)) return false;
    const area = number(text, position, 3);
    if (area === 0 || area === 666 || area >= 900) return false;
    if (number(text, group, 2) === 0 || number(text, serial, 4) === 0) return false;
    found.start = position;
    found.end = end;
    return true;
  },
};

/** `12-123-45-6789` is something else. */
export function precededByGroup(text: Text, position: number): boolean {
  const before = byteAt(text, position - 1);
  return (before === 0x2d || before === 0x2e || before === 0x20) && is(byteAt(text, position - 2), DIGIT);
}

export function followedByGroup(text: Text, position: number): boolean {
  const next = byteAt(text, position);
  return (next === 0x2d || next === 0x2e) && is(byteAt(text, position + 1), DIGIT);
}

function number(text: Text, start: number, length: number): number {
  let value = 0;
  for (let position = start; position < start + length; position++)
    value = value * 10 + byteAt(text, position) - 0x30;
  return value;
}
