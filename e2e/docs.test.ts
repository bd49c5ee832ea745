/** Every command of the README and the pages is run, or listed with the reason why not; every listed fact is one. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import pg from 'pg';
import { parse } from 'yaml';
import { hasPsql } from '../cli/demo/agent.ts';
import { POLICY_DETECTORS } from '../crds/policy.ts';
import type { Denial } from '../sidecar/operation.ts';
import { FACT_NAMES, FACT_TYPES } from '../sidecar/policy/facts.ts';
import { bundlePath, ensureBundle, root } from './bundle.ts';
import { denialFields } from '../sidecar/postgres/refusal.ts';
import { missingLines, readPage } from './docs-page.ts';
import { newGuest } from './docs-run.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';

const execute = promisify(execFile);

const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  'docs/first-connection.md',
  'docs/writing-policies.md',
  'docs/policies.md',
  'docs/approving.md',
  'docs/recordings.md',
  'docs/what-is-refused.md',
];

const CUSTOMERS = `
insert into customers values
  (1, 'Ada Lindqvist', 'ada@example.com', '4242424242424242', 'SE', 'next time 4111111111111111'),
  (2, 'Ivo Novák', 'ivo@example.com', '4111111111111111', 'CZ', 'pays on time');
insert into orders select i, 1 + i % 2, 'paid', i from generate_series(1, 100) i;
`;

let server: TestPostgres;

async function administrate(database: string, text: string): Promise<void> {
  const { host, port, user, password } = server;
  const client = new pg.Client({ host, port, user, password, database });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

/** The database that the example speaks of, new for each page. */
async function makeDatabase(): Promise<void> {
  const example: unknown = parse(await readFile(join(root, 'examples/orders/tests/policy.yaml'), 'utf8'));
  assert.ok(typeof example === 'object' && example !== null && 'catalog' in example);
  await administrate('postgres', 'drop database if exists orders with (force)');
  await administrate('postgres', 'create database orders owner orders_app');
  await administrate('orders', `set role orders_app; ${String(example.catalog)}; ${CUSTOMERS}`);
}

before(async () => {
  server = await startPostgres();
  await administrate(
    'postgres',
    "create role orders_app login password 'change-me'; alter role orders_app createdb",
  );
  await administrate('template1', 'grant all on schema public to orders_app');
});
after(() => server.stop());

for (const page of PAGES) {
  test(`the commands of ${page}`, { timeout: 600_000 }, async (t) => {
    const blocks = readPage(await readFile(join(root, page), 'utf8'));
    if (blocks.some(({ text }) => text.includes('psql ')) && !(await hasPsql()))
      return t.skip('psql is not installed');
    await makeDatabase();
    const guest = await newGuest(server.port);
    try {
      for (const block of blocks) if (block.kind !== 'not-run') await guest.run(block);
    } finally {
      await guest.close();
    }
    if (blocks.length === 0) return;
    const skipped = blocks.filter((block) => block.kind === 'not-run');
    const ran = blocks.filter(({ kind }) => kind === 'run' || kind === 'background').length;
    for (const { line, why } of skipped) t.diagnostic(`${page}:${line} is not run: ${why}`);
    t.diagnostic(`${page}: ${ran} blocks of commands run, ${skipped.length} not`);
    assert.ok(
      skipped.every(({ why }) => why.length > 10),
      'a block that is not run says why',
    );
  });
}

test('all pages are among those that are run', async () => {
  const pages = (await readdir(join(root, 'docs')))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`);
  const others = ['docs/bench.md'];
  assert.deepEqual(
    [...pages].filter((page) => !others.includes(page)).sort(),
    PAGES.filter((page) => page.startsWith('docs/')).sort(),
  );
});

test('the page lists the facts that rules are checked against, and their types', async () => {
  const page = await readFile(join(root, 'docs/writing-policies.md'), 'utf8');
  const section = page.slice(page.indexOf('<!-- facts:'), page.indexOf('<!-- facts: end -->'));
  const rows = [...section.matchAll(/^\| `([\w.]+)` +\| `([^`]+)` +\|/gm)].map(
    ([, name, type]) => `${name}: ${type}`,
  );
  const names = new Map([...FACT_NAMES].map(([name, type]) => [type, name]));
  const facts = Object.entries(FACT_TYPES).flatMap(([type, fields]) =>
    Object.entries(fields).map(([field, kind]) => `${names.get(type) ?? type}.${field}: ${kind}`),
  );
  assert.deepEqual(rows.sort(), [...facts, 'now: timestamp'].sort());
});

