import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure } from './failure.ts';

test('what the network says is told, and of an unknown authority what to do', () => {
  const untrusted = Object.assign(new Error('try running Node.js with --use-system-ca'), {
    code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  });
  const { code, message } = failure(untrusted, 'signing in');
  assert.equal(code, 'unreachable');
  assert.match(message, /^signing in: the target's certificate is of no authority .*caFrom$/);
  const refused = Object.assign(new Error('connect ECONNREFUSED 10.0.0.1:5432'), { code: 'ECONNREFUSED' });
  assert.equal(failure(refused, 'signing in').message, 'signing in: connect ECONNREFUSED 10.0.0.1:5432');
});
