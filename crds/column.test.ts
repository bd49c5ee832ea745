import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseColumnName } from './column.ts';

const long = 'x'.repeat(63);
const cases: readonly (readonly [string, readonly [string, string, string] | null])[] = [
  ['public.customers.card', ['public', 'customers', 'card']],
  ['Public.CUSTOMERS.Card', ['public', 'customers', 'card']],
  ['public."Customers"."Ca""rd"', ['public', 'Customers', 'Ca"rd']],
  ['"a.b"."c.d"."e.f"', ['a.b', 'c.d', 'e.f']],
  ['public.kunden."straße"', ['public', 'kunden', 'straße']],
  ['öffentlich.ÄRZTE.näme', ['öffentlich', 'Ärzte', 'näme']],
  ['a.b.c$1', ['a', 'b', 'c$1']],
  [`a.b.${long}`, ['a', 'b', long]],
  [`a.b.${long}x`, null],
  [`a.b."${'ä'.repeat(32)}"`, null],
  ['a.b', null],
  ['a.b.c.d', null],
  ['a..c', null],
  ['a.b.""', null],
  ['a.b."c', null],
  ['a.b.c"', null],
  ['a.b."c"d', null],
  ['a.b.1c', null],
  ['a.b.c d', null],
  ['a.b."c\0"', null],
  ['a.b.*', null],
];

test('column names by PostgreSQL’s rules', () => {
  for (const [text, expected] of cases) {
    const name = parseColumnName(text);
    assert.deepEqual(name === null ? null : [name.schema, name.table, name.column], expected, text);
  }
});
