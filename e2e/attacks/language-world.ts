/** The database of the attacks on the language: what a DBA may have left lying about, for an agent to step on. */

/** Run by the administrator, before the first attack. `wipe` is what must never run. */
export const world = String.raw`
CREATE TABLE orders (id serial PRIMARY KEY, customer varchar, total numeric, note text, made timestamptz DEFAULT now());
CREATE TABLE items (id serial PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE, name text, tags text[], doc jsonb);
CREATE TABLE victims (id int PRIMARY KEY, value text);
INSERT INTO orders (customer, total, note) SELECT 'customer ' || i, i * 10, 'note ' || i FROM generate_series(1, 20) i;
INSERT INTO items (order_id, name, tags, doc) SELECT i, 'item ' || i, ARRAY['a', 'b'], '{"k": [1, 2]}' FROM generate_series(1, 20) i;

CREATE TABLE vault (id int, value text);
CREATE TABLE secrets () INHERITS (vault);
INSERT INTO secrets SELECT i, 'HIDDEN-' || i FROM generate_series(1, 5) i;
INSERT INTO secrets VALUES (99, (SELECT string_agg('HIDDEN-' || md5(i::text), '') FROM generate_series(1, 400) i));
CREATE TABLE ledger (id int, value text) PARTITION BY RANGE (id);
CREATE TABLE ledger_low PARTITION OF ledger FOR VALUES FROM (0) TO (100);
CREATE TABLE ledger_high PARTITION OF ledger FOR VALUES FROM (100) TO (200);
INSERT INTO ledger VALUES (1, 'low'), (101, 'HIDDEN-high');
CREATE TABLE "Secrets" (id int, value text);
CREATE TABLE "sec""rets" (id int, value text);
CREATE TABLE "ключи" (id int, value text);
INSERT INTO "ключи" VALUES (1, 'HIDDEN-unicode');

CREATE FUNCTION wipe() RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN DELETE FROM victims; RETURN 1; END $$;
CREATE FUNCTION lie() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN wipe(); END $$;
CREATE FUNCTION steady() RETURNS int LANGUAGE sql STABLE AS $$ SELECT wipe() $$;
CREATE FUNCTION atomic() RETURNS int BEGIN ATOMIC SELECT wipe(); END;
CREATE FUNCTION leak() RETURNS SETOF text LANGUAGE sql STABLE AS $$ SELECT value FROM secrets $$;
CREATE FUNCTION wipe_row(orders) RETURNS int LANGUAGE sql AS $$ SELECT wipe() $$;
CREATE FUNCTION wipe_text(text) RETURNS text LANGUAGE sql AS $$ SELECT wipe()::text $$;
CREATE FUNCTION wipe_step(int, int) RETURNS int LANGUAGE sql AS $$ SELECT wipe() $$;
CREATE FUNCTION upper(varchar) RETURNS text LANGUAGE sql AS $$ SELECT wipe()::text $$;
CREATE FUNCTION abs(text) RETURNS int LANGUAGE sql AS $$ SELECT wipe() $$;
CREATE PROCEDURE wiping() LANGUAGE plpgsql AS $$ BEGIN PERFORM wipe(); END $$;
CREATE AGGREGATE wiping_sum(int) (SFUNC = wipe_step, STYPE = int, INITCOND = '0');
CREATE FUNCTION compare(varchar, varchar) RETURNS boolean LANGUAGE sql AS $$ SELECT wipe() = 1 $$;
CREATE OPERATOR <=>< (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = compare);
CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = compare);
CREATE OPERATOR ~~ (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = compare);
CREATE SCHEMA shadow;
CREATE FUNCTION shadow.compare(numeric, numeric) RETURNS boolean LANGUAGE sql AS $$ SELECT public.wipe() = 1 $$;
CREATE OPERATOR shadow.> (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = shadow.compare);
CREATE FUNCTION shadow.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT public.wipe()::text $$;
CREATE TABLE shadow.orders (id int, value text);
CREATE VIEW shadow.items AS SELECT id, value FROM public.secrets;

CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE FUNCTION mood_int(mood) RETURNS int LANGUAGE sql AS $$ SELECT wipe() $$;
CREATE CAST (mood AS int) WITH FUNCTION mood_int(mood) AS IMPLICIT;
CREATE TABLE moods (id int, felt mood);
INSERT INTO moods VALUES (1, 'sad'), (2, 'happy');
CREATE FUNCTION is_fine(text) RETURNS boolean LANGUAGE sql AS $$ SELECT wipe() = 1 $$;
CREATE DOMAIN fine AS text CHECK (is_fine(VALUE));
CREATE TYPE pair AS (one int, two fine);

CREATE VIEW orders_view AS SELECT id, customer, total FROM orders;
CREATE VIEW secrets_view AS SELECT * FROM secrets;
CREATE VIEW secrets_twice AS SELECT value FROM secrets_view;
CREATE VIEW wiping_view AS SELECT wipe() AS n;
CREATE VIEW lying_view AS SELECT id, lie() AS n FROM orders;
CREATE VIEW seq_view AS SELECT nextval('orders_id_seq');
CREATE VIEW configuring_view AS SELECT set_config('work_mem', '1MB', false);
CREATE MATERIALIZED VIEW totals AS SELECT sum(total) AS total FROM orders;
CREATE MATERIALIZED VIEW secret_copy AS SELECT value FROM secrets;

CREATE TABLE triggered (id int);
CREATE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM wipe(); RETURN NEW; END $$;
CREATE TRIGGER t BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION on_write();
CREATE TABLE ruled (id int);
CREATE RULE r AS ON INSERT TO ruled DO ALSO DELETE FROM victims;
CREATE TABLE defaulted (id int DEFAULT wipe(), n int);
CREATE TABLE computed (id int, n int GENERATED ALWAYS AS (id + lie()) STORED);
CREATE TABLE virtually (id int, n int GENERATED ALWAYS AS (id + 1) VIRTUAL);
CREATE TABLE checked (id int CHECK (steady() = 1));
CREATE TABLE guarded (id int);
INSERT INTO guarded VALUES (1);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON guarded USING (wipe() = 1);
CREATE VIEW door AS SELECT 1 AS id;
CREATE TRIGGER d INSTEAD OF INSERT ON door FOR EACH ROW EXECUTE FUNCTION on_write();
CREATE VIEW sink AS SELECT id FROM victims;
CREATE RULE s AS ON UPDATE TO sink DO INSTEAD DELETE FROM victims;
CREATE VIEW inner_door AS SELECT id FROM triggered;
CREATE VIEW outer_door AS SELECT id FROM inner_door;
CREATE SEQUENCE counter;
CREATE ROLE somebody;
INSERT INTO victims SELECT i, 'victim ' || i FROM generate_series(1, 20) i;
SELECT lo_from_bytea(4242, 'object');
ANALYZE;
`;

