import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { RecordingEvent } from '../sidecar/record/event.ts';
import { openRecording } from '../sidecar/record/recorder.ts';
import {
  sampleDecision,
  sampleEvents,
  sampleFolder,
  sampleHeader,
  sampleStatement,
  signer,
} from '../sidecar/record/sample-session.ts';

const PROGRAM = `
import { Command } from 'commander';
import { addPolicyCommands } from './cli/policy.ts';
const program = new Command('sidewarden');
addPolicyCommands(program);
await program.parseAsync(['node', 'sidewarden', ...process.argv.slice(1)]);
`;

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command as a process of its own, since exit codes and streams are what is tested. */
function sidewarden(...args: readonly string[]): Promise<Run> {
  return new Promise((resolve) => {
    const options = { cwd: join(import.meta.dirname, '..'), timeout: 120_000 };
    const child = execFile(
      process.execPath,
      ['--input-type=module', '-e', PROGRAM, '--', ...args],
      options,
      (_, stdout, stderr) => {
        resolve({ code: child.exitCode ?? -1, stdout, stderr });
      },
    );
  });
}

async function folderOf(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'policy-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

function policyYaml(rules: string, more = ''): string {
  return `apiVersion: sidewarden.dev/v1alpha1
kind: AccessPolicy
metadata: { name: agents, namespace: production }
spec:
  connections: [orders-db]
  subjects: [ { groups: [ai-agents] } ]
${more}  rules:
${rules}`;
}

const GOOD = policyYaml(`    - { name: reads, when: 'sql.effects == ["read"]', action: Allow }
    - { name: schema, when: '"ddl" in sql.effects', action: Hold, hold: { approvers: { groups: [dba] } } }
    - { name: never, when: '"delete" in sql.effects && !sql.hasWhere', action: Deny, message: needs a WHERE }
`);

const BAD = policyYaml(`    - { name: one, when: 'sql.efects == ["read"]', action: Allow }
    - name: two
      when: |
        sql.verb == "SELECT" &&
          sql.tabls.size() == 0
      action: Deny
`);

test('check: all errors at once, with file, line and column', async (t) => {
  const folder = await folderOf(t, { 'a.yaml': BAD, 'b.yaml': GOOD.replace('rules:', 'rulez:') });
  const a = join(folder, 'a.yaml');
  const b = join(folder, 'b.yaml');
  const { code, stdout } = await sidewarden('policy', 'check', a, b);
  assert.equal(code, 2);
  assert.deepEqual(stdout.split('\n').slice(0, 4), [
    `${a}:8:31: spec.rules[0].when: rule one: unknown fact 'efects' of sql; did you mean effects?`,
    `${a}:12:15: spec.rules[1].when: rule two: unknown fact 'tabls' of sql; did you mean tables?`,
    `${b}:7:3: spec.rulez: unknown field; known are connections, subjects, mode, default, rules, masks`,
    '✗ 3 errors; 1 policy with 2 rules in 2 files',
  ]);
});

test('check: what is right, what is not there, and JSON', async (t) => {
  const folder = await folderOf(t, { 'a.yaml': GOOD });
  assert.deepEqual(await sidewarden('policy', 'check', join(folder, 'a.yaml')), {
    code: 0,
    stdout: '✓ 1 policy with 3 rules in 1 file\n',
    stderr: '',
  });
  const missing = await sidewarden('policy', 'check', join(folder, 'nothing.yaml'), '--json');
  assert.equal(missing.code, 2);
  assert.match(missing.stdout, /"ok": false/);
  assert.match(missing.stdout, /cannot be read: ENOENT/);
});

const TESTS = `policies: [a.yaml]
connection: { namespace: production, name: orders-db }
identity: { groups: [ai-agents] }
cases:
  - name: schema changes ask
    statements:
      - { facts: { verb: ALTER TABLE, effects: [ddl] }, expect: hold, rule: schema }
      - { facts: { verb: DELETE, effects: [delete] }, expect: deny, rule: never, message: WHERE }
  - name: strangers
    identity: { username: someone }
    statements:
      - { facts: { verb: SELECT, effects: [read] }, expect: deny, message: no policy }
`;

test('test: passes, fails, and files that cannot be used', async (t) => {
  const wrong = TESTS.replace('expect: hold, rule: schema', 'expect: allow, rule: reads');
  const folder = await folderOf(t, {
    'a.yaml': GOOD,
    'good.yaml': TESTS,
    'wrong.yaml': wrong,
    'unusable.yaml': TESTS.replace('expect: hold', 'expect: maybe'),
    'bad-policy.yaml': TESTS.replace('a.yaml', 'bad.yaml'),
    'bad.yaml': BAD,
  });
  const good = await sidewarden('policy', 'test', join(folder, 'good.yaml'));
  assert.deepEqual(good, {
    code: 0,
    stdout: `${join(folder, 'good.yaml')}\n  ✓ schema changes ask\n  ✓ strangers\n2 passed, 0 failed\n`,
    stderr: '',
  });
  const failed = await sidewarden('policy', 'test', join(folder, 'good.yaml'), join(folder, 'wrong.yaml'));
  assert.equal(failed.code, 1);
  assert.match(
    failed.stdout,
    /✗ schema changes ask\n {6}.*wrong.yaml:7 ALTER TABLE\n {8}expected allow, got hold\n {8}expected rule reads, got production\/agents, schema/,
  );
  assert.match(failed.stdout, /3 passed, 1 failed\n$/);
  const unusable = await sidewarden(
    'policy',
    'test',
    join(folder, 'unusable.yaml'),
    join(folder, 'bad-policy.yaml'),
  );
  assert.equal(unusable.code, 2);
  assert.match(unusable.stderr, /unusable.yaml:7:\d+: cases\[0\]\.statements\[0\]\.expect: /);
  assert.match(unusable.stderr, /bad.yaml:8:31: spec\.rules\[0\]\.when: /);
  const json = await sidewarden('policy', 'test', join(folder, 'wrong.yaml'), '--json');
  assert.equal(json.code, 1);
  assert.match(json.stdout, /"passed": 1,\n {2}"failed": 1,/);
});

async function record(t: TestContext, events: readonly RecordingEvent[]): Promise<string> {
  const { folder, store } = await sampleFolder(t);
  const recorder = await openRecording(store, sampleHeader(), signer, {
    durability: 'batched',
    onFailure: (error) => {
      throw error;
    },
  });
  for (const event of events) recorder.append(event);
  await recorder.close('test');
  return folder;
}

test('replay: what would change, and what would not', async (t) => {
  const recordings = await record(t, [
    ...sampleEvents().slice(0, 5),
    sampleDecision(3, sampleStatement('SELECT 3')),
  ]);
  const folder = await folderOf(t, {
    'same.yaml': GOOD,
    'stricter.yaml': policyYaml(`    - { name: some, when: 'sql.text != "SELECT 3"', action: Allow }\n`),
    'bad.yaml': BAD,
  });
  const replay = (file: string, ...more: readonly string[]) =>
    sidewarden('policy', 'replay', '--recordings', recordings, '--manifests', join(folder, file), ...more);
  const same = await replay('same.yaml');
  assert.equal(
    same.stdout,
    '2 decisions of 1 session replayed; 1 left out, refused by no policy\n0 would change\n',
  );
  assert.equal(same.code, 0);
  const stricter = await replay('stricter.yaml');
  assert.equal(stricter.code, 1);
  assert.match(
    stricter.stdout,
    / #3 {2}SELECT on public\.customers\n {2}SELECT 3\n {2}allow \(production\/agents, reads\) → deny \(default\)\n/,
  );
  assert.match(stricter.stdout, /1 would change: allow → deny: 1\n$/);
  const json = await replay('stricter.yaml', '--json');
  assert.match(json.stdout, /"summary": \{\n {4}"allow → deny": 1/);
  assert.equal((await replay('bad.yaml')).code, 2);
  const empty = await sidewarden(
    'policy',
    'replay',
    '--recordings',
    folder,
    '--manifests',
    join(folder, 'same.yaml'),
  );
  assert.deepEqual([empty.code, empty.stderr.includes('there is no recording')], [2, true]);
});

test('every command has help with examples', async () => {
  for (const command of ['check', 'test', 'replay']) {
    const { code, stdout } = await sidewarden('policy', command, '--help');
    assert.equal(code, 0);
    assert.match(stdout, /Examples:\n {2}\$ sidewarden policy/);
    assert.doesNotMatch(stdout, /\u001b/);
  }
});

const SQL_TESTS = `policies: [a.yaml]
connection: { namespace: production, name: orders-db }
identity: { groups: [ai-agents] }
catalog: |
  CREATE TABLE public.customers (id int PRIMARY KEY, name text, card text);
  CREATE VIEW public.cards AS SELECT id, card FROM public.customers;
cases:
  - name: reads, masked
    statements:
      - { sql: 'SELECT id, card FROM customers', expect: allow, rule: reads, masked: [2] }
      - { sql: 'SELECT card, id FROM cards', expect: allow, masked: [1] }
      - { sql: 'SELECT name FROM customers WHERE id = $1', parameters: ['1'], expect: allow, masked: [] }
      - { sql: 'SELECT 1; DROP TABLE customers', expect: hold, rule: schema }
      - { sql: 'DELETE FROM customers', expect: deny, message: WHERE }
      - { sql: 'SELEC 1', expect: deny, message: syntax error }
  - name: what the catalog lacks
    statements:
      - { sql: 'SELECT * FROM custmers', expect: allow }
`;

test('test: texts are analysed against the catalog of the file', async (t) => {
  const masks = '  masks: [ { columns: [public.customers.card], with: Redact } ]\n';
  const folder = await folderOf(t, {
    'a.yaml': GOOD.replace('  rules:\n', `${masks}  rules:\n`),
    'sql.yaml': SQL_TESTS,
    'broken.yaml': SQL_TESTS.replace('name text,', 'name nonsense,'),
  });
  const { code, stdout } = await sidewarden('policy', 'test', join(folder, 'sql.yaml'));
  assert.match(
    stdout,
    /✓ reads, masked\n {2}✗ what the catalog lacks\n.*sql\.yaml:18 .*\n +custmers is not in the catalog of this file\n/,
  );
  assert.match(stdout, /1 passed, 1 failed\n$/);
  assert.equal(code, 1);
  const broken = await sidewarden('policy', 'test', join(folder, 'broken.yaml'));
  assert.equal(broken.code, 2);
  assert.match(broken.stderr, /broken\.yaml:4:\d+: catalog: the type nonsense is not known/);
});
