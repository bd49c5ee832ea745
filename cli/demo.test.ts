import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { bundlePath, ensureBundle, root } from '../e2e/bundle.ts';
import { missingLines } from '../e2e/docs-page.ts';
import { CLIENTS, hasPsql } from './demo/agent.ts';

const execute = promisify(execFile);

interface Demo {
  readonly pid: number;
  /** All that it has printed so far. */
  text(): string;
  /** Resolves when the text matches; fails when the demo ends before. */
  shows(pattern: RegExp): Promise<RegExpExecArray>;
  readonly ended: Promise<number>;
  /** What it left in its temporary folder. */
  left(): Promise<readonly string[]>;
}

/** In a process group of its own, so that a signal reaches all that it started, as Ctrl-C in a terminal does. */
async function startDemo(t: TestContext, ...args: readonly string[]): Promise<Demo> {
  await ensureBundle();
  const folder = await mkdtemp(join(tmpdir(), 'demo-test-'));
  await chmod(folder, 0o755);
  const child = spawn(process.execPath, [bundlePath, 'demo', '--fast', ...args], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const { pid } = child;
  assert.ok(pid !== undefined);
  let text = '';
  let look: () => void = () => undefined;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      look();
    });
  }
  const ended = new Promise<number>((done) => child.once('close', (code) => done(code ?? -1)));
  t.after(async () => {
    if (child.exitCode === null) process.kill(-pid, 'SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  });
  const shows = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((done, fail) => {
      look = () => {
        const found = pattern.exec(text);
        if (found) done(found);
      };
      look();
      void ended.then(() => fail(new Error(`the demo ended:\n${text}`)));
    });
  return { pid, text: () => text, shows, ended, left: () => readdir(folder) };
}

for (const client of CLIENTS) {
  test(`the demo gives what it should, with ${client}`, { timeout: 300_000 }, async (t) => {
    if (client === 'psql' && !(await hasPsql())) return t.skip('psql is not installed');
    const demo = await startDemo(t, '--client', client);
    assert.equal(await demo.ended, 0, demo.text());
    for (const step of [1, 2, 3, 4, 5, 6, 7, 8]) assert.match(demo.text(), new RegExp(`^${step}\\. `, 'm'));
    assert.match(demo.text(), /Every step gave what it should/);
    assert.doesNotMatch(demo.text(), /\x1b/, 'colour without a terminal');
    assert.deepEqual(await demo.left(), []);
    if (client === 'psql')
      assert.deepEqual(missingLines(masked(await pictureOfReadme()), masked(demo.text())), []);
  });
}

/** The first thing that a newcomer sees. */
async function pictureOfReadme(): Promise<string> {
  const [, picture = ''] = /```text\n(.*?)```/s.exec(await readFile(join(root, 'README.md'), 'utf8')) ?? [];
  assert.match(picture, /DROP TABLE/);
  return picture;
}

/** Without what differs from run to run. */
function masked(text: string): string {
  return text
    .replaceAll(/shop-db-[0-9a-z]{6}/g, 'shop-db-NAME')
    .replaceAll(/[0-9]{8}t[0-9]{6}z-[0-9a-f]{32}/g, 'SESSION');
}

/** The command that it prints for a person, run as it stands. */
async function decide(demo: Demo, verb: string): Promise<void> {
  const [, command = ''] = await demo.shows(new RegExp(`^ +(\\S+ \\S+ approvals ${verb} .*)\\n`, 'm'));
  await execute('sh', ['-c', command]);
}

test('a person approves', { timeout: 300_000 }, async (t) => {
  const demo = await startDemo(t, '--interactive');
  await decide(demo, 'approve');
  assert.equal(await demo.ended, 0, demo.text());
  assert.match(demo.text(), /agent +│ ALTER TABLE\n/);
});

test('a person denies, and the agent is told', { timeout: 300_000 }, async (t) => {
  const demo = await startDemo(t, '--interactive');
  await decide(demo, 'deny');
  assert.equal(await demo.ended, 0, demo.text());
  assert.match(demo.text(), /agent +│ ERROR: +approval \S+ was denied by/);
});

test('Ctrl-C while it waits: everything goes away', { timeout: 300_000 }, async (t) => {
  const demo = await startDemo(t, '--interactive');
  await demo.shows(/approvals deny/);
  process.kill(-demo.pid, 'SIGINT');
  assert.equal(await demo.ended, 130, demo.text());
  assert.deepEqual(await demo.left(), []);
  assert.throws(() => process.kill(-demo.pid, 0), /ESRCH/, 'something of it still runs');
});

test('Ctrl-C while it starts', { timeout: 300_000 }, async (t) => {
  const demo = await startDemo(t);
  await demo.shows(/Starting/);
  process.kill(-demo.pid, 'SIGINT');
  assert.equal(await demo.ended, 130, demo.text());
  assert.deepEqual(await demo.left(), []);
});

test('a folder without a server is told, and nothing is left', { timeout: 300_000 }, async (t) => {
  const demo = await startDemo(t, '--binaries', '/nowhere');
  assert.equal(await demo.ended, 1);
  assert.match(demo.text(), /went wrong/);
  assert.deepEqual(await demo.left(), []);
});
