/**
 * THREATS.md 38–40: who may decide, on what, how often; and what the person sees. Against the real `serve`, by the real
 * command line and by files put into its state folder.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmod,
  chown,
  copyFile,
  link,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { after, before, describe as suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { shownDigest } from '../../sidecar/approval/object.ts';
import { bundlePath } from '../bundle.ts';
import type { ManifestRule } from '../manifests.ts';
import { startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden, type ServeOptions, type Sidewarden } from '../serve.ts';
import { decide, sidewarden, type Ran } from './command.ts';
import { Frontend, bind, describe, onlyError, parse, query, sync } from './frontend.ts';
import { recordingsClosed } from '../recordings-closed.ts';

const me = userInfo().username;
const rules: readonly ManifestRule[] = [
  { name: 'reads', when: 'sql.effects.all(e, e in ["read", "session"])', action: 'Allow' },
  {
    name: 'others',
    when: 'sql.verb == "CREATE SCHEMA"',
    action: 'Hold',
    hold: { approvers: { groups: ['nobody-has-it'] }, timeout: '15m' },
  },
  {
    name: 'writes',
    when: '!sql.effects.all(e, e in ["read", "session"]) && sql.verb != "CREATE SCHEMA"',
    action: 'Hold',
    hold: { approvers: { users: [me], groups: ['games', 'mail'] }, timeout: '15m' },
  },
];

let postgres: TestPostgres;

function serve(more: Partial<ServeOptions> = {}): Promise<Sidewarden> {
  return startSidewarden({ postgres, rules, ...more });
}

before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());

interface Shown {
  readonly digest: string;
  readonly shown: string;
}

/** What a person's own decision file says, caught on its way: the most that a forger could know. */
async function shownOf(state: string, name: string): Promise<Shown> {
  // As serve wrote it.
  const read = JSON.parse(await readFile(join(state, 'approvals', `${name}.json`), 'utf8')) as {
    spec: { request: Parameters<typeof shownDigest>[0] & { digest: string } };
  };
  return { digest: read.spec.request.digest, shown: shownDigest(read.spec.request) };
}

async function phaseOf(state: string, name: string): Promise<string> {
  // As serve wrote it.
  const read = JSON.parse(await readFile(join(state, 'approvals', `${name}.json`), 'utf8')) as {
    status: { phase: string };
  };
  return read.status.phase;
}

/** Waits for the receipt, which is written when the decision is judged and what became of it is logged. */
async function taken(state: string, id: string): Promise<void> {
  for (let i = 0; i < 1500; i++) {
    if ((await readdir(join(state, 'receipts'))).includes(`${id}.json`)) return;
    await sleep(20);
  }
  assert.fail(`the decision ${id} was not taken`);
}

