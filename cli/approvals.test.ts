import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import type { Approval } from '../crds/approval.ts';
import { ask, fixture, requirement, USERS, type Fixture } from '../sidecar/approval/fixture.ts';

const root = process.geteuid?.() === 0;
const hasScript = spawnSync('script', ['--version']).status === 0;
const onlyRoot = { skip: root ? false : 'needs root, to run the command as other users' };
const inTerminal = { skip: root && hasScript ? false : 'needs root and the command `script`' };

/** What a main does, with the editor from the environment. */
const MAIN = `
  import { Command } from 'commander';
  import { addApprovalsCommands } from './cli/approvals.ts';
  const program = new Command('sidewarden');
  addApprovalsCommands(program, { editor: process.env.EDITOR ?? 'vi' });
  await program.parseAsync(process.argv.slice(1), { from: 'user' });
`;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface Running {
  readonly uid?: number;
  readonly group?: number;
  readonly env?: Readonly<Record<string, string>>;
}

function node(args: readonly string[]): string[] {
  return [process.execPath, '--input-type=module', '-e', MAIN, 'approvals', ...args];
}

function start(command: readonly string[], { uid, group = 1, env = {} }: Running = {}) {
  const as = uid === undefined ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${group}`, `--groups=${group}`];
  const [program = '', ...args] = [...as, ...command];
  return spawn(program, args, {
    cwd: join(import.meta.dirname, '..'),
    env: { PATH: process.env['PATH'], ...env },
  });
}

async function ended(child: ReturnType<typeof start>, input = ''): Promise<Ended> {
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  child.stdin.end(input);
  const code = await new Promise<number | null>((done) => child.once('close', done));
  return { code, out, err };
}

function cli(args: readonly string[], running?: Running): Promise<Ended> {
  return ended(start(node(args), running));
}

/** In a terminal of its own; `input` is typed at once. */
function terminal(
  args: readonly string[],
  input: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const quoted = node(args).map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  return ended(
    start(['script', '-qec', quoted.join(' '), '/dev/null'], { env: { TERM: 'xterm-256color', ...env } }),
    input,
  );
}

/** A folder that the group `daemon` shares. */
function shared(t: TestContext): Fixture {
  const state = mkdtempSync(join(tmpdir(), 'sidewarden-cli-'));
  chownSync(state, -1, 1);
  chmodSync(state, 0o710);
  return fixture(t, { state, group: 1 });
}

describe('sidewarden approvals, as processes of several users', onlyRoot, () => {
  test('list, show and approve, by another user of the group', async (t) => {
    const { state, approvals, read } = shared(t);
    const { name, outcome } = ask(approvals, {
      evidence: { estimatedRows: 4_200, plan: 'Seq Scan on orders' },
    });
    const daemon = { uid: USERS.daemon };
    const listed = await cli(['list', '--state', state], daemon);
    assert.equal(listed.code, 0, listed.err);
    assert.match(
      listed.out,
      new RegExp(
        `^${name} +(\\d+s|1m00s) left +agent +ALTER TABLE +4200 +ALTER TABLE orders ADD note text$`,
        'm',
      ),
    );
    const shown = await cli(['show', name.slice(0, -2), '--state', state], daemon);
    assert.equal(shown.code, 0, shown.err);
    const { digest } = read(name).spec.request;
    const expected = [
      'agent (run-agent',
      'production-access/orders-db, database orders, role app',
      'public.orders (ddl)',
      'about 4,200',
      '│ ALTER TABLE orders ADD note text',
      '│ Seq Scan on orders',
      'group dba',
      digest,
      `sidewarden approvals approve ${name} --state ${state}`,
    ];
    for (const part of expected) assert.ok(shown.out.includes(part), part);
    const approved = await cli(['approve', name, '--reason', 'fine', '--state', state], daemon);
    assert.deepEqual([approved.code, approved.err], [0, '']);
    assert.match(approved.out, /it was approved by daemon/);
    const got = await outcome;
    assert.ok(got.kind === 'approved' && got.reason === 'fine');
    assert.equal((await cli(['list', '--state', state])).out, 'Nothing is pending.\n');
    assert.match((await cli(['list', '--all', '--state', state])).out, /Approved/);
  });

  test('who may not decide is told why, with exit code 1', async (t) => {
    const { state, approvals, read } = shared(t);
    const { name } = ask(approvals);
    const other = await cli(['approve', name, '--state', state], { uid: USERS.bin });
    assert.equal(other.code, 1);
    assert.match(other.err, /refused: bin is not an approver: group dba/);
    const own = ask(approvals, { username: 'daemon', text: 'DROP TABLE a' });
    const self = await cli(['approve', own.name, '--state', state], { uid: USERS.daemon });
    assert.equal(self.code, 1);
    assert.match(self.err, /refused: the run's own identity/);
    const stranger = await cli(['approve', name, '--state', state], {
      uid: USERS.nobody,
      group: USERS.nobody,
    });
    assert.equal(stranger.code, 2);
    assert.match(stranger.err, /cannot be read/);
    assert.equal(read(name).status?.phase, 'Pending');
  });

  test('a second decision is refused; so is one that comes too late', async (t) => {
    const { state, approvals } = shared(t);
    const { name, outcome } = ask(approvals);
    assert.equal(
      (await cli(['deny', name, '--reason', 'no', '--state', state], { uid: USERS.daemon })).code,
      0,
    );
    assert.equal((await outcome).kind, 'denied');
    const second = await cli(['approve', name, '--state', state, '--json']);
    assert.equal(second.code, 1);
    assert.match(second.err, /too late: it was denied by daemon/);
    assert.deepEqual((({ accepted, phase }) => ({ accepted, phase }))(JSON.parse(second.out)), {
      accepted: false,
      phase: 'Denied',
    });
    assert.match((await cli(['modify', name, '--text', 'x', '--state', state])).err, /too late/);
  });

  test('several people, one after the other', async (t) => {
    const { state, approvals } = shared(t);
    const { name, outcome } = ask(approvals, { requirements: [requirement(['dba']), requirement(['sre'])] });
    const first = await cli(['approve', name, '--state', state], { uid: USERS.daemon });
    assert.deepEqual([first.code, first.err], [0, '']);
    assert.match(first.out, /still needed: group sre/);
    assert.match(
      (await cli(['show', name, '--state', state])).out,
      /daemon approved; still needed: group sre/,
    );
    assert.equal((await cli(['approve', name, '--state', state], { uid: USERS.bin })).code, 0);
    assert.equal((await outcome).kind, 'approved');
  });

  test('modify takes a text, a file, but nothing empty or unchanged', async (t) => {
    const { state, approvals } = shared(t);
    const { name, outcome } = ask(approvals, { text: 'DELETE FROM orders' });
    const at = ['--state', state];
    assert.equal((await cli(['modify', name, '--text', ' ', ...at])).code, 2);
    assert.equal((await cli(['modify', name, '--text', 'DELETE FROM orders', ...at])).code, 2);
    assert.equal((await cli(['modify', name, ...at])).code, 2);
    assert.equal((await cli(['modify', name, '--file', join(state, 'none'), ...at])).code, 2);
    const file = join(state, 'new.sql');
    writeFileSync(file, 'DELETE FROM orders WHERE id = 7\n');
    assert.equal((await cli(['modify', name, '--file', file, ...at])).code, 0);
    const got = await outcome;
    assert.ok(got.kind === 'modified');
    assert.equal(got.text, 'DELETE FROM orders WHERE id = 7\n');
    assert.match(
      (await cli(['show', name, ...at])).out,
      /Modified to, 32 characters[^]*│ DELETE FROM orders WHERE id = 7/,
    );
  });

  test('names: not found, several, and what is no command', async (t) => {
    const { state, approvals } = shared(t);
    ask(approvals, { text: 'DROP TABLE a' });
    ask(approvals, { text: 'DROP TABLE b' });
    const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
      [['show', 'nothing'], 4, /there is no approval nothing/],
      [['approve', 'nothing'], 4, /there is no approval/],
      [['deny', '../../etc/passwd'], 4, /there is no approval/],
      [['approve', 'orders-db'], 2, /can mean orders-db-.*, orders-db-/],
      [['show'], 2, /missing required argument/],
      [['frobnicate'], 2, /unknown command/],
      [['list', '--frobnicate'], 2, /unknown option/],
      [['list', '--state', join(state, 'none')], 2, /name the folder/],
      [['deny', 'orders-db', '--reason', 'x'.repeat(2000)], 2, /can mean|reason/],
    ];
    for (const [args, code, message] of cases) {
      const got = await cli(args.includes('--state') ? args : [...args, '--state', state]);
      assert.equal(got.code, code, args.join(' '));
      assert.match(got.err, message);
    }
  });

  test('nobody serves: the decision is taken back', async (t) => {
    const fixed = shared(t);
    const { name } = ask(fixed.approvals);
    const before = fixed.read(name);
    await fixed.approvals.close();
    writeFileSync(join(fixed.state, 'approvals', `${name}.json`), JSON.stringify(before));
    const got = await cli(['approve', name, '--state', fixed.state]);
    assert.equal(got.code, 1);
    assert.match(got.err, /no answer within 5s, the decision was taken back/);
    assert.deepEqual(readdirSync(join(fixed.state, 'decisions')), []);
  });

  test('what an agent writes reaches no terminal as it is', async (t) => {
    const { state, approvals } = shared(t);
    const evil = '\x1b[2J\x1b]0;x\x07\u202E\u200B\x9b\r';
    const base = {
      issuer: evil,
      subject: evil,
      username: evil,
      groups: [evil],
      claims: {},
      serviceAccount: evil,
      pod: evil,
    };
    const evidence = { plan: evil, unavailable: evil, locks: [{ relation: evil, mode: evil, held: true }] };
    const { name } = ask(approvals, { text: `DROP TABLE a ${evil}`, identity: base, evidence });
    for (const args of [['list'], ['list', '--json'], ['show', name], ['show', name, '--json']]) {
      const { out, code } = await cli([...args, '--state', state]);
      assert.equal(code, 0);
      assert.doesNotMatch(out, /[^\n\P{C}]|[\p{Zl}\p{Zp}]/u);
      if (args.includes('--json')) assert.ok(JSON.stringify(JSON.parse(out)).includes('DROP TABLE a'));
    }
    assert.match(
      (await cli(['show', name, '--state', state])).out,
      /! the text has characters that change the reading direction/,
    );
  });

  test('a hundred kilobytes are shown whole, and the head says so', async (t) => {
    const { state, approvals } = shared(t);
    const text = `SELECT 1;${' \n'.repeat(50_000)} DROP TABLE orders`;
    const { name } = ask(approvals, { text });
    const { out } = await cli(['show', name, '--state', state]);
    assert.match(out, /Statement, LONG: 100,027 characters, 50001 lines, shown whole/);
    assert.equal(out.split('\n').filter((line) => line.startsWith('│')).length, 50_001);
    assert.match(out, /│ {2}DROP TABLE orders\n/);
    // The head comes again where the reader's eye is at the end.
    assert.equal(out.split('many empty lines').length, 3);
    const listed = await cli(['list', '--state', state]);
    assert.match(listed.out, /! SELECT 1; DROP TABLE orders/);
  });

  test('equal ones are one row, and still decided one by one', async (t) => {
    const { state, approvals, read } = shared(t);
    const names = [1, 2, 3].map(() => ask(approvals).name);
    ask(approvals, { text: 'DROP TABLE b' });
    const { out } = await cli(['list', '--state', state]);
    assert.equal(out.trim().split('\n').length, 3);
    const [, first = ''] = /^(\S+) ×3/m.exec(out) ?? [];
    assert.ok(names.includes(first));
    assert.equal((await cli(['approve', first, '--state', state])).code, 0);
    assert.equal(names.filter((name) => read(name).status?.phase === 'Pending').length, 2);
    assert.match((await cli(['list', '--state', state])).out, / ×2/);
  });

  test('list --watch --json tells of each change', async (t) => {
    const { state, approvals } = shared(t);
    const one = ask(approvals);
    const child = start(node(['list', '--all', '--watch', '--json', '--state', state]));
    t.after(() => child.kill());
    const lines: Approval[] = [];
    const changed = new EventTarget();
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      // Printed by the command as whole objects.
      lines.push(...parts.map((line) => JSON.parse(line) as Approval));
      changed.dispatchEvent(new Event('line'));
    });
    const until = async (count: number) => {
      while (lines.length < count)
        await new Promise((done) => changed.addEventListener('line', done, { once: true }));
    };
    await until(1);
    const two = ask(approvals, { text: 'DROP TABLE b' });
    await until(2);
    approvals.void(one.name, 'SessionEnded');
    await until(3);
    assert.deepEqual(
      lines.map(({ metadata, status }) => [metadata.name, status?.phase]),
      [
        [one.name, 'Pending'],
        [two.name, 'Pending'],
        [one.name, 'Void'],
      ],
    );
    child.kill();
    await new Promise((done) => child.once('close', done));
  });
});

describe('sidewarden approvals in a terminal', inTerminal, () => {
  test('approve shows the operation and asks', async (t) => {
    const { state, approvals, read } = fixture(t);
    const { name, outcome } = ask(approvals);
    const no = await terminal(['approve', name, '--state', state], 'n\n');
    assert.equal(no.code, 1);
    assert.match(no.out, /not approved; it is still pending/);
    assert.equal(read(name).status?.phase, 'Pending');
    assert.equal((await terminal(['approve', name, '--state', state], '\x04')).code, 1);
    const yes = await terminal(['approve', name, '--state', state], 'y\n');
    assert.equal(yes.code, 0, yes.out);
    assert.ok(yes.out.includes('ALTER TABLE orders ADD note text') && yes.out.includes('as root?'));
    assert.equal((await outcome).kind, 'approved');
  });

  test('colour in a terminal, unless NO_COLOR says no', async (t) => {
    const { state, approvals } = fixture(t);
    const { name } = ask(approvals);
    assert.match((await terminal(['show', name, '--state', state], '')).out, /\x1b\[31m/);
    const plain = (await terminal(['show', name, '--state', state], '', { NO_COLOR: '1' })).out;
    assert.doesNotMatch(plain, /\x1b\[/);
    assert.doesNotMatch(
      (await cli(['show', name, '--state', state], { env: { FORCE_COLOR: '1' } })).out,
      /\x1b/,
    );
  });

  test('a long name cannot begin a line', async (t) => {
    const { state, approvals } = fixture(t);
    const request = ask(approvals, {
      text: `SELECT '${' '.repeat(500)}  Who      root' -- ${'長'.repeat(200)}`,
    });
    const { out } = await terminal(['show', request.name, '--state', state], '', { NO_COLOR: '1' });
    const lines = out.split(/\r*\n/);
    const from = lines.findIndex((line) => line.startsWith('Statement'));
    const text = lines.slice(from + 1, lines.indexOf('', from));
    assert.ok(text.length > 10);
    for (const line of text) assert.match(line, /^[│┊] .{0,76}$/u);
  });

  test('modify opens the editor', async (t) => {
    const { state, approvals } = fixture(t);
    const { name, outcome } = ask(approvals, { text: 'DELETE FROM orders' });
    const editor = `sed -i -e 's/$/ WHERE id = 1/'`;
    const got = await terminal(['modify', name, '--state', state], '', { EDITOR: editor });
    assert.equal(got.code, 0, got.out);
    const change = await outcome;
    assert.ok(change.kind === 'modified');
    assert.equal(change.text, 'DELETE FROM orders WHERE id = 1');
    const other = ask(approvals, { text: 'DELETE FROM t' });
    assert.equal((await terminal(['modify', other.name, '--state', state], '', { EDITOR: 'false' })).code, 2);
    assert.equal((await terminal(['modify', other.name, '--state', state], '', { EDITOR: 'true' })).code, 2);
  });
});
