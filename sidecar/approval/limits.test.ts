import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, asked, decide, fixture, USERS } from './fixture.ts';
import { type Asker, HoldLimits } from './limits.ts';

const asker = (change: Partial<Asker> = {}): Asker => ({
  session: 's1',
  identity: 'i1',
  operation: 'o1',
  maxPending: 2,
  ...change,
});

test('a session has so many pending, an identity four times as many', () => {
  const limits = new HoldLimits();
  assert.equal(limits.begin(asker(), 0), null);
  assert.equal(limits.begin(asker(), 0), null);
  assert.match(limits.begin(asker(), 0)?.message ?? '', /this session has 2/);
  for (const session of ['s2', 's3', 's4']) {
    assert.equal(limits.begin(asker({ session }), 0), null);
    assert.equal(limits.begin(asker({ session }), 0), null);
  }
  assert.match(limits.begin(asker({ session: 's5' }), 0)?.message ?? '', /this identity has 8/);
  assert.equal(limits.begin(asker({ session: 's5', identity: 'i2' }), 0), null);
  limits.ended(asker());
  assert.equal(limits.begin(asker(), 0), null);
});

test('a cap of nought holds nothing', () => {
  assert.notEqual(new HoldLimits().begin(asker({ maxPending: 0 }), 0), null);
});

test('an identity asks so fast and no faster, whatever comes of it', () => {
  const limits = new HoldLimits();
  let asked = 0;
  for (; limits.begin(asker(), 0) === null; asked += 1) limits.ended(asker());
  assert.equal(asked, 30);
  assert.match(limits.begin(asker(), 1_000)?.message ?? '', /too fast/);
  assert.equal(limits.begin(asker(), 2_000), null);
  // A clock that goes back gives nothing.
  assert.notEqual(limits.begin(asker(), 0), null);
});

test(
  'what was denied is not asked again for a minute, from no session',
  { skip: process.geteuid?.() !== 0 },
  async (t) => {
    const fixed = fixture(t);
    const first = ask(fixed.approvals);
    await decide(fixed, first.name, 'Deny', { fields: { reason: 'no' } });
    const never = new AbortController().signal;
    for (const session of [
      '20261121t120000z-0123456789abcdef0123456789abcdef',
      '20261121t130000z-00000000000000000000000000000000',
    ]) {
      const again = fixed.approvals.request(asked({ session }), never);
      assert.ok(again.kind === 'refused');
      assert.equal(again.denial.code, 'approval-denied');
      assert.match(again.denial.message, /was denied \ds ago by daemon/);
      assert.ok(again.denial.detail.includes(first.name) && again.denial.detail.includes('no'));
    }
    assert.equal(fixed.approvals.request(asked({ text: 'SELECT 2' }), never).kind, 'pending');
    assert.equal(fixed.approvals.request(asked({ username: 'other' }), never).kind, 'pending');
  },
);

test('a decided one counts no longer', { skip: process.geteuid?.() !== 0 }, async (t) => {
  const fixed = fixture(t);
  const first = ask(fixed.approvals, { maxPending: 1 });
  const never = new AbortController().signal;
  const second = fixed.approvals.request(asked({ maxPending: 1, text: 'SELECT 2' }), never);
  assert.ok(second.kind === 'refused' && second.denial.code === 'denied');
  await decide(fixed, first.name, 'Approve', { uid: USERS.root });
  assert.equal(fixed.approvals.request(asked({ maxPending: 1, text: 'SELECT 2' }), never).kind, 'pending');
  assert.equal(fixed.approvals.used(first.name), true);
  assert.equal(fixed.approvals.request(asked({ maxPending: 1, text: 'SELECT 3' }), never).kind, 'refused');
});

test('evidence that is too long is cut, and says so', (t) => {
  const fixed = fixture(t);
  const { name } = ask(fixed.approvals, {
    evidence: { plan: 'x'.repeat(100_000), unavailable: 'y'.repeat(2_000) },
  });
  const { plan = '', unavailable = '' } = fixed.read(name).spec.request.evidence;
  assert.match(plan, /x … \(34504 characters more\)$/);
  assert.match(unavailable, /y … \(1016 characters more\)$/);
});

test('what does not fit is refused, with a reason', (t) => {
  const fixed = fixture(t);
  const never = new AbortController().signal;
  const long = fixed.approvals.request(asked({ text: 'x'.repeat(300_000) }), never);
  assert.ok(long.kind === 'refused');
  assert.equal(long.denial.code, 'unsupported');
  assert.match(long.denial.detail, /spec\.request\.operation\.text must have at most/);
  const { operation } = asked();
  const parameters = ['x'.repeat(200_000), 'x'.repeat(200_000), 'x'.repeat(200_000)];
  const wide = fixed.approvals.request(asked({ operation: { ...operation, parameters } }), never);
  assert.ok(wide.kind === 'refused');
  assert.match(wide.denial.detail, /characters with its parameters, more than 524288/);
  assert.equal(fixed.approvals.request(asked({ requirements: [] }), never).kind, 'refused');
});
