-- One object of every kind that a dump can hold, with the values that are hard to carry.
create schema shop;
comment on schema shop is 'all that is dumped';
create type shop.mood as enum ('sad', 'ok', 'it''s "fine"');
create type shop.address as (street text, city text);
create type shop.span as range (subtype = float8);
create domain shop.email as text check (value ~ '@') default 'nobody@example.com';
create collation shop.plain from "C";
create sequence shop.tickets start 100 increment 7 cycle maxvalue 1000000;

create table shop.customers (
  id int generated always as identity primary key,
  name text not null,
  mail shop.email,
  home shop.address,
  mood shop.mood default 'ok',
  tags text[] default '{}',
  notes jsonb,
  photo bytea,
  ticket bigint default nextval('shop.tickets'),
  upper_name text generated always as (upper(name)) stored,
  constraint name_is_short check (length(name) < 100)
);
comment on column shop.customers.mail is 'č "quoted" ''comment''';
create table shop.vip (level int not null) inherits (shop.customers);
create table shop."Odd Name; --" ("a b" int, "select" text, "ž" float8);
create table shop.orders (
  id bigint primary key, customer int references shop.customers on delete cascade deferrable, total numeric(12,2), during tstzrange,
  exclude using gist (during with &&)
);
create index orders_total on shop.orders (total desc nulls last) include (customer) where total > 0;
create index customers_notes on shop.customers using gin (notes);
create index customers_lower on shop.customers (lower(name) collate shop.plain);
create statistics shop.customers_stats (dependencies, ndistinct) on name, mail from shop.customers;
create unlogged table shop.scratch (i int);

create table shop.events (id int, at timestamptz not null, payload text) partition by range (at);
create table shop.events_2025 partition of shop.events for values from ('2025-01-01') to ('2026-01-01');
create table shop.events_rest partition of shop.events default;
create index on shop.events (id);

create function shop.twice(i int default 1, out o int) language sql immutable strict parallel safe as $$ select i * 2 $$;
create function shop.body(i int) returns int language sql begin atomic select i + 1; end;
create function shop.touched() returns trigger language plpgsql as $body$
begin
  new.mood := 'ok'; -- a comment; with a semicolon
  return new;
end $body$;
create procedure shop.tidy() language plpgsql as $$ begin delete from shop.scratch; end $$;
create aggregate shop.total (numeric) (sfunc = numeric_add, stype = numeric, initcond = '0');
create function shop.same(a shop.address, b shop.address) returns boolean language sql immutable as $$ select a.city = b.city $$;
create operator shop.=== (leftarg = shop.address, rightarg = shop.address, function = shop.same);
create cast (shop.address as text) with inout;
create trigger touched before update of name on shop.customers for each row when (new.name <> old.name) execute function shop.touched();
create view shop.totals with (security_barrier) as
  select c.name, sum(o.total) as total from shop.customers c left join shop.orders o on o.customer = c.id group by c.name;
create view shop.cheap as select id, total from shop.orders where total < 10 with local check option;
create rule quiet as on delete to shop.scratch do instead nothing;
create materialized view shop.snapshot as select name, length(name) as size from shop.customers with no data;
create unique index on shop.snapshot (name);
create text search configuration shop.simple_text (copy = pg_catalog.simple);
alter table shop.customers enable row level security;
create policy own on shop.customers for select using (name = current_user);
create publication shop_publication for table shop.orders;
grant select on shop.totals to public;
alter default privileges in schema shop grant select on tables to public;

insert into shop.customers (name, mail, home, mood, tags, notes, photo)
select 'name ' || g, 'n' || g || '@example.com', row('street ' || g, 'Žižkov')::shop.address, 'it''s "fine"', array['a', 'b"c', null],
  jsonb_build_object('n', g, 'text', E'line\nbreak\ttab \\ back'), decode(lpad(to_hex(g), 8, '0'), 'hex')
from generate_series(1, 3000) g;
insert into shop.customers (name, mail, tags, notes) values ('\N', null, null, null), (E'tab\t and \r return', 'a@b', '{}', '"text"');
insert into shop.vip (id, name, level) values (1, 'first', 1);
insert into shop.orders select g, g, g * 1.5, tstzrange('2026-01-01'::timestamptz + g * interval '1 hour', '2026-01-01'::timestamptz + (g + 1) * interval '1 hour')
from generate_series(1, 500) g;
insert into shop.events select g, '2025-06-01'::timestamptz + g * interval '1 day', repeat('é', g % 50) from generate_series(1, 500) g;
insert into shop."Odd Name; --" values (1, 'x', 'NaN'), (2, null, '-Infinity'), (3, '', 1e-300);
refresh materialized view shop.snapshot;