test('the reference names every fact', async () => {
  const page = await readFile(join(root, 'docs/policies.md'), 'utf8');
  const missing = Object.values(FACT_TYPES).flatMap((fields) =>
    Object.keys(fields).filter((field) => !page.includes(`\`${field}\``)),
  );
  assert.deepEqual(missing, []);
});

test('the page lists the detectors', async () => {
  const page = await readFile(join(root, 'docs/writing-policies.md'), 'utf8');
  const [, list = ''] = /<!-- detectors: .* -->\s+([^.]+)\./.exec(page) ?? [];
  assert.deepEqual(
    [...list.matchAll(/`(\w+)`/g)].map(([, name]) => name),
    [...POLICY_DETECTORS],
  );
});

const DENIALS: Readonly<Record<Denial['code'], true>> = {
  denied: true,
  'approval-denied': true,
  'approval-expired': true,
  'approval-void': true,
  cancelled: true,
  mask: true,
  unparseable: true,
  unsupported: true,
  recording: true,
  'policy-stale': true,
  internal: true,
};

test('the page lists the SQLSTATEs of refusals', async () => {
  const page = await readFile(join(root, 'docs/what-is-refused.md'), 'utf8');
  const listed = [...page.matchAll(/^\| `(\w{5})` +\|/gm)].map(([, sqlstate]) => sqlstate);
  const codes = Object.keys(DENIALS) as Denial['code'][]; // keys of a literal of this type
  const used = codes.map((code) => denialFields({ code, message: '', detail: '', hint: '' }).get('C'));
  assert.deepEqual(listed.sort(), [...new Set(used)].sort());
});

test('the README lists the commands that there are', async () => {
  await ensureBundle();
  const text = await readFile(join(root, 'README.md'), 'utf8');
  const listed = [...text.matchAll(/^\| `sidewarden ([^`]+)` +\|/gm)].map(([, command = '']) => {
    const [name = '', ...verbs] = command.split(/[ \\|]+/);
    return [name, ...verbs.sort()].join(' ');
  });
  const there = await Promise.all(
    (await commandsOf([])).map(async (name) => [name, ...(await commandsOf([name])).sort()].join(' ')),
  );
  assert.deepEqual(listed.sort(), there.sort());
});

/** As its help lists them. */
async function commandsOf(command: readonly string[]): Promise<string[]> {
  const { stdout } = await execute(process.execPath, [bundlePath, ...command, '--help']);
  const [, list = ''] = /^Commands:\n(.*)/ms.exec(stdout) ?? [];
  return [...list.matchAll(/^ {2}(\w+)/gm)].flatMap(([, name]) =>
    name === undefined || name === 'help' ? [] : [name],
  );
}

test('every example is right', async () => {
  await ensureBundle();
  for (const name of await readdir(join(root, 'examples'))) {
    await execute(process.execPath, [bundlePath, 'policy', 'check', join(root, 'examples', name)]);
  }
});

test('links of pages lead to files', async () => {
  for (const page of [...PAGES, 'CHANGELOG.md']) {
    const text = await readFile(join(root, page), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)) {
      await assert.doesNotReject(readFile(join(root, page, '..', target)), `${page}: ${target}`);
    }
  }
});

test('pages are read as they are meant', () => {
  const page =
    '<!-- run: exits 2 -->\n\n```sh\nfalse\n```\n\ntext\n\n<!-- not run: no network -->\n```sh\ncurl x\n```\n```yaml\na: 1\n```\n';
  assert.deepEqual(readPage(page), [
    { kind: 'run', text: 'false', line: 3, exits: 2 },
    { kind: 'not-run', text: 'curl x', line: 10, why: 'no network' },
  ]);
  assert.throws(() => readPage('```sh\nls\n```\n'), /not marked/);
  assert.throws(() => readPage('<!-- run: sometimes -->\n```sh\nls\n```\n'), /what is/);
  assert.throws(() => readPage('<!-- run -->\ntext\n```sh\nls\n```\n'), /not marked/);
  assert.deepEqual(missingLines('a…c\nb.\n\nd', 'abc\nbx\nd  '), ['b.']);
});
