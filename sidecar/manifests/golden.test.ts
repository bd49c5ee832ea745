import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { formatManifestErrors } from './location.ts';
import { loadManifests, type LoadResult } from './manifests.ts';

/** `golden/NAME.txt`: files, each behind `>>> FILE`; then `>>> errors` or `>>> loaded`, and what is expected. */
const folder = join(import.meta.dirname, 'golden');

function sections(text: string): Map<string, string> {
  const parts = text.split(/^>>> (.*)\n/mu).slice(1);
  return new Map(
    parts.flatMap((part, index) => (index % 2 === 0 ? [[part, parts[index + 1] ?? ''] as const] : [])),
  );
}

function show(result: LoadResult, root: string): [string, string] {
  if (result.kind === 'invalid') {
    return ['errors', formatManifestErrors(result.errors).replaceAll(`${root}/`, '') + '\n'];
  }
  const { connections, policies, secrets, configMaps } = result.manifests;
  const objects = [connections, policies, secrets, configMaps].flatMap((objects) =>
    [...objects.values()].map(({ namespace, name, locateKey }) => {
      const { file, line } = locateKey([]);
      return `${namespace}/${name} ${file.replace(`${root}/`, '')}:${line}\n`;
    }),
  );
  return ['loaded', objects.join('')];
}

for (const name of await readdir(folder)) {
  test(`manifests: ${name}`, async () => {
    const root = await mkdtemp(join(tmpdir(), 'manifests-'));
    try {
      const text = await readFile(join(folder, name), 'utf8');
      const parts = sections(text);
      for (const [file, content] of parts) {
        if (file === 'errors' || file === 'loaded') continue;
        await mkdir(dirname(join(root, file)), { recursive: true });
        await writeFile(join(root, file), content);
      }
      const [kind, actual] = show(await loadManifests(root), root);
      if (process.env['GOLDEN'] === 'write') {
        const input = text.split(/^>>> (?:errors|loaded)\n/mu)[0] ?? '';
        await writeFile(join(folder, name), `${input}>>> ${kind}\n${actual}`);
        return;
      }
      assert.equal(actual, parts.get(kind), kind);
    } finally {
      await rm(root, { recursive: true });
    }
  });
}
