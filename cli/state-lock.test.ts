import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { StateInUse, lockState } from './state-lock.ts';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'sidewarden-lock-'));
});
after(() => rm(root, { recursive: true }));

async function folder(name: string): Promise<string> {
  const path = join(root, name);
  await mkdir(path, { recursive: true });
  return path;
}

test('one holder at a time; released, the next has it', async () => {
  const state = await folder('one');
  const lock = await lockState(state);
  await assert.rejects(lockState(state), StateInUse);
  lock.release();
  const next = await lockState(state);
  await assert.rejects(lockState(state), /another `sidewarden serve` uses the state folder/);
  next.release();
  assert.deepEqual(await readdir(state), []);
});

test('a folder whose path is longer than a socket may have', async () => {
  const lock = await lockState(await folder('deep/'.padEnd(200, 'x')));
  lock.release();
});

test('a killed process leaves nothing that is in the way', async () => {
  const state = await folder('killed');
  const script = `const { lockState } = await import(${JSON.stringify(join(import.meta.dirname, 'state-lock.ts'))});
    await lockState(${JSON.stringify(state)}); setInterval(() => {}, 1000); console.log('has it');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((done) => child.stdout.once('data', done));
  await assert.rejects(lockState(state), StateInUse);
  child.kill('SIGKILL');
  await new Promise((done) => child.once('close', done));
  const lock = await lockState(state);
  lock.release();
});

test('a file that is no socket is no holder', async () => {
  const state = await folder('file');
  await writeFile(join(state, 'serve.lock'), 'x');
  const lock = await lockState(state);
  lock.release();
});

test('of many at once, over a lock that was left, one has it', async () => {
  const state = await folder('race');
  for (let round = 0; round < 5; round++) {
    await writeFile(join(state, 'serve.lock'), 'left').catch(() => undefined);
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockState(state)));
    const locks = results.filter((result) => result.status === 'fulfilled');
    assert.equal(locks.length, 1);
    for (const { value } of locks) value.release();
  }
});
