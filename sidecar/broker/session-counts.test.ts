import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import pino from 'pino';
import { freePort } from '../../e2e/postgres.ts';
import { BrokerClient } from './client.ts';
import { SessionCounts } from './session-counts.ts';

test('a recording counts as written down only when it is', async (t) => {
  const place = await mkdtemp(join(tmpdir(), 'counts-'));
  t.after(() => rm(place, { recursive: true, force: true }));
  const state = join(place, 'state');
  const nobody = { url: new URL(`https://127.0.0.1:${await freePort()}`), ca: '', tokenFile: 'none' };
  const counts = await SessionCounts.load(state, new BrokerClient(nobody), pino({ level: 'silent' }));
  // There is no folder yet. The second write begins after the first has failed.
  const both = await Promise.allSettled([counts.recorded('a/b'), counts.recorded('a/b')]);
  assert.deepEqual(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  await mkdir(state);
  await counts.recorded('a/b');
  // What it wrote itself.
  const [written] = JSON.parse(await readFile(join(state, 'sessions.json'), 'utf8')) as {
    recordings: number;
  }[];
  assert.equal(written?.recordings, 3);
  await counts.close(performance.now() + 100);
});
