import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicyMask } from '../../crds/policy.ts';
import type { Mask } from '../mask/mask.ts';
import { strongest, unionOfMasks } from './masks.ts';
import { policy, session } from './testing.ts';

const REDACT: Mask = { with: 'Redact' };
const NULL: Mask = { with: 'Null' };
const HASH: Mask = { with: 'Hash', scope: 'Session' };
const PARTIAL: Mask = { with: 'Partial', keepFirst: 2, keepLast: 4 };

test('the strongest mask wins, whichever comes first', () => {
  const table: readonly (readonly [Mask, Mask, Mask])[] = [
    [REDACT, NULL, REDACT],
    [NULL, HASH, NULL],
    [HASH, PARTIAL, HASH],
    [REDACT, PARTIAL, REDACT],
    [PARTIAL, { with: 'Partial', keepFirst: 3, keepLast: 0 }, { with: 'Partial', keepFirst: 2, keepLast: 0 }],
    [HASH, { with: 'Hash', scope: 'Connection' }, HASH],
  ];
  for (const [one, other, expected] of table) {
    assert.deepEqual(strongest(one, other), expected);
    assert.deepEqual(strongest(other, one), expected);
  }
});

test('a union by column and detector, names folded as PostgreSQL does', () => {
  const masks: readonly PolicyMask[] = [
    {
      columns: ['public.Customers.card', 'public."Customers".card'],
      with: 'Partial',
      partial: { keepFirst: 0, keepLast: 4 },
    },
    { columns: ['public.customers.card'], with: 'Redact' },
    { detect: ['Email', 'CreditCard'], with: 'Hash' },
    { detect: ['Email'], with: 'Null' },
  ];
  assert.deepEqual(unionOfMasks(masks), {
    columns: [
      { column: 'public.Customers.card', mask: { with: 'Partial', keepFirst: 0, keepLast: 4 } },
      { column: 'public.customers.card', mask: REDACT },
    ],
    detectors: [
      { detector: 'CreditCard', mask: HASH },
      { detector: 'Email', mask: NULL },
    ],
  });
});

test('equal masks are one frozen object, across policies and reloads', () => {
  const card: PolicyMask = { columns: ['public.customers.card'], with: 'Redact' };
  const mail: PolicyMask = { columns: ['public.customers.email'], with: 'Null' };
  const one = session(policy('one', { masks: [card, mail] })).masks;
  const other = session(policy('two', { masks: [mail] }), policy('three', { masks: [card, card] })).masks;
  assert.equal(one, other);
  assert.ok(Object.isFrozen(one) && Object.isFrozen(one.columns));
  assert.notEqual(session(policy('one', { masks: [card] })).masks, one);
});

test('masks of policies that observe are not applied but told', () => {
  const masks: readonly PolicyMask[] = [{ columns: ['public.customers.card'], with: 'Redact' }];
  const observing = session(policy('watch', { mode: 'Observe', masks: [...masks] }));
  assert.deepEqual(observing.masks, { columns: [], detectors: [] });
  assert.equal(observing.observedMasks.columns.length, 1);
});
