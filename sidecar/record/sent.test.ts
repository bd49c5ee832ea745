import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../e2e/cluster/component.ts';
import { readLines, readSegmentLines, summarize } from './read.ts';
import { recoverRecordings } from './recover.ts';
import {
  openSample,
  sampleComplete,
  sampleDecision,
  sampleFolder,
  signer,
  trusted,
} from './sample-session.ts';
import { storedName } from './segment.ts';
import { tallyLines, writeSent } from './sent.ts';
import { Tally } from './tally.ts';
import { SENT_SEGMENTS_ACCEPTED, verifyRecording } from './verify.ts';

test('a segment that was sent counts for recovery, and never for whoever verifies', async (t) => {
  const { folder, store } = await sampleFolder(t);
  const recorder = await openSample(store, { segmentBytes: 2000 });
  const { session } = recorder;
  for (let operation = 1; operation <= 40; operation++) {
    recorder.append(sampleDecision(operation));
    recorder.append(sampleComplete(operation));
    // What comes while the first segment is written goes into it.
    if (operation === 20)
      await until(
        'a segment is closed',
        async () => (await store.list(session)).includes('000001.head.json') || undefined,
        { every: 5 },
      );
  }
  await recorder.close('end');
  const whole = await summarize(store, session);
  // As a crash leaves it, with the first segment in the object store.
  await rm(join(folder, session, 'manifest.json'));
  const tally = new Tally();
  await tallyLines(readSegmentLines(store, session, 1), tally);
  assert.ok(tally.counts().operations > 0);
  await writeSent(store, session, 1, tally.counts());
  await store.remove(session, storedName(1));

  assert.equal((await verifyRecording(store, session, trusted)).kind, 'tampered');
  const accepted = await verifyRecording(store, session, trusted, SENT_SEGMENTS_ACCEPTED);
  assert.ok(
    accepted.kind === 'unfinished' && accepted.events === whole.manifest?.events,
    JSON.stringify(accepted),
  );
  const [recovery] = await recoverRecordings(store, signer);
  assert.equal(recovery?.kind, 'sealed');
  const { manifest } = await summarize(store, session);
  assert.deepEqual(manifest?.counts, whole.manifest.counts);
  assert.equal(manifest.digest, whole.manifest.digest);
  assert.equal((await verifyRecording(store, session, trusted)).kind, 'tampered');
  const left: string[] = [];
  for await (const line of readLines(store, session, 2)) left.push(line);
  assert.ok(left.length > 0 && left.length < manifest.events);
});