suite('one approval, one run', () => {
  let served: Sidewarden;
  let client: Frontend;
  let name = '';
  before(async () => {
    served = await serve();
    client = await Frontend.connect(served.port);
    client.send(query('CREATE TABLE one (id int)'));
    name = await client.held();
  });
  after(async () => {
    client.close();
    await served.stop();
  });

  const place = async (content: string, file: string, mode = 0o640) => {
    const temporary = join(served.state, `${randomUUID()}.tmp`);
    await writeFile(temporary, content);
    await chmod(temporary, mode);
    await rename(temporary, join(served.state, 'decisions', file));
  };
  const put = async (content: string, mode?: number) => {
    const id = randomUUID();
    await place(content, `${id}.json`, mode);
    await taken(served.state, id);
  };

  test('forged decision files change nothing, and none is left or crashes it', async () => {
    const good = { approval: name, ...(await shownOf(served.state, name)), verdict: 'Approve' };
    const forged: readonly (readonly [string, string])[] = [
      ['not JSON', '{'],
      ['empty', ''],
      ['a list', JSON.stringify([good])],
      ['null', 'null'],
      ['an unknown field', JSON.stringify({ ...good, by: 'root' })],
      ['a prototype', `{"__proto__": ${JSON.stringify(good)}}`],
      ['another digest', JSON.stringify({ ...good, digest: `sha256:${'0'.repeat(64)}` })],
      ['another shown', JSON.stringify({ ...good, shown: 'x' })],
      ['no digest', JSON.stringify({ approval: name, verdict: 'Approve' })],
      ['lower case', JSON.stringify({ ...good, verdict: 'approve' })],
      ['a path', JSON.stringify({ ...good, approval: `../approvals/${name}` })],
      ['a modification without text', JSON.stringify({ ...good, verdict: 'Modify' })],
      ['an approval with a text', JSON.stringify({ ...good, modified: 'SELECT 1' })],
      ['deep', '['.repeat(50_000)],
      ['large', JSON.stringify({ ...good, reason: 'x'.repeat(8_000_000) })],
      ['a zero byte', `${JSON.stringify(good)}\0`],
    ];
    for (const [what, content] of forged) {
      await put(content);
      assert.equal(await phaseOf(served.state, name), 'Pending', what);
    }
  });

  test('links, folders, files that others may write, and names of another kind', async () => {
    const good = JSON.stringify({
      approval: name,
      ...(await shownOf(served.state, name)),
      verdict: 'Approve',
    });
    const decisions = join(served.state, 'decisions');
    const elsewhere = join(served.state, 'elsewhere.json');
    await writeFile(elsewhere, good, { mode: 0o640 });
    for (const linked of [symlink, link]) {
      const id = randomUUID();
      await linked(elsewhere, join(decisions, `${id}.json`));
      await taken(served.state, id);
    }
    await put(good, 0o666);
    for (const file of ['x.json', `${randomUUID()}.txt`, `.${randomUUID()}.json`, '..json'])
      await place(good, file);
    await mkdir(join(decisions, `${randomUUID()}.json`));
    // These get no receipts. The first is taken in a look that sees them all, the second in a look after that one.
    for (const harmless of ['{', '{']) await put(harmless);
    assert.equal(await phaseOf(served.state, name), 'Pending');
  });

  test('an approval edited on disk cannot be approved as shown, and a phase written there opens nothing', async () => {
    const path = join(served.state, 'approvals', `${name}.json`);
    const original = await readFile(path, 'utf8');
    await writeFile(path, original.replaceAll('CREATE TABLE one (id int)', 'SELECT 1'));
    const said = await sidewarden(['approvals', 'approve', name, '--state', served.state, '--yes']);
    assert.equal(said.code, 1);
    assert.match(said.err, /what was shown to you is not what is held/);
    await writeFile(path, original.replace('"Pending"', '"Approved"'));
    assert.ok(await client.silent(200));
    await writeFile(path, original);
  });

  test('approved: again, modified after, and denied after are too late; the file played again runs nothing', async () => {
    const content = JSON.stringify({
      approval: name,
      ...(await shownOf(served.state, name)),
      verdict: 'Approve',
    });
    await decide(served.state, 'approve', name);
    assert.equal(describe(await client.ready()), 'C(CREATE TABLE) Z(I)');
    for (const more of [
      ['modify', name, '--text', 'DROP TABLE one'],
      ['deny', name],
    ]) {
      const said = await sidewarden(['approvals', ...more, '--state', served.state]);
      assert.equal(said.code, 1, said.out);
      assert.match(said.err, /too late/);
    }
    client.send(query('CREATE TABLE two (id int)'));
    const second = await client.held();
    await put(content);
    await put(content.replace(name, second));
    assert.ok(await client.silent(200));
    assert.equal(await phaseOf(served.state, second), 'Pending');
    await decide(served.state, 'deny', second);
    await client.ready();
  });

  test('who is not named may not decide', async () => {
    client.send(query('CREATE SCHEMA theirs'));
    const held = await client.held();
    for (const args of [
      ['approve', held, '--yes'],
      ['deny', held],
      ['modify', held, '--text', 'SELECT 1'],
    ]) {
      const said = await sidewarden(['approvals', ...args, '--state', served.state]);
      assert.equal(said.code, 1, args[0]);
      assert.match(said.err, /is not an approver: group nobody-has-it/);
    }
    assert.equal(await phaseOf(served.state, held), 'Pending');
  });
});

