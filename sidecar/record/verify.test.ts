import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { chainedLine, lineHash } from './chain.ts';
import { DirectoryStore } from './directory-store.ts';
import { payloadHash, readManifest } from './documents.ts';
import { readEvents } from './read.ts';
import { recoverRecordings } from './recover.ts';
import {
  openSample,
  sampleComplete,
  sampleDecision,
  sampleFolder,
  signer,
  trusted,
} from './sample-session.ts';
import { newSessionId } from './session-id.ts';
import { signerOf } from './signer.ts';
import { verifyRecording, type Verification } from './verify.ts';

const EVENTS = 14;

interface Sample {
  readonly folder: string;
  readonly store: DirectoryStore;
  readonly session: string;
  /** Path inside the session. */
  path(name: string): string;
  verify(): Promise<Verification>;
  /** Changes the lines of a closed segment, leaving its head as it is. */
  editLines(segment: number, edit: (lines: string[]) => readonly string[]): Promise<void>;
}

/** Two or more segments, each of some events. */
async function sample(t: TestContext): Promise<Sample> {
  const { folder, store } = await sampleFolder(t);
  const recorder = await openSample(store, { durability: 'strict', segmentBytes: 1500 });
  for (let operation = 1; operation <= 6; operation++) {
    recorder.append(sampleDecision(operation));
    recorder.append(sampleComplete(operation));
    await recorder.durable();
  }
  await recorder.close('end');
  const { session } = recorder;
  return sampleOf(folder, store, session);
}

function sampleOf(folder: string, store: DirectoryStore, session: string): Sample {
  const path = (name: string): string => join(folder, session, name);
  return {
    folder,
    store,
    session,
    path,
    verify: () => verifyRecording(store, session, trusted),
    editLines: async (segment, edit) => {
      const file = path(`${String(segment).padStart(6, '0')}.jsonl.zst`);
      const lines = zstdDecompressSync(await readFile(file))
        .toString()
        .split('\n')
        .slice(0, -1);
      await writeFile(
        file,
        zstdCompressSync(
          edit(lines)
            .map((line) => `${line}\n`)
            .join(''),
        ),
      );
    },
  };
}

async function segmentsOf(
  one: Sample,
): Promise<readonly { readonly segment: number; readonly first: number; readonly last: number }[]> {
  const payload = (await readFile(one.path('manifest.json'), 'utf8')).split('\n')[0] ?? '';
  return readManifest(JSON.parse(payload), '').segments;
}

