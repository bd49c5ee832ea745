import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseApproval, type Approval } from './approval.ts';
import { formatPath } from './schema/path.ts';

const request = {
  connection: 'orders-db',
  session: 'orders-db-1',
  identity: { issuer: 'sidewarden:token', subject: 'ci', username: 'ci' },
  operation: {
    summary: 'DROP TABLE a',
    text: 'DROP TABLE a',
    parameters: ['1', null],
    verb: 'DROP TABLE',
    effects: ['ddl'],
    role: 'app',
    inTransaction: false,
  },
  digest: `sha256:${'0'.repeat(64)}`,
  requirements: [
    { policy: 'a/p', rule: 'r', approvers: { groups: ['dba'] }, timeout: '15m', inTransaction: 'Auto' },
  ],
  createdAt: '2026-11-21T10:00:00Z',
  expiresAt: '2026-11-21T10:15:00.123Z',
};

function approval(spec: object): unknown {
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'Approval',
    metadata: { name: 'a' },
    spec: { request, ...spec },
    status: { phase: 'Pending' },
  };
}

function parsed(spec: object): Approval {
  const result = parseApproval(approval(spec));
  assert.ok(result.kind === 'parsed', JSON.stringify(result));
  return result.value;
}

const approve = { verdict: 'Approve' };
const other = { ...request, operation: { ...request.operation, text: 'DROP TABLE b' } };

/** Name, spec before (null: new), spec after, and what is complained of. */
const cases: readonly (readonly [string, object | null, object, readonly string[]])[] = [
  ['new', null, {}, []],
  ['new and decided', null, { decision: approve }, []],
  ['decided', {}, { decision: approve }, []],
  ['nothing changes', { decision: approve }, { decision: approve }, []],
  ['decided twice', { decision: approve }, { decision: { verdict: 'Deny' } }, ['spec.decision']],
  ['reason added later', { decision: approve }, { decision: { ...approve, reason: 'x' } }, ['spec.decision']],
  ['taken back', { decision: approve }, {}, ['spec.decision']],
  ['request changed', {}, { request: other }, ['spec.request']],
  ['request changed while deciding', {}, { request: other, decision: approve }, ['spec.request']],
  ['modify without text', {}, { decision: { verdict: 'Modify' } }, ['spec.decision.modified']],
  ['modify', {}, { decision: { verdict: 'Modify', modified: 'SELECT 1' } }, []],
  ['approve with text', {}, { decision: { ...approve, modified: 'SELECT 1' } }, ['spec.decision.modified']],
  ['digest of another form', null, { request: { ...request, digest: 'md5:0' } }, ['spec.request.digest']],
  [
    'no such day',
    null,
    { request: { ...request, createdAt: '2026-13-01T00:00:00Z' } },
    ['spec.request.createdAt'],
  ],
  ['a verdict of no kind', {}, { decision: { verdict: 'approve' } }, ['spec.decision.verdict']],
];

for (const [name, before, after, expected] of cases) {
  test(`approval: ${name}`, () => {
    const result = parseApproval(approval(after), before === null ? undefined : parsed(before));
    const paths = result.kind === 'invalid' ? result.errors.map(({ path }) => formatPath(path)) : [];
    assert.deepEqual(paths, expected);
  });
}
