/**
 * THREATS.md 9 to 14: what an agent writes so that a rule takes it for something else. Each policy that people write is
 * attacked with texts that must not get past it, and with those of ordinary programs, which must.
 */
import assert from 'node:assert/strict';
import { after, before, describe as suite, test } from 'node:test';
import pg from 'pg';
import { usualManifests, type ManifestOptions } from '../manifests.ts';
import { freePort, startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden, type Sidewarden } from '../serve.ts';
import { Frontend, type Message, bind, describe, execute, fieldsOf, parse, sync } from './frontend.ts';
import {
  beyondTables,
  hiddenTables,
  neverAsReads,
  ordinary,
  readsAfterAll,
  withoutWhere,
} from './language-statements.ts';
import { sessions } from './language-sessions.ts';
import { plain, world } from './language-world.ts';

type Policy = Pick<ManifestOptions, 'rules' | 'default' | 'database'>;

const POLICIES = {
  reads: { rules: [{ name: 'reads', when: 'sql.effects == ["read"]', action: 'Allow' }] },
  ordinary: {
    database: 'ordinary',
    rules: [{ name: 'reads', when: 'sql.effects == ["read"]', action: 'Allow' }],
  },
  tables: {
    rules: [
      {
        name: 'two-tables',
        when: 'sql.effects.all(e, e in ["read", "write", "delete", "session"]) && sql.tables.all(t, t.name in ["public.orders", "public.items"])',
        action: 'Allow',
      },
    ],
  },
  conditions: {
    default: 'Allow',
    rules: [{ name: 'nowhere', when: 'sql.verb in ["DELETE", "UPDATE"] && !sql.hasWhere', action: 'Deny' }],
  },
  hidden: {
    default: 'Allow',
    rules: [
      {
        name: 'hidden',
        when: '"opaque" in sql.effects || sql.tables.exists(t, t.name in ["public.secrets", "public.ledger_high", "public.ключи"])',
        action: 'Deny',
      },
    ],
  },
  most: {
    default: 'Allow',
    rules: [{ name: 'victims', when: 'sql.tables.exists(t, t.name == "public.victims")', action: 'Deny' }],
  },
} as const satisfies Readonly<Record<string, Policy>>;

export type PolicyName = keyof typeof POLICIES;

let postgres: TestPostgres;
let sidewarden: Sidewarden;
let admin: pg.Client;

before(async () => {
  postgres = await startPostgres({ settings: ['autovacuum=off'] });
  admin = new pg.Client({ ...postgres, database: 'postgres' });
  await admin.connect();
  await admin.query(world);
  await admin.query('CREATE DATABASE ordinary');
  const other = new pg.Client({ ...postgres, database: 'ordinary' });
  await other.connect();
  await other.query(plain);
  await other.end();
  const options: ManifestOptions[] = [];
  for (const [name, policy] of Object.entries(POLICIES))
    options.push({ postgres, name, port: await freePort(), ...policy });
  sidewarden = await startSidewarden({ manifests: usualManifests(...options) });
});

after(async () => {
  await admin.end();
  await sidewarden.stop();
  await postgres.stop();
});

function enter(name: PolicyName): Promise<Frontend> {
  const port = sidewarden.ports.get(name);
  if (port === undefined) throw new Error(`no connection ${name}`);
  return Frontend.connect(port, name === 'ordinary' ? { database: 'ordinary' } : {});
}

/** Of the sidecar itself, never of the server. */
function isRefusal(messages: readonly Message[]): boolean {
  return messages.some((one) => {
    if (one.tag !== 'E') return false;
    const { D: detail = '', M: text = '' } = fieldsOf(one);
    return detail.startsWith('Refused by ') || text.includes('is pinned here');
  });
}

const shown = (messages: readonly Message[]) =>
  messages.map((one) => (one.tag === 'E' ? JSON.stringify(fieldsOf(one)) : '')).join('') ||
  describe(messages);

/** Each is refused with exactly one error and one ReadyForQuery, and nothing of it comes back. */
async function allRefused(name: PolicyName, statements: readonly string[]): Promise<void> {
  const client = await enter(name);
  const wrong: string[] = [];
  try {
    for (const statement of statements) {
      const answer = await client.query(statement);
      const tags = answer.map(({ tag }) => tag).join('');
      if (!isRefusal(answer) || tags !== 'EZ') wrong.push(`${statement}\n    ${shown(answer)}`);
    }
  } finally {
    client.close();
  }
  assert.deepEqual(wrong, []);
}

async function noneRefused(name: PolicyName, statements: readonly string[]): Promise<void> {
  const client = await enter(name);
  const wrong: string[] = [];
  try {
    for (const statement of statements) {
      const answer = await client.query(statement);
      if (answer.some(({ tag }) => tag === 'E')) wrong.push(`${statement}\n    ${shown(answer)}`);
    }
  } finally {
    client.close();
  }
  assert.deepEqual(wrong, []);
}

