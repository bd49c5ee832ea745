import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { DirectoryStore } from '../sidecar/record/directory-store.ts';
import type { RecordingEvent } from '../sidecar/record/event.ts';
import { openRecording } from '../sidecar/record/recorder.ts';
import {
  sampleComplete,
  sampleDecision,
  sampleEvents,
  sampleHeader,
  sampleStatement,
} from '../sidecar/record/sample-session.ts';
import { loadSigner, PUBLIC_KEY } from '../sidecar/record/signer.ts';
import { csvCell } from './recordings-export.ts';
import { tableLines, width } from './recordings-table.ts';

const MAIN = `
import { Command } from 'commander';
import { addRecordingsCommands } from '${import.meta.dirname}/recordings.ts';
const program = new Command('sidewarden');
addRecordingsCommands(program);
await program.parseAsync(['node', 'sidewarden', 'recordings', ...process.argv.slice(1)]);`;

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** When stdout first had it, in milliseconds; NaN when it never had. */
  readonly at: (part: string) => number;
}

async function recordings(args: readonly string[], interruptAfter?: RegExp): Promise<Result> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', MAIN, '--', ...args], {
    cwd: join(import.meta.dirname, '..'),
  });
  let stdout = '';
  let stderr = '';
  let interrupted = false;
  const heard: { readonly text: string; readonly time: number }[] = [];
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
    heard.push({ text: stdout, time: performance.now() });
    if (!interrupted && interruptAfter?.test(stdout) === true) interrupted = child.kill('SIGINT');
  });
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  const at = (part: string) => heard.find(({ text }) => text.includes(part))?.time ?? Number.NaN;
  return { code, stdout, stderr, at };
}

/** For what asks for the time in this process. */
function later(t: TestContext, seconds: number): void {
  for (const clock of [performance, Date]) {
    const now = clock.now.bind(clock);
    t.mock.method(clock, 'now', () => now() + seconds * 1000);
  }
}

async function stateWith(
  t: TestContext,
  events: readonly RecordingEvent[],
  secondsAfterHold = 0,
): Promise<{ readonly state: string; readonly session: string }> {
  const state = await mkdtemp(join(tmpdir(), 'state-'));
  t.after(() => rm(state, { recursive: true, force: true }));
  const signer = await loadSigner(state);
  const header = sampleHeader();
  const store = new DirectoryStore(join(state, 'recordings'));
  const recorder = await openRecording(store, header, signer, {
    durability: 'batched',
    onFailure: () => undefined,
  });
  for (const event of events) {
    recorder.append(event);
    if (event.kind === 'hold' && secondsAfterHold > 0) later(t, secondsAfterHold);
  }
  await recorder.close('client left');
  return { state, session: header.session };
}

test('list, show, replay and export tell what happened', async (t) => {
  const { state, session } = await stateWith(t, sampleEvents());
  const list = await recordings(['list', '--state', state]);
  assert.equal(list.code, 0);
  assert.match(list.stdout, new RegExp(`agent +production/orders-db +2 +2 +1 +3 .* closed +${session}`));
  const listed: unknown = JSON.parse((await recordings(['list', '--json', '--state', state])).stdout);
  assert.ok(Array.isArray(listed) && listed.length === 1);

  const show = await recordings(['show', session.slice(-8), '--state', state]);
  for (const expected of [
    /#1 allow by production\/agents\/reads\n +SELECT id, name/,
    /#3 hold by/,
    /#3 Modify by ann: shorter/,
    /#4 deny by/,
    / 1 \| \*\*\*\n/,
    /ended: client left/,
  ]) {
    assert.match(show.stdout, expected);
  }
  assert.doesNotMatch(show.stdout, /\x1b/);

  const replay = await recordings(['replay', 'last', '--recordings', join(state, 'recordings')]);
  assert.match(replay.stdout, /orders=> SELECT id, name FROM customers WHERE id = \$1;\n/);
  assert.match(replay.stdout, / id \| name\n----\+------\n {2}1 \| \*\*\*\n {2}2 \|\n\(1 row\)\n/);
  assert.match(replay.stdout, /ERROR: {2}not here\n/);

  const jsonl = await recordings(['export', 'last', '--format', 'jsonl', '--state', state]);
  assert.equal(jsonl.stdout.trim().split('\n').length, 18);
  const file = join(state, 'session.cast');
  await recordings(['export', 'last', '--format', 'asciicast', '-o', file, '--state', state]);
  const cast = (await readFile(file, 'utf8'))
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  assert.ok(cast.length > 10);
  const csv = await recordings(['export', 'last', '--format', 'csv', '--state', state]);
  assert.match(csv.stdout, /,decision,4,deny,production\/agents\/reads,DROP TABLE orders,/);
});

