/** A provisioned role whose masked views come first, through the whole of the sidecar: what the database keeps and what the wire keeps go together. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Client } from 'pg';
import pino from 'pino';
import { type TestPostgres, freePort, startPostgres } from '../../../e2e/postgres.ts';
import { runConfiguration } from '../../../e2e/run-configuration.ts';
import { BrokerState, TestBroker, type TestPki, testPki, until } from '../../../e2e/test-broker.ts';
import { Sidecar } from '../../../sidecar/sidecar.ts';
import { type PostgresProvisioner, createPostgresProvisioner } from './provisioner.ts';
import { createShop, newSession, policyWith, targetOn } from './testing.ts';

const MASKS = [
  { columns: ['public.customers.card'], with: 'Partial', partial: { keepFirst: 2, keepLast: 4 } },
  { columns: ['public.customers.pin'], with: 'Redact' },
];
const RIGHTS = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'];

suite('masked views behind the sidecar', () => {
  let postgres: TestPostgres;
  let provisioner: PostgresProvisioner;
  let pki: TestPki;
  let broker: TestBroker;
  let sidecar: Sidecar;
  let client: Client;
  const session = newSession();
  const target = () =>
    targetOn(postgres, postgres, {
      grants: [{ tables: ['public.customers', 'public.orders'], privileges: RIGHTS }],
      maskedViews: true,
    });

  before(async () => {
    postgres = await startPostgres();
    await createShop(postgres);
    provisioner = createPostgresProvisioner('installation-1');
    const { username, password } = await provisioner.provision(target(), session, [policyWith(MASKS)]);
    pki = await testPki();
    const state = new BrokerState();
    state.session = () => ({ session: session.session.name, username, password });
    const port = await freePort();
    state.event = runConfiguration([
      {
        postgres,
        port,
        database: 'shop',
        masks: MASKS,
        connection: { role: { provision: true, maskedViews: true } },
      },
    ]);
    broker = await TestBroker.start(pki, state);
    sidecar = await Sidecar.start({
      broker: {
        url: new URL(`https://127.0.0.1:${broker.port}`),
        ca: pki.ca,
        tokenFile: pki.tokenFile,
      },
      state: join(pki.folder, 'state'),
      redirect: false,
      log: pino({ level: 'silent' }),
    });
    await until(() => sidecar.ready, 'the sidecar is ready');
    client = new Client({ host: '127.0.0.1', port, user: 'agent', database: 'shop' });
    await client.connect();
  });
  after(async () => {
    await client.end();
    await sidecar.stop(1_000);
    await broker.stop();
    await pki.remove();
    await provisioner.revoke(target(), session);
    await provisioner.close();
    await postgres.stop();
  });

  const ada = { id: 1, name: 'Ada', card: '41****1111', pin: '[redacted]' };
  const rows = [
    ada,
    { id: 2, name: 'Grüße', card: '****', pin: '[redacted]' },
    { id: 3, name: 'None', card: null, pin: '[redacted]' },
  ];
  const cases: readonly (readonly [string, readonly object[] | RegExp, (readonly unknown[])?])[] = [
    ['SELECT * FROM customers ORDER BY id', rows],
    ['SELECT c.* FROM customers c ORDER BY c.id', rows],
    ['SELECT id, name, card, pin FROM customers ORDER BY id', rows],
    ['SELECT * FROM customers WHERE id = $1', [ada], [1]],
    ['SELECT pin FROM customers WHERE id = 1', [{ pin: '[redacted]' }]],
    ['SELECT c FROM customers c WHERE id = 1', [{ c: '(1,Ada,41****1111,[redacted])' }]],
    ['SELECT count(*)::int FROM customers', [{ count: 3 }]],
    ['SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON c.id = o.customer', []],
    ['SELECT name FROM customers WHERE card IS NULL', /protected column public\.customers\.card/],
    ['SELECT name FROM public.customers WHERE id = 1', [{ name: 'Ada' }]],
    // The database keeps it, whatever the wire would do.
    ['SELECT * FROM public.customers', /permission denied for table customers/],
    [`INSERT INTO customers (id, name) VALUES (10, 'new')`, []],
    [`UPDATE customers SET name = 'newer' WHERE id = 10`, []],
    ['SELECT name FROM customers WHERE id = 10', [{ name: 'newer' }]],
    ['DELETE FROM customers WHERE id = 10', []],
  ];
  for (const [sql, expected, values] of cases)
    test(sql, async () => {
      const answer = client.query<Record<string, unknown>>(sql, values && [...values]);
      if (expected instanceof RegExp) await assert.rejects(answer, expected);
      else assert.deepEqual((await answer).rows, expected);
    });
});