const count = async (table: string): Promise<number> =>
  Number((await admin.query<{ n: string }>(`SELECT count(*) AS n FROM ${table}`)).rows[0]?.n);

suite('single statements', () => {
  const cases: readonly (readonly [PolicyName, readonly string[]])[] = [
    ['reads', neverAsReads],
    ['tables', beyondTables],
    ['conditions', withoutWhere],
    ['hidden', hiddenTables],
  ];
  for (const [name, statements] of cases)
    test(`${name}: ${statements.length} attacks are refused`, () => allRefused(name, statements));

  test(`${ordinary.length} ordinary reads are reads, beside citext, hstore, ltree and pg_trgm`, () =>
    noneRefused('ordinary', ordinary));
  test(`${readsAfterAll.length} that look dangerous are reads all the same`, () =>
    noneRefused('reads', readsAfterAll));
  test('long values are not read where they are kept', async () => {
    const { rows } = await admin.query<{ name: string }>(
      `SELECT reltoastrelid::regclass::text AS name FROM pg_class WHERE oid = 'secrets'::regclass`,
    );
    await allRefused('hidden', [`SELECT * FROM ${rows[0]?.name}`, `TABLE ${rows[0]?.name}`]);
  });
  test('nothing was changed by all that', async () => {
    assert.deepEqual(
      [await count('victims'), await count('orders'), await count('items'), await count('secrets')],
      [20, 20, 20, 6],
    );
  });
});

suite('sequences of messages: one of them is refused, and none shows what is hidden', () => {
  for (const [name, ...steps] of sessions) {
    test(`${name}: ${steps.join(' ⏎ ')}`, async () => {
      const client = await enter(name);
      try {
        const answers: (readonly Message[])[] = [];
        for (const step of steps) answers.push(await client.query(step));
        assert.ok(answers.some(isRefusal), shown(answers.at(-1) ?? []));
        for (const answer of answers) assert.ok(!describe(answer).includes('HIDDEN'), describe(answer));
      } finally {
        client.close();
      }
    });
  }
});

suite('pipelines', () => {
  const whole = (sql: string) => Buffer.concat([parse('', sql), bind('', ''), execute('')]);

  test('a prepared statement is decided by what it means when it runs', async () => {
    const client = await enter('hidden');
    try {
      client.send(whole('SET search_path = shadow'), parse('lured', 'SELECT * FROM vault'), sync);
      await client.ready();
      for (const change of [
        'SET search_path = public',
        "SELECT set_config('search_path', 'public', false)",
      ]) {
        client.send(whole('SET search_path = shadow'), sync);
        await client.ready();
        client.send(whole(change), bind('', 'lured'), execute(''), sync);
        const answer = await client.ready();
        assert.ok(!describe(answer).includes('HIDDEN'), describe(answer));
        assert.ok(isRefusal(answer), shown(answer));
      }
    } finally {
      client.close();
    }
  });

  test('what changes how texts are read is never in force for the next Parse', async () => {
    const setting = `SELECT set_config('standard_conforming_' || 'strings', 'off', false)`;
    const attack = String.raw`SELECT '\' , ' , wipe() --'`;
    for (const separate of [false, true]) {
      const client = await enter('most');
      try {
        client.send(whole(setting), ...(separate ? [sync] : []), whole(attack), sync);
        await client.ready();
        if (separate && !client.closed) await client.ready();
      } finally {
        client.close();
      }
      assert.equal(await count('victims'), 20);
    }
  });
});

suite('settings of the role and the database do not change how texts are read', () => {
  for (const [setting, value] of [
    ['standard_conforming_strings', 'off'],
    ['client_encoding', 'SJIS'],
  ] as const) {
    test(setting, async () => {
      await admin.query(`ALTER ROLE postgres SET ${setting} = '${value}'`);
      try {
        for (const reset of [
          'SELECT 1',
          'RESET ALL',
          `RESET ${setting}`,
          `SET ${setting} TO DEFAULT`,
          'DISCARD ALL',
        ]) {
          const client = await enter('most');
          try {
            await client.query(reset);
            const answer = describe(await client.query(`SHOW ${setting}`));
            assert.ok(!answer.includes(value), `${reset}: ${answer}`);
          } finally {
            client.close();
          }
        }
      } finally {
        await admin.query(`ALTER ROLE postgres RESET ${setting}`);
      }
    });
  }

  test('neither do start-up options', async () => {
    for (const options of [
      '-c standard_conforming_strings=off',
      '--standard_conforming_strings=off',
      '-cclient_encoding=SJIS',
      '-c session_replication_role=replica',
    ]) {
      const opened = Frontend.connect(sidewarden.ports.get('most') ?? 0, { options });
      await assert.rejects(
        opened.then((client) => client.close()),
        (error) => error instanceof Error,
        options,
      );
    }
  });
});
