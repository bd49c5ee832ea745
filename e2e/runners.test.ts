/** docs/kubernetes/runners.md: each of its files says the annotation where it claims to, as injection reads it. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { wishOf } from '../operator/admission/inject/annotations.ts';
import { root } from './bundle.ts';

const page = await readFile(join(root, 'docs/kubernetes/runners.md'), 'utf8');
const CONNECTIONS = ['production-access/orders-db'];

interface Marked {
  readonly path: string;
  readonly yaml: string;
}

/** Blocks behind a comment that says where their annotations are, as a JSON pointer without escapes. */
function marked(): readonly Marked[] {
  const blocks = page.matchAll(/^<!-- annotated: (\/\S+) -->\n+```yaml\n([^]*?)^```$/gm);
  return [...blocks].map(([, path = '', yaml = '']) => ({ path, yaml }));
}

function at(value: unknown, path: string): unknown {
  return path
    .split('/')
    .slice(1)
    .reduce<unknown>((found, name) => {
      assert.ok(typeof found === 'object' && found !== null, `${path}: there is nothing at ${name}`);
      return new Map<string, unknown>(Object.entries(found)).get(name);
    }, value);
}

function assertWish(annotations: unknown, where: string): void {
  assert.ok(typeof annotations === 'object' && annotations !== null, where);
  const wish = wishOf(Object.fromEntries(Object.entries(annotations)));
  assert.ok(wish.kind === 'wish', `${where}: ${JSON.stringify(wish)}`);
  assert.deepEqual(wish.wish.connections, CONNECTIONS, where);
}

test('every YAML file has the annotation where it says', () => {
  const blocks = marked();
  for (const { path, yaml } of blocks) assertWish(at(parse(yaml), path), path);
  // The first block of the page is the annotation alone.
  const all = [...page.matchAll(/^```yaml$/gm)].length;
  assert.equal(blocks.length, all - 1, 'a YAML file is not marked');
  const [, alone = ''] = /^```yaml\n([^]*?)^```$/m.exec(page) ?? [];
  assertWish(parse(alone), 'the annotation alone');
});

test("GitLab's config.toml has it among the annotations of pods", () => {
  const [, toml = ''] = /^```toml\n([^]*?)^```$/m.exec(page) ?? [];
  const [, table = ''] = /^\s*\[runners\.kubernetes\.pod_annotations\]\n([^[]*)/m.exec(toml) ?? [];
  // A basic string of TOML without control characters is one of JSON.
  const entries = [...table.matchAll(/^\s*("[^\n]*?")\s*=\s*("[^\n]*")$/gm)].map(
    ([, key = '', value = '']): [string, unknown] => [String(JSON.parse(key)), JSON.parse(value)],
  );
  assertWish(Object.fromEntries(entries), 'config.toml');
});
