import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseFile } from './document.ts';

const text = `# first line
spec:
  rules:
    - name: plain
      when: sql.verb == 1
    - name: quoted
      when: 'sql.verb == 2'
    - name: escaped
      when: "sql.verb == \\"x\\""
    - name: block
      when: |
        sql.verb == 3 &&
          sql.nope
    - name: folded
      when: >-
        sql.verb == 4 &&
        sql.nope
    - { name: flow, when: 'it''s' }
  anchored: &a { when: "x y" }
  again: *a
`;

/** Path, offset into the value, and line and column. */
const cases: readonly (readonly [readonly (string | number)[], number | undefined, number, number])[] = [
  [[], undefined, 2, 1],
  [['spec'], undefined, 2, 1],
  [['spec', 'rules'], undefined, 3, 3],
  [['spec', 'rules', 0], undefined, 4, 7],
  [['spec', 'rules', 0, 'when'], undefined, 5, 13],
  [['spec', 'rules', 0, 'when'], 4, 5, 17],
  [['spec', 'rules', 1, 'when'], 4, 7, 18],
  [['spec', 'rules', 2, 'when'], 4, 9, 13],
  [['spec', 'rules', 3, 'when'], undefined, 11, 13],
  [['spec', 'rules', 3, 'when'], 0, 12, 9],
  [['spec', 'rules', 3, 'when'], 4, 12, 13],
  [['spec', 'rules', 3, 'when'], 'sql.verb == 3 &&\n  sql.nope'.indexOf('nope'), 13, 15],
  [['spec', 'rules', 3, 'when'], 9999, 13, 19],
  [['spec', 'rules', 4, 'when'], 20, 15, 13],
  [['spec', 'rules', 5, 'when'], 2, 18, 27],
  [['spec', 'rules', 5, 'nothing', 'deeper'], undefined, 18, 7],
  [['spec', 'rules', 99], undefined, 3, 3],
  [['spec', 'again', 'when'], 2, 19, 27],
];

test('paths are found in the file', () => {
  const [document] = parseFile({ file: 'a.yaml', text }).documents;
  assert.ok(document !== undefined);
  for (const [path, offset, line, column] of cases) {
    const found = document.locator.locate(path, offset);
    assert.deepEqual(found, { file: 'a.yaml', line, column }, `${path.join('.')} ${offset ?? ''}`);
  }
  assert.deepEqual(document.locator.locateKey(['spec', 'rules', 3, 'when']), {
    file: 'a.yaml',
    line: 11,
    column: 7,
  });
});

test('any text is parsed or refused, never thrown at, and its values are found', () => {
  const piece = fc.constantFrom(
    ...[
      'a',
      ': ',
      '- ',
      '\n',
      '  ',
      '"',
      "'",
      '|\n',
      '>\n',
      '{',
      '}',
      '[',
      ']',
      '&a ',
      '*a',
      '!!str ',
      '!!set ',
      '? ',
    ],
    ...[
      '---\n',
      '...\n',
      '%YAML 1.1\n',
      '#',
      ',',
      '<<',
      '\t',
      '\r\n',
      '0',
      'yes',
      '\u0000',
      '\ud800',
      '\ufeff',
      '~',
    ],
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), fc.nat(50), (pieces, offset) => {
      const { documents, errors } = parseFile({ file: 'f', text: pieces.join('') });
      for (const { line, column } of errors) assert.ok(line >= 0 && column >= 0);
      for (const { value, locator } of documents) {
        const keys = typeof value === 'object' && value !== null ? Object.keys(value) : [];
        for (const key of keys) {
          const { line, column } = locator.locate([Array.isArray(value) ? Number(key) : key], offset);
          assert.ok(line >= 1 && column >= 1);
        }
      }
    }),
    { numRuns: 1500 },
  );
});

/** What takes a library too long or too deep; each within the size of a manifest file. */
const bombs: readonly (readonly [string, string])[] = [
  ['flow lists', '['.repeat(20_000)],
  ['closed flow lists', '['.repeat(3000) + ']'.repeat(3000)],
  ['flow maps', '{a: '.repeat(10_000)],
  ['block lists', '- '.repeat(20_000)],
  ['many keys', Array.from({ length: 50_000 }, (_, index) => `k${index}: 1\n`).join('')],
];

for (const [name, bomb] of bombs) {
  test(`manifests that are a burden: ${name}`, () => {
    // Of this process alone: others may have the processor.
    const started = process.cpuUsage().user;
    parseFile({ file: 'f', text: bomb });
    assert.ok(process.cpuUsage().user - started < 15_000_000);
  });
}
