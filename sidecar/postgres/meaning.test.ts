import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sameMeaning } from './meaning.ts';
import type { Statement } from './sql/statement.ts';

const statement: Statement = {
  facts: {
    verb: 'SELECT',
    effects: ['read'],
    tables: [],
    columns: [],
    functions: [],
    hasWhere: true,
    text: 'SELECT 1',
    fingerprint: 'x',
  },
  masks: { kind: 'clear' },
  session: { kind: 'none' },
  changesCatalog: false,
  changesSettings: false,
  explainable: true,
  parameterCount: 0,
  nearProtected: false,
  returnsRows: true,
};
const parsed = (one: Statement) => ({ kind: 'parsed' as const, statements: [one] });

test('where an analysis was taken from and blanks do not matter', () => {
  const shape = { ...statement.facts, text: 'SELECT 2' };
  const other = { ...statement, facts: { ...statement.facts, text: ' SELECT 1\n', shape } };
  assert.ok(sameMeaning(parsed(statement), parsed(other)));
});

test('what it reads and how it is masked does', () => {
  const masked: Statement = { ...statement, masks: { kind: 'columns', fields: [] } };
  assert.ok(!sameMeaning(parsed(statement), parsed(masked)));
  const facts = { ...statement.facts, tables: [{ name: 'a.b', access: ['read' as const], indirect: true }] };
  assert.ok(!sameMeaning(parsed(statement), parsed({ ...statement, facts })));
});
