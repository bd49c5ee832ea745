import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, asked, decide, fixture, USERS } from './fixture.ts';
import { type Asker, HoldLimits } from './limits.ts';

const asker = (change: Partial<Asker> = {}): Asker => ({
  session: 's1',
  identity: 'i1',
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

/** Asks and cancels, until it is refused: how often it was not, and why it is. */
function flood(
  limits: HoldLimits,
  who: Asker,
  now: number,
): { readonly asked: number; readonly why: string } {
  for (let asked = 0; ; asked += 1) {
    const denial = limits.begin(who, now);
    if (denial !== null) return { asked, why: `${denial.message}: ${denial.detail}` };
    limits.ended(who);
  }
}

test('a session asks so fast and no faster, whatever comes of it', () => {
  const limits = new HoldLimits();
  const { asked, why } = flood(limits, asker(), 0);
  assert.equal(asked, 10);
  assert.match(why, /too fast: One session may ask 10 times at once, then once in 6s/);
  assert.match(limits.begin(asker(), 5_000)?.message ?? '', /too fast/);
  assert.equal(limits.begin(asker(), 6_000), null);
  // A clock that goes back gives nothing.
  assert.notEqual(limits.begin(asker(), 0), null);
});

test('an identity asks so fast and no faster, in however many sessions', () => {
  const limits = new HoldLimits();
  const sessions = ['s1', 's2', 's3', 's4'].map((session) => flood(limits, asker({ session }), 0));
  assert.deepEqual(
    sessions.map(({ asked }) => asked),
    [10, 10, 10, 0],
  );
  assert.match(sessions.at(-1)?.why ?? '', /One identity may ask 30 times at once, then once in 2s/);
  assert.match(limits.begin(asker({ session: 's5' }), 1_000)?.message ?? '', /too fast/);
  assert.equal(limits.begin(asker({ session: 's5' }), 2_000), null);
});

test('a session that floods takes nothing from another of the same identity', () => {
  const limits = new HoldLimits();
  const refused: number[] = [];
  for (let second = 0; second < 600; second += 1) {
    for (let tried = 0; tried < 20; tried += 1) flood(limits, asker({ session: 'flooder' }), second * 1000);
    const victim = asker({ session: 'victim' });
    // Once in six seconds is its share, for as long as it likes.
    if (second % 6 !== 0) continue;
    if (limits.begin(victim, second * 1000) === null) limits.ended(victim);
    else refused.push(second);
  }
  assert.deepEqual(refused, []);
});

test('an identity asks for so many bytes and no more, in however many requests and sessions', () => {
  const limits = new HoldLimits();
  const MiB = 1024 * 1024;
  for (const session of ['s1', 's2', 's3', 's4'])
    assert.equal(limits.weigh(asker({ session }), 2 * MiB, 0), null);
  assert.match(limits.weigh(asker({ session: 's5' }), 1, 0)?.detail ?? '', /8 MiB at once, then for a MiB a/);
  assert.equal(limits.weigh(asker({ identity: 'i2' }), 8 * MiB, 0), null);
  assert.notEqual(limits.weigh(asker(), MiB, 59_000), null);
  assert.equal(limits.weigh(asker(), MiB, 60_000), null);
  assert.notEqual(limits.weigh(asker(), MiB, 60_000), null);
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
      assert.match(again.denial.message, /was denied \d+s ago by daemon/);
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