test('verify: 0 clean, 3 unfinished, 1 tampered with the event, 2 without a key', async (t) => {
  const { state, session } = await stateWith(t, sampleEvents());
  const folder = join(state, 'recordings', session);
  const clean = await recordings(['verify', 'last', '--state', state]);
  assert.equal(clean.code, 0);
  assert.match(clean.stdout, /^checked with .*\nThis key lies where/);
  assert.match(clean.stdout, /clean .* 18 events/);
  const withKey = await recordings(['verify', '--all', '--key', join(state, PUBLIC_KEY), '--state', state]);
  assert.equal(withKey.code, 0);
  assert.doesNotMatch(withKey.stdout, /This key lies/);

  const other = await stateWith(t, []);
  const wrongKey = await recordings([
    'verify',
    '--all',
    '--key',
    join(other.state, PUBLIC_KEY),
    '--state',
    state,
  ]);
  assert.equal(wrongKey.code, 1);
  assert.match(wrongKey.stdout, /another key/);

  await cp(join(folder, 'manifest.json'), join(state, 'kept'));
  await rm(join(folder, 'manifest.json'));
  const unfinished = await recordings(['verify', 'last', '--state', state]);
  assert.equal(unfinished.code, 3);
  assert.match(unfinished.stdout, /unfinished/);
  await cp(join(state, 'kept'), join(folder, 'manifest.json'));

  const segment = join(folder, '000001.jsonl.zst');
  const lines = zstdDecompressSync(await readFile(segment))
    .toString()
    .split('\n');
  await writeFile(
    segment,
    zstdCompressSync(lines.with(6, (lines[6] ?? '').replace(/"at":\d/, '"at":9')).join('\n')),
  );
  const tampered = await recordings(['verify', '--all', '--state', state]);
  assert.equal(tampered.code, 1);
  assert.match(tampered.stdout, /TAMPERED .* the first wrong event is 7: 000001\.jsonl\.zst/);
  const json: unknown = JSON.parse(
    (await recordings(['verify', '--all', '--json', '--state', state])).stdout,
  );
  assert.ok(typeof json === 'object' && json !== null && 'sessions' in json);

  await rm(join(state, 'keys'), { recursive: true });
  assert.equal((await recordings(['verify', '--all', '--state', state])).code, 2);
});

const HOSTILE = '\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u200b\r\b\x7f\u{e0041}';

test('nothing recorded reaches the terminal as more than text', async (t) => {
  const events: readonly RecordingEvent[] = [
    sampleDecision(1, sampleStatement(`SELECT '${HOSTILE}'`)),
    { kind: 'rows', operation: 1, columns: [{ name: HOSTILE, type: HOSTILE }], rows: [[HOSTILE]] },
    { ...sampleComplete(1, HOSTILE), error: { code: HOSTILE, message: HOSTILE } },
    { kind: 'copy', operation: 2, direction: 'out', data: Buffer.from(HOSTILE) },
    { kind: 'notice', operation: null, severity: HOSTILE, code: HOSTILE, message: HOSTILE },
    {
      kind: 'hold',
      operation: 3,
      approval: HOSTILE,
      rules: [{ policy: HOSTILE, rule: HOSTILE }],
      expiresAt: HOSTILE,
    },
    {
      kind: 'approval',
      operation: 3,
      approval: HOSTILE,
      verdict: 'Modify',
      by: HOSTILE,
      decidedAt: HOSTILE,
      reason: HOSTILE,
      modified: HOSTILE,
    },
    { kind: 'policy-change', policies: [], error: HOSTILE },
  ];
  const { state } = await stateWith(t, events);
  const commands = [
    ['list'],
    ['list', '--json'],
    ['show', 'last'],
    ['show', 'last', '--json'],
    ['replay', 'last', '--speed', '100'],
    ['export', 'last', '--format', 'jsonl'],
    ['export', 'last', '--format', 'csv'],
    ['export', 'last', '--format', 'asciicast'],
  ];
  for (const command of commands) {
    const { code, stdout } = await recordings([...command, '--state', state]);
    assert.equal(code, 0, command.join(' '));
    const rest = command.includes('csv') ? stdout.replaceAll('\r\n', '\n') : stdout;
    assert.doesNotMatch(rest, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]|\udb40/, command.join(' '));
  }
});

