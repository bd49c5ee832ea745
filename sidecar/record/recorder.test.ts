import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { DirectoryStore } from './directory-store.ts';
import { readEvents, readLines, summarize } from './read.ts';
import type { AnyEvent } from './recorded.ts';
import {
  openSample,
  sampleComplete,
  sampleDecision,
  sampleEvents,
  sampleFolder,
  sampleHeader,
  sampleStatement,
  trusted,
} from './sample-session.ts';
import type { SessionRecorder } from './recorder.ts';
import type { LiveSegment, RecordingStore } from './store.ts';
import { verifyRecording } from './verify.ts';

async function eventsOf(store: RecordingStore, session: string): Promise<readonly AnyEvent[]> {
  const events: AnyEvent[] = [];
  for await (const { event } of readEvents(store, session)) events.push(event);
  return events;
}

test('what was appended is read back, in order, with its references resolved', async (t) => {
  const { store } = await sampleFolder(t);
  const recorder = await openSample(store);
  for (const event of sampleEvents()) recorder.append(event);
  const { digest } = await recorder.close('client left');
  const events = await eventsOf(store, recorder.session);
  assert.equal(events[0]?.kind, 'session-start');
  assert.deepEqual(events.at(-1), {
    kind: 'session-end',
    reason: 'client left',
    counts: { operations: 5, allow: 2, deny: 1, hold: 1, refuse: 1, rows: 3 },
  });
  const written = sampleEvents().map((event) =>
    event.kind === 'decision' ? { ...event, redacted: false } : event,
  );
  assert.deepEqual(events.slice(1, -1), written);
  const verified = await verifyRecording(store, recorder.session, trusted);
  assert.deepEqual(verified, {
    kind: 'clean',
    session: recorder.session,
    events: 18,
    digest,
    interrupted: undefined,
  });
  const { manifest } = await summarize(store, recorder.session);
  assert.equal(manifest?.counts.operations, 5);
});

test('a statement and its columns are written once', async (t) => {
  const { store } = await sampleFolder(t);
  const recorder = await openSample(store);
  for (let operation = 1; operation <= 5; operation++) recorder.append(sampleDecision(operation));
  await recorder.close('end');
  const lines: string[] = [];
  for await (const line of readLines(store, recorder.session)) lines.push(line);
  assert.equal(lines.filter((line) => line.includes('customers')).length, 1);
});

test('secrets are written nowhere: text, parameters, fingerprint, digest, what the server says', async (t) => {
  const { store } = await sampleFolder(t);
  const recorder = await openSample(store);
  const statement = { ...sampleStatement(`ALTER ROLE app PASSWORD 'hunter2'`), fingerprint: 'hunter2' };
  recorder.append({ ...sampleDecision(1, statement), digest: 'hunter2' });
  recorder.append({ ...sampleComplete(1, null), error: { code: '42601', message: 'near "hunter2"' } });
  const call = sampleStatement('SELECT dblink_connect($1)');
  const facts = {
    kind: 'postgres',
    sql: { statement: call, parameters: ['hunter2'], role: 'a', inTransaction: false },
  } as const;
  recorder.append({ ...sampleDecision(2, call), facts });
  recorder.append({ ...sampleDecision(3, call), facts });
  const typo = { kind: 'unknown', text: `ALTER ROLE app PASWORD 'hunter2'` } as const;
  const denial = { code: 'unparseable', message: `near "'hunter2'"`, detail: `'hunter2'`, hint: '' } as const;
  recorder.append({ ...sampleDecision(4), facts: typo, decision: { kind: 'refuse', denial } });
  recorder.append({ kind: 'notice', operation: 4, severity: 'ERROR', code: '1', message: 'hunter2' });
  await recorder.close('end');
  for await (const line of readLines(store, recorder.session)) assert.doesNotMatch(line, /hunter2/);
});

test('lines are harmless to look at, and hold exactly what was given', async (t) => {
  const { store } = await sampleFolder(t);
  const text = "SELECT '\x1b[2J\x9b31m\x7f\u202e\u200b\u{e0041}\ufeff\0\n'";
  const recorder = await openSample(store);
  recorder.append(sampleDecision(1, sampleStatement(text)));
  await recorder.close('end');
  for await (const line of readLines(store, recorder.session))
    assert.doesNotMatch(line, /[\x00-\x1f\x7f-\x9f\u200b\u202e\ufeff]|\udb40/);
  const events = await eventsOf(store, recorder.session);
  const decision = events.find((event) => event.kind === 'decision');
  assert.ok(decision?.facts.kind === 'postgres');
  assert.equal(decision.facts.sql.statement.text, text);
});

