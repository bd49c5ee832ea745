import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import pino from 'pino';
import { Hidden } from './hidden.ts';

test('what is hidden shows in no text, JSON, inspection, log or clone', () => {
  const hidden = new Hidden({ password: 'correct-horse' });
  const lines: string[] = [];
  pino({}, { write: (line: string) => void lines.push(line) }).info({ hidden }, 'said');
  const error = new Error('failed', { cause: hidden });
  const shown = [
    hidden.toString(),
    JSON.stringify({ hidden, list: [hidden] }),
    inspect({ hidden }, { depth: 9, showHidden: true }),
    inspect(error),
    JSON.stringify(Object.assign({}, hidden)),
    ...lines,
  ];
  for (const text of shown) assert.ok(!text.includes('correct-horse'), text);
  assert.equal(hidden.reveal().password, 'correct-horse');
});
