/**
 * JSON whose text is harmless to look at: beyond what JSON.stringify escapes, these are written as `\uXXXX`: DEL and
 * C1 controls, line separators, bidi controls, zero-width and tag characters. The values stay exactly what they were.
 */
const UNSAFE =
  /[\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|\udb40[\udc00-\udfff]/g;
const HAS_UNSAFE = new RegExp(UNSAFE.source);

/** Of values that JSON can hold; anything else is a mistake of ours. */
export function jsonText(value: string | number | boolean | null | object): string {
  const text = JSON.stringify(value);
  return HAS_UNSAFE.test(text) ? text.replace(UNSAFE, escapeUnits) : text;
}

function escapeUnits(characters: string): string {
  let escaped = '';
  for (let index = 0; index < characters.length; index++) {
    escaped += `\\u${characters.charCodeAt(index).toString(16).padStart(4, '0')}`;
  }
  return escaped;
}
