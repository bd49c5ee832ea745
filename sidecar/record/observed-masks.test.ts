import assert from 'node:assert/strict';
import { test } from 'node:test';
import { observedMasksNote } from './observed-masks.ts';

test('nothing to tell', () => {
  assert.equal(observedMasksNote({ columns: [], detectors: [] }), undefined);
});

test('columns are named, many of them counted', () => {
  const columns = Array.from({ length: 25 }, (_, index) => ({
    column: `public.t.c${index}`,
    mask: { with: 'Redact' as const },
  }));
  assert.match(observedMasksNote({ columns, detectors: [] })?.message ?? '', /public\.t\.c0, .* and 5 more$/);
});
