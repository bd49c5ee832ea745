/** Where a value is in an object: `spec.rules[0].when`. */
export type Path = readonly (string | number)[];

const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_-]*$/u;

/** As kube-apiserver writes it; keys that are no plain names in brackets: `metadata.labels["a/b"]`. */
export function formatPath(path: Path): string {
  let result = '';
  for (const step of path) {
    if (typeof step === 'number') result += `[${step}]`;
    else if (!PLAIN_KEY.test(step)) result += `[${quote(step)}]`;
    else result += result === '' ? step : `.${step}`;
  }
  return result;
}

/** Somebody's text within a message: quoted, shortened, and with nothing in it that a terminal would act on. */
export function quote(text: string): string {
  const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return JSON.stringify(shown).replaceAll(/[^\x20-\x7e\u2026]/gu, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}
