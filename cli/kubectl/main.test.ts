import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { alice, dora, eve, NAMESPACE, startScene, sven, type Scene } from '../../e2e/approvals/scene.ts';
import { bundlePath, ensureBundle } from '../../e2e/bundle.ts';
import { program } from '../../e2e/cluster/binaries.ts';
import { until } from '../../e2e/cluster/component.ts';
import { controlPlaneUnavailable } from '../../e2e/cluster/control-plane.ts';

const unavailable = await controlPlaneUnavailable();
const noScript = spawnSync('script', ['--version']).status === 0 ? false : 'needs the command `script`';

interface Running {
  readonly as?: { readonly user: string; readonly groups?: readonly string[] };
  readonly env?: Readonly<Record<string, string>>;
  /** Typed in a terminal. */
  readonly typed?: string;
}

suite('kubectl sidewarden', { skip: unavailable ?? false, timeout: 300_000 }, () => {
  let scene: Scene;
  before(async () => {
    await ensureBundle();
    scene = await startScene();
  });
  after(() => scene.close());

  const start = async (args: readonly string[], { as = alice, env = {}, typed }: Running = {}) => {
    const kubectl = [await program('kubectl'), 'sidewarden', ...args];
    const quoted = kubectl.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    const [command = '', ...rest] = typed === undefined ? kubectl : ['script', '-qec', quoted, '/dev/null'];
    const path = `${dirname(bundlePath)}:${process.env['PATH'] ?? ''}`;
    const KUBECONFIG = await scene.plane.kubeconfigFor(as);
    return spawn(command, rest, {
      env: { PATH: path, HOME: scene.plane.folder, KUBECONFIG, TERM: 'xterm', NO_COLOR: '1', ...env },
    });
  };
  const plugin = async (args: readonly string[], running: Running = {}) => {
    const child = await start(args, running);
    const [out, err] = [child.stdout, child.stderr].map((stream) => stream.setEncoding('utf8').toArray());
    child.stdin.end(running.typed ?? '');
    const code = await new Promise<number | null>((done) => child.once('close', done));
    return { code, out: ((await out) ?? []).join(''), err: ((await err) ?? []).join('') };
  };
  const here = ['-n', NAMESPACE];

  test('sees, shows, approves', async () => {
    const name = await scene.ask({ text: "DELETE FROM orders WHERE note = '\u200b'" });
    const listed = await plugin(['approvals', ...here]);
    assert.equal(listed.code, 0, listed.err);
    assert.match(
      listed.out,
      new RegExp(`^${name} +1\\dm\\d\\ds left +agents/runner +ALTER TABLE +12 +! DELETE`, 'm'),
    );
    const shown = await plugin(['show', name.slice(-6, -1), ...here]);
    const { digest, operation } = (await scene.read(name)).spec.request;
    for (const part of [
      digest,
      "│ DELETE FROM orders WHERE note = '\\u{200B}'",
      `${operation.text.length} characters`,
      '! the text has invisible',
      `kubectl sidewarden approve ${name} --namespace ${NAMESPACE}`,
      'group dba',
    ])
      assert.ok(shown.out.includes(part), `${part}\n${shown.out}`);
    const json = JSON.parse((await plugin(['show', name, ...here, '--json'])).out);
    assert.equal(json.spec.request.digest, digest);
    const approved = await plugin(['approve', name, '--reason', 'agreed', ...here]);
    assert.deepEqual([approved.code, approved.out], [0, `${name}: approved by alice\n`], approved.err);
    const outcome = await scene.outcome(name);
    assert.ok(outcome.kind === 'approved' && outcome.reason === 'agreed');
    const again = await plugin(['deny', name, ...here]);
    assert.equal(again.code, 1);
    assert.match(again.err, /too late: it was approved by alice|too late/);
  });

  test('refusals say why, with exit codes', async () => {
    const name = await scene.ask();
    const cases: readonly (readonly [readonly string[], Running, number, RegExp])[] = [
      [['approve', name, ...here], { as: eve }, 1, /eve is not an approver: group dba/],
      [['approve', name, ...here], { as: dora }, 1, /kubectl create rolebinding approvers/],
      [['approve', name, ...here], { as: { user: 'frank' } }, 1, /cannot list resource "approvals"/],
      [['approve', 'nothing', ...here], {}, 4, /there is no approval nothing in namespace production-access/],
      [['approve'], {}, 2, /missing required argument/],
      [['approve', name, '-X'], {}, 2, /unknown option/],
      [['approve', name, '--context', 'none'], {}, 2, /has no context none/],
      [['approve', name, '--kubeconfig', '/nowhere'], {}, 2, /cannot be read: ENOENT/],
      [['modify', name, '--text', ' ', ...here], {}, 2, /the new text is empty/],
      [['modify', name, ...here], {}, 2, /the new text is missing/],
      [['deny', name, '--reason', 'x'.repeat(1025), ...here], {}, 2, /more than 1024/],
    ];
    for (const [args, running, code, said] of cases) {
      const got = await plugin(args, running);
      assert.equal(got.code, code, `${args.join(' ')}: ${got.err}`);
      assert.match(got.err, said);
    }
    const refused = await plugin([
      'approve',
      name,
      ...here,
      '--kubeconfig',
      await scene.plane.kubeconfigFor(eve),
    ]);
    assert.match(refused.err, /eve is not an approver/, 'the flag beats the environment');
    assert.equal((await scene.read(name)).spec.decision, undefined);
  });

  test('several approvers, deny, modify, JSON', async () => {
    const both = await scene.ask({ rules: ['schema', 'operations'] });
    const first = await plugin(['approve', both, ...here]);
    assert.equal(first.out, `${both}: approved; still needed: group sre\n`, first.err);
    const second = JSON.parse((await plugin(['approve', both, ...here, '--json'], { as: sven })).out);
    assert.deepEqual(second, {
      approval: both,
      decided: true,
      verdict: 'Approve',
      by: 'sven',
      given: ['alice'],
      needed: '',
    });
    const denied = await scene.ask();
    assert.equal(
      (await plugin(['deny', denied, '--reason', 'not today', ...here])).out,
      `${denied}: denied by alice\n`,
    );
    const changed = await scene.ask();
    assert.equal(
      (await plugin(['modify', changed, '--text', 'SELECT 1', ...here])).out,
      `${changed}: modified by alice\n`,
    );
    const outcome = await scene.outcome(changed);
    assert.ok(outcome.kind === 'modified' && outcome.text === 'SELECT 1');
    const listed = JSON.parse(
      (
        await plugin(['approvals', '-A', '--all', '--json'], {
          as: { user: 'root', groups: ['system:masters'] },
        })
      ).out,
    );
    assert.ok(JSON.stringify(listed).includes(denied));
  });

  test('--watch goes on', async () => {
    const child = await start(['approvals', '--watch', '--json', ...here]);
    const seen: string[] = [];
    child.stdout.setEncoding('utf8').on('data', (text: string) => seen.push(text));
    const name = await scene.ask();
    const shows = (phase: string) =>
      until(
        `${name} ${phase}`,
        () =>
          seen
            .join('')
            .split('\n')
            .some((line) => line.includes(`"name":"${name}"`) && line.includes(`"phase":"${phase}"`)) ||
          undefined,
      );
    await shows('Pending');
    await plugin(['deny', name, ...here]);
    await shows('Denied');
    child.kill();
    await new Promise((done) => child.once('close', done));
  });

  test('sessions', async () => {
    const { code, out } = await plugin(['sessions', ...here]);
    assert.equal(code, 0);
    assert.match(
      out,
      /^orders-db-one +Active +orders-db +system:serviceaccount:agents:runner +agents\/job-1 +0 +0 +0 /m,
    );
  });

  test('in a terminal it shows the operation and asks', { skip: noScript }, async () => {
    const name = await scene.ask();
    const no = await plugin(['approve', name, ...here], { typed: 'n\n' });
    assert.equal(no.code, 1, no.out);
    assert.match(no.out, /│ ALTER TABLE orders[^]*as alice\?[^]*not approved; it is still pending/);
    const yes = await plugin(['approve', name, ...here], { typed: 'y\n' });
    assert.equal(yes.code, 0, yes.out);
    assert.equal((await scene.outcome(name)).kind, 'approved');
    const edited = await scene.ask({ text: 'DELETE FROM orders' });
    const editor = join(scene.plane.folder, 'append.sh');
    await writeFile(editor, `#!/bin/sh\nsed -i -e 's/$/ WHERE id = 1/' "$1"\n`);
    await chmod(editor, 0o755);
    const modified = await plugin(['modify', edited, ...here], { typed: '', env: { KUBE_EDITOR: editor } });
    assert.equal(modified.code, 0, modified.out);
    const outcome = await scene.outcome(edited);
    assert.ok(outcome.kind === 'modified' && outcome.text === 'DELETE FROM orders WHERE id = 1');
  });

  test('help has examples', async () => {
    const { code, out } = await plugin(['--help']);
    assert.equal(code, 0);
    assert.match(out, /Examples:\n +kubectl sidewarden approvals -A/);
  });
});
