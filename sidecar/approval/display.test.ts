import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mixedWords } from './characters.ts';
import { displayJson, escapeForDisplay, escapeLine, summarize } from './display.ts';
import { outline } from './outline.ts';
import { operationWarnings, suspicions } from './suspicion.ts';

const shown: readonly (readonly [string, string, string])[] = [
  ['plain', 'SELECT 1;\n\t-- ok\n', 'SELECT 1;\n\t-- ok\n'],
  ['a colour', '\x1b[31mred\x1b[0m', '\\u{1B}[31mred\\u{1B}[0m'],
  ['a title', '\x1b]0;x\x07', '\\u{1B}]0;x\\u{7}'],
  ['C1', 'a\x9b2Jb\x85', 'a\\u{9B}2Jb\\u{85}'],
  ['backspace', 'DROP\b\b\b\bKEEP', 'DROP\\u{8}\\u{8}\\u{8}\\u{8}KEEP'],
  ['carriage return', 'DROP TABLE a\rSELECT 1     ', 'DROP TABLE a\\u{D}SELECT 1     '],
  ['form feed and vertical tab', 'a\f\v', 'a\\u{C}\\u{B}'],
  ['NUL and DEL', '\0\x7f', '\\u{0}\\u{7F}'],
  ['bidi override', 'a\u202Eb\u202C', 'a\\u{202E}b\\u{202C}'],
  ['bidi isolates', '\u2066\u2067\u2068\u2069', '\\u{2066}\\u{2067}\\u{2068}\\u{2069}'],
  ['bidi marks', '\u200E\u200F\u061C', '\\u{200E}\\u{200F}\\u{61C}'],
  ['zero width', 'us\u200Ber\u200C\u200D\u2060\uFEFF', 'us\\u{200B}er\\u{200C}\\u{200D}\\u{2060}\\u{FEFF}'],
  ['soft hyphen, grapheme joiner', '\u00AD\u034F', '\\u{AD}\\u{34F}'],
  [
    'no-break and other spaces',
    'a\u00A0\u2003\u3000\u202F\u1680b',
    'a\\u{A0}\\u{2003}\\u{3000}\\u{202F}\\u{1680}b',
  ],
  ['line separators', 'a\u2028b\u2029', 'a\\u{2028}b\\u{2029}'],
  ['fillers and blank braille', '\u3164\u115F\uFFA0\u2800', '\\u{3164}\\u{115F}\\u{FFA0}\\u{2800}'],
  ['variation selectors', 'a\uFE0F\u{E0100}', 'a\\u{FE0F}\\u{E0100}'],
  ['tag characters', '\u{E0044}\u{E0052}', '\\u{E0044}\\u{E0052}'],
  ['lone surrogates', 'a\uD800b\uDC00', 'a\\u{D800}b\\u{DC00}'],
  ['private use and unassigned', '\uE000\u{10FFFF}\u0378', '\\u{E000}\\u{10FFFF}\\u{378}'],
  ['Cyrillic in a Latin word', 'SELECT * FROM \u043Erders', 'SELECT * FROM \\u{43E}rders'],
  ['Greek in a Latin word', '\u0391ccount', '\\u{391}ccount'],
  ['a word of lookalikes alone', 'FROM "\u0441\u043E\u0440"', 'FROM "\\u{441}\\u{43E}\\u{440}"'],
  ['full width', '\uFF24\uFF32\uFF2F\uFF30\uFF1B', '\\u{FF24}\\u{FF32}\\u{FF2F}\\u{FF30}\\u{FF1B}'],
  ['mathematical letters', '\u{1D403}rop', '\\u{1D403}rop'],
  ['a Greek question mark', 'a\u037E', 'a\\u{37E}'],
  ['quotes that are letters', '\u02BC\u02B9', '\\u{2BC}\\u{2B9}'],
  ['stacked marks', 'x\u0300\u0301\u0302\u0303', 'x\u0300\u0301\\u{302}\\u{303}'],
  ['a mark on a blank', 'a \u0301', 'a \\u{301}'],
  ['a text that looks escaped', 'a\\u{202E}', 'a\\u{5C}u{202E}'],
  ['other backslashes', "E'\\n\\d'", "E'\\n\\d'"],
  [
    'other languages',
    "'привет мир', 'ελληνικά ζωή', '日本語', 'naïve', 'e\u0301'",
    "'привет мир', 'ελληνικά ζωή', '日本語', 'naïve', 'e\u0301'",
  ],
  ['pictures', "'👍 ☕'", "'👍 ☕'"],
];
for (const [what, text, expected] of shown) {
  test(`shown: ${what}`, () => assert.equal(escapeForDisplay(text), expected));
}

