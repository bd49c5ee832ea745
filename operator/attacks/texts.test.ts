/** THREATS.md 38: what an approver sees with kubectl and the plugin when a sidecar puts anything into a request. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, suite, test } from 'node:test';
import { ensureBundle } from '../../e2e/bundle.ts';
import { controlPlaneUnavailable } from '../../e2e/cluster/control-plane.ts';
import { without } from '../../e2e/operator/client.ts';
import { alice, approvalOf, message, ORDERS, prepare } from '../../e2e/operator/people.ts';
import { ACCESS, startWorld, type Run, type World } from '../../e2e/operator/world.ts';

const unavailable = await controlPlaneUnavailable();

/** Control, format, separator and private characters, and surrogates; what a terminal may act on or not show. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/u;
const bad: Readonly<Record<string, string>> = {
  'an escape': '\u001b[2K\u001b[1A\u001b[32mharmless',
  'a title': '\u001b]0;x\u0007',
  'a backspace': 'DROP\b\b\b\bREAD',
  'a return': 'DROP TABLE orders\rSELECT 1          ',
  'new lines': 'SELECT 1\norders-db-zzzzzz   Approved   orders-db   alice',
  'a tab': 'a\tb',
  bidi: 'SELECT \u202e1 PORD\u202c',
  'an isolate': '\u2066x\u2069',
  'zero width': 'SE\u200bLECT\u200d\u2060\ufeff',
  'a line separator': 'a\u2028b\u2029c',
  tags: 'a\u{e0041}\u{e0042}',
  private: '\ue000\u{f0000}',
  'a soft hyphen': 'ORD\u00adERS',
};

/** One of each. */
const UNSHOWN = '\u001b\u0007\u009b\b\r\n\t\u202e\u2066\u200b\u2028\u{e0041}\ue000\u00ad';

