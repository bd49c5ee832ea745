import assert from 'node:assert/strict';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  ask,
  asked,
  decide,
  decisionOn,
  fixture,
  kindOf,
  pending,
  putDecision,
  receiptOf,
  requirement,
  USERS,
} from './fixture.ts';
import { isApprovalName } from './name.ts';

const root = process.geteuid?.() === 0;
const onlyRoot = { skip: root ? false : 'needs root, to make files of other users' };

describe('approvals in a folder', onlyRoot, () => {
  test('an approval is there when asked for, and is approved by who owns the decision file', async (t) => {
    const fixed = fixture(t);
    const { name, outcome, expiresAt } = ask(fixed.approvals);
    assert.ok(isApprovalName(name) && /^orders-db-[0-9a-z]{6}$/.test(name));
    const before = fixed.read(name);
    assert.equal(before.status?.phase, 'Pending');
    assert.equal(before.spec.request.expiresAt, expiresAt);
    assert.deepEqual(before.status.awaiting, ['production-access/orders/needs-dba']);
    assert.equal(statSync(join(fixed.state, 'approvals', `${name}.json`)).mode & 0o777, 0o600);
    const receipt = await decide(fixed, name, 'Approve', { fields: { reason: 'looks right' } });
    assert.equal(receipt.accepted, true, receipt.message);
    assert.equal(receipt.by, 'daemon');
    const got = await outcome;
    assert.ok(got.kind === 'approved');
    assert.deepEqual(got.by, [{ username: 'daemon', uid: '1' }]);
    assert.equal(got.reason, 'looks right');
    const after = fixed.read(name);
    assert.equal(after.status?.phase, 'Approved');
    assert.equal(after.status.decidedBy?.username, 'daemon');
    assert.equal(after.status.decidedBy.uid, '1');
    assert.ok(
      after.status.decidedBy.groups.includes('dba') && after.status.decidedBy.groups.includes('daemon'),
    );
    assert.equal(after.spec.decision?.verdict, 'Approve');
    assert.deepEqual(readdirSync(join(fixed.state, 'decisions')), []);
  });

  test('it is used once', async (t) => {
    const fixed = fixture(t);
    const { name, outcome } = ask(fixed.approvals);
    assert.equal(fixed.approvals.used(name), false, 'not while pending');
    await decide(fixed, name, 'Approve');
    await outcome;
    assert.equal(fixed.approvals.used(name), true);
    assert.equal(fixed.approvals.used(name), false);
    assert.equal(fixed.read(name).status?.phase, 'Used');
    assert.equal(fixed.approvals.used('orders-db-000000'), false);
  });

  test('a denial and a modification carry what was said', async (t) => {
    const fixed = fixture(t);
    const denied = ask(fixed.approvals);
    await decide(fixed, denied.name, 'Deny', { fields: { reason: 'not on Fridays' } });
    const denial = await denied.outcome;
    assert.ok(denial.kind === 'denied');
    assert.deepEqual([denial.by.username, denial.reason], ['daemon', 'not on Fridays']);
    assert.equal(fixed.approvals.used(denied.name), false);
    const changed = ask(fixed.approvals, { text: 'DELETE FROM orders' });
    await decide(fixed, changed.name, 'Modify', { fields: { modified: 'DELETE FROM orders WHERE id = 1' } });
    const modification = await changed.outcome;
    assert.ok(modification.kind === 'modified');
    assert.equal(modification.text, 'DELETE FROM orders WHERE id = 1');
    assert.equal(fixed.read(changed.name).status?.phase, 'Modified');
    assert.equal(fixed.approvals.used(changed.name), true);
  });

  test('a decision is made once; the same by the same person is no error', async (t) => {
    const fixed = fixture(t);
    const { name, outcome } = ask(fixed.approvals);
    await decide(fixed, name, 'Approve');
    await outcome;
    const other = await decide(fixed, name, 'Deny', { uid: USERS.root });
    assert.equal(other.accepted, false);
    assert.match(other.message, /too late: it was approved by daemon/);
    const same = await decide(fixed, name, 'Approve');
    assert.equal(same.accepted, true);
    assert.match(same.message, /already/);
    assert.equal(fixed.read(name).status?.decidedBy?.username, 'daemon');
    fixed.approvals.used(name);
    const late = await decide(fixed, name, 'Deny');
    assert.match(late.message, /too late: it was approved by daemon .* and is used up/);
    assert.equal(fixed.read(name).status?.phase, 'Used');
  });

  test('two decisions at the same moment: one counts', async (t) => {
    const fixed = fixture(t);
    for (let round = 0; round < 5; round += 1) {
      const { name, outcome } = ask(fixed.approvals, { text: `ALTER TABLE t${round} ADD a int` });
      const approval = fixed.read(name);
      const ids = ['Approve', 'Deny', 'Deny'].map((verdict, index) =>
        putDecision(fixed.state, decisionOn(approval, verdict), {
          uid: index === 0 ? USERS.daemon : USERS.root,
        }),
      );
      const receipts = await Promise.all(ids.map((id) => receiptOf(fixed.state, id)));
      const first = await kindOf(outcome);
      const phase = fixed.read(name).status?.phase;
      assert.equal(phase, first === 'approved' ? 'Approved' : 'Denied');
      assert.equal(receipts[0]?.accepted, first === 'approved');
      assert.equal(receipts[1]?.accepted, first === 'denied');
    }
  });

  test('who is no approver, or is the run itself, is refused', async (t) => {
    const fixed = fixture(t);
    const cases = [
      { uid: USERS.nobody, request: {}, message: /nobody is not an approver: group dba/ },
      { uid: 4_242_424, request: {}, message: /uid:4242424 is not an approver/ },
      { uid: USERS.daemon, request: { username: 'daemon' }, message: /own identity/ },
      { uid: USERS.daemon, request: { username: 'DAEMON' }, message: /own identity/ },
      { uid: USERS.daemon, request: { clientUid: 1 }, message: /own identity/ },
      {
        uid: USERS.daemon,
        request: { identity: { ...asked().identity, subject: 'daemon' } },
        message: /own identity/,
      },
      {
        uid: USERS.daemon,
        request: { identity: { ...asked().identity, claims: { uid: '1' } } },
        message: /own identity/,
      },
      {
        uid: USERS.root,
        request: { requirements: [requirement([], ['alice'])] },
        message: /root is not an approver: user alice/,
      },
      { uid: USERS.root, request: { requirements: [requirement([])] }, message: /not an approver: nobody/ },
    ];
    for (const { uid, request, message } of cases) {
      const { name } = ask(fixed.approvals, request);
      for (const verdict of ['Approve', 'Deny', 'Modify']) {
        const fields = verdict === 'Modify' ? { modified: 'SELECT 1' } : {};
        const receipt = await decide(fixed, name, verdict, { uid, fields });
        assert.equal(receipt.accepted, false);
        assert.match(receipt.message, message);
      }
      assert.equal(fixed.read(name).status?.phase, 'Pending');
      fixed.approvals.void(name, 'SessionEnded');
    }
  });

  test('what a decision file claims of who decided is refused, not believed', async (t) => {
    const fixed = fixture(t);
    const { name } = ask(fixed.approvals);
    const fields = { decidedBy: { username: 'daemon', uid: '1', groups: ['dba'] } };
    const receipt = await decide(fixed, name, 'Approve', { uid: USERS.nobody, fields });
    assert.equal(receipt.accepted, false);
    assert.match(receipt.message, /unknown field "decidedBy"/);
    assert.equal(fixed.read(name).status?.phase, 'Pending');
  });

  test('several holds: several people, and the state says who is still needed', async (t) => {
    const fixed = fixture(t);
    const requirements = [requirement(['dba']), requirement(['sre'])];
    const { name, outcome } = ask(fixed.approvals, { requirements });
    const first = await decide(fixed, name, 'Approve');
    assert.equal(first.accepted, true);
    assert.match(first.message, /still needed: group sre/);
    const between = fixed.read(name);
    assert.equal(between.status?.phase, 'Pending');
    assert.deepEqual(between.status.awaiting, ['production-access/orders/needs-sre']);
    assert.equal(between.spec.approvals?.[0]?.by.username, 'daemon');
    assert.match((await decide(fixed, name, 'Approve')).message, /already; still needed: group sre/);
    const modify = await decide(fixed, name, 'Modify', { uid: USERS.bin, fields: { modified: 'SELECT 1' } });
    assert.match(modify.message, /one person who may decide on every hold; also needed: group dba/);
    assert.equal((await decide(fixed, name, 'Approve', { uid: USERS.bin })).accepted, true);
    const got = await outcome;
    assert.ok(got.kind === 'approved');
    assert.deepEqual(
      got.by.map(({ username }) => username),
      ['daemon', 'bin'],
    );
  });

  test('one person can satisfy several holds, and any approver can deny', async (t) => {
    const fixed = fixture(t);
    const requirements = [requirement(['dba']), requirement(['sre'])];
    const one = ask(fixed.approvals, { requirements });
    await decide(fixed, one.name, 'Approve', { uid: USERS.root });
    assert.equal(await kindOf(one.outcome), 'approved');
    const other = ask(fixed.approvals, { requirements, text: 'DROP TABLE a' });
    await decide(fixed, other.name, 'Approve');
    await decide(fixed, other.name, 'Deny', { uid: USERS.bin });
    assert.equal(await kindOf(other.outcome), 'denied');
  });

  test('it expires, and then it is too late', async (t) => {
    const fixed = fixture(t);
    const requirements = [requirement(['dba']), { ...requirement(['sre']), timeout: 1_000 }];
    const { name, outcome } = ask(fixed.approvals, { requirements });
    const content = decisionOn(fixed.read(name), 'Approve');
    assert.deepEqual(await outcome, { kind: 'expired', after: 1_000 });
    assert.equal(fixed.read(name).status?.phase, 'Expired');
    const late = await receiptOf(fixed.state, putDecision(fixed.state, content, { uid: USERS.root }));
    assert.equal(late.accepted, false);
    assert.match(late.message, /too late: it expired/);
    assert.equal(fixed.approvals.used(name), false);
  });

  test('the connection goes: void, before and after the decision', async (t) => {
    const fixed = fixture(t);
    const gone = new AbortController();
    const one = pending(fixed.approvals.request(asked(), gone.signal));
    gone.abort('ClientCancelled');
    assert.deepEqual(await one.outcome, { kind: 'void', why: 'ClientCancelled' });
    assert.equal(fixed.read(one.name).status?.phase, 'Void');
    assert.match(
      (await decide(fixed, one.name, 'Approve')).message,
      /too late: it is void: the client cancelled/,
    );
    const later = new AbortController();
    const two = pending(fixed.approvals.request(asked(), later.signal));
    await decide(fixed, two.name, 'Approve');
    await two.outcome;
    later.abort();
    assert.equal(fixed.approvals.used(two.name), false);
    assert.equal(fixed.read(two.name).status?.phase, 'Void');
    const three = pending(fixed.approvals.request(asked(), AbortSignal.abort()));
    assert.deepEqual(await three.outcome, { kind: 'void', why: 'ClientDisconnected' });
    const four = ask(fixed.approvals);
    fixed.approvals.void(four.name, 'TargetDisconnected');
    assert.deepEqual(await four.outcome, { kind: 'void', why: 'TargetDisconnected' });
  });

  test('a restart makes void what was open; decisions that waited for it change nothing', async (t) => {
    const fixed = fixture(t);
    const open = ask(fixed.approvals);
    const approved = ask(fixed.approvals, { text: 'DROP TABLE b' });
    const content = decisionOn(fixed.read(open.name), 'Approve');
    await decide(fixed, approved.name, 'Approve');
    // As if it had been killed: what is on disk is put back as it was.
    const before = [open, approved].map(({ name }) => fixed.read(name));
    await fixed.approvals.close();
    for (const approval of before) {
      writeFileSync(
        join(fixed.state, 'approvals', `${approval.metadata.name}.json`),
        JSON.stringify(approval),
      );
    }
    writeFileSync(join(fixed.state, 'approvals', 'broken.json'), '{');
    const id = putDecision(fixed.state, content);
    const again = await fixed.restart();
    assert.equal(fixed.read(open.name).status?.phase, 'Void');
    assert.equal(fixed.read(approved.name).status?.phase, 'Void');
    assert.equal((await receiptOf(fixed.state, id)).accepted, false);
    assert.equal(again.used(approved.name), false);
    assert.ok(fixed.logs.some((line) => line.includes('broken.json')));
  });

  test('closing makes void what is open', async (t) => {
    const fixed = fixture(t);
    const { name, outcome } = ask(fixed.approvals);
    await fixed.approvals.close();
    assert.deepEqual(await outcome, { kind: 'void', why: 'SessionEnded' });
    assert.equal(fixed.read(name).status?.phase, 'Void');
    assert.equal(fixed.approvals.request(asked(), new AbortController().signal).kind, 'refused');
  });

  test('an outcome comes by the event, without the slow look', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const fixed = fixture(t);
    // The look at the start may have found the first; the next is found by its event, or never.
    for (let round = 0; round < 2; round += 1) {
      const { name, outcome } = ask(fixed.approvals, { text: `DROP TABLE t${round}` });
      const receipt = await decide(fixed, name, 'Approve');
      assert.equal(receipt.accepted, true, receipt.message);
      assert.equal(await kindOf(outcome), 'approved');
    }
  });

  test('ended approvals are collected by number and by age', async (t) => {
    const fixed = fixture(t, { maxEnded: 3 });
    const names: string[] = [];
    for (let count = 0; count < 6; count += 1) {
      const { name } = ask(fixed.approvals, { text: `DROP TABLE t${count}` });
      fixed.approvals.void(name, 'SessionEnded');
      names.push(name);
    }
    const kept = readdirSync(join(fixed.state, 'approvals')).sort();
    assert.deepEqual(
      kept,
      names
        .slice(3)
        .map((name) => `${name}.json`)
        .sort(),
    );
    await fixed.approvals.close();
    const old = fixture(t, { state: fixed.state, retention: 0 });
    assert.deepEqual(readdirSync(join(old.state, 'approvals')), []);
  });

  test('ended approvals are collected by what they take up', (t) => {
    const fixed = fixture(t);
    // 30 of an identity at once, 10 of a session; 6 bytes a character: about 45 MB in all.
    for (let count = 0; count < 30; count += 1) {
      const session = `20261121t12000${count % 3}z-0123456789abcdef0123456789abcdef`;
      const { name } = ask(fixed.approvals, { session, text: `${count}${'\x01'.repeat(250_000)}` });
      fixed.approvals.void(name, 'SessionEnded');
    }
    const folder = join(fixed.state, 'approvals');
    const sizes = readdirSync(folder).map((file) => statSync(join(folder, file)).size);
    assert.ok(sizes.length > 10 && sizes.length < 30, `${sizes.length} kept`);
    assert.ok(sizes.reduce((sum, size) => sum + size, 0) <= 33_554_432);
  });

  test('with a group, its members can put decisions but see or change no others', (t) => {
    const fixed = fixture(t, { group: 1 });
    const decisions = statSync(join(fixed.state, 'decisions'));
    assert.deepEqual([decisions.mode & 0o7777, decisions.gid], [0o3730, 1]);
    assert.equal(statSync(join(fixed.state, 'approvals')).mode & 0o7777, 0o750);
    const { name } = ask(fixed.approvals);
    const file = statSync(join(fixed.state, 'approvals', `${name}.json`));
    assert.deepEqual([file.mode & 0o777, file.gid], [0o640, 1]);
  });
});