const nasty = fc.string({
  unit: fc.oneof(
    fc.constantFrom(
      '\\',
      'u',
      '{',
      '2',
      '0',
      'E',
      '}',
      '\u202E',
      '\u200B',
      '\x1b',
      'a',
      '\n',
      '\t',
      ' ',
      '\u043E',
      '\u0301',
      '\uD800',
    ),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  ),
  maxLength: 12,
});

/** Undoes `escapeForDisplay`: that there is an inverse means that no two texts look the same. */
function unescape(text: string): string {
  return text.replaceAll(/\\u\{([0-9A-F]+)\}/g, (_all, code: string) =>
    String.fromCodePoint(Number.parseInt(code, 16)),
  );
}

test('two texts never look the same', () => {
  fc.assert(
    fc.property(nasty, (text) => assert.equal(unescape(escapeForDisplay(text)), text)),
    { numRuns: 3_000 },
  );
});

test('nothing that a terminal acts on or hides comes through', () => {
  fc.assert(
    fc.property(nasty, (text) => {
      assert.doesNotMatch(
        escapeForDisplay(text),
        /[^\n\t\P{C}]|[\p{Zl}\p{Zp}]|(?! )\p{Zs}|\p{Default_Ignorable_Code_Point}/u,
      );
      assert.doesNotMatch(escapeLine(text), /[\n\t\r]/);
      assert.doesNotMatch(summarize(text), /[\n\t\r\p{C}]/u);
      assert.ok(summarize(text.repeat(40), 60).length <= 60);
    }),
    { numRuns: 2_000 },
  );
});

test('JSON for a terminal is the same JSON', () => {
  fc.assert(
    fc.property(nasty, (text) => {
      const json = displayJson({ [text]: [text] });
      assert.deepEqual(JSON.parse(json), JSON.parse(JSON.stringify({ [text]: [text] })));
      assert.doesNotMatch(json, /[\p{C}\p{Zl}\p{Zp}]/u);
    }),
    { numRuns: 1_000 },
  );
});

test('a summary says how much is missing', () => {
  assert.equal(summarize('SELECT\n   1'), 'SELECT 1');
  const text = `SELECT ${'x'.repeat(1000)}`;
  const summary = summarize(text, 50);
  const [, missing] = /^(?:.*) … \((\d+) more\)$/.exec(summary) ?? [];
  assert.equal(summary.indexOf(' … '), text.length - Number(missing));
});

const warned: readonly (readonly [string, string, RegExp | null])[] = [
  ['nothing', "UPDATE orders SET note = 'ok — ça va' WHERE id = 1", null],
  ['an ordinary comment', 'SELECT 1 -- all of them\n', null],
  ['Windows line ends', 'SELECT 1\r\nFROM orders\r\n', null],
  ['trailing blanks', `SELECT 1${' '.repeat(500)}\n\n\n\n\n\n\n\n\n\n\n\n`, null],
  ['another language', "INSERT INTO notes VALUES ('Привет, как дела?')", null],
  ['a semicolon in a string', "SELECT 'a; DROP TABLE b'", null],
  ['a semicolon in a dollar string', 'SELECT $x$a; b; c$x$', null],
  ['one trailing semicolon', 'SELECT 1;', null],
  ['bidi', 'SELECT \u202E1', /reading direction.*U\+202E/],
  ['escapes', 'SELECT 1\x1b[2K', /control characters.*U\+001B/],
  ['a bare carriage return', 'DROP TABLE a --\rSELECT 1', /control characters.*U\+000D/],
  ['zero width', 'SELECT a\u200Bb', /invisible.*U\+200B/],
  ['no-break space', 'SELECT\u00A01', /invisible or unusual blank.*U\+00A0/],
  ['tags', 'SELECT 1\u{E0041}', /invisible.*U\+E0041/],
  ['full width', 'SELECT 1；', /look like plain ones.*U\+FF1B/],
  ['mixed scripts', 'SELECT * FROM us\u0435rs', /a word with letters of another script.*us\[U\+0435\]rs/],
  ['marks', 'a\u0300\u0301\u0302\u0303\u0304', /stacked marks/],
  ['length', `SELECT '${'ab '.repeat(4000)}'`, /12 KiB long/],
  ['a long line', `SELECT ${'a, '.repeat(500)}1`, /a line of 1508 characters/],
  ['blanks before more', `SELECT 1${' '.repeat(200)}; DROP TABLE a`, /long run of blanks, with more/],
  ['empty lines before more', `SELECT 1${'\n'.repeat(60)}; DROP TABLE a`, /many empty lines, with more/],
  [
    'lines of blanks before more',
    `SELECT 1${'  \n'.repeat(60)}; DROP TABLE a`,
    /many empty lines, with more/,
  ],
  ['padding', `SELECT 1 --${'-'.repeat(400)}\n`, /repeats - 402 times/],
  ['several statements', 'SELECT 1; DROP TABLE a', /has 2 statements/],
  ['a statement in a comment', 'DROP TABLE a -- SELECT 1 FROM a', /a comment that reads like a statement/],
  [
    'a statement in a block comment',
    '/* just a select */ DROP TABLE a',
    /a comment that reads like a statement/,
  ],
  ['an open quote', "SELECT 'a", /does not seem to end/],
  ['an open nested comment', 'SELECT /* a /* b */ 1', /does not seem to end/],
];
for (const [what, text, pattern] of warned) {
  test(`warned of: ${what}`, () => {
    const warnings = suspicions(text);
    if (pattern === null) assert.deepEqual(warnings, []);
    else
      assert.ok(
        warnings.some((warning) => pattern.test(warning)),
        warnings.join('\n'),
      );
  });
}

