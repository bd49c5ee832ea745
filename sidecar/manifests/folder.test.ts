import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatManifestErrors } from './location.ts';
import { loadManifests } from './manifests.ts';

const good = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\n';

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'manifests-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function errorsOf(path: string): Promise<string> {
  const result = await loadManifests(path);
  return result.kind === 'loaded' ? '' : formatManifestErrors(result.errors);
}

test('what is no regular file, too large, or no text is refused, and the rest is still checked', () =>
  inFolder(async (folder) => {
    await mkdir(join(folder, 'a.yaml'));
    execFileSync('/usr/bin/env', ['mkfifo', join(folder, 'b.yaml')]);
    await symlink('/dev/zero', join(folder, 'g.yaml'));
    await writeFile(join(folder, 'c.yaml'), `${good}#${' '.repeat(1_048_576)}`);
    await writeFile(join(folder, 'd.yaml'), Buffer.from([0x61, 0x3a, 0x20, 0xff]));
    await symlink('nowhere', join(folder, 'e.yaml'));
    await writeFile(join(folder, 'f.yaml'), 'kind: X\n');
    assert.equal(
      (await errorsOf(folder)).replaceAll(`${folder}/`, ''),
      [
        'a.yaml: is not a regular file',
        'b.yaml: is not a regular file',
        'c.yaml: is larger than 1048576 bytes',
        'd.yaml: is not UTF-8 text',
        'e.yaml: cannot be read: ENOENT',
        'f.yaml:1:1: apiVersion: is required, as a string',
        'g.yaml: is not a regular file',
      ].join('\n'),
    );
  }));

test('links as a mounted ConfigMap has them are followed; subfolders and other files are left aside', () =>
  inFolder(async (folder) => {
    await mkdir(join(folder, '..2026'));
    await writeFile(join(folder, '..2026', 'a.yaml'), good);
    await symlink('..2026', join(folder, '..data'));
    await symlink('..data/a.yaml', join(folder, 'a.yaml'));
    await mkdir(join(folder, 'more'));
    await writeFile(join(folder, 'more', 'b.yaml'), 'nonsense');
    await writeFile(join(folder, '.#a.yaml'), 'nonsense');
    await writeFile(join(folder, 'a.yaml~'), 'nonsense');
    const result = await loadManifests(folder);
    assert.ok(result.kind === 'loaded');
    assert.deepEqual([...result.manifests.configMaps.keys()], ['default/a']);
  }));

test('a single file can be loaded, without what it refers to', () =>
  inFolder(async (folder) => {
    const file = join(folder, 'policy.yaml');
    const policy =
      'apiVersion: sidewarden.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: a }\n' +
      'spec: { connections: [x], subjects: [ { everyone: true } ] }\n';
    await writeFile(file, policy);
    assert.equal(
      await errorsOf(file),
      `${file}:4:23: spec.connections[0]: there is no ProtectedConnection default/x`,
    );
    const alone = await loadManifests(file, { references: 'unchecked' });
    assert.equal(alone.kind, 'loaded');
  }));

test('a folder that is not there', async () => {
  assert.equal(await errorsOf('/nonexistent/manifests'), '/nonexistent/manifests: cannot be read: ENOENT');
});

test('file names cannot forge output', () =>
  inFolder(async (folder) => {
    await writeFile(join(folder, 'a\u001b[2K\nb.yaml'), 'x: 1');
    assert.doesNotMatch(await errorsOf(folder), /[\u001b\n]/u);
  }));
