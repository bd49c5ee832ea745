import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ask, decide, decisionOn, fixture, kindOf, putDecision, receiptOf } from './fixture.ts';

const root = process.geteuid?.() === 0;
const onlyRoot = { skip: root ? false : 'needs root, to make files of other users' };

describe('decision files and objects that were tampered with', onlyRoot, () => {
  test('files that are not what they should be are refused', async (t) => {
    const fixed = fixture(t);
    const { name, outcome } = ask(fixed.approvals);
    const approval = fixed.read(name);
    const good = decisionOn(approval, 'Approve');
    const at = (id: string) => join(fixed.state, 'decisions', `${id}.json`);
    const elsewhere = join(fixed.state, 'elsewhere');
    writeFileSync(elsewhere, JSON.stringify(good), { mode: 0o640 });
    const cases: readonly (readonly [string, () => string, RegExp])[] = [
      [
        'a symbolic link',
        () => {
          const id = randomUUID();
          symlinkSync(elsewhere, at(id));
          return id;
        },
        /no file that can be read/,
      ],
      [
        'a hard link',
        () => {
          const id = randomUUID();
          linkSync(elsewhere, at(id));
          return id;
        },
        /more than one name/,
      ],
      [
        'a pipe',
        () => {
          const id = randomUUID();
          execFileSync('mkfifo', [at(id)]);
          return id;
        },
        /not a regular file/,
      ],
      ['huge', () => putDecision(fixed.state, {}, { raw: ' '.repeat(3_000_000) }), /bytes, more than/],
      ['writable for all', () => putDecision(fixed.state, good, { mode: 0o666 }), /writable for others/],
      [
        'writable for the group',
        () => putDecision(fixed.state, good, { mode: 0o660 }),
        /writable for others/,
      ],
      ['not JSON', () => putDecision(fixed.state, good, { raw: '{"approval":' }), /not JSON/],
      ['a list', () => putDecision(fixed.state, [good]), /not an object/],
      ['an unknown field', () => putDecision(fixed.state, { ...good, force: true }), /unknown field "force"/],
      [
        'an unknown verdict',
        () => putDecision(fixed.state, { ...good, verdict: 'approve' }),
        /verdict must be/,
      ],
      [
        'another digest',
        () => putDecision(fixed.state, { ...good, digest: `sha256:${'0'.repeat(64)}` }),
        /not what is held/,
      ],
      ['another display', () => putDecision(fixed.state, { ...good, shown: 'sha256:1' }), /not what is held/],
      [
        'no digest',
        () => putDecision(fixed.state, { ...good, digest: undefined }),
        /must say what was shown/,
      ],
      [
        'a path as a name',
        () => putDecision(fixed.state, { ...good, approval: '../approvals/x' }),
        /must be the name/,
      ],
      [
        'an unknown name',
        () => putDecision(fixed.state, { ...good, approval: 'orders-db-zzzzzz' }),
        /there is no approval/,
      ],
      [
        'Modify without text',
        () => putDecision(fixed.state, { ...good, verdict: 'Modify' }),
        /modified must be set/,
      ],
      [
        'Approve with text',
        () => putDecision(fixed.state, { ...good, modified: 'SELECT 1' }),
        /modified must be set/,
      ],
      [
        'a blank text',
        () => putDecision(fixed.state, { ...good, verdict: 'Modify', modified: ' \n' }),
        /modified must have/,
      ],
      [
        'a long reason',
        () => putDecision(fixed.state, { ...good, reason: 'x'.repeat(2000) }),
        /reason must be/,
      ],
    ];
    for (const [what, put, message] of cases) {
      const receipt = await receiptOf(fixed.state, put());
      assert.equal(receipt.accepted, false, what);
      assert.match(receipt.message, message, what);
      assert.equal(fixed.read(name).status?.phase, 'Pending', what);
    }
    mkdirSync(at(randomUUID()));
    writeFileSync(join(fixed.state, 'decisions', 'orders.json'), JSON.stringify(good));
    // It goes on working after all this.
    assert.equal((await decide(fixed, name, 'Approve')).accepted, true);
    assert.equal(await kindOf(outcome), 'approved');
  });

  test('an object changed on disk does not get its approval', async (t) => {
    const fixed = fixture(t);
    const { name } = ask(fixed.approvals, { text: 'DROP TABLE orders' });
    const approval = fixed.read(name);
    const { request } = approval.spec;
    const harmless = {
      ...request,
      operation: { ...request.operation, text: 'SELECT 1', summary: 'SELECT 1' },
    };
    const path = join(fixed.state, 'approvals', `${name}.json`);
    writeFileSync(path, JSON.stringify({ ...approval, spec: { request: harmless } }));
    const receipt = await decide(fixed, name, 'Approve');
    assert.equal(receipt.accepted, false);
    assert.match(receipt.message, /not what is held/);
  });
});