test('replay waits as the session did, at most the pause asked for, and Ctrl-C ends it', async (t) => {
  const { state } = await stateWith(t, sampleEvents(), 100);
  const replay = ['replay', 'last', '--state', state, '--max-pause'];
  const stopped = await recordings([...replay, '1000'], /waiting for approval/);
  assert.equal(stopped.code, 130);
  assert.match(stopped.stdout, /replay stopped\n$/);
  assert.doesNotMatch(stopped.stdout, /DROP TABLE/);
  const whole = await recordings([...replay, '0.2']);
  assert.match(whole.stdout, /Modify by ann after 1 min [45]\d s/);
  assert.ok(whole.at('Modify by') - whole.at('waiting for approval') < 60_000);
});

test('wrong usage is told in one line, with exit code 2', async (t) => {
  const { state } = await stateWith(t, []);
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['list', '--state', join(state, 'nowhere')], /no recordings in/],
    [['show', 'nobody', '--state', state], /no session has this id/],
    [['show', '../../etc', '--state', state], /no session has this id/],
    [['verify', '--state', state], /name one session/],
    [['replay', 'last', '--speed', '0', '--state', state], /--speed must be/],
    [['export', 'last', '--format', 'pdf', '--state', state], /--format must be/],
    [['nonsense'], /unknown command/],
  ];
  for (const [args, expected] of cases) {
    const { code, stderr } = await recordings(args);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, expected);
    assert.equal(stderr.trim().split('\n').length, 1);
  }
  const session = join(state, 'recordings', '20261121t000000z-00000000000000000000000000000000');
  await mkdir(session);
  await writeFile(join(session, 'header.json'), 'x');
  const { code, stdout } = await recordings(['list', '--state', state]);
  assert.equal(code, 0);
  assert.match(stdout, /unreadable/);
});

test('CSV holds no formulas', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['=1+1', "'=1+1"],
    ['+1', "'+1"],
    ['-1', "'-1"],
    ['@x', "'@x"],
    [' =1', "' =1"],
    ['a=1', 'a=1'],
    ['a,b', '"a,b"'],
    ['say "x"', '"say ""x"""'],
    ['=a,"b"', `"'=a,""b"""`],
    ['line\nline', '"line\nline"'],
  ];
  for (const [given, expected] of cases) assert.equal(csvCell(given), expected);
});

test('tables line up as in psql, wide characters too', () => {
  const columns = [
    { name: 'id', type: '23' },
    { name: 'name', type: '25' },
  ];
  const rows = [
    ['1', '東京'],
    ['22', null],
    ['3', 'a\nb'],
  ];
  assert.deepEqual(tableLines(columns, rows), [
    ' id | name',
    '----+------',
    '  1 | 東京',
    ' 22 |',
    '  3 | a\\nb',
  ]);
  assert.equal(width('東京'), 4);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.option(fc.string({ unit: 'binary' })), fc.option(fc.string()))),
      (random) => {
        const lines = tableLines(columns, random);
        assert.equal(lines.length, random.length + 2);
        assert.ok(lines.every((line) => !/[\x00-\x1f\x7f]/.test(line)));
      },
    ),
  );
});
