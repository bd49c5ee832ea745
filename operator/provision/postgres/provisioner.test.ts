import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { Client } from 'pg';
import { type Postgres, startPostgres } from '../../../cli/demo/postgres.ts';
import type { Provisioned, RunRole } from '../provisioner.ts';
import { roleName } from './mark.ts';
import { type PostgresProvisioner, createPostgresProvisioner } from './provisioner.ts';
import {
  OWNER,
  type Signed,
  type Wanted,
  as,
  createShop,
  newSession,
  policyWith,
  serverBinaries,
  targetOn,
} from './testing.ts';

const CARD = { columns: ['public.customers.card'], with: 'Redact' };
const SUPERUSER = { user: 'postgres', password: 'direct-admin-password' };

for (const { name, binaries } of serverBinaries()) {
  suite(`PostgreSQL ${name}`, () => {
    let server: Postgres;
    before(async () => {
      server = await startPostgres({
        ...(binaries === undefined ? {} : { binaries }),
        settings: ['max_prepared_transactions=5', 'max_connections=200', 'log_statement=all'],
      });
      await createShop(server);
    });
    after(() => server.stop());
    for (const administrator of [SUPERUSER, OWNER])
      suite(`administered by ${administrator.user}`, () => suiteFor(() => server, administrator));
  });
}