/** Each gives the lines after the edit of the line at `index`, and by how much the first wrong event is further on. */
const EDITS: Readonly<Record<string, (lines: string[], index: number) => readonly string[]>> = {
  'a changed value': (lines, index) => lines.with(index, (lines[index] ?? '').replace(/"at":\d/, '"at":9')),
  'a changed link': (lines, index) =>
    lines.with(index, (lines[index] ?? '').replace(/"prev":"./, '"prev":"~')),
  'a changed number': (lines, index) => lines.with(index, (lines[index] ?? '').replace(/"n":/, '"n":1')),
  'a space': (lines, index) => lines.with(index, `${lines[index] ?? ''} `),
  'no JSON': (lines, index) => lines.with(index, 'x'),
  'an empty line': (lines, index) => lines.toSpliced(index, 0, ''),
  'a removed line': (lines, index) => lines.toSpliced(index, 1),
  'a doubled line': (lines, index) => lines.toSpliced(index, 0, lines[index - 1] ?? lines[index + 1] ?? ''),
  'lines swapped': (lines, index) =>
    index + 1 < lines.length
      ? lines.with(index, lines[index + 1] ?? '').with(index + 1, lines[index] ?? '')
      : lines.with(index, lines[index - 1] ?? 'x'),
  'everything after cut': (lines, index) => lines.slice(0, index),
  'chained anew from an edit on': (lines, index) => {
    const edited = lines.with(index, (lines[index] ?? '').replace(/"at":\d/, '"at":9'));
    let previous = '';
    return edited.map((line, at) => {
      const result = at <= index ? line : line.replace(/"prev":"[^"]*"/, `"prev":"${previous}"`);
      previous = lineHash(result);
      return result;
    });
  },
};

test('tamper matrix: every edit of every event is found, and that event named', async (t) => {
  const original = await sample(t);
  const segments = await segmentsOf(original);
  assert.ok(segments.length >= 2);
  for (const [name, edit] of Object.entries(EDITS)) {
    for (let event = 1; event <= EVENTS; event++) {
      const within = segments.find(({ first, last }) => first <= event && event <= last);
      assert.ok(within);
      await using copy = await copyOf(original);
      await copy.sample.editLines(within.segment, (lines) => edit(lines, event - within.first));
      const found = await copy.sample.verify();
      assert.equal(found.kind, 'tampered', `${name} at ${event}`);
      assert.equal(
        'event' in found ? found.event : undefined,
        event,
        `${name} at ${event}: ${JSON.stringify(found)}`,
      );
    }
  }
});

async function copyOf(original: Sample): Promise<AsyncDisposable & { readonly sample: Sample }> {
  const folder = `${original.folder}-copy`;
  await cp(original.folder, folder, { recursive: true });
  return {
    sample: sampleOf(folder, new DirectoryStore(folder), original.session),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

test('an open segment: edits are found by the links alone', async (t) => {
  const { folder, store } = await sampleFolder(t);
  const recorder = await openSample(store, { durability: 'strict' });
  for (let operation = 1; operation <= 4; operation++) recorder.append(sampleDecision(operation));
  await recorder.durable();
  const live = join(folder, recorder.session, '000001.jsonl');
  const lines = (await readFile(live, 'utf8')).split('\n').slice(0, -1);
  const cases: readonly (readonly [string, number, readonly string[]])[] = [
    ['value', 2, lines.with(1, (lines[1] ?? '').replace(/"at":\d/, '"at":9'))],
    ['link', 3, lines.with(2, (lines[2] ?? '').replace(/"prev":"./, '"prev":"~'))],
    ['removed', 3, lines.toSpliced(2, 1)],
    ['swapped', 2, lines.with(1, lines[2] ?? '').with(2, lines[1] ?? '')],
    ['first', 1, lines.slice(1)],
  ];
  for (const [name, event, edited] of cases) {
    await writeFile(live, edited.map((line) => `${line}\n`).join(''));
    const found = await verifyRecording(store, recorder.session, trusted);
    assert.ok(found.kind === 'tampered' && found.event === event, `${name}: ${JSON.stringify(found)}`);
    assert.equal((await recoverRecordings(store, signer))[0]?.kind, 'left', name);
  }
  await writeFile(live, lines.map((line) => `${line}\n`).join('') + '{"n":6,"pr');
  const torn = await verifyRecording(store, recorder.session, trusted);
  assert.ok(
    torn.kind === 'unfinished' && torn.events === 5 && /torn/.test(torn.reason),
    JSON.stringify(torn),
  );
  await recorder.close('end').catch(() => undefined);
});

type Tampering = (one: Sample) => Promise<void>;

function replaceIn(name: string, pattern: RegExp, by: string): Tampering {
  return async (one) =>
    writeFile(one.path(name), (await readFile(one.path(name), 'utf8')).replace(pattern, by));
}

const FILES: Readonly<Record<string, Tampering>> = {
  'header removed': (one) => rm(one.path('header.json')),
  'header changed': replaceIn('header.json', /agent-7/, 'someone'),
  'head removed': (one) => rm(one.path('000001.head.json')),
  'head changed': replaceIn('000001.head.json', /"bytes":\d/, '"bytes":9'),
  'head unsigned': replaceIn('000001.head.json', /"signature":"[^"]*"/, '"signature":""'),
  'signature in another spelling': replaceIn('000001.head.json', /"\}\n$/, '=="}\n'),
  'segment removed': (one) => rm(one.path('000001.jsonl.zst')),
  'last segment and its head removed': async (one) => {
    const last = String((await segmentsOf(one)).length).padStart(6, '0');
    await rm(one.path(`${last}.jsonl.zst`));
    await rm(one.path(`${last}.head.json`));
  },
  'segments swapped': async (one) => {
    for (const end of ['jsonl.zst', 'head.json']) {
      await rename(one.path(`000001.${end}`), one.path('x'));
      await rename(one.path(`000002.${end}`), one.path(`000001.${end}`));
      await rename(one.path('x'), one.path(`000002.${end}`));
    }
  },
  'segment added': async (one) => {
    const next = String((await segmentsOf(one)).length + 1).padStart(6, '0');
    await writeFile(one.path(`${next}.jsonl`), chainedLine(EVENTS + 1, 'x', ',"at":1}\n'));
  },
  'unsigned copy beside': (one) => writeFile(one.path('000001.jsonl'), ''),
  'segment compressed anew': (one) => one.editLines(1, (lines) => [...lines]),
  'bytes after the frame': async (one) =>
    writeFile(
      one.path('000001.jsonl.zst'),
      Buffer.concat([await readFile(one.path('000001.jsonl.zst')), Buffer.from('x')]),
    ),
  'segment cut': async (one) =>
    writeFile(one.path('000001.jsonl.zst'), (await readFile(one.path('000001.jsonl.zst'))).subarray(0, -9)),
  'segment no zstd': (one) => writeFile(one.path('000001.jsonl.zst'), 'hello'),
  'manifest changed': replaceIn('manifest.json', /"reason":"end"/, '"reason":"END"'),
  'manifest from a head': async (one) => cp(one.path('000001.head.json'), one.path('manifest.json')),
  'manifest not JSON': (one) => writeFile(one.path('manifest.json'), '\xff\n\n'),
  'manifest a link': async (one) => {
    await rename(one.path('manifest.json'), join(one.folder, 'elsewhere'));
    await symlink(join(one.folder, 'elsewhere'), one.path('manifest.json'));
  },
  'last segment and manifest removed, the one before cut': async (one) => {
    const last = String((await segmentsOf(one)).length).padStart(6, '0');
    await rm(one.path('manifest.json'));
    await rm(one.path(`${last}.jsonl.zst`));
    await rm(one.path(`${last}.head.json`));
    await one.editLines(1, (lines) => lines.slice(0, -1));
  },
  'a folder for a file': async (one) => {
    await rm(one.path('000001.jsonl.zst'));
    await mkdir(one.path('000001.jsonl.zst'));
  },
  'signed by another key': async (one) => {
    const other = signerOf(generateKeyPairSync('ed25519').privateKey);
    const payload = (await readFile(one.path('header.json'), 'utf8')).split('\n')[0] ?? '';
    const signature = Buffer.from(other.sign(Buffer.from(`sidewarden-recording/1\n${payload}`))).toString(
      'base64url',
    );
    // The key id of ours, so that only the signature can tell.
    const line = JSON.stringify({ algorithm: 'Ed25519', key: trusted.keyId, signature });
    await writeFile(one.path('header.json'), `${payload}\n${line}\n`);
  },
};

for (const [name, tamper] of Object.entries(FILES)) {
  test(`${name}: tampered`, async (t) => {
    const one = await sample(t);
    assert.equal((await one.verify()).kind, 'clean');
    await tamper(one);
    const found = await one.verify();
    assert.equal(found.kind, 'tampered', JSON.stringify(found));
  });
}

test('a segment or a manifest of another session does not fit', async (t) => {
  for (const file of ['000001.jsonl.zst', '000001.head.json', 'manifest.json', 'header.json']) {
    const one = await sample(t);
    const other = await sample(t);
    await cp(other.path(file), one.path(file));
    assert.equal((await one.verify()).kind, 'tampered', file);
  }
});

test('a session that is being written is unfinished, whenever it is looked at', async (t) => {
  const { store } = await sampleFolder(t);
  const recorder = await openSample(store, { durability: 'strict', segmentBytes: 3000 });
  let writing = true;
  const written = (async () => {
    for (let operation = 1; operation <= 300; operation++) {
      recorder.append(sampleDecision(operation));
      await recorder.durable();
    }
    writing = false;
  })();
  while (writing) {
    const found = await verifyRecording(store, recorder.session, trusted);
    assert.equal(found.kind, 'unfinished', JSON.stringify(found));
  }
  await written;
  await recorder.close('end');
  assert.equal((await verifyRecording(store, recorder.session, trusted)).kind, 'clean');
});

test('a session under another name is not that session', async (t) => {
  const one = await sample(t);
  const name = newSessionId();
  await rename(join(one.folder, one.session), join(one.folder, name));
  const found = await verifyRecording(one.store, name, trusted);
  assert.ok(found.kind === 'tampered' && /another session/.test(found.reason));
});

test('without a manifest it is unfinished, with the last segments gone too', async (t) => {
  const one = await sample(t);
  await rm(one.path('manifest.json'));
  const found = await one.verify();
  assert.ok(found.kind === 'unfinished' && found.events === EVENTS);
  const last = String(
    (await readdir(join(one.folder, one.session))).filter((name) => name.endsWith('.zst')).length,
  ).padStart(6, '0');
  await rm(one.path(`${last}.jsonl.zst`));
  await rm(one.path(`${last}.head.json`));
  assert.equal((await one.verify()).kind, 'unfinished');
});

test('hostile files neither hang it nor eat memory', { timeout: 300_000 }, async (t) => {
  const one = await sample(t);
  await rm(one.path('manifest.json'));
  await rm(one.path('000001.head.json'));
  const bombs: Readonly<Record<string, Buffer>> = {
    'one long line': zstdCompressSync(Buffer.alloc(80 * 1024 * 1024, 'x')),
    'deep JSON': zstdCompressSync(Buffer.from(`{"n":1,"prev":${'['.repeat(1_000_000)}\n`)),
    'a wide window': zstdCompressSync(Buffer.alloc(1000), { params: { 101: 27 } }),
  };
  for (const [name, bomb] of Object.entries(bombs)) {
    await writeFile(one.path('000001.jsonl.zst'), bomb);
    assert.equal((await one.verify()).kind, 'tampered', name);
  }
  await rm(one.path('000001.jsonl.zst'));
  execFileSync('sh', ['-c', 'mkfifo "$0"', one.path('000001.jsonl.zst')]);
  assert.equal((await one.verify()).kind, 'tampered');
});

test('property: bytes changed anywhere in any file are found', async (t) => {
  const one = await sample(t);
  const names = await one.store.list(one.session);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...names),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      async (name, at, change) => {
        const bytes = await readFile(one.path(name));
        const changed = Buffer.from(bytes);
        const index = at % bytes.length;
        changed[index] = (changed[index] ?? 0) ^ change;
        await writeFile(one.path(name), changed);
        const found = await one.verify();
        await writeFile(one.path(name), bytes);
        assert.equal(found.kind, 'tampered', `${name} at ${index}`);
      },
    ),
    { numRuns: 150 },
  );
  assert.equal((await one.verify()).kind, 'clean');
});

test('property: reading any bytes gives only its own errors', async (t) => {
  const one = await sample(t);
  for (const name of await one.store.list(one.session)) if (name.startsWith('0')) await rm(one.path(name));
  const line = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record({
        n: fc.nat(),
        prev: fc.string(),
        at: fc.nat(),
        kind: fc.constantFrom('rows', 'decision', 'copy'),
      })
      .map((value) => JSON.stringify(value)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(line), async (lines) => {
      await writeFile(one.path('000001.jsonl'), lines.map((text) => `${text}\n`).join(''));
      try {
        for await (const event of readEvents(one.store, one.session)) assert.ok(event.n >= 0);
      } catch (error) {
        assert.equal((error as Error).name, 'RecordingError');
      }
    }),
    { numRuns: 100 },
  );
});

test('the hash of a payload is what the first event chains to', async (t) => {
  const one = await sample(t);
  const payload = (await readFile(one.path('header.json'), 'utf8')).split('\n')[0] ?? '';
  for await (const { prev } of readEvents(one.store, one.session)) {
    assert.equal(prev, payloadHash(payload));
    break;
  }
});
