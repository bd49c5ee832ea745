/** The tables of the tests of masks, in memory. */
import type { MaskRules } from '../../mask/mask.ts';
import { TestingCatalog } from './testing-catalog.ts';

const PROTECTED = [
  'public.customers.card',
  'public.customers.secret',
  'public.customers.n',
  'public.customers.email',
  'public.people.phone',
  'public.visits_2.place',
  'public.keyed.region',
  'public.labels.label',
];

export const MASKS: MaskRules = {
  columns: PROTECTED.map((column) => ({ column, mask: { with: 'Redact' } })),
  detectors: [],
};

export function maskedCatalog(): TestingCatalog {
  return new TestingCatalog()
    .add('public.customers', {
      columns: 'id int, name text, email text, card text, created timestamptz, secret jsonb, n int',
      constraints: 'primary id, unique email',
    })
    .add('public.orders', {
      columns: 'id int, customer_id int, total numeric, note text',
      references: [{ on: 'public.customers', columns: ['customer_id'], keys: ['id'] }],
    })
    .add('public.letters', {
      columns: 'id int, address text',
      references: [{ on: 'public.customers', columns: ['address'], keys: ['email'] }],
    })
    .add('public.people', {
      columns: 'id int, phone text, prefix text = phone, area text = prefix, size int',
      constraints: 'check phone size, index-expression phone',
    })
    .add('public.visits', { columns: 'id int, place text, day date' })
    .add('public.visits_1', { columns: 'id int, place text, day date', parents: ['public.visits'] })
    .add('public.visits_2', { columns: 'id int, place text, day date', parents: ['public.visits'] })
    .add('public.keyed', { columns: 'id int, region text', kind: 'partitioned', partitionKey: ['region'] })
    .add('public.keyed_1', { columns: 'id int, region text', parents: ['public.keyed'] })
    .add('public.status_log', { columns: 'id int, status status', triggers: ['INSERT'] })
    .add('public.guarded', { columns: 'id int', rowSecurity: true })
    .add('public.plain_view', {
      columns: 'id int, name text',
      definition: 'SELECT customers.id, customers.name FROM public.customers',
    })
    .add('public.card_view', {
      columns: 'id int, number text, short text',
      definition: 'SELECT c.id, c.card AS number, "left"(c.card, 4) AS short FROM public.customers c',
    })
    .add('public.over_view', {
      columns: 'number text',
      definition: 'SELECT card_view.number FROM public.card_view',
    })
    .add('public.rich_view', {
      columns: 'id int',
      definition: 'SELECT c.id FROM public.customers c WHERE (c.n > 5)',
    })
    .add('public.stats_view', { columns: 'a text', definition: 'SELECT s.tablename AS a FROM pg_stats s' })
    .add('public.code_view', {
      columns: 'a int',
      definition: 'SELECT public.mine(o.id) AS a FROM public.orders o',
    })
    .add('public.labels', {
      columns: 'id int, label text',
      definition: 'SELECT orders.id, orders.note AS label FROM public.orders',
    })
    .add('public.summary', {
      columns: 'top text',
      kind: 'materialized-view',
      definition: 'SELECT max(customers.card) AS top FROM public.customers',
    })
    .add('pg_catalog.pg_class', { columns: 'oid oid, relname name, relkind text' })
    .add('pg_catalog.pg_stats', { columns: 'tablename name, most_common_vals text', kind: 'view' })
    .add('pg_catalog.pg_stat_activity', { columns: 'pid int, query text', kind: 'view' })
    .add('pg_catalog.pg_settings', { columns: 'name text, setting text', kind: 'view' })
    .addFunction('public', 'mine')
    .addType('public', 'mood', 'enum')
    .addType('public', 'shape', 'base');
}
