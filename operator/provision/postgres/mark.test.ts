import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { RunRole } from '../provisioner.ts';
import { isMarkOf, readMark, roleName, writeMark } from './mark.ts';
import { scramVerifier } from './verifier.ts';

const role: RunRole = { session: { namespace: 'access', name: 'orders-db-0123456789abcdef', uid: 'u-1' } };

suite('marks', () => {
  test('are read back, and are for one session of one installation', () => {
    const mark = readMark(writeMark('here', role, 'digest'));
    assert.equal(mark?.plan, 'digest');
    assert.equal(isMarkOf(mark, 'here', role), true);
    assert.equal(isMarkOf(mark, 'elsewhere', role), false);
    for (const field of ['namespace', 'name', 'uid'] as const)
      assert.equal(isMarkOf(mark, 'here', { session: { ...role.session, [field]: 'other' } }), false);
  });

  for (const comment of [
    null,
    '',
    'mine',
    '{}',
    '[]',
    'null',
    '{"madeBy":"sidewarden","installation":"here"}',
    '{"madeBy":"other","installation":"here","session":{"namespace":"a","name":"b","uid":"c"}}',
    '{"madeBy":"sidewarden","installation":"here","session":{"namespace":"a","name":"b","uid":"c"},"more":1}',
    '{"madeBy":"sidewarden","installation":"here","session":{"namespace":"a","name":"b","uid":""}}',
  ])
    test(`${String(comment)} is none`, () => assert.equal(readMark(comment), undefined));

  test('names fit into 63 bytes and differ by all that a session is', () => {
    const name = roleName('here', role);
    assert.match(name, /^sw_orders_db_[0-9a-f]{20}$/);
    const long = { session: { ...role.session, name: `${'Ünïcode.'.repeat(40)}-0123` } };
    assert.ok(Buffer.byteLength(roleName('here', long)) <= 63);
    const others = [
      roleName('elsewhere', role),
      ...(['namespace', 'name', 'uid'] as const).map((field) =>
        roleName('here', { session: { ...role.session, [field]: 'orders-db-x' } }),
      ),
    ];
    assert.equal(new Set([name, ...others]).size, 5);
  });

  test('a verifier as PostgreSQL makes it', async () => {
    const verifier = await scramVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'));
    // The example of RFC 7677, section 3.
    assert.equal(
      verifier,
      'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
    );
  });
});