test('a hundred kilobytes of padding: whole, warned of, and quickly', () => {
  const paddings = [
    ' ',
    '\n',
    '-',
    '/*',
    "''",
    "'",
    '$',
    '$a$',
    '\u200B',
    'é\u0301',
    '\u043Ea ',
    '\\',
    "e'\\",
    '\t \n',
  ];
  for (const padding of paddings) {
    const text = `SELECT 1 ${padding.repeat(Math.ceil(102_400 / padding.length))} DROP TABLE orders`;
    // Of this process alone: others may have the processor.
    const begun = process.cpuUsage().user;
    assert.ok(escapeForDisplay(text).endsWith('DROP TABLE orders'));
    assert.ok(
      suspicions(text).some((warning) => /KiB long/.test(warning)),
      padding,
    );
    outline(text);
    assert.ok(process.cpuUsage().user - begun < 2_000_000, `slow with ${JSON.stringify(padding)}`);
  }
});

test('values are warned of as data, many of them quickly', () => {
  const values = [
    "it's; DROP TABLE a -- select",
    '{"a": "; delete"}',
    null,
    'x\u202Ey',
    `a${' '.repeat(100)}b`,
  ];
  assert.deepEqual(
    operationWarnings('SELECT 1', values).map((warning) => warning.slice(0, 24)),
    ['parameter $4 has charact', 'parameter $5 has a long '],
  );
  const many = Array.from({ length: 65_535 }, (_none, index) => `value ${index}`);
  const begun = process.cpuUsage().user;
  assert.deepEqual(operationWarnings('SELECT 1', many), []);
  assert.ok(process.cpuUsage().user - begun < 2_000_000);
  assert.equal(
    operationWarnings(
      'SELECT 1',
      many.map((value) => `${value}\u200B`),
    ).length,
    64,
  );
});

test('of many odd characters and words, so many are counted; a kind that comes behind them is found', () => {
  const text = `${'\u0430a '.repeat(5_000)}${'\u200B'.repeat(5_000)}${'\u00A0\u2003'.repeat(999)} \u202E`;
  const warnings = suspicions(text).join('\n');
  assert.match(warnings, /1000 words or more with letters of another script/);
  assert.match(warnings, /U\+200B ×1000 or more, U\+00A0 ×999, U\+2003 ×999$/m);
  assert.match(warnings, /reading direction.*U\+202E$/m);
  assert.equal(mixedWords(text, 3).length, 3);
});

test('warnings hold no odd character themselves', () => {
  fc.assert(
    fc.property(nasty, (text) => {
      for (const warning of suspicions(text.repeat(30))) assert.doesNotMatch(warning, /[\p{C}\p{Zl}\p{Zp}]/u);
    }),
    { numRuns: 300 },
  );
});
