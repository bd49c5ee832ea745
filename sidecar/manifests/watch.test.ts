import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadManifests, type LoadResult } from './manifests.ts';
import { watchManifests, type WatchOptions } from './watch.ts';

const configMap = (name: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name} }\n`;

function show(result: LoadResult): string {
  return result.kind === 'invalid' ? 'invalid' : [...result.manifests.configMaps.keys()].join(' ');
}

/** As an editor does by renaming: at no time is `a.yaml` empty. */
async function save(folder: string, text: string): Promise<void> {
  await writeFile(join(folder, '.a.yaml.tmp'), text);
  await rename(join(folder, '.a.yaml.tmp'), join(folder, 'a.yaml'));
}

/** A watched folder with `a.yaml` in it, and what was handed on. */
async function watched(
  options: Partial<WatchOptions>,
  use: (folder: string, seen: string[], until: (last: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'manifests-'));
  await writeFile(join(folder, 'a.yaml'), configMap('one'));
  const seen: string[] = [];
  const { digest } = await loadManifests(folder);
  const watcher = watchManifests(folder, (result) => void seen.push(show(result)), {
    references: 'checked',
    since: digest,
    debounce: 20,
    ...options,
  });
  const until = async (last: string): Promise<void> => {
    const deadline = performance.now() + 60_000;
    while (seen.at(-1) !== last) {
      assert.ok(performance.now() < deadline, `waited for ${last}, saw ${seen.join(', ')}`);
      await sleep(5);
    }
  };
  try {
    await use(folder, seen, until);
  } finally {
    await watcher.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Polls so rarely that only events can have told. */
const eventsOnly = { poll: 60_000 };

test('a changed, a broken and a mended file are handed on; equal content is not', () =>
  watched(eventsOnly, async (folder, seen, until) => {
    await sleep(50);
    await save(folder, configMap('two'));
    await until('default/two');
    await appendFile(join(folder, 'a.yaml'), 'nonsense');
    await until('invalid');
    await save(folder, configMap('two'));
    await until('default/two');
    await save(folder, configMap('two'));
    await sleep(100);
    assert.deepEqual(seen, ['default/two', 'invalid', 'default/two']);
  }));

test('an editor’s save by renaming', () =>
  watched(eventsOnly, async (folder, _seen, until) => {
    await sleep(50);
    for (const name of ['two', 'three']) {
      await save(folder, configMap(name));
      await until(`default/${name}`);
    }
    await rm(join(folder, 'a.yaml'));
    await until('');
  }));

test('the kubelet’s swap of a mounted ConfigMap', () =>
  watched(eventsOnly, async (folder, _seen, until) => {
    const publish = async (version: string, name: string): Promise<void> => {
      await mkdir(join(folder, version));
      await writeFile(join(folder, version, 'm.yaml'), configMap(name));
      await symlink(version, join(folder, '..data_tmp'));
      await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    await sleep(50);
    await publish('..1', 'two');
    await symlink('..data/m.yaml', join(folder, 'm.yaml'));
    await until('default/one default/two');
    await publish('..2', 'three');
    await until('default/one default/three');
  }));

test('the last of a burst is never missed', () =>
  watched(eventsOnly, async (folder, _seen, until) => {
    await sleep(50);
    for (let index = 0; index <= 200; index += 1) {
      await writeFile(join(folder, 'a.yaml'), configMap(`n${index}`));
      if (index % 20 === 0) await sleep(15);
    }
    await until('default/n200');
  }));

test('the poll sees what no event tells: a file that is linked to, a folder that is replaced', () =>
  watched({ poll: 50 }, async (folder, _seen, until) => {
    const elsewhere = await mkdtemp(join(tmpdir(), 'manifests-'));
    await writeFile(join(elsewhere, 'b.yaml'), configMap('two'));
    await symlink(join(elsewhere, 'b.yaml'), join(folder, 'b.yaml'));
    await until('default/one default/two');
    await writeFile(join(elsewhere, 'b.yaml'), configMap('three'));
    await until('default/one default/three');
    await rename(elsewhere, `${folder}-new`);
    await rm(folder, { recursive: true });
    await until('invalid');
    await rename(`${folder}-new`, folder);
    await until('default/three');
    await writeFile(join(folder, 'b.yaml'), configMap('four'));
    await until('default/four');
  }));

test('what changed between loading and watching is handed on, and the first state without `since`', async () => {
  await watched({ ...eventsOnly, since: 'something else' }, async (_folder, _seen, until) => {
    await until('default/one');
  });
});

test('no change is handed on after closing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'manifests-'));
  const seen: LoadResult[] = [];
  const watcher = watchManifests(folder, (result) => void seen.push(result));
  await watcher.close();
  const count = seen.length;
  await writeFile(join(folder, 'a.yaml'), configMap('one'));
  await sleep(200);
  assert.equal(seen.length, count);
  await rm(folder, { recursive: true });
});