suite('other users of this machine', { skip: process.getuid?.() !== 0 && 'only root becomes others' }, () => {
  const GAMES = { uid: 5, gid: 60 };
  const MAN = { uid: 6, gid: 12 };
  let served: Sidewarden;
  let place: string;
  let as: (who: { uid: number; gid: number }, ...args: string[]) => Promise<Ran>;

  before(async () => {
    // Another user can read neither this tree nor the folder of the usual test.
    place = await mkdtemp(join(tmpdir(), 'sidewarden-users-'));
    await chmod(place, 0o755);
    for (const file of ['sidewarden.mjs', 'libpg-query.wasm'])
      await copyFile(join(bundlePath, '..', file), join(place, file));
    const node = join(place, 'node');
    await copyFile(process.execPath, node);
    await chmod(node, 0o755);
    const state = join(place, 'state');
    served = await serve({ state, args: ['--approver-group', 'games', '--approver', 'man=mail'] });
    as = (who, ...args) =>
      sidewarden([...args, '--state', state], { ...who, node, bundle: join(place, 'sidewarden.mjs') });
  });
  after(async () => {
    await served.stop();
    await rm(place, { recursive: true, force: true });
  });

  test('a member of the group sees and decides, as itself', async () => {
    const client = await Frontend.connect(served.port);
    client.send(query('CREATE TABLE by_games (id int)'));
    const name = await client.held();
    const listed = await as(GAMES, 'approvals', 'list');
    assert.match(listed.out, new RegExp(name), listed.err);
    const approved = await as(GAMES, 'approvals', 'approve', name, '--yes', '--json');
    assert.equal(approved.code, 0, approved.err);
    assert.match(approved.out, /"by":"games"/);
    assert.equal(describe(await client.ready()), 'C(CREATE TABLE) Z(I)');
    client.close();
  });

  test('another user sees nothing and decides nothing, though a rule names a group of theirs', async () => {
    const client = await Frontend.connect(served.port);
    client.send(query('CREATE TABLE by_man (id int)'));
    const name = await client.held();
    for (const args of [['list'], ['show', name], ['approve', name, '--yes']]) {
      const said = await as(MAN, 'approvals', ...args);
      assert.notEqual(said.code, 0);
      assert.ok(!said.out.includes('by_man'));
    }
    // Nothing else in the state folder is for the group.
    for (const folder of ['keys', 'recordings']) {
      const said = await as(GAMES, 'recordings', 'list', '--recordings', join(served.state, folder));
      assert.notEqual(said.code, 0, folder);
    }
    assert.equal(await phaseOf(served.state, name), 'Pending');
    client.close();
  });

  test('a file of another owner counts as that owner, whatever it says', async () => {
    const client = await Frontend.connect(served.port);
    client.send(query('CREATE TABLE owned (id int)'));
    const name = await client.held();
    const temporary = join(served.state, `${randomUUID()}.tmp`);
    const decision = {
      approval: name,
      ...(await shownOf(served.state, name)),
      verdict: 'Approve',
      reason: 'by root',
    };
    await writeFile(temporary, JSON.stringify(decision), { mode: 0o640 });
    await chown(temporary, 9, 13);
    const id = randomUUID();
    await rename(temporary, join(served.state, 'decisions', `${id}.json`));
    await taken(served.state, id);
    assert.equal(await phaseOf(served.state, name), 'Pending');
    assert.match(served.logs(), /news is not an approver/);
    client.close();
  });

  test('who asked cannot approve: not by name, and not as the user that the agent runs as', async () => {
    const startup = (() => {
      const body = Buffer.from('\0\x03\0\0user\0agent\0database\0postgres\0\0');
      const head = Buffer.alloc(4);
      head.writeInt32BE(body.length + 4);
      const sql = Buffer.from('CREATE TABLE by_itself (id int)\0');
      const ask = Buffer.alloc(5);
      ask.write('Q');
      ask.writeInt32BE(sql.length + 4, 1);
      return Buffer.concat([head, body, ask, sql]).toString('base64');
    })();
    const program = `const s = require('net').connect(${served.port}, '127.0.0.1', () => s.write(Buffer.from('${startup}', 'base64')));
      s.on('data', (d) => process.stdout.write(d));`;
    const agent = spawn(join(place, 'node'), ['-e', program], {
      ...GAMES,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    agent.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    const waiting = /waiting for approval ([\w-]+)\0/;
    for (let i = 0; i < 3000 && !waiting.test(text); i++) await sleep(20);
    const name = waiting.exec(text)?.[1] ?? '';
    const own = await as(GAMES, 'approvals', 'approve', name, '--yes');
    assert.equal(own.code, 1, own.out);
    assert.match(own.err, /own identity cannot decide/);
    await decide(served.state, 'approve', name);
    for (let i = 0; i < 3000 && !text.includes('CREATE TABLE\0'); i++) await sleep(20);
    assert.match(text, /CREATE TABLE\0/);
    agent.kill();
  });
});

suite('self-approval by name', () => {
  test('an agent whose name is that of the person', async () => {
    for (const subject of [me, me.toUpperCase()]) {
      const served = await serve({ subject });
      const client = await Frontend.connect(served.port);
      client.send(query('CREATE TABLE mine (id int)'));
      const name = await client.held();
      const said = await sidewarden(['approvals', 'approve', name, '--state', served.state, '--yes']);
      assert.equal(said.code, 1, subject);
      assert.match(said.err, /own identity cannot decide/);
      client.close();
      await served.stop();
    }
  });
});

suite('what the approver sees', () => {
  let served: Sidewarden;
  before(async () => {
    served = await serve({ connection: { limits: { maxPendingApprovals: 20 } } });
  });
  after(() => served.stop());

  const ESC = '\x1b';
  /** What no terminal may get: controls but newline and tab, bidi and zero-width characters, tags. */

  const HARMFUL =
    /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/u;

  const texts: readonly (readonly [string, string])[] = [
    ['ANSI', `CREATE TABLE a1 (id int) /* ${ESC}[2J${ESC}[1;1H SELECT 1 */`],
    ['OSC 52', `CREATE TABLE a2 (id int) -- ${ESC}]52;c;cm0gLXJm\x07`],
    ['C1', 'CREATE TABLE a3 (id int) -- \u009b2J'],
    ['bidi', 'CREATE TABLE a4 (id int) -- \u202e)tni di( \u2066x\u2069'],
    ['zero width', 'CREATE TABLE a\u200b5 (id int)'],
    ['tags', 'CREATE TABLE a6 (id int) -- \u{e0041}\u{e0042}'],
    ['carriage return', 'CREATE TABLE a7 (id int) /* \r SELECT 1; */'],
    ['backspaces', `CREATE TABLE a8 (id int) -- ${'\b'.repeat(40)}SELECT 1`],
    ['quoted name', `CREATE TABLE "a9\u202e${ESC}[8m" ("c\u200b${ESC}[31m" int)`],
    ['homoglyphs', 'CREATE TABLE а10 (id int)'],
    ['padding', `CREATE TABLE a11 (id int${' '.repeat(100_000)}, other int)`],
    ['newlines', `SELECT 1;${'\n'.repeat(5_000)}CREATE TABLE a12 (id int)`],
  ];

  for (const [what, text] of texts) {
    test(`${what}: shown whole, and nothing of it acts`, async () => {
      const client = await Frontend.connect(served.port, { application_name: `app${ESC}[2J\u202e` });
      client.send(query(text));
      const name = await client.held();
      for (const args of [['show', name], ['show', name, '--json'], ['list'], ['list', '--json']]) {
        const { out, err, code } = await sidewarden(['approvals', ...args, '--state', served.state]);
        assert.equal(code, 0, err);
        assert.doesNotMatch(out, HARMFUL, args.join(' '));
        if (args.length === 2 && args[0] === 'show') {
          assert.match(out, /CREATE/);
          if (what === 'padding')
            assert.ok(out.length > 90_000 || /100[,.]?0\d\d/.test(out), 'the padding is not told');
        }
      }
      assert.doesNotMatch(served.logs(), HARMFUL);
      client.close();
    });
  }

  test('parameters: text and binary', async () => {
    const client = await Frontend.connect(served.port);
    client.send(query('CREATE TABLE seen (note text, data bytea)'));
    await decide(served.state, 'approve', await client.held());
    await client.ready();
    client.send(
      parse('', 'INSERT INTO seen VALUES ($1, $2)'),
      bind('', '', [`x${ESC}[2J\u202e\u200b`, Buffer.from('\x1b[2J\x00\xff', 'latin1')]),
      sync,
    );
    const name = await client.held();
    const { out } = await sidewarden(['approvals', 'show', name, '--state', served.state]);
    assert.doesNotMatch(out, HARMFUL);
    assert.match(out, /1b5b324a00ff/i);
    await decide(served.state, 'deny', name);
    await client.ready();
    client.close();
  });

  test('a text too large to be read by anybody is refused, and says so', async () => {
    const client = await Frontend.connect(served.port);
    const seen = await client.query(`CREATE TABLE large (id int) -- ${'x'.repeat(600_000)}`);
    assert.match(onlyError(seen)['M'] ?? '', /cannot be held/);
    assert.equal(describe(await client.query('SELECT 1')), 'T D(1) C(SELECT 1) Z(I)');
    client.close();
  });

  test('a password is shown to the approver, and is in no recording and no log', async () => {
    const client = await Frontend.connect(served.port);
    client.send(query("ALTER ROLE postgres_x PASSWORD 'hunter2-secret'"));
    const name = await client.held();
    const { out } = await sidewarden(['approvals', 'show', name, '--state', served.state]);
    assert.match(out, /hunter2-secret/);
    await decide(served.state, 'modify', name, '--text', "CREATE ROLE postgres_x PASSWORD 'hunter3-secret'");
    await client.ready();
    client.close();
    await recordingsClosed(served.state);
    const recorded = await sidewarden(['recordings', 'show', 'last', '--state', served.state, '--json']);
    assert.match(recorded.out, /postgres_x/);
    assert.doesNotMatch(recorded.out, /hunter/);
    assert.doesNotMatch(served.logs(), /hunter/);
  });
});