suite('what approvers see', { skip: unavailable ?? false, timeout: 600_000 }, () => {
  let world: World;
  let run: Run;
  let kubeconfig: string;
  const names: string[] = [];

  before(async () => {
    await ensureBundle();
    world = await startWorld();
    await prepare(world);
    kubeconfig = await world.plane.kubeconfigFor({ ...alice, groups: [...alice.groups] });
  });
  after(() => world.stop());

  const kubectl = (...args: readonly string[]) =>
    world.plane.kubectl([...args, '-n', ACCESS], { as: { ...alice, groups: [...alice.groups] } });
  const plugin = (...args: readonly string[]) =>
    new Promise<string>((resolve) => {
      const child = execFile(
        process.execPath,
        ['dist/kubectl-sidewarden.mjs', ...args, '--namespace', ACCESS],
        { env: { ...process.env, KUBECONFIG: kubeconfig }, maxBuffer: 2 ** 26 },
        (_error, stdout, stderr) => resolve(stdout + stderr),
      );
      child.stdin?.end();
    });
  let asked = 0;
  /** Asks with it in a place; undefined when the broker refuses it. A run may ask ten times at once. */
  const ask = async (more: object, operation: object): Promise<string | undefined> => {
    if (asked % 8 === 0) {
      run = await world.run(`job-${asked}`, ORDERS);
      await run.sidecar.post('/v1/sessions', { connection: ORDERS });
    }
    asked += 1;
    const { status, body } = await run.sidecar.post('/v1/approvals', message(more, operation));
    if (status === 400 || body['kind'] === 'refused') return undefined;
    assert.equal(body['kind'], 'pending', JSON.stringify(body));
    return String(body['name']);
  };
  const drop = (name: string) =>
    run.sidecar.post('/v1/approvals/end', { connection: ORDERS, name, how: 'ClientCancelled' });

  const places: Readonly<Record<string, (text: string) => readonly [object, object]>> = {
    verb: (text) => [{}, { verb: text.slice(0, 100) }],
    database: (text) => [{}, { database: text }],
    role: (text) => [{}, { role: text }],
    searchPath: (text) => [{}, { searchPath: [text] }],
    tables: (text) => [{}, { tables: [{ name: text, access: ['read'], indirect: false }] }],
    locks: (text) => [{ evidence: { locks: [{ relation: text, mode: text, held: true }] } }, {}],
    unavailable: (text) => [{ evidence: { unavailable: text } }, {}],
  };
  for (const [place, put] of Object.entries(places))
    test(`names and words in ${place} hold nothing that does not show`, async () => {
      const name = await ask(...put(`a${UNSHOWN}b`));
      assert.ok(name !== undefined);
      const { request } = (await approvalOf(world, name)).spec;
      const shown = without(request.operation, 'text', 'parameters');
      const walk = (value: unknown, path: string): void => {
        if (typeof value === 'string')
          assert.doesNotMatch(value, UNSEEN, `${path}: ${JSON.stringify(value)}`);
        else if (typeof value === 'object' && value !== null)
          for (const [key, each] of Object.entries(value)) walk(each, `${path}.${key}`);
      };
      walk({ ...request, operation: shown }, place);
      await drop(name);
    });

  for (const [what, text] of Object.entries(bad))
    test(`a text with ${what} is one line in lists, flagged, and escaped by the plugin`, async () => {
      const name = await ask(
        { evidence: { plan: `Seq Scan ${text}` } },
        { text: `${text} DROP TABLE orders`, parameters: [text, null] },
      );
      assert.ok(name !== undefined);
      names.push(name);
      const { request } = (await approvalOf(world, name)).spec;
      assert.equal(request.operation.text, `${text} DROP TABLE orders`);
      assert.doesNotMatch(request.operation.summary, UNSEEN);
      for (const warning of request.warnings) assert.doesNotMatch(warning, UNSEEN);
      if (!['a tab', 'new lines'].includes(what)) assert.ok(request.warnings.length > 0, 'no warning');
      for (const view of [
        ['get', 'approvals', name],
        ['get', 'approvals', name, '-o', 'wide'],
      ]) {
        const shown = await kubectl(...view);
        assert.equal(shown.trimEnd().split('\n').length, 2, shown);
        assert.doesNotMatch(shown.replaceAll('\n', ''), UNSEEN);
      }
      for (const shown of [await plugin('approvals'), await plugin('show', name)])
        assert.doesNotMatch(shown.replaceAll('\n', ''), UNSEEN, JSON.stringify(shown.slice(0, 2000)));
      const described = await kubectl('describe', 'approval', name);
      // The stored text is the one that runs: kubectl shows what it likes of it, but lets no terminal act on it.
      assert.doesNotMatch(described, /\u001b/, 'describe');
      const yaml = await kubectl('get', 'approval', name, '-o', 'yaml');
      assert.doesNotMatch(yaml, /[\u001b\u009b\u0007\b\r]/, 'yaml');
      await drop(name);
    });

  test('what kubectl cannot show at all is not asked about', async () => {
    for (const operation of [
      { text: 'SELECT \u009b31m' },
      { parameters: ['\u0090x'] },
      { text: 'SELECT \u007f' },
    ])
      assert.equal(await ask({}, operation), undefined);
  });

  test('a quarter of a megabyte, padded, is whole and says so', async () => {
    const text = `SELECT 1;${' '.repeat(200_000)}DROP TABLE orders`;
    const name = await ask({}, { text });
    assert.ok(name !== undefined);
    const { request } = (await approvalOf(world, name)).spec;
    assert.equal(request.operation.text, text);
    assert.ok(request.warnings.length > 0);
    const shown = await kubectl('get', 'approvals', name, '-o', 'wide');
    assert.ok(shown.length < 3_000, String(shown.length));
    const seen = await plugin('show', name);
    assert.match(seen, /DROP TABLE orders/);
    await drop(name);
  });

  test('letters that look like others are flagged', async () => {
    const name = await ask({}, { text: 'DELETE FROM оrders' });
    assert.ok(name !== undefined);
    const { request } = (await approvalOf(world, name)).spec;
    assert.ok(request.warnings.length > 0, 'no warning');
    await drop(name);
  });

  test('what people commonly write is shown as it is, without a warning', async () => {
    for (const text of [
      "UPDATE customers SET name = 'Åsa Öberg'",
      'ALTER TABLE orders\n  ADD note text,\n  ADD more text',
      "INSERT INTO t VALUES ('日本語', 'mañana', '😀')",
    ]) {
      const name = await ask({}, { text });
      assert.ok(name !== undefined);
      const { request } = (await approvalOf(world, name)).spec;
      assert.deepEqual(request.warnings, [], text);
      await drop(name);
    }
  });
});