test('segments are rotated by size and by age, and chained across', async (t) => {
  const { store } = await sampleFolder(t);
  const bySize = await openSample(store, { segmentBytes: 2000 });
  const closed = (recorder: SessionRecorder, name: string) =>
    eventually(async () => (await store.list(recorder.session)).includes(name), `${name} is there`);
  let operation = 0;
  for (const head of ['000001.head.json', '000002.head.json']) {
    for (let more = 0; more < 20; more++) bySize.append(sampleDecision(++operation));
    await closed(bySize, head);
  }
  await bySize.close('end');
  const { manifest } = await summarize(store, bySize.session);
  assert.ok((manifest?.segments.length ?? 0) > 2);
  assert.equal((await verifyRecording(store, bySize.session, trusted)).kind, 'clean');

  const byAge = await openSample(store, { segmentAge: 40 });
  await closed(byAge, '000001.head.json');
  byAge.append(sampleDecision(1));
  await closed(byAge, '000002.head.json');
  await byAge.close('end');
  assert.equal((await verifyRecording(store, byAge.session, trusted)).kind, 'clean');
});

test('property: random events come back as they were, and verify', async (t) => {
  const { store } = await sampleFolder(t);
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\ud800', '\u2028', '"\\', '\x1b]0;x\x07'),
  );
  // Lone surrogates are no Unicode: JSON keeps them, so they too must come back.
  const row = fc.array(fc.option(text), { minLength: 2, maxLength: 2 });
  const event = fc.record({
    statement: text,
    parameters: fc.array(fc.option(text)),
    rows: fc.array(row),
    message: text,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 20 }), async (given) => {
      const recorder = await openSample(store, { segmentBytes: 500 });
      const columns = [
        { name: 'a', type: '25' },
        { name: 'b', type: '25' },
      ];
      for (const [index, one] of given.entries()) {
        const operation = index + 1;
        const sql = {
          statement: sampleStatement(`x${one.statement}`),
          parameters: one.parameters,
          role: 'r',
          inTransaction: true,
        };
        recorder.append({ ...sampleDecision(operation), facts: { kind: 'postgres', sql } });
        recorder.append({ kind: 'rows', operation, columns, rows: one.rows });
      }
      await recorder.close('end');
      const events = (await eventsOf(store, recorder.session)).slice(1, -1);
      const decisions = events.filter((found) => found.kind === 'decision');
      for (const [index, found] of decisions.entries()) {
        const one = given[index];
        assert.ok(found.facts.kind === 'postgres' && one !== undefined);
        if (found.redacted) continue;
        assert.equal(found.facts.sql.statement.text, `x${one.statement}`);
        assert.deepEqual(found.facts.sql.parameters, one.parameters);
      }
      assert.deepEqual(
        events.filter((found) => found.kind === 'rows').map((found) => found.rows),
        given.map((one) => one.rows),
      );
      assert.equal((await verifyRecording(store, recorder.session, trusted)).kind, 'clean');
    }),
    { numRuns: 25 },
  );
});

/** A store whose live segment can be held up or broken. */
class TroubledStore extends DirectoryStore {
  readonly calls: string[] = [];
  trouble: Error | undefined;
  /** So many syncs fail, the first ones. */
  brokenSyncs = 0;
  syncGate: Promise<void> = Promise.resolve();
  writeGate: Promise<void> = Promise.resolve();

  override async create(session: string, name: string): Promise<LiveSegment> {
    const live = await super.create(session, name);
    return {
      write: async (bytes) => {
        await this.writeGate;
        if (this.trouble !== undefined) throw this.trouble;
        this.calls.push('write');
        await live.write(bytes);
      },
      sync: async () => {
        this.calls.push('sync begins');
        const broken = this.brokenSyncs-- > 0;
        await this.syncGate;
        if (broken) throw new Error('EIO');
        if (this.trouble !== undefined) throw this.trouble;
        await live.sync();
        this.calls.push('sync');
      },
      close: () => {
        this.calls.push('close');
        return live.close();
      },
    };
  }
}