function suiteFor(server: () => Postgres, administrator: Signed): void {
  let provisioner: PostgresProvisioner;
  before(() => {
    provisioner = createPostgresProvisioner('installation-1');
  });
  after(() => provisioner.close());

  const target = (wanted: Wanted = {}) => targetOn(server(), administrator, wanted);
  const signed = ({ username, password }: Provisioned): Signed => ({ user: username, password });
  const query = async (who: Signed, sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> =>
    as(server(), who, async (client) => (await client.query<Record<string, unknown>>(sql)).rows);
  /** One column of one row, as text; a time in milliseconds since the epoch. */
  const value = async (who: Signed, sql: string): Promise<string> => {
    const [row] = await query(who, sql);
    return String(Object.values(row ?? {})[0]);
  };
  const validUntil = async (role: string) =>
    Number(
      await value(
        SUPERUSER,
        `SELECT extract(epoch FROM rolvaliduntil) * 1000 FROM pg_roles WHERE rolname = '${role}'`,
      ),
    );
  /** What was told counts from before it was asked for, what the server has from some moment until it was answered. */
  const validAbout = async (role: string, told: number, took: number) => {
    const later = (await validUntil(role)) - told;
    assert.ok(later >= -1 && later <= took + 1, `${later} ms later, and it took ${took} ms`);
  };
  const refused = (who: Signed, sql: string, pattern: RegExp) =>
    assert.rejects(
      query(who, sql),
      (error: Error) => pattern.test(error.message) || assert.fail(error.message),
    );
  const known = async (role: string) =>
    (await query(SUPERUSER, `SELECT 1 FROM pg_roles WHERE rolname = '${role}'`)).length === 1;
  const run = async (
    wanted: Wanted,
    policies: Parameters<PostgresProvisioner['provision']>[2],
    work: (provisioned: Provisioned, session: RunRole, took: number) => Promise<void>,
  ) => {
    const session = newSession();
    const asked = Date.now();
    const provisioned = await provisioner.provision(target(wanted), session, policies);
    const took = Date.now() - asked;
    try {
      await work(provisioned, session, took);
    } finally {
      await provisioner.revoke(target(wanted), session);
      assert.equal(await known(provisioned.username), false);
    }
  };
  const READ = { tables: ['public.customers', 'public.orders'], privileges: ['SELECT'] };

  test('a role with nothing but its grants', async () => {
    await run({ grants: [READ] }, [], async (provisioned, session, took) => {
      const who = signed(provisioned);
      assert.ok(Buffer.byteLength(who.user) <= 63);
      assert.equal((await query(who, 'SELECT * FROM customers')).length, 3);
      await refused(who, 'INSERT INTO orders (note) VALUES (1)', /permission denied/);
      await refused(who, 'SELECT * FROM sales.customers', /permission denied/);
      const [role = {}] = await query(
        SUPERUSER,
        `SELECT *, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = '${who.user}'`,
      );
      for (const right of ['rolsuper', 'rolcreatedb', 'rolcreaterole', 'rolreplication', 'rolbypassrls'])
        assert.equal(role[right], false, right);
      assert.equal(role['rolconnlimit'], 64);
      await validAbout(who.user, provisioned.validUntil, took);
      assert.deepEqual(JSON.parse(String(role['comment'])).session, session.session);
      const memberships = await query(
        SUPERUSER,
        `SELECT 1 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = '${who.user}'`,
      );
      assert.deepEqual(memberships, []);
    });
  });

  test('INSERT has the sequence that it needs; names are quoted', async () => {
    const grants = [
      { tables: ['public.orders', 'public."Odd ""name"'], privileges: ['INSERT', 'SELECT', 'DELETE'] },
    ];
    await run({ grants }, [], async (provisioned) => {
      await query(signed(provisioned), `INSERT INTO orders (note) VALUES ('x')`);
      await query(signed(provisioned), `INSERT INTO "Odd ""name" VALUES (1); DELETE FROM "Odd ""name"`);
    });
  });

  for (const [text, pattern] of [
    ['public.nothing', /public\.nothing does not exist/],
    ['public.customers; drop table x', /is no schema\.table/],
    ['customers', /is no schema\.table/],
  ] as const)
    test(`a grant on ${text} is refused`, async () => {
      const session = newSession();
      const wanted = { grants: [{ tables: [text], privileges: ['SELECT'] }] };
      await assert.rejects(provisioner.provision(target(wanted), session, []), {
        code: 'invalid',
        message: pattern,
      });
      assert.equal(await known(roleName('installation-1', session)), false);
    });

  test('masked columns are not granted, nor what is made from them', async () => {
    const tables = ['customers', 'customer_names', 'customer_cards', 'customer_rows', 'parts', 'parts_1'];
    const grants = [
      {
        tables: tables.map((table) => `public.${table}`),
        privileges: ['SELECT', 'INSERT', 'UPDATE', 'TRIGGER'],
      },
    ];
    const policy = policyWith([CARD, { columns: ['public.parts.secret'], with: 'Null' }]);
    await run({ grants }, [policy], async (provisioned) => {
      const who = signed(provisioned);
      assert.equal((await query(who, 'SELECT id, name, pin FROM customers')).length, 3);
      assert.equal((await query(who, 'SELECT * FROM customer_names')).length, 3);
      for (const sql of [
        'SELECT card FROM customers',
        'SELECT * FROM customers',
        'SELECT c::text FROM customers c',
        'SELECT id FROM customers WHERE card IS NULL',
        `UPDATE customers SET card = 'x'`,
        'SELECT * FROM customer_cards',
        'SELECT * FROM customer_rows',
        'SELECT secret FROM parts',
        'SELECT secret FROM parts_1',
        'CREATE TRIGGER t BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
      ])
        await refused(who, sql, /permission denied/);
      await query(who, `INSERT INTO customers VALUES (1000, 'new', 'x')`);
      await query(who, `UPDATE customers SET name = 'newer' WHERE id > 3`);
      assert.match(provisioned.warnings.join('\n'), /SELECT on public\.customer_cards is not granted/);
      await query(SUPERUSER, 'DELETE FROM customers WHERE id > 3');
    });
  });

  test('masks that are only observed, or for another connection, take nothing away', async () => {
    await run({ grants: [READ] }, [policyWith([CARD], 'Observe')], async (provisioned) => {
      assert.equal((await query(signed(provisioned), 'SELECT card FROM customers')).length, 3);
    });
  });

  test('masked views come first, with the masks in them', async () => {
    const grants = [
      {
        tables: ['public.customers', 'sales.customers'],
        privileges: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
      },
    ];
    const policy = policyWith([
      { columns: ['public.customers.card'], with: 'Partial', partial: { keepFirst: 2, keepLast: 4 } },
      { columns: ['public.customers.pin'], with: 'Redact' },
      { columns: ['sales.customers.card'], with: 'Null' },
    ]);
    await run({ grants, maskedViews: true }, [policy], async (provisioned) => {
      const who = signed(provisioned);
      assert.deepEqual(await query(who, 'SELECT * FROM customers ORDER BY id'), [
        { id: 1, name: 'Ada', card: '41******1111', pin: '[redacted]' },
        { id: 2, name: 'Grüße', card: '****', pin: '[redacted]' },
        { id: 3, name: 'None', card: null, pin: '[redacted]' },
      ]);
      await refused(who, 'SELECT card FROM public.customers', /permission denied/);
      await refused(who, `CREATE TABLE "${who.user}".t ()`, /permission denied/);
      await query(
        who,
        `INSERT INTO customers (id, name) VALUES (77, 'through'); UPDATE customers SET name = 'y' WHERE id = 77; DELETE FROM customers WHERE id = 77`,
      );
      assert.match(provisioned.warnings.join('\n'), /sales\.customers has no masked view/);
    });
  });

  test('a table with row security has no masked view', async () => {
    const grants = [{ tables: ['public.guarded'], privileges: ['SELECT'] }];
    const policy = policyWith([{ columns: ['public.guarded.secret'], with: 'Null' }]);
    await run({ grants, maskedViews: true }, [policy], async (provisioned) => {
      assert.match(provisioned.warnings.join('\n'), /row security/);
      await refused(signed(provisioned), 'SELECT * FROM guarded', /permission denied/);
    });
  });

  test('inherited roles give their privileges', async () => {
    await query(OWNER, 'GRANT SELECT ON orders TO reports');
    await run({ inherit: ['reports'] }, [], async (provisioned) => {
      const who = signed(provisioned);
      await query(who, 'SELECT * FROM orders');
      const version = Number(await value(who, 'SHOW server_version_num'));
      if (version >= 160_000) await refused(who, 'SET ROLE reports', /permission denied/);
    });
  });

  for (const role of [
    'postgres',
    'makers',
    'files',
    'through_files',
    'pg_execute_server_program',
    'pg_signal_backend',
    'pg_read_all_data',
    OWNER.user,
    'nobody_at_all',
  ])
    test(`${role} is not inherited`, async () => {
      const wanted = { inherit: [role], grants: [READ] };
      await assert.rejects(provisioner.provision(target(wanted), newSession(), [policyWith([CARD])]), {
        code: 'invalid',
        message: new RegExp(`role.inherit: .*${role}`),
      });
    });

  test('made again it has a new password and what is wanted now, and its backends live on', async () => {
    await run({ grants: [READ] }, [], async (first, session) => {
      await as(server(), signed(first), async (client) => {
        const wanted = {
          grants: [{ tables: ['public.customers'], privileges: ['SELECT', 'INSERT'] }],
          inherit: ['reports'],
          maskedViews: true,
        };
        const second = await provisioner.provision(target(wanted), session, [policyWith([CARD])]);
        assert.equal(second.username, first.username);
        assert.notEqual(second.password, first.password);
        await assert.rejects(query(signed(first), 'SELECT 1'), /password authentication failed/);
        await assert.rejects(client.query('SELECT card FROM public.customers'), /permission denied/);
        assert.equal((await client.query('SELECT id FROM public.customers')).rows.length, 3);
        assert.equal(await value(signed(second), 'SELECT card FROM customers'), '[redacted]');
        const third = await provisioner.provision(target({ grants: [READ] }), session, []);
        await refused(signed(third), `INSERT INTO customers VALUES (9, 'x')`, /permission denied/);
        assert.equal((await query(signed(third), 'SELECT card FROM customers')).length, 3);
        assert.equal((await client.query('SELECT card FROM public.customers')).rows.length, 3);
      });
    });
  });

  test('it is renewed, and cannot prolong itself', async () => {
    await run({ grants: [READ], ttl: '1m' }, [], async (provisioned, session) => {
      const who = signed(provisioned);
      await refused(who, `ALTER ROLE CURRENT_USER VALID UNTIL 'infinity'`, /permission denied|must have/);
      await refused(
        who,
        `ALTER ROLE CURRENT_USER CREATEROLE`,
        /permission denied|must be superuser|must have/,
      );
      await refused(who, `ALTER ROLE CURRENT_USER CONNECTION LIMIT -1`, /permission denied|must have/);
      // PostgreSQL lets everybody do that: on the wire it has the effect `privilege`, which policies refuse.
      await query(who, `ALTER ROLE CURRENT_USER PASSWORD 'my-own'`);
      const asked = Date.now();
      const until = await provisioner.renew(target({ ttl: '2h' }), session);
      const took = Date.now() - asked;
      assert.ok(until - Date.now() > 7_100_000);
      await validAbout(who.user, until, took);
    });
    await assert.rejects(provisioner.renew(target(), newSession()), { code: 'invalid' });
  });

  test('revoking ends its backends at once, also in the middle of a transaction or a sleep', async () => {
    const session = newSession();
    const provisioned = await provisioner.provision(target({ grants: [READ] }), session, []);
    const clients = await Promise.all(
      ['SELECT pg_sleep(600)', 'BEGIN; SELECT * FROM customers', 'LISTEN x'].map(async (sql) => {
        const client = new Client({
          host: server().host,
          port: server().port,
          database: 'shop',
          ...signed(provisioned),
        });
        client.on('error', () => undefined);
        const ended = new Promise((done) => client.once('end', done));
        await client.connect();
        const asked = client.query(sql);
        asked.catch(() => undefined);
        if (!sql.includes('sleep')) await asked;
        return { ended };
      }),
    );
    const before = performance.now();
    await provisioner.revoke(target(), session);
    assert.ok(performance.now() - before < 120_000, 'no sleep was waited for');
    await Promise.all(clients.map(({ ended }) => ended));
    assert.equal(await known(provisioned.username), false);
    await provisioner.revoke(target(), session);
    await assert.rejects(
      query(signed(provisioned), 'SELECT 1'),
      /password authentication failed|does not exist/,
    );
  });

  test('a role that tries to stay: objects, grants, prepared transactions, other databases', async () => {
    await query(OWNER, 'CREATE SCHEMA work; GRANT USAGE ON SCHEMA work TO PUBLIC');
    const session = newSession();
    const provisioned = await provisioner.provision(target({ grants: [READ] }), session, []);
    const who = signed(provisioned);
    await query(
      OWNER,
      `GRANT ALL ON SCHEMA work TO "${who.user}"; GRANT CREATE ON DATABASE shop TO "${who.user}"`,
    );
    // Nobody but a superuser can take back what a superuser gave.
    const everywhere = administrator === SUPERUSER;
    const elsewhere = (signed: Signed, sql: string) =>
      as(server(), signed, (client) => client.query(sql), 'postgres');
    if (everywhere) await elsewhere(SUPERUSER, `GRANT CREATE ON SCHEMA public TO "${who.user}"`);
    await query(
      who,
      `CREATE TABLE work.kept (id int); INSERT INTO work.kept VALUES (1); GRANT ALL ON work.kept TO PUBLIC;
CREATE FUNCTION work.up() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
CREATE VIEW work.cards AS SELECT card FROM customers; GRANT SELECT ON work.cards TO PUBLIC;
CREATE RULE sneak AS ON INSERT TO work.kept DO ALSO DELETE FROM customers;
CREATE SCHEMA mine; CREATE TYPE work.colour AS ENUM ('red'); CREATE SEQUENCE work.numbers;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
ALTER ROLE CURRENT_USER SET search_path = mine`,
    );
    await as(server(), who, async (client) => {
      await client.query(`BEGIN; LOCK work.kept; PREPARE TRANSACTION 'stay-${who.user}'`);
    });
    if (everywhere) await elsewhere(who, 'CREATE TABLE public.elsewhere (id int)');
    await provisioner.revoke(target(), session);
    assert.equal(await known(who.user), false);
    const owner = await value(SUPERUSER, `SELECT tableowner FROM pg_tables WHERE tablename = 'kept'`);
    assert.match(owner, /^sidewarden_kept_/);
    // Whatever it left works with the rights of nobody.
    const next = newSession();
    const other = signed(await provisioner.provision(target({ grants: [READ] }), next, []));
    await refused(other, 'SELECT * FROM work.cards', /permission denied/);
    await refused(other, 'INSERT INTO work.kept VALUES (2)', /permission denied/);
    assert.match(await value(other, 'SELECT work.up()'), /^sidewarden_kept_/);
    await provisioner.revoke(target(), next);
    await query(SUPERUSER, 'DROP SCHEMA work CASCADE; DROP SCHEMA mine CASCADE');
    if (everywhere) await elsewhere(SUPERUSER, 'DROP TABLE elsewhere');
  });

  test('several at once, by two replicas: made, revoked, twice', async () => {
    const second = createPostgresProvisioner('installation-1');
    try {
      const all = Array.from({ length: 10 }, () => newSession());
      const grants = [READ];
      await Promise.all(
        all.map((session, index) =>
          (index % 2 === 0 ? provisioner : second).provision(target({ grants, maskedViews: true }), session, [
            policyWith([CARD]),
          ]),
        ),
      );
      const marked = await provisioner.marked(target());
      for (const { session } of all) assert.ok(marked.some(({ uid }) => uid === session.uid));
      await Promise.all(
        all.flatMap((session) => [provisioner.revoke(target(), session), second.revoke(target(), session)]),
      );
      assert.deepEqual(await provisioner.marked(target()), []);
    } finally {
      await second.close();
    }
  });

  test('roles of another installation, or with a comment that is not exactly ours, are left alone', async () => {
    const other = createPostgresProvisioner('installation-2');
    const session = newSession();
    try {
      await other.provision(target(), session, []);
      assert.deepEqual(await provisioner.marked(target()), []);
      assert.equal((await other.marked(target())).length, 1);
      await provisioner.revoke(target(), session);
      assert.equal((await other.marked(target())).length, 1);
      const name = roleName('installation-2', session);
      await query(SUPERUSER, `COMMENT ON ROLE "${name}" IS 'mine'`);
      assert.deepEqual(await other.marked(target()), []);
      await assert.rejects(other.revoke(target(), session), { code: 'taken' });
      await assert.rejects(other.provision(target(), session, []), { code: 'taken' });
      await query(SUPERUSER, `DROP ROLE "${name}"`);
    } finally {
      await other.close();
    }
  });
}
