/** THREATS.md 41: what is recorded is what happened, without secrets, and nobody changes it unseen. */
import assert from 'node:assert/strict';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe as suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden, type ServeOptions, type Sidewarden } from '../serve.ts';
import { sidewarden } from './command.ts';
import { Frontend, describe, query, run, sync } from './frontend.ts';

let postgres: TestPostgres;
before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());

const ESC = '\x1b';

/** Runs an agent's session to its end, and gives the events of its recording. */
async function recorded(
  more: Partial<ServeOptions>,
  agent: (client: Frontend) => Promise<void>,
  then: (served: Sidewarden, events: readonly string[]) => Promise<void> = () => Promise.resolve(),
): Promise<readonly string[]> {
  const served = await startSidewarden({ postgres, ...more });
  try {
    const client = await Frontend.connect(served.port);
    await agent(client);
    client.close();
    for (let i = 0; i < 3000 && !served.logs().includes('session ended'); i++) await sleep(20);
    assert.match(served.logs(), /session ended/);
    const { out, code, err } = await sidewarden([
      ...['recordings', 'export', 'last', '--format', 'jsonl', '--state', served.state],
    ]);
    assert.equal(code, 0, err);
    const events = out.trim().split('\n');
    await then(served, events);
    return events;
  } finally {
    await served.stop();
  }
}

suite('secrets', () => {
  const secret = 'tr0ub4dor-secret';
  const texts: readonly string[] = [
    `CREATE ROLE r1 PASSWORD '${secret}'`,
    `ALTER ROLE r1 WITH LOGIN ENCRYPTED PASSWORD '${secret}' VALID UNTIL 'infinity'`,
    `alter user r1 password '${secret}'`,
    `ALTER ROLE r1 PASSWORD E'${Array.from(secret, (c) => `\\x${c.charCodeAt(0).toString(16)}`).join('')}'`,
    `ALTER ROLE r1 PASSWORD U&'${Array.from(secret, (c) => `\\00${c.charCodeAt(0).toString(16)}`).join('')}'`,
    `ALTER ROLE r1 /* ; */ PASSWORD -- x\n '${secret}'`,
    `ALTER ROLE r1 PASSWORD $x$${secret}$x$`,
    `SELECT 1; ALTER ROLE r1 PASSWORD '${secret}'; SELECT 2`,
    `CREATE GROUP r2 PASSWORD '${secret}'`,
    `ALTER ROLE r1 PASSWORD '${secret}' PASSWORD`,
    `CREATE SUBSCRIPTION s CONNECTION 'host=x password=${secret}' PUBLICATION p WITH (connect = false)`,
    `CREATE USER MAPPING FOR r1 SERVER none OPTIONS (user 'x', password '${secret}')`,
    `EXPLAIN ALTER ROLE r1 PASSWORD '${secret}'`,
    `DO $$ BEGIN EXECUTE 'ALTER ROLE r1 PASSWORD ''${secret}'''; END $$`,
  ];

  test('passwords in statements that set them, in every spelling, are in no recording and no log', async () => {
    const forms = [secret, 'x74\\x72', '\\0074\\0072'];
    let logs = '';
    const events = await recorded(
      {},
      async (client) => {
        for (const text of texts) await client.query(text);
        for (const text of texts) {
          client.send(run(text), sync);
          await client.ready();
        }
      },
      (served) => {
        logs = served.logs();
        return Promise.resolve();
      },
    );
    for (const [index, event] of events.entries())
      for (const form of forms)
        assert.ok(!event.includes(form), `event ${index + 1}: ${event.slice(0, 300)}`);
    for (const form of forms) assert.ok(!logs.includes(form));
    assert.ok(events.length > texts.length * 2);
  });

  test('the server still gets them as they were', async () => {
    await recorded({}, async (client) => {
      await client.query(`CREATE ROLE r9 LOGIN PASSWORD '${secret}'`);
      const seen = describe(
        await client.query("SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'r9'"),
      );
      assert.match(seen, /D\(t\)/);
    });
  });
});