test('strict: nothing goes on before it is synced, and those who wait share a sync', async (t) => {
  // The late sync, a second after a write, is none of theirs.
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { folder } = await sampleFolder(t);
  const store = new TroubledStore(folder);
  const recorder = await openSample(store, { durability: 'strict' });
  store.calls.length = 0;
  let open: () => void = () => undefined;
  store.syncGate = new Promise((resolve) => (open = resolve));
  const done: number[] = [];
  const waits = [1, 2, 3, 4].map(async (operation) => {
    recorder.append(sampleDecision(operation));
    await recorder.durable();
    done.push(operation);
  });
  await eventually(() => store.calls.includes('sync begins'), 'a sync begins');
  assert.deepEqual(done, []);
  open();
  await Promise.all(waits);
  assert.deepEqual(done, [1, 2, 3, 4]);
  assert.ok(store.calls.filter((call) => call === 'sync').length <= 2, store.calls.join());
  assert.equal(store.calls[0], 'write');
  assert.equal(recorder.durable(), undefined);
  await recorder.close('end');
});

test('batched: never waits, and goes to disk by itself', async (t) => {
  const { folder, store } = await sampleFolder(t);
  const recorder = await openSample(store);
  recorder.append(sampleDecision(1));
  assert.equal(recorder.durable(), undefined);
  const live = join(folder, recorder.session, '000001.jsonl');
  await eventually(async () => (await linesIn(live)) === 2, 'both lines are on disk');
  await recorder.close('end');
});

async function eventually(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `waited in vain: ${what}`);
    await sleep(5);
  }
}

async function linesIn(path: string): Promise<number> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').length - 1;
}

for (const durability of ['strict', 'batched'] as const) {
  test(`${durability}: a full disk fails the recording for good`, async (t) => {
    const { folder } = await sampleFolder(t);
    const store = new TroubledStore(folder);
    const failures: Error[] = [];
    const recorder = await openSample(store, { durability, onFailure: (error) => failures.push(error) });
    const live = join(folder, recorder.session, '000001.jsonl');
    await eventually(async () => (await linesIn(live)) === 1, 'the first line is written');
    store.trouble = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    recorder.append(sampleDecision(1));
    if (durability === 'strict') await assert.rejects(recorder.durable() ?? Promise.resolve(), /no space/);
    await eventually(() => recorder.failed, 'it fails');
    assert.equal(failures.length, 1);
    store.trouble = undefined;
    recorder.append(sampleDecision(2));
    if (durability === 'strict') await assert.rejects(recorder.durable() ?? Promise.resolve(), /no space/);
    assert.ok(recorder.failed);
    await assert.rejects(recorder.close('end'), /could not be completed/);
    assert.equal((await verifyRecording(store, recorder.session, trusted)).kind, 'unfinished');
  });
}

test('a backlog over its cap fails the recording', async (t) => {
  const { folder } = await sampleFolder(t);
  const store = new TroubledStore(folder);
  const recorder = await openSample(store, { backlog: 200_000 });
  await sleep(40);
  let open: () => void = () => undefined;
  store.writeGate = new Promise((resolve) => (open = resolve));
  for (let operation = 1; operation <= 5000 && !recorder.failed; operation++)
    recorder.append(sampleDecision(operation));
  assert.ok(recorder.failed);
  open();
  await assert.rejects(recorder.close('end'), /could not be completed/);
});

test('files deleted before the first segment is there fail the recording: it goes on nowhere without its header', async (t) => {
  const { folder, store } = await sampleFolder(t);
  const failed = Promise.withResolvers<Error>();
  const recorder = await openSample(store, { onFailure: failed.resolve });
  // The first lines are still on their way.
  rmSync(join(folder, recorder.session), { recursive: true });
  recorder.append(sampleDecision(1));
  assert.match(String(await failed.promise), /cannot make 000001\.jsonl: ENOENT/);
  assert.ok(recorder.failed);
  assert.deepEqual(await store.sessions(), []);
});

test('batched: a rotation does not swallow what the late sync of the same file was told', async (t) => {
  const { folder } = await sampleFolder(t);
  const store = new TroubledStore(folder);
  const recorder = await openSample(store);
  let open: () => void = () => undefined;
  store.syncGate = new Promise((resolve) => (open = resolve));
  store.brokenSyncs = 1;
  recorder.append(sampleDecision(1));
  await eventually(() => store.calls.includes('sync begins'), 'the late sync begins');
  const closed = recorder.close('end');
  const live = join(folder, recorder.session, '000001.jsonl');
  await eventually(async () => (await linesIn(live)) === 3, 'the last line is written');
  // A rotation that does not wait comes to its own sync meanwhile.
  await sleep(50);
  open();
  await assert.rejects(closed, /could not be completed/);
  assert.ok(recorder.failed);
});

