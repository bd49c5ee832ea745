import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicySubject } from '../../crds/policy.ts';
import { isFor } from './subject.ts';
import { CONNECTION, IDENTITY } from './testing.ts';

function matches(subject: PolicySubject, identity = IDENTITY): boolean {
  return isFor(
    { namespace: 'production-access', connections: ['orders-db'], subjects: [subject] },
    identity,
    CONNECTION,
  );
}

test('subjects', () => {
  const table: readonly (readonly [PolicySubject, boolean])[] = [
    [{ everyone: true }, true],
    [{}, false],
    [{ users: ['agent'] }, true],
    [{ users: [] }, false],
    [{ groups: ['dba', 'ai-agents'] }, true],
    [{ groups: ['ai-agents'], users: ['someone'] }, false],
    [{ serviceAccounts: ['ci/runner'] }, true],
    [{ serviceAccounts: ['other/runner'] }, false],
    [{ claims: { team: 'orders' } }, true],
    [{ claims: { team: 'orders', level: 3 } }, true],
    [{ claims: { team: 'orders', level: 4 } }, false],
    [{ claims: { nested: { list: ['a', 1] } } }, true],
    [{ claims: { toString: 'x' } }, false],
    [{ claims: {} }, false],
  ];
  for (const [subject, expected] of table) assert.equal(matches(subject), expected, JSON.stringify(subject));
});

test('a claim that is a list matches by what it contains', () => {
  const identity = { ...IDENTITY, claims: { roles: ['reader', 'writer'] } };
  assert.equal(matches({ claims: { roles: 'writer' } }, identity), true);
  assert.equal(matches({ claims: { roles: 'owner' } }, identity), false);
});

test('outside a cluster no service account matches', () => {
  assert.equal(matches({ serviceAccounts: [''] }, { ...IDENTITY, serviceAccount: '' }), false);
});

test('the connection counts by name and namespace', () => {
  const subjects = [{ everyone: true }];
  const policy = { namespace: 'production-access', connections: ['orders-db'], subjects };
  assert.equal(isFor(policy, IDENTITY, { ...CONNECTION, name: 'other' }), false);
  assert.equal(isFor(policy, IDENTITY, { ...CONNECTION, namespace: 'elsewhere' }), false);
});