/** A database as there are many: extensions with operators and casts of their own, and nothing to step on. */
export const plain = String.raw`
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE EXTENSION ltree;
CREATE EXTENSION pg_trgm;
CREATE TABLE orders (id serial PRIMARY KEY, customer varchar, total numeric, note text, made timestamptz DEFAULT now());
CREATE TABLE items (id serial PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE, name text, tags text[], doc jsonb);
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE people (id positive, email citext UNIQUE, extra hstore, path ltree, felt mood);
INSERT INTO orders (customer, total, note) SELECT 'customer ' || i, i * 10, 'note ' || i FROM generate_series(1, 20) i;
INSERT INTO items (order_id, name, tags, doc) SELECT i, 'item ' || i, ARRAY['a', 'b'], '{"k": [1, 2]}' FROM generate_series(1, 20) i;
INSERT INTO people VALUES (1, 'A@example.org', 'a=>1', 'top.sub', 'sad');
CREATE TABLE ledger (id int, value text) PARTITION BY RANGE (id);
CREATE TABLE ledger_low PARTITION OF ledger FOR VALUES FROM (0) TO (100);
CREATE TABLE virtually (id int, n int GENERATED ALWAYS AS (id + 1) VIRTUAL);
CREATE VIEW orders_view AS SELECT id, customer, total FROM orders;
CREATE MATERIALIZED VIEW totals AS SELECT sum(total) AS total FROM orders;
`;

/** What can be changed in that world, in one row of text; equal before and after what only reads. */
export const fingerprint = String.raw`
SELECT md5(concat_ws('|',
  (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM orders t),
  (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM items t),
  (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM victims t),
  (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM vault t),
  (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM ledger t),
  (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM pg_sequences t),
  (SELECT string_agg(concat(c.oid, c.relname, c.relnamespace, c.relfilenode, c.relacl, c.relkind, c.reloptions, c.relowner), ',' ORDER BY c.oid) FROM pg_class c),
  (SELECT count(*) FROM pg_attribute), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_type), (SELECT count(*) FROM pg_depend),
  (SELECT count(*) FROM pg_description), (SELECT count(*) FROM pg_seclabel), (SELECT count(*) FROM pg_collation),
  (SELECT string_agg(t::text, ',' ORDER BY t.oid) FROM pg_authid t), (SELECT string_agg(t::text, ',') FROM pg_db_role_setting t),
  (SELECT string_agg(t::text, ',' ORDER BY t.oid) FROM pg_database t WHERE datname <> 'template0'), (SELECT count(*) FROM pg_tablespace),
  (SELECT string_agg(t::text, ',') FROM pg_largeobject t), (SELECT string_agg(t::text, ',') FROM pg_largeobject_metadata t),
  (SELECT count(*) FROM pg_prepared_xacts), (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_replication_origin),
  (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), (SELECT count(*) FROM pg_extension), (SELECT count(*) FROM pg_foreign_server),
  (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()),
  (SELECT string_agg(name || setting, ',' ORDER BY name) FROM pg_file_settings),
  (SELECT string_agg(f, ',' ORDER BY f) FROM pg_ls_dir('.') f), (SELECT string_agg(f, ',' ORDER BY f) FROM pg_ls_dir('pg_snapshots') f),
  (SELECT string_agg(f, ',' ORDER BY f) FROM pg_ls_dir('pg_logical') f)
)), pg_snapshot_xmax(pg_current_snapshot())
`;
