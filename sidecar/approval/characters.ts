/** Which characters a reader cannot see, or would take for others. */

const BIDI = /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/u;
/** Controls, formats, unassigned, private, lone surrogates; all that renderers leave out; every space but the plain one. */
const UNSEEN = /[\p{C}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\p{Zs}\u2800]/u;
/** Marks that enclose their base, modifier letters that look like quotes, and lookalikes of SQL's punctuation. */
const LOOKALIKE =
  /[\p{Me}\u02B0-\u02FF\u2032-\u2037\u2010-\u2012\u2212\u2215\u2044\u2217\u204E\u2236\uA789\u01C3\u037E\u066D\u2016\uFE63\uFE68]/u;
const MARK = /\p{M}/u;
const WORD = /[\p{L}\p{M}\p{N}_$]+/gu;
const LATIN = /\p{Script=Latin}/u;
const FOREIGN =
  /[\p{Script=Cyrillic}\p{Script=Greek}\p{Script=Armenian}\p{Script=Cherokee}\p{Script=Coptic}\p{Script=Lisu}]/u;
const FOREIGN_LETTERS = new RegExp(FOREIGN, 'gu');
/** Letters of other scripts that look like Latin ones in usual fonts. */
const TWINS = new Set('авеікмнорстухѕјԁԛԝһӏүғɡαβεηικνορτυχγωАВЕЅІЈКМНОРСТУХҮԚԜΑΒΕΖΗΙΚΜΝΟΡΤΥΧՏՕՍօսոհցզ');

export type Oddity = 'bidi' | 'control' | 'invisible' | 'lookalike' | 'marks';

/** What is odd about a code point on its own; null for what a reader sees as what it is. Newline and tab are not odd. */
export function oddityOf(character: string): Oddity | null {
  if (character >= ' ' && character <= '~') return null;
  if (character === '\n' || character === '\t') return null;
  const known = judged.get(character);
  if (known !== undefined) return known;
  const oddity = judgeCharacter(character);
  if (judged.size < 4_096) judged.set(character, oddity);
  return oddity;
}

/** Texts have few different characters, and hostile ones are long. */
const judged = new Map<string, Oddity | null>();

function judgeCharacter(character: string): Oddity | null {
  if (BIDI.test(character)) return 'bidi';
  if (/\p{Cc}/u.test(character)) return 'control';
  if (UNSEEN.test(character)) return 'invisible';
  if (LOOKALIKE.test(character)) return 'lookalike';
  return looksAscii(character) ? 'lookalike' : null;
}

/** Full-width, mathematical and other dressed-up forms of ASCII. */
function looksAscii(character: string): boolean {
  const plain = character.normalize('NFKC');
  return plain !== character && /^[!-~]+$/.test(plain);
}

export function isMark(character: string): boolean {
  return character >= '\u0300' && MARK.test(character);
}

/** A word that mixes Latin with letters of a script that has lookalikes, or is made of such lookalikes alone. */
export interface MixedWord {
  readonly start: number;
  readonly word: string;
}

/** At most the first `most` of them. */
export function mixedWords(text: string, most = Infinity): readonly MixedWord[] {
  if (!FOREIGN.test(text)) return [];
  const foreignText = isForeignText(text);
  const found: MixedWord[] = [];
  for (const match of text.matchAll(WORD)) {
    if (found.length >= most) break;
    const [word] = match;
    if (
      FOREIGN.test(word) &&
      (LATIN.test(word) || (!foreignText && Array.from(word).every(passesForLatin)))
    ) {
      found.push({ start: match.index, word });
    }
  }
  return found;
}

/** A text that is truly in another script has letters that no Latin one looks like. */
function isForeignText(text: string): boolean {
  for (const [letter] of text.matchAll(FOREIGN_LETTERS)) if (!TWINS.has(letter)) return true;
  return false;
}

function passesForLatin(character: string): boolean {
  return TWINS.has(character) || /[0-9_$]/.test(character);
}

export function isForeign(character: string): boolean {
  return FOREIGN.test(character);
}
