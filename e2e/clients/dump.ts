/** pg_dump and pg_restore in each format; what was restored must dump to the same bytes. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Check, Client, Endpoint, Target } from './client.ts';
import { assertSameText } from './same-text.ts';
import { runTool, toolVersion } from './tool.ts';

async function must(tool: string, args: readonly string[], endpoint: Endpoint, input = ''): Promise<string> {
  const { status, stdout, stderr } = await runTool(tool, args, endpoint, input);
  assert.equal(status, 0, `${tool} ${args.join(' ')}\n${stderr}`);
  return stdout;
}

async function fill({ main }: Target): Promise<void> {
  const script = await readFile(join(import.meta.dirname, 'dump.sql'), 'utf8');
  const clean = 'set client_min_messages = error; drop schema if exists shop cascade;\n';
  const publication = 'drop publication if exists shop_publication;\n';
  const args = ['-X', '-q', '-v', 'ON_ERROR_STOP=1'];
  await must('psql', args, main, clean + publication + script);
}

async function empty({ copy }: Target): Promise<void> {
  const text = 'drop schema if exists shop cascade; drop publication if exists shop_publication;';
  await must('psql', ['-X', '-q', '-c', 'set client_min_messages = error', '-c', text], copy);
}

/** Newer versions put a random key into plain dumps (`\restrict`), which must not count. */
function comparable(dump: string): string {
  return dump.replace(/^\\(un)?restrict .*$/gm, '');
}

async function plain(endpoint: Endpoint, ...args: string[]): Promise<string> {
  return comparable(await must('pg_dump', ['--schema=shop', '--no-sync', ...args], endpoint));
}

async function inFolder(work: (path: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'sidewarden-dump-'));
  try {
    await work(join(directory, 'dump'));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function sameAfter(target: Target, restore: () => Promise<unknown>): Promise<void> {
  await empty(target);
  await restore();
  const [before, after] = [await plain(target.main), await plain(target.copy)];
  assert.ok(before.includes('CREATE MATERIALIZED VIEW shop.snapshot'), 'the dump is not whole');
  assertSameText(after, before);
}

const making: Check = { name: 'a schema of every kind of object', run: fill };

const plainText: Check = {
  name: 'plain text, restored by psql',
  run: async (target) => {
    const dump = await must('pg_dump', ['--schema=shop'], target.main);
    await sameAfter(target, () => must('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1'], target.copy, dump));
  },
};

const inserts: Check = {
  name: 'as INSERT statements, in one transaction',
  run: async (target) => {
    const args = ['--schema=shop', '--inserts', '--rows-per-insert=100', '--column-inserts'];
    const dump = await must('pg_dump', args, target.main);
    const restore = ['-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1'];
    await sameAfter(target, () => must('psql', restore, target.copy, dump));
  },
};

function archive(name: string, dump: readonly string[], restore: readonly string[]): Check {
  const run = (target: Target) =>
    inFolder(async (path) => {
      await must('pg_dump', ['--schema=shop', ...dump, '-f', path], target.main);
      const list = await must('pg_restore', ['--list', path], target.copy);
      assert.match(list, /TABLE DATA shop customers/);
      const into = ['-d', target.copy.database, '--exit-on-error', ...restore, path];
      await sameAfter(target, () => must('pg_restore', into, target.copy));
    });
  return { name, run };
}

const partial: Check = {
  name: 'parts: schema only, data only, one table',
  run: async ({ main }) => {
    assert.doesNotMatch(await plain(main, '--schema-only'), /^COPY /m);
    assert.doesNotMatch(await plain(main, '--data-only'), /^CREATE TABLE/m);
    assert.match(await plain(main, '--table=shop.orders'), /CREATE TABLE shop.orders/);
    assert.match(await plain(main, '--serializable-deferrable', '--table=shop.vip'), /INHERITS/);
  },
};

const largeObjects: Check = {
  name: 'large objects',
  refused: 'libpq reads large objects by FunctionCall messages, which are refused (THREATS, class 8)',
  run: (target) =>
    inFolder(async (path) => {
      const make = "select lo_from_bytea(424242, convert_to(repeat('č', 5000), 'UTF8'))";
      await must('psql', ['-X', '-q', '-c', make], target.main);
      await must('pg_dump', ['-Fc', '--blobs', '--schema=shop', '-f', path], target.main);
      await empty(target);
      await must('pg_restore', ['-d', target.copy.database, '--exit-on-error', path], target.copy);
      const read =
        "select md5(lo_get(424242)) = md5(convert_to(repeat('č', 5000), 'UTF8')), lo_unlink(424242)";
      assert.equal(await must('psql', ['-X', '-At', '-c', read], target.copy), 't|1\n');
      await must('psql', ['-X', '-q', '-c', 'select lo_unlink(424242)'], target.main);
    }),
};

const largeObjectFunctions: Check = {
  name: 'large objects by SQL functions',
  run: async ({ main }) => {
    const text = `begin; select lo_from_bytea(424243, '\\x010203'); select lo_put(424243, 3, '\\x04');
      select encode(lo_get(424243), 'hex'); select lo_unlink(424243); commit;`;
    assert.equal(await must('psql', ['-X', '-q', '-At'], main, text), '424243\n\n01020304\n1\n');
  },
};

const cleaning: Check = {
  name: 'cleaning up',
  run: async (target) => {
    await empty(target);
    await empty({ ...target, copy: target.main });
  },
};

export const dumpClient: Client = {
  name: 'pg_dump and pg_restore',
  server: 'tools',
  prepare: async () =>
    (await toolVersion('pg_dump')) === undefined
      ? { missing: 'no pg_dump' }
      : [
          making,
          plainText,
          inserts,
          archive('custom format', ['-Fc'], []),
          archive('custom format in one transaction', ['-Fc', '-Z0'], ['--single-transaction']),
          archive('directory with two jobs', ['-Fd', '-j2'], ['-j2']),
          archive('tar', ['-Ft'], []),
          partial,
          largeObjects,
          largeObjectFunctions,
          cleaning,
        ],
};