suite('what is recorded', () => {
  test('the digest of each statement, in a strict session', async () => {
    for (const durability of ['strict', 'batched'] as const) {
      const events = await recorded({ durability }, async (client) => {
        await client.query('SELECT 1');
      });
      const decision = events.find((event) => event.includes('"decision"')) ?? '';
      assert.equal(
        /"digest":"sha256:|"digest":"[\w-]{20,}/.test(decision),
        durability === 'strict',
        decision,
      );
    }
  });

  test('masks of a policy that only observes', async () => {
    const masks = [{ columns: ['public.customers.card'], with: 'Redact' }];
    const events = await recorded({ masks, mode: 'Observe', default: 'Allow' }, async (client) => {
      await client.query('SELECT 1');
    });
    assert.ok(
      events.some((event) => event.includes('only observes') && event.includes('public.customers.card')),
    );
  });

  test('terminal escapes in texts, rows, errors, notices and names play as text', async () => {
    const nasty = `${ESC}]0;owned\x07${ESC}[2J\u202e`;
    await recorded(
      {},
      async (client) => {
        await client.query(`SELECT '${nasty}' AS "${nasty}"`);
        await client.query(`SELECT '${nasty}'::int`);
        await client.query(`DO $$ BEGIN RAISE NOTICE '${nasty}'; END $$`);
        await client.query(`SELECT "${nasty}"`);
      },
      async (served) => {
        for (const args of [
          ['show', 'last'],
          ['show', 'last', '--json'],
          ['replay', 'last', '--speed', '1000'],
          ['list'],
          ['export', 'last', '--format', 'csv'],
        ]) {
          const { out, err } = await sidewarden(['recordings', ...args, '--state', served.state]);
          assert.ok(out.length > 0, err);
          assert.ok(!out.includes(ESC) && !out.includes('\x07') && !out.includes('\u202e'), args.join(' '));
        }
      },
    );
  });
});

suite('changed afterwards', () => {
  /** Changes made to a closed recording's folder. */
  const changes: readonly (readonly [string, (folder: string) => Promise<void>])[] = [
    [
      'a byte of a segment',
      async (folder) => {
        const path = join(folder, (await readdir(folder)).find((name) => name.endsWith('.zst')) ?? '');
        const bytes = await readFile(path);
        bytes.writeUInt8((bytes[bytes.length >> 1] ?? 0) ^ 1, bytes.length >> 1);
        await writeFile(path, bytes);
      },
    ],
    ['the manifest is gone', (folder) => rm(join(folder, 'manifest.json'))],
    [
      'the manifest',
      async (folder) => {
        const path = join(folder, 'manifest.json');
        await writeFile(
          path,
          (await readFile(path, 'utf8')).replace(/events\\?":\d+/, (found) => `${found}0`),
        );
      },
    ],
    [
      'the header',
      async (folder) => {
        const path = join(folder, 'header.json');
        await writeFile(path, (await readFile(path, 'utf8')).replace('agent', 'other'));
      },
    ],
  ];

  for (const [what, change] of changes) {
    test(`${what}: verify says so, and show, replay and export refuse`, async () => {
      await recorded(
        {},
        async (client) => {
          for (let i = 0; i < 20; i++) await client.query(`SELECT ${i}`);
        },
        async (served) => {
          const root = join(served.state, 'recordings');
          const [session = ''] = await readdir(root);
          await change(join(root, session));
          const state = ['--state', served.state];
          const verified = await sidewarden(['recordings', 'verify', 'last', ...state]);
          assert.ok([1, 3].includes(verified.code), verified.out);
          if (verified.code === 3) return;
          for (const args of [
            ['show', 'last'],
            ['replay', 'last', '--speed', '1000'],
            ['export', 'last', '--format', 'jsonl'],
          ]) {
            const said = await sidewarden(['recordings', ...args, ...state]);
            assert.equal(said.code, 1, args[0]);
            assert.match(said.err, /TAMPERED/);
            assert.equal(said.out, '');
          }
        },
      );
    });
  }

  /** Waits for a text in the open segment of the only session. */
  async function written(
    served: Sidewarden,
    text: string,
  ): Promise<{ readonly session: string; readonly live: string }> {
    const root = join(served.state, 'recordings');
    const [session = ''] = await readdir(root);
    const live = join(root, session, '000001.jsonl');
    const content = () => readFile(live, 'utf8').catch(() => '');
    for (let i = 0; i < 3000 && !(await content()).includes(text); i++) await sleep(20);
    return { session, live };
  }

  test('what was put into the folder while serve was away is not signed by it', async () => {
    const served = await startSidewarden({ postgres });
    const client = await Frontend.connect(served.port);
    await client.query("SELECT 'before'");
    const { session, live } = await written(served, 'before');
    served.signal('SIGKILL');
    await served.ended;
    const text = await readFile(live, 'utf8');
    assert.match(text, /before/);
    await writeFile(live, text.replace('before', 'behind'));
    const again = await startSidewarden({ postgres, state: served.state });
    await again.stop();
    const verified = await sidewarden(['recordings', 'verify', session, '--state', served.state]);
    assert.equal(verified.code, 1, verified.out);
    client.close();
    await served.stop();
  });

  test('a session that is open can be shown, and says that it is unfinished', async () => {
    const served = await startSidewarden({ postgres });
    const client = await Frontend.connect(served.port);
    client.send(query("SELECT 'open'"));
    await client.ready();
    await written(served, 'open');
    const shown = await sidewarden(['recordings', 'show', 'last', '--state', served.state]);
    assert.equal(shown.code, 0, shown.err);
    assert.match(shown.err, /unfinished/);
    client.close();
    await served.stop();
  });
});
