/** How the `policy` commands print: colour on a terminal only, unless NO_COLOR is set; exit codes in one place. */
import { styleText } from 'node:util';

export const EXIT = { ok: 0, failed: 1, unusable: 2 } as const;

type Style = 'green' | 'red' | 'yellow' | 'dim' | 'bold';

/** Styled when standard output is a terminal. */
export function styled(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}

export function complain(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Texts of others: nothing in them that a terminal would act on. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}