for (const durability of ['strict', 'batched'] as const) {
  test(`${durability}: a live segment that was cut fails the recording, and is closed`, async (t) => {
    const { folder } = await sampleFolder(t);
    const store = new TroubledStore(folder);
    const failed = Promise.withResolvers<Error>();
    const recorder = await openSample(store, { durability, onFailure: failed.resolve });
    const live = join(folder, recorder.session, '000001.jsonl');
    await eventually(async () => (await linesIn(live)) === 1, 'the first line is written');
    await truncate(live);
    recorder.append(sampleDecision(1));
    if (durability === 'strict') await assert.rejects(recorder.durable() ?? Promise.resolve(), /was cut/);
    else await assert.rejects(recorder.close('end'));
    assert.match(String(await failed.promise), /was cut/);
    assert.equal(store.calls.filter((call) => call === 'close').length, 1);
  });

  test(`${durability}: an event that is longer than a line may be fails the recording before its operation goes on`, async (t) => {
    const { store } = await sampleFolder(t);
    for (const parameter of ['\x01'.repeat(12 * 1024 * 1024), '\u20ac'.repeat(23 * 1024 * 1024)]) {
      const recorder = await openSample(store, { durability });
      const decision = sampleDecision(1);
      assert.ok(decision.facts.kind === 'postgres');
      const { sql } = decision.facts;
      recorder.append({ ...decision, facts: { kind: 'postgres', sql: { ...sql, parameters: [parameter] } } });
      assert.ok(recorder.failed);
      await assert.rejects(recorder.durable() ?? Promise.resolve(), /an event is longer than/);
      await assert.rejects(recorder.close('end'));
      assert.notEqual((await verifyRecording(store, recorder.session, trusted)).kind, 'tampered');
    }
  });
}

test('files deleted before the manifest: the recording is not complete, and its folder does not come back', async (t) => {
  const { folder } = await sampleFolder(t);
  const store = new (class extends DirectoryStore {
    override async put(...[session, name, content]: Parameters<DirectoryStore['put']>): Promise<void> {
      if (name === 'manifest.json') await rm(join(folder, session), { recursive: true });
      return super.put(session, name, content);
    }
  })(folder);
  const recorder = await openSample(store);
  await assert.rejects(recorder.close('end'), /ENOENT/);
  assert.deepEqual(await store.sessions(), []);
});

test('what is sealed is as long as what was written', async (t) => {
  const { folder } = await sampleFolder(t);
  const store = new (class extends DirectoryStore {
    override async read(...[session, name, maximum]: Parameters<DirectoryStore['read']>) {
      if (name.endsWith('.jsonl')) await truncate(join(folder, session, name), 100);
      return super.read(session, name, maximum);
    }
  })(folder);
  const recorder = await openSample(store);
  await assert.rejects(recorder.close('end'), /could not be completed/);
  assert.ok((await store.list(recorder.session)).includes('000001.jsonl'));
});

test('an event that cannot be encoded fails the recording and does not throw', async (t) => {
  const { store } = await sampleFolder(t);
  const recorder = await openSample(store);
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  // What no caller may do, and a mistake in one could.
  recorder.append({ ...sampleDecision(1), masks: circular as never });
  assert.ok(recorder.failed);
  await assert.rejects(recorder.durable() ?? Promise.resolve());
  await assert.rejects(recorder.close('end'));
});

test('a session is written once', async (t) => {
  const { folder, store } = await sampleFolder(t);
  const header = sampleHeader();
  const recorder = await openSample(store, {}, header);
  await assert.rejects(openSample(store, {}, header), { code: 'exists' });
  await recorder.close('end');
  await assert.rejects(store.put(recorder.session, 'manifest.json', once()), { code: 'exists' });
  await assert.rejects(store.put(recorder.session, '../x', once()), { code: 'format' });
  await assert.rejects(openSample(store, {}, sampleHeader('../../etc')), { code: 'format' });
  await writeFile(join(folder, 'not-a-session'), '');
  assert.deepEqual(await store.sessions(), [recorder.session]);
});

test('closing twice gives the same digest; after it nothing is taken', async (t) => {
  const { store } = await sampleFolder(t);
  const recorder = await openSample(store);
  const first = recorder.close('end');
  recorder.append(sampleDecision(1));
  assert.ok(recorder.failed);
  assert.equal((await first).digest, (await recorder.close('again')).digest);
  assert.equal((await eventsOf(store, recorder.session)).length, 2);
});

async function* once(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('x');
}
