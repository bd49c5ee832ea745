/** Statements, one a line: what must not get past a policy, and what must. */
const lines = (text: string): readonly string[] => text.trim().split('\n');

/** Under a policy of reads alone. */
export const neverAsReads = lines(String.raw`
INSERT INTO orders (note) VALUES ('x')
UPDATE orders SET note = 'x' WHERE id = 1
DELETE FROM orders WHERE id = 1
TRUNCATE orders
MERGE INTO orders o USING items i ON o.id = i.order_id WHEN MATCHED THEN UPDATE SET note = 'x'
MERGE INTO orders o USING items i ON o.id = i.order_id WHEN MATCHED THEN DO NOTHING
SELECT 1; DELETE FROM orders
SELECT 1;;DELETE FROM orders;
/* /* */ SELECT 1; */ DELETE FROM orders
SELECT '\'; DELETE FROM orders; --'
SELECT E'\'; --'; DELETE FROM orders; --'
SELECT $a$ $b$ $a$; DELETE FROM orders; --$b$
SELECT $$;$$; DELETE FROM orders
SELECT U&'\0027'; DELETE FROM orders
SELECT U&"\0069d" FROM orders; DELETE FROM orders
SELECT U&'!0027' UESCAPE '!'; DELETE FROM orders
SELECT N'x'; DELETE FROM orders
WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d
WITH d AS (INSERT INTO orders (note) VALUES ('x') RETURNING *) SELECT * FROM d
WITH d AS (UPDATE orders SET note = 'x' RETURNING *) SELECT * FROM d
WITH d AS (MERGE INTO orders o USING items i ON o.id = i.order_id WHEN MATCHED THEN DELETE RETURNING o.*) SELECT * FROM d
WITH a AS (SELECT 1), d AS (DELETE FROM orders) SELECT 1
WITH RECURSIVE d AS (DELETE FROM orders RETURNING id) SELECT * FROM d
WITH a AS MATERIALIZED (DELETE FROM orders RETURNING id) SELECT 1
WITH a AS NOT MATERIALIZED (DELETE FROM orders RETURNING id) VALUES (1)
WITH a AS (DELETE FROM orders) TABLE items
EXPLAIN ANALYZE DELETE FROM orders
EXPLAIN (ANALYZE) DELETE FROM orders
EXPLAIN (ANALYZE true, COSTS off) UPDATE orders SET note = 'x'
EXPLAIN (ANALYZE on) INSERT INTO orders (note) VALUES ('x')
EXPLAIN (ANALYZE 1) DELETE FROM orders
EXPLAIN ("analyze") DELETE FROM orders
EXPLAIN ("analyze" 'on') DELETE FROM orders
EXPLAIN (ANALYZE 'tRuE') DELETE FROM orders
EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM orders
EXPLAIN (ANALYZE, FORMAT json) DELETE FROM orders
EXPLAIN ANALYSE DELETE FROM orders
EXPLAIN ANALYZE VERBOSE DELETE FROM orders
EXPLAIN SELECT wipe()
EXPLAIN SELECT lie()
EXPLAIN SELECT * FROM orders WHERE lie() = 1
EXPLAIN ANALYZE SELECT wipe()
EXPLAIN ANALYZE EXECUTE x
EXPLAIN EXECUTE x
EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1
EXPLAIN ANALYZE CREATE MATERIALIZED VIEW x AS SELECT 1
EXPLAIN ANALYZE REFRESH MATERIALIZED VIEW totals
EXPLAIN (SERIALIZE, ANALYZE) DELETE FROM orders
EXPLAIN (WAL, ANALYZE) DELETE FROM orders
EXPLAIN (GENERIC_PLAN) SELECT lie() FROM orders WHERE id = $1
SELECT * INTO x FROM orders
SELECT * INTO TEMP x FROM orders
SELECT 1 AS a INTO UNLOGGED x
(SELECT * INTO x FROM orders)
SELECT * INTO x FROM orders UNION SELECT * FROM orders
WITH a AS (SELECT 1) SELECT * INTO x FROM a
CREATE TABLE x AS SELECT 1
CREATE TABLE x AS TABLE orders
CREATE TABLE x AS EXECUTE p
CREATE TEMP TABLE x (a int)
CREATE TEMP VIEW v AS SELECT 1
EXECUTE p
FETCH ALL FROM c
MOVE c
DECLARE c CURSOR WITH HOLD FOR SELECT wipe()
BEGIN; DELETE FROM orders; COMMIT
COPY orders TO PROGRAM 'touch /tmp/x'
COPY orders FROM PROGRAM 'echo 1'
COPY orders TO '/tmp/sidewarden-attack'
COPY orders FROM '/etc/passwd'
COPY (SELECT * FROM orders) TO '/tmp/sidewarden-attack'
COPY (SELECT * FROM orders) TO PROGRAM 'true'
COPY (DELETE FROM orders RETURNING *) TO STDOUT
COPY (INSERT INTO orders (note) VALUES ('x') RETURNING *) TO STDOUT
COPY (UPDATE orders SET note = 'x' RETURNING *) TO STDOUT
COPY (MERGE INTO orders o USING items i ON o.id = i.order_id WHEN MATCHED THEN DELETE RETURNING o.id) TO STDOUT
COPY (WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d) TO STDOUT
COPY (SELECT wipe()) TO STDOUT
COPY (SELECT 1) TO STDOUT; DELETE FROM orders
COPY orders (note) FROM STDIN
COPY BINARY orders FROM STDIN
COPY wiping_view TO STDOUT
COPY (SELECT * FROM wiping_view) TO STDOUT
SELECT pg_read_file('PG_VERSION')
SELECT pg_catalog.pg_read_file('PG_VERSION')
SELECT "pg_read_file"('PG_VERSION')
SELECT U&"pg\005fread_file"('PG_VERSION')
SELECT PG_READ_FILE('PG_VERSION')
SELECT ('PG_VERSION'::text).pg_read_file
SELECT (x.y).pg_read_file FROM (SELECT 'PG_VERSION'::text AS y) x
SELECT (1.0::float8).pg_sleep
SELECT (5::bigint).pg_advisory_lock
SELECT (4242::oid).lo_unlink
SELECT ('counter'::regclass).nextval
SELECT (c.oid::regclass).nextval FROM pg_class c WHERE relname = 'counter'
SELECT s.nextval FROM (SELECT 'counter'::regclass) s
SELECT o.wipe_row FROM orders o LIMIT 1
SELECT (o).wipe_row FROM orders o LIMIT 1
SELECT orders.wipe_row FROM orders LIMIT 1
SELECT (ROW(1,'a',1,'b',now())::orders).wipe_row
SELECT ('x'::text).wipe_text
SELECT id FROM orders o ORDER BY o.wipe_row
SELECT id FROM orders o WHERE o.wipe_row > 0
SELECT public.orders.wipe_row FROM public.orders
SELECT (SELECT o FROM orders o LIMIT 1).wipe_row
SELECT ((SELECT o FROM orders o LIMIT 1)).wipe_row
SELECT (array_agg(o))[1].wipe_row FROM orders o
SELECT ((array_agg(o))[1]).wipe_row FROM orders o
SELECT lo_import('/etc/passwd')
SELECT lo_export(4242, '/tmp/sidewarden-attack')
SELECT lo_create(0)
SELECT lo_creat(-1)
SELECT lo_unlink(4242)
SELECT lo_put(4242, 0, 'x')
SELECT lo_from_bytea(0, 'x')
SELECT lo_truncate(0, 0)
SELECT lo_open(4242, 131072)
SELECT lowrite(lo_open(4242, 131072), 'x')
SELECT pg_read_binary_file('PG_VERSION')
SELECT pg_ls_dir('.')
SELECT * FROM pg_ls_dir('.')
SELECT * FROM pg_ls_waldir()
SELECT * FROM pg_ls_logdir()
SELECT * FROM pg_ls_tmpdir()
SELECT * FROM pg_stat_file('PG_VERSION')
SELECT * FROM ROWS FROM (pg_ls_dir('.'), generate_series(1, 2))
SELECT * FROM LATERAL pg_ls_dir('.') x
SELECT pg_terminate_backend(1)
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
SELECT pg_cancel_backend(1)
SELECT pg_reload_conf()
SELECT pg_rotate_logfile()
SELECT pg_log_backend_memory_contexts(pg_backend_pid())
SELECT pg_switch_wal()
SELECT pg_create_restore_point('x')
SELECT pg_backup_start('x')
SELECT pg_promote()
SELECT pg_wal_replay_pause()
SELECT pg_create_physical_replication_slot('x')
SELECT pg_create_logical_replication_slot('x', 'test_decoding')
SELECT * FROM pg_create_physical_replication_slot('x')
SELECT pg_drop_replication_slot('x')
SELECT pg_copy_physical_replication_slot('x', 'y')
SELECT pg_replication_slot_advance('x', '0/0')
SELECT pg_replication_origin_create('x')
SELECT pg_replication_origin_drop('x')
SELECT pg_replication_origin_session_setup('x')
SELECT pg_replication_origin_advance('x', '0/0')
SELECT pg_logical_emit_message(true, 'a', 'b')
SELECT pg_logical_emit_message(false, 'a', 'b'::bytea)
SELECT pg_logical_slot_get_changes('x', NULL, NULL)
SELECT pg_logical_slot_peek_changes('x', NULL, NULL)
SELECT pg_export_snapshot()
SELECT pg_notify('a', 'b')
SELECT pg_sleep(0)
SELECT pg_sleep_for('0')
SELECT pg_sleep_until(now())
SELECT setseed(0.5)
SELECT nextval('counter')
SELECT setval('counter', 5)
SELECT setval('counter', 5, true)
SELECT nextval('counter') FROM orders
SELECT 1 WHERE nextval('counter') > 0
SELECT 1 ORDER BY nextval('counter')
SELECT 1 LIMIT nextval('counter')
SELECT 1 OFFSET nextval('counter')
SELECT 1 GROUP BY nextval('counter')
SELECT 1 HAVING nextval('counter') > 0
SELECT sum(1) OVER (PARTITION BY nextval('counter'))
SELECT sum(1) OVER w FROM orders WINDOW w AS (ORDER BY nextval('counter'))
SELECT sum(1) FILTER (WHERE nextval('counter') > 0) FROM orders
SELECT CASE WHEN true THEN nextval('counter') END
SELECT coalesce(nextval('counter'), 1)
SELECT ARRAY[nextval('counter')]
SELECT ROW(nextval('counter'))
SELECT (ARRAY[1])[nextval('counter')]
SELECT (SELECT nextval('counter'))
SELECT EXISTS (SELECT nextval('counter'))
SELECT * FROM (VALUES (nextval('counter'))) v
VALUES (nextval('counter'))
SELECT * FROM generate_series(1, nextval('counter'))
SELECT * FROM orders TABLESAMPLE bernoulli (nextval('counter'))
SELECT * FROM orders TABLESAMPLE bernoulli (50) REPEATABLE (nextval('counter'))
SELECT * FROM orders o JOIN items i ON nextval('counter') > 0
SELECT GREATEST(nextval('counter'), 1)
SELECT nextval('counter') IS NULL
SELECT nextval('counter') BETWEEN 1 AND 2
SELECT 1 = ANY (ARRAY[nextval('counter')])
SELECT JSON_OBJECT('a' : nextval('counter'))
SELECT JSON_ARRAY(nextval('counter'))
SELECT JSON_ARRAYAGG(nextval('counter'))
SELECT JSON_VALUE('{}', '$' PASSING nextval('counter') AS x)
SELECT JSON_VALUE('{}', '$.a' DEFAULT nextval('counter') ON EMPTY)
SELECT * FROM JSON_TABLE('[1]', '$[*]' PASSING nextval('counter') AS x COLUMNS (a int PATH '$'))
SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$.x' DEFAULT nextval('counter') ON EMPTY))
SELECT * FROM JSON_TABLE(jsonb_build_array(nextval('counter')), '$[*]' COLUMNS (a int PATH '$'))
SELECT * FROM XMLTABLE('/a' PASSING XMLPARSE(DOCUMENT '<a/>') COLUMNS b text PATH 'b' DEFAULT nextval('counter'))
SELECT XMLELEMENT(NAME a, nextval('counter'))
SELECT XMLFOREST(nextval('counter') AS a)
SELECT xmlserialize(content xmlelement(name a, nextval('counter')) AS text)
SELECT nextval('counter') AT TIME ZONE 'UTC'
SELECT nextval('counter')::text COLLATE "C"
SELECT GROUPING(id) FROM orders GROUP BY CUBE (id), nextval('counter')
SELECT DISTINCT ON (nextval('counter')) 1
SELECT 1 UNION SELECT nextval('counter')
SELECT 1 FETCH FIRST (nextval('counter')) ROWS ONLY
WITH RECURSIVE t(n) AS (SELECT 1::bigint UNION ALL SELECT nextval('counter') FROM t WHERE n < 0) SELECT * FROM t
WITH t AS (SELECT nextval('counter') AS n) SEARCH DEPTH FIRST BY n SET o SELECT 1
SELECT count(*) FROM orders HAVING count(nextval('counter')) > 0
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY nextval('counter')) FROM orders
SELECT string_agg(note, ',' ORDER BY nextval('counter')) FROM orders
SELECT overlay('abc' placing 'x' from nextval('counter')::int)
SELECT pg_advisory_lock(1)
SELECT pg_try_advisory_lock(1)
SELECT pg_advisory_xact_lock(1)
SELECT pg_try_advisory_xact_lock(1, 2)
SELECT pg_advisory_lock_shared(1)
SELECT pg_advisory_unlock(1)
SELECT pg_advisory_unlock_all()
SELECT set_config('work_mem', '1MB', false)
SELECT set_config('search_path', 'shadow', false)
SELECT set_config('session_' || 'authorization', 'somebody', false)
SELECT set_config(name, setting, false) FROM pg_settings
WITH s AS (SELECT set_config('role', 'somebody', false)) SELECT * FROM s
UPDATE pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings'
WITH u AS (UPDATE pg_settings SET setting = 'off' WHERE name = 'work_mem' RETURNING 1) SELECT 1
SELECT query_to_xml('DELETE FROM orders', true, true, '')
SELECT query_to_xml('SELECT * FROM secrets', true, true, '')
SELECT query_to_xmlschema('SELECT 1', true, true, '')
SELECT query_to_xml_and_xmlschema('SELECT 1', true, true, '')
SELECT table_to_xml('secrets', true, true, '')
SELECT schema_to_xml('public', true, true, '')
SELECT database_to_xml(true, true, '')
SELECT database_to_xmlschema(true, true, '')
SELECT cursor_to_xml('c', 1, true, true, '')
SELECT * FROM ts_stat('SELECT to_tsvector(value) FROM secrets')
SELECT * FROM ts_stat($$SELECT to_tsvector(wipe()::text)$$)
SELECT ts_rewrite('a'::tsquery, 'SELECT wipe()::text::tsquery, ''a''::tsquery')
SELECT ts_rewrite('a & b', 'SELECT ''a''::tsquery, value::tsquery FROM secrets')
SELECT pg_stat_reset()
SELECT pg_stat_reset_shared('bgwriter')
SELECT pg_stat_reset_slru()
SELECT pg_stat_reset_single_table_counters('orders'::regclass)
SELECT pg_stat_reset_backend_stats(pg_backend_pid())
SELECT pg_stat_force_next_flush()
SELECT pg_stat_clear_snapshot()
SELECT pg_restore_relation_stats('schemaname', 'public', 'relname', 'orders', 'relpages', 17)
SELECT pg_clear_relation_stats('public', 'orders')
SELECT pg_restore_attribute_stats('schemaname', 'public')
SELECT pg_clear_attribute_stats('public', 'orders', 'id', false)
SELECT brin_summarize_new_values('orders_pkey'::regclass)
SELECT brin_desummarize_range('orders_pkey'::regclass, 1)
SELECT gin_clean_pending_list('orders_pkey'::regclass)
SELECT pg_import_system_collations('pg_catalog')
SELECT pg_extension_config_dump('orders', '')
SELECT binary_upgrade_set_next_pg_type_oid(1)
SELECT pg_catalog.binary_upgrade_create_empty_extension('a','b',false,'c','{}','{}','{}')
SELECT pg_stop_making_pinned_objects()
SELECT pg_nextoid('pg_class', 'oid', 'pg_class_oid_index')
SELECT pg_sync_replication_slots()
SELECT pg_partition_root('orders'), wipe()
SELECT pg_get_viewdef('orders_view'), pg_reload_conf()
SELECT pg_current_logfile()
SELECT * FROM pg_hba_file_rules
SELECT * FROM pg_hba_file_rules()
SELECT * FROM pg_ident_file_mappings
SELECT * FROM pg_file_settings
SELECT * FROM pg_show_all_file_settings()
SELECT lie()
SELECT steady()
SELECT atomic()
SELECT * FROM wipe()
SELECT * FROM leak()
SELECT leak()
SELECT "wipe"()
SELECT public.wipe()
SELECT postgres.public.wipe()
SELECT wiping_sum(id) FROM orders
SELECT wiping_sum(id) OVER () FROM orders
SELECT upper(customer) FROM orders LIMIT 1
SELECT abs(note) FROM orders LIMIT 1
SELECT upper('x'::varchar)
SELECT customer = 'x'::varchar FROM orders LIMIT 1
SELECT * FROM orders WHERE customer = customer LIMIT 1
SELECT * FROM orders WHERE customer IN (customer, note::varchar) LIMIT 1
SELECT * FROM orders WHERE customer LIKE customer
SELECT CASE customer WHEN customer THEN 1 END FROM orders LIMIT 1
SELECT NULLIF(customer, customer) FROM orders LIMIT 1
SELECT customer IS DISTINCT FROM customer FROM orders LIMIT 1
SELECT * FROM orders a JOIN orders b USING (customer)
SELECT * FROM orders a NATURAL JOIN orders b
SELECT customer = ANY (ARRAY[customer]) FROM orders LIMIT 1
SELECT ROW(customer) = ROW(customer) FROM orders LIMIT 1
SELECT (customer, id) = (customer, id) FROM orders LIMIT 1
SELECT (customer, id) IN (SELECT customer, id FROM orders) FROM orders LIMIT 1
SELECT customer IN (SELECT customer FROM orders) FROM orders LIMIT 1
SELECT customer <=>< customer FROM orders LIMIT 1
SELECT customer OPERATOR(public.<=><) customer FROM orders LIMIT 1
SELECT 1::numeric OPERATOR(shadow.>) 0::numeric
SELECT customer FROM orders ORDER BY customer USING <=><
SELECT 1 + felt FROM moods
SELECT felt::int FROM moods
SELECT CAST(felt AS int) FROM moods
SELECT int4(felt) FROM moods
SELECT abs(felt) FROM moods
SELECT sum(felt) FROM moods
SELECT felt = 1 FROM moods
SELECT * FROM moods JOIN orders ON orders.id = moods.felt
SELECT generate_series(1, felt) FROM moods
SELECT CASE WHEN true THEN felt ELSE 1 END FROM moods
SELECT coalesce(felt, 1) FROM moods
SELECT felt FROM moods UNION ALL SELECT 1
SELECT ARRAY[felt, 1] FROM moods
SELECT 1 LIMIT 'happy'::mood
SELECT (ARRAY[1,2])['happy'::mood]
SELECT substr('abc', felt) FROM moods
SELECT 'x'::fine
SELECT CAST('x' AS fine)
SELECT fine 'x'
SELECT note::fine FROM orders LIMIT 1
SELECT ROW(1, 'x')::pair
SELECT '(1,x)'::pair
SELECT '{x}'::fine[]
SELECT ARRAY['x']::fine[]
SELECT jsonb_populate_record(NULL::pair, '{"two": "x"}')
SELECT * FROM jsonb_to_record('{"a": "x"}') AS t(a fine)
SELECT * FROM json_to_recordset('[{"a": "x"}]') AS t(a fine)
SELECT JSON_VALUE('"x"', '$' RETURNING fine)
SELECT JSON_QUERY('"x"', '$' RETURNING fine)
SELECT * FROM JSON_TABLE('["x"]', '$[*]' COLUMNS (a fine PATH '$'))
SELECT * FROM XMLTABLE('/a' PASSING XMLPARSE(DOCUMENT '<a>1</a>') COLUMNS b fine PATH '.')
SELECT JSON_SERIALIZE('"x"' RETURNING fine)
SELECT JSON_OBJECT('a': 1 RETURNING fine)
SELECT * FROM wiping_view
SELECT * FROM lying_view
SELECT count(*) FROM lying_view
SELECT * FROM seq_view
SELECT * FROM configuring_view
SELECT * FROM guarded
TABLE wiping_view
SELECT * FROM orders FOR UPDATE
SELECT * FROM orders FOR NO KEY UPDATE
SELECT * FROM orders FOR SHARE
SELECT * FROM orders FOR KEY SHARE SKIP LOCKED
SELECT * FROM (SELECT * FROM orders FOR UPDATE) x
SELECT * FROM orders_view FOR UPDATE
WITH a AS (SELECT * FROM orders FOR UPDATE) SELECT 1
DO $$ BEGIN DELETE FROM orders; END $$
DO LANGUAGE plpgsql 'BEGIN PERFORM wipe(); END'
CALL wiping()
LISTEN a
NOTIFY a
NOTIFY a, 'b'
UNLISTEN *
LOCK orders
LOCK TABLE orders IN ACCESS SHARE MODE
VACUUM
VACUUM orders
ANALYZE
ANALYZE orders
CLUSTER orders USING orders_pkey
REINDEX TABLE orders
CHECKPOINT
REFRESH MATERIALIZED VIEW totals
DISCARD ALL
RESET ALL
SET work_mem = '1MB'
SET LOCAL work_mem = '1MB'
SET ROLE somebody
RESET ROLE
SET SESSION AUTHORIZATION somebody
SET search_path = shadow
SET SCHEMA 'shadow'
SET TIME ZONE 'UTC'
SET XML OPTION DOCUMENT
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
SET TRANSACTION SNAPSHOT '0'
SET CONSTRAINTS ALL DEFERRED
PREPARE TRANSACTION 'x'
COMMIT PREPARED 'x'
ROLLBACK PREPARED 'x'
LOAD 'auto_explain'
CREATE EXTENSION dblink
ALTER SYSTEM SET work_mem = '1MB'
ALTER DATABASE postgres SET work_mem = '1MB'
ALTER ROLE somebody SET search_path = shadow
ALTER ROLE somebody PASSWORD 'x'
GRANT SELECT ON orders TO somebody
REVOKE ALL ON orders FROM PUBLIC
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC
REASSIGN OWNED BY somebody TO postgres
DROP OWNED BY somebody
CREATE ROLE x
DROP ROLE somebody
COMMENT ON TABLE orders IS 'x'
SECURITY LABEL ON TABLE orders IS 'x'
IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c
ALTER TABLE orders ADD COLUMN x int
DROP TABLE orders
DROP OWNED BY CURRENT_USER
CREATE INDEX ON orders (note)
CREATE STATISTICS s ON id, note FROM orders
CREATE PUBLICATION p FOR ALL TABLES
CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION on_write()
CREATE RULE q AS ON SELECT TO orders DO INSTEAD SELECT 1
CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION f(internal))
CREATE SCHEMA x CREATE TABLE y (a int)
ALTER SCHEMA shadow RENAME TO x
ALTER LARGE OBJECT 4242 OWNER TO somebody
DROP DATABASE postgres
CREATE DATABASE x
CREATE TABLESPACE x LOCATION '/tmp'
SELECT wipe() FROM orders WHERE false
SELECT 1 FROM orders WHERE id = (SELECT lie())
SELECT extract(epoch FROM wipe())
SELECT pg_catalog.set_config('a.b', 'c', true)
SELECT (set_config('work_mem', '1MB', false))
SELECT format('%s', wipe())
SELECT format_type(wipe()::oid, 1)
SELECT pg_get_expr(adbin, adrelid), wipe() FROM pg_attrdef
SELECT pg_config()
SELECT dblink('', 'x')
SELECT no_such_function()
SELECT pg_catalog.no_such_function()
SELECT shadow.lower('x')
SELECT pg_describe_object(1, 2, 3), pg_get_object_address('table', '{orders}', '{}'), wipe()
SELECT pg_filenode_relation(0, 0), pg_relation_filepath('orders'), pg_terminate_backend(0)
SELECT * FROM pg_logical_slot_get_binary_changes('x', NULL, NULL)
SELECT pg_walinspect()
SELECT pg_stat_statements_reset()
SELECT pg_lsn_larger('0/0', pg_switch_wal())
SELECT pg_is_in_backup(), pg_backup_stop()
SELECT in_range(1, 1, 1, true, true), wipe()
SELECT array_in('{1}', 23, -1)
SELECT record_in('(1,x)', 'pair'::regtype, -1)
SELECT domain_in('x', 'fine'::regtype, -1)
SELECT domain_recv(NULL, 'fine'::regtype, -1)
SELECT enum_in('sad', 'mood'::regtype)
SELECT anyarray_in('x')
SELECT fmgr_sql_validator('wipe'::regproc)
SELECT plpgsql_validator('wipe'::regproc)
SELECT plpgsql_call_handler()
SELECT RI_FKey_cascade_del()
SELECT suppress_redundant_updates_trigger()
SELECT pg_event_trigger_ddl_commands()
SELECT generate_series(1, 3), wipe()
SELECT currtid2('orders', '(0,1)')
SELECT currtid2('wiping_view', '(0,1)')
SELECT int4pl(1, wipe())
SELECT pg_rotate_logfile_old()
SELECT xpath('/a', query_to_xml('DELETE FROM victims', true, true, ''))
SELECT array_agg(wipe())
SELECT max(lie()) FROM orders
SELECT array_sort(ARRAY[wipe()])
SELECT uuidv7(), wipe()
DELETE FROM orders WHERE false RETURNING old.id, new.id
UPDATE orders SET note = note WHERE id = 1 RETURNING WITH (OLD AS o, NEW AS n) o.note
SHOW work_mem; DELETE FROM orders
BEGIN READ WRITE; DELETE FROM orders
SELECT 1 /* ; */ ; /* */ DELETE FROM orders /**/
SELECT jsonb_populate_record(p, '{"two": "x"}') FROM (SELECT NULL::pair AS p) q
INSERT INTO outer_door VALUES (1)
UPDATE outer_door SET id = 1
SELECT unnest(ARRAY['happy'::mood]) + 1
SELECT (SELECT felt FROM moods LIMIT 1) + 1
SELECT m + 1 FROM (SELECT felt AS m FROM moods) x
SELECT sum(m) FROM (SELECT felt FROM moods) AS x(m)
WITH x AS (SELECT felt FROM moods) SELECT substr('abc', felt) FROM x
SELECT (m).felt + 1 FROM moods m
SELECT * FROM moods a JOIN moods b ON a.felt::int = b.id
SELECT CASE customer WHEN 'x' THEN 1 END FROM orders
SELECT max(customer) FROM orders WHERE CASE customer WHEN customer THEN true END
SELECT NULL::pair
SELECT NULL::fine
SELECT ROW('x')::text::fine
SELECT TREAT('x' AS fine)
SELECT set_config('standard_conforming_strings', 'off', false)
SELECT set_config('client_encoding', 'SJIS', false)
SET NAMES 'SJIS'
SET client_encoding = 'SJIS'
SET standard_conforming_strings = off
`);

/** Reads that look like something else. */
export const readsAfterAll = lines(String.raw`
SELECT 'a' -- '
EXPLAIN VERBOSE DELETE FROM orders
EXPLAIN DELETE FROM orders
EXPLAIN CREATE TABLE x AS SELECT 1
COPY orders TO STDIN
SELECT * FROM computed
SELECT lower(note) FROM orders LIMIT 1
SELECT to_regproc('wipe'), to_regprocedure('wipe()')
SELECT pg_get_functiondef('wipe'::regproc)
SELECT 'wipe'::regproc
SELECT json_populate_record(NULL::orders, '{}')
SELECT pg_control_system()
SELECT pg_get_replication_slots()
SELECT * FROM secrets
SELECT id AS wipe FROM orders
SELECT 'DELETE FROM orders; --' AS "wipe()"
SELECT E'\\'; -- x
SELECT $a$; DELETE FROM orders; $a$
/* DELETE FROM orders; */ SELECT 1
`);

/** Under a policy of `public.orders` and `public.items` alone. */
export const beyondTables = lines(String.raw`
SELECT * FROM victims
SELECT * FROM public.victims
SELECT (SELECT count(*) FROM victims)
INSERT INTO victims VALUES (100, 'x')
INSERT INTO triggered VALUES (1)
INSERT INTO ruled VALUES (1)
INSERT INTO defaulted (n) VALUES (1)
INSERT INTO computed VALUES (1)
INSERT INTO checked VALUES (1)
INSERT INTO door VALUES (1)
UPDATE sink SET id = 1
INSERT INTO orders SELECT 100, value FROM victims
INSERT INTO orders (note) SELECT string_agg(value, '') FROM victims
UPDATE orders SET note = value FROM victims WHERE victims.id = orders.id
UPDATE orders SET note = (SELECT value FROM victims LIMIT 1)
DELETE FROM orders USING victims WHERE false
MERGE INTO orders o USING victims v ON o.id = v.id WHEN MATCHED THEN UPDATE SET note = v.value
MERGE INTO victims v USING orders o ON o.id = v.id WHEN MATCHED THEN DELETE
WITH x AS (DELETE FROM victims RETURNING *) INSERT INTO orders (note) SELECT value FROM x
INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = (SELECT value FROM victims LIMIT 1)
INSERT INTO orders (note) VALUES (wipe()::text)
INSERT INTO orders (note) VALUES ('x') RETURNING wipe()
INSERT INTO orders (note) VALUES ('x') RETURNING (SELECT value FROM victims LIMIT 1)
UPDATE orders SET note = wipe() WHERE id = 1
UPDATE orders SET note = 'x' WHERE lie() = 1
UPDATE shadow.orders SET id = 1
INSERT INTO shadow.orders VALUES (1)
BEGIN;SET LOCAL search_path = shadow;SELECT * FROM items;COMMIT
SELECT set_config('search_path', 'shadow', false); SELECT * FROM items
SET search_path = shadow; SELECT * FROM items
BEGIN; SET LOCAL search_path = shadow; SELECT * FROM items
CREATE TEMP TABLE orders AS SELECT * FROM victims
SELECT * INTO TEMP orders FROM victims
CREATE TEMP TABLE items (a int)
TRUNCATE orders, victims
LOCK orders, victims
COPY victims TO STDOUT
COPY (SELECT * FROM victims) TO STDOUT
SELECT * FROM ONLY victims
SELECT * FROM victims *
SELECT v FROM victims v
SELECT victims FROM victims
SELECT * FROM sink
SELECT * FROM totals
SELECT * FROM pg_toast.pg_toast_1262
SELECT * FROM pg_largeobject
SELECT * FROM pg_stat_activity
SELECT 1, 'a'::fine FROM orders
SELECT 1 FROM orders, LATERAL (SELECT * FROM victims WHERE id = orders.id) x
SELECT * FROM orders WHERE EXISTS (SELECT 1 FROM victims)
SELECT * FROM orders ORDER BY (SELECT count(*) FROM victims)
WITH orders AS (SELECT * FROM victims) SELECT * FROM orders
WITH RECURSIVE orders AS (SELECT id, value FROM victims UNION SELECT id, value FROM orders) SELECT * FROM orders
WITH victims AS (SELECT 1), y AS (SELECT * FROM public.victims) SELECT * FROM y
WITH victims AS (SELECT * FROM victims) SELECT * FROM victims
WITH a AS (SELECT * FROM victims), victims AS (SELECT 1) SELECT * FROM a
WITH victims AS (SELECT 1) DELETE FROM victims
WITH victims AS (SELECT 1 AS id) UPDATE victims SET id = 2
WITH victims AS (SELECT 1 AS id) INSERT INTO victims VALUES (55)
WITH victims AS (SELECT 1 AS id) MERGE INTO victims USING orders ON false WHEN NOT MATCHED THEN INSERT VALUES (9, 'x')
SELECT * FROM (WITH victims AS (SELECT 1) SELECT * FROM orders) x, victims
SELECT * FROM orders WHERE id IN (WITH victims AS (SELECT 1) SELECT id FROM orders) UNION SELECT id, value, 1, '', now() FROM victims
(WITH victims AS (SELECT 1 AS a) SELECT a FROM victims) UNION ALL SELECT id FROM victims
WITH o AS (SELECT 1) SELECT * FROM o, (SELECT * FROM victims) orders
DROP TABLE orders
ALTER TABLE orders RENAME TO x
ALTER TABLE orders SET SCHEMA shadow
CREATE VIEW items2 AS SELECT 1
CREATE TRIGGER x BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION on_write()
CREATE RULE x AS ON INSERT TO orders DO ALSO DELETE FROM victims
REINDEX TABLE orders
EXECUTE nothing
SET session_replication_role = replica
SET local_preload_libraries = 'x'
SET dynamic_library_path = '/tmp'
SET session_preload_libraries = 'x'
SET allow_system_table_mods = on
SET zero_damaged_pages = on
SET ignore_system_indexes = on
SET log_statement = 'none'
SET backtrace_functions = 'x'
SET search_path = shadow, public, pg_catalog; SELECT lower(note) FROM public.orders LIMIT 1
SELECT set_config('search_path', 'shadow, public, pg_catalog', false); SELECT lower(note) FROM public.orders LIMIT 1
SELECT set_config('search_path', 'shadow, public, pg_catalog', false), lower(note) FROM public.orders LIMIT 1
BEGIN; SELECT set_config('search_path', 'shadow, public, pg_catalog', true); SELECT lower(note) FROM public.orders LIMIT 1; COMMIT
`);

/** Under a policy against DELETE and UPDATE without a condition. */
export const withoutWhere = lines(String.raw`
DELETE FROM orders
DELETE FROM orders WHERE true
DELETE FROM orders WHERE 1 = 1
DELETE FROM orders WHERE 1
DELETE FROM orders WHERE 'a' = 'a'
DELETE FROM orders WHERE NOT false
DELETE FROM orders WHERE 1 < 2 AND 2 < 3
DELETE FROM orders WHERE NULL IS NULL
DELETE FROM orders WHERE 'on'
DELETE FROM orders WHERE 't'::bool
DELETE FROM orders WHERE CAST('t' AS boolean)
DELETE FROM orders WHERE now() > '2000-01-01'
DELETE FROM orders WHERE random() >= 0
DELETE FROM orders WHERE current_date > '2000-01-01'
DELETE FROM orders WHERE current_user = current_user
DELETE FROM orders WHERE (SELECT true)
DELETE FROM orders WHERE EXISTS (SELECT 1)
DELETE FROM orders WHERE EXISTS (SELECT 1 FROM orders)
DELETE FROM orders WHERE EXISTS (SELECT 1 FROM items)
DELETE FROM orders WHERE id = id
DELETE FROM orders WHERE id IS NOT NULL OR true
DELETE FROM orders WHERE id = 1 OR true
DELETE FROM orders WHERE id = 1 OR 1 = 1
DELETE FROM orders WHERE id = 1 OR NOT false
DELETE FROM orders WHERE true = true
DELETE FROM orders WHERE ARRAY[1] = ARRAY[1]
DELETE FROM orders WHERE 1 IN (1, 2)
DELETE FROM orders WHERE 1 BETWEEN 0 AND 2
DELETE FROM orders WHERE 1 = ANY (ARRAY[1])
DELETE FROM orders WHERE ROW(1) = ROW(1)
DELETE FROM orders WHERE length('a') = 1
DELETE FROM orders WHERE 'a' LIKE 'a'
DELETE FROM orders WHERE pg_backend_pid() > 0
DELETE FROM orders USING items
DELETE FROM orders USING items WHERE true
UPDATE orders SET note = 'x'
UPDATE orders SET note = 'x' WHERE true
UPDATE orders SET note = 'x' FROM items
WITH d AS (DELETE FROM items) DELETE FROM orders WHERE id = 1
WITH d AS (DELETE FROM orders RETURNING id) SELECT * FROM d WHERE id > 0
WITH d AS (DELETE FROM orders) SELECT 1
WITH d AS (UPDATE orders SET note = 'x' RETURNING *) SELECT * FROM d
WITH x AS (SELECT 1) DELETE FROM orders
EXPLAIN ANALYZE DELETE FROM orders
PREPARE p AS DELETE FROM items; EXECUTE p
COPY (DELETE FROM items RETURNING id) TO STDOUT
SELECT 1; DELETE FROM orders
BEGIN; DELETE FROM orders; COMMIT
DELETE FROM ONLY orders
DELETE FROM orders AS o
DELETE FROM orders *
DELETE FROM orders_view
DELETE FROM orders RETURNING *
DELETE FROM orders WHERE $1
DELETE FROM orders WHERE wipe() = 1
DELETE FROM orders WHERE (id, id) = (id, id)
UPDATE orders SET note = 'x' WHERE orders IS NOT NULL OR true
DELETE FROM orders WHERE 1 = 1 --id = 1
DELETE FROM orders /* WHERE id = 1 */
DELETE FROM orders WHERE U&'\0074'::bool
DELETE FROM orders WHERE id >= 0 OR (SELECT true)
`);

/** Under a policy against `public.secrets`, `public.ledger_high` and `public.ключи`, and against what is opaque. */
export const hiddenTables = lines(String.raw`
SELECT * FROM secrets
SELECT * FROM public.secrets
SELECT * FROM "secrets"
SELECT * FROM "public"."secrets"
SELECT * FROM SECRETS
SELECT * FROM Public.Secrets
SELECT * FROM postgres.public.secrets
SELECT * FROM U&"s\0065crets"
SELECT * FROM U&"s!0065crets" UESCAPE '!'
SELECT * FROM U&"\+000073ecrets"
SELECT * FROM U&"public"."secrets"
TABLE secrets
TABLE ONLY secrets
SELECT * FROM ONLY secrets
SELECT * FROM vault
SELECT * FROM vault *
SELECT count(*) FROM vault
SELECT * FROM ledger
SELECT * FROM ledger_high
SELECT * FROM ledger WHERE id = 1
SELECT * FROM ledger_low UNION SELECT * FROM ledger
SELECT * FROM "ключи"
SELECT * FROM U&"\043A\043B\044E\0447\0438"
SELECT * FROM ключи
SELECT secrets FROM secrets
SELECT s.* FROM secrets AS s
SELECT * FROM secrets AS orders
SELECT * FROM orders, secrets
SELECT * FROM orders LEFT JOIN secrets ON true
SELECT (SELECT value FROM secrets LIMIT 1)
SELECT ARRAY(SELECT value FROM secrets)
SELECT 1 WHERE EXISTS (SELECT 1 FROM secrets)
SELECT 1 IN (SELECT id FROM secrets)
SELECT * FROM secrets_view
SELECT * FROM secrets_twice
SELECT * FROM shadow.items
SELECT * FROM secret_copy
WITH a AS (SELECT * FROM secrets) SELECT * FROM a
WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets
WITH secrets AS (SELECT 1), b AS (SELECT * FROM public.secrets) SELECT * FROM b
WITH RECURSIVE secrets AS (SELECT 1 AS id), b AS (SELECT * FROM public.secrets) SELECT * FROM b
WITH b AS (SELECT * FROM secrets), secrets AS (SELECT 1) SELECT * FROM b
SELECT * FROM (WITH secrets AS (SELECT 1) SELECT * FROM secrets) x, secrets
SELECT * FROM orders WHERE id IN (WITH secrets AS (SELECT 1 AS id) SELECT id FROM secrets) AND EXISTS (SELECT 1 FROM secrets)
COPY secrets TO STDOUT
COPY (SELECT * FROM secrets) TO STDOUT
COPY (TABLE secrets) TO STDOUT
COPY vault TO STDOUT
COPY secret_copy TO STDOUT
COPY secrets FROM STDIN
INSERT INTO orders (note) SELECT value FROM secrets
UPDATE orders SET note = (SELECT value FROM secrets LIMIT 1)
CREATE TABLE x AS SELECT * FROM secrets
CREATE TABLE x AS TABLE secrets
SELECT * INTO x FROM secrets
CREATE VIEW x AS SELECT * FROM secrets
CREATE MATERIALIZED VIEW x AS SELECT * FROM secrets
CREATE TABLE x (LIKE secrets)
CREATE TABLE x () INHERITS (secrets)
CREATE INDEX ON secrets (value)
ALTER TABLE secrets RENAME TO x
ALTER TABLE secrets SET SCHEMA shadow
ALTER TABLE vault ADD COLUMN zz int
DROP TABLE secrets
DROP TABLE IF EXISTS x, secrets
COMMENT ON TABLE secrets IS 'x'
COMMENT ON COLUMN secrets.value IS 'x'
COMMENT ON COLUMN public.secrets.value IS 'x'
TRUNCATE secrets
TRUNCATE orders, items, secrets
TRUNCATE vault
LOCK secrets
ANALYZE secrets
VACUUM secrets
CLUSTER secrets
GRANT SELECT ON secrets TO PUBLIC
REVOKE ALL ON secrets FROM PUBLIC
CREATE PUBLICATION p FOR TABLE secrets
CREATE STATISTICS s ON id, value FROM secrets
CREATE TRIGGER x BEFORE INSERT ON secrets FOR EACH ROW EXECUTE FUNCTION on_write()
CREATE RULE x AS ON INSERT TO secrets DO INSTEAD NOTHING
CREATE RULE x AS ON INSERT TO orders DO INSTEAD SELECT * FROM secrets
CREATE POLICY x ON secrets USING (true)
CREATE POLICY x ON orders USING (EXISTS (SELECT 1 FROM secrets))
CREATE FUNCTION f() RETURNS SETOF text BEGIN ATOMIC SELECT value FROM secrets; END
REFRESH MATERIALIZED VIEW secret_copy
EXPLAIN ANALYZE SELECT * FROM secrets
EXPLAIN SELECT * FROM secrets
MERGE INTO orders o USING secrets s ON o.id = s.id WHEN MATCHED THEN UPDATE SET note = s.value
DELETE FROM orders USING secrets WHERE orders.id = secrets.id RETURNING secrets.value
UPDATE orders SET note = 'x' FROM secrets WHERE orders.id = secrets.id RETURNING secrets.value
DELETE FROM secrets
UPDATE secrets SET id = 1
UPDATE vault SET id = 1
DELETE FROM vault
INSERT INTO secrets VALUES (1, 'x')
INSERT INTO ledger VALUES (150, 'x')
UPDATE ledger SET value = 'x'
SELECT query_to_xml('SELECT * FROM secrets', true, true, '')
SELECT table_to_xml('secrets', true, true, '')
SELECT schema_to_xml('public', true, true, '')
SELECT leak()
SELECT * FROM leak()
DO $$ BEGIN PERFORM * FROM secrets; END $$
SELECT * FROM orders JOIN secrets USING (id)
SELECT * FROM orders NATURAL JOIN secrets
SELECT * FROM secrets TABLESAMPLE system (100)
SELECT * FROM (secrets CROSS JOIN orders)
SELECT * FROM (secrets JOIN orders USING (id)) AS j
SELECT * FROM LATERAL (SELECT * FROM secrets) x
SELECT * FROM ROWS FROM (unnest(ARRAY(SELECT value FROM secrets))) x
SELECT * FROM JSON_TABLE((SELECT jsonb_agg(secrets) FROM secrets), '$[*]' COLUMNS (v text PATH '$.value'))
SELECT * FROM orders ORDER BY (SELECT value FROM secrets LIMIT 1)
SELECT 1 LIMIT (SELECT count(*) FROM secrets)
VALUES ((SELECT value FROM secrets LIMIT 1))
SELECT 1 UNION ALL SELECT id FROM secrets
SELECT id FROM orders EXCEPT (SELECT id FROM secrets)
SELECT max(id) FILTER (WHERE id IN (SELECT id FROM secrets)) FROM orders
SELECT sum(id) OVER (ORDER BY (SELECT count(*) FROM secrets)) FROM orders
SELECT * FROM orders GROUP BY id HAVING id IN (SELECT id FROM secrets)
SELECT CASE WHEN (SELECT true FROM secrets LIMIT 1) THEN 1 END
SELECT generate_series(1, (SELECT count(*) FROM secrets))
SELECT substring((SELECT value FROM secrets LIMIT 1) FROM 1 FOR 2)
SELECT XMLFOREST((SELECT value FROM secrets LIMIT 1) AS a)
SELECT JSON_ARRAY(SELECT value FROM secrets)
SELECT * FROM pg_stats WHERE tablename = 'secrets'
ALTER TABLE orders INHERIT secrets
ALTER TABLE secrets NO INHERIT vault
ALTER TABLE secrets ADD COLUMN x int
ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES secrets (id)
ALTER TABLE ledger DETACH PARTITION ledger_high
ALTER TABLE ledger ATTACH PARTITION x FOR VALUES IN (1)
CREATE TABLE x PARTITION OF ledger FOR VALUES FROM (300) TO (400)
ALTER TYPE secrets RENAME ATTRIBUTE a TO b
CREATE TEMP TABLE secrets AS SELECT 1; DROP TABLE secrets; SELECT * FROM secrets
`);

/** What programs ask all day: ORMs, catalogs, reports. */
export const ordinary = lines(String.raw`
SELECT 1
SELECT version()
SELECT current_database(), current_schema(), current_user, session_user, pg_backend_pid(), inet_server_addr(), now()
SELECT "public"."orders"."id", "public"."orders"."note" FROM "public"."orders" WHERE ("public"."orders"."id" = 1 AND 1=1) LIMIT 1 OFFSET 0
SELECT "t0"."id", "t0"."customer" FROM "public"."orders" AS "t0" LEFT JOIN "public"."items" AS "j1" ON "t0"."id" = "j1"."order_id" WHERE "j1"."name" LIKE '%x%' ORDER BY "t0"."id" ASC
SELECT o1_0.id, o1_0.customer, o1_0.total FROM orders o1_0 WHERE o1_0.total > 5 ORDER BY o1_0.id FETCH FIRST 10 ROWS ONLY
SELECT "orders"."id" FROM "orders" INNER JOIN "items" ON ("orders"."id" = "items"."order_id") WHERE "items"."name" IN ('a', 'b') GROUP BY "orders"."id" HAVING COUNT("items"."id") > 1
SELECT "orders".* FROM "orders" ORDER BY "orders"."id" ASC LIMIT 1
SELECT COUNT(*) AS "__count" FROM "orders"
SELECT EXISTS(SELECT 1 AS "a" FROM "orders" WHERE "orders"."id" = 1 LIMIT 1)
SELECT DISTINCT ON (order_id) order_id, name FROM items ORDER BY order_id, id DESC
SELECT c.relname, c.relkind FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND pg_catalog.pg_table_is_visible(c.oid)
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.atttypid, a.atttypmod, c.collname, col_description(a.attrelid, a.attnum) AS comment, attidentity AS identity, attgenerated as attgenerated FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum LEFT JOIN pg_type t ON a.atttypid = t.oid LEFT JOIN pg_collation c ON a.attcollation = c.oid AND a.attcollation <> t.typcollation WHERE a.attrelid = '"orders"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
SELECT t.oid, t.typname, t.typelem, t.typdelim, t.typinput, r.rngsubtype, t.typtype, t.typbasetype FROM pg_type as t LEFT JOIN pg_range as r ON oid = rngtypid WHERE t.typname IN ('int2', 'int4')
SELECT * FROM information_schema.tables WHERE table_schema = 'public'
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY ordinal_position
SELECT tc.constraint_name, kcu.column_name, ccu.table_name FROM information_schema.table_constraints tc JOIN information_schema.key_column_usage kcu ON tc.constraint_name = kcu.constraint_name JOIN information_schema.constraint_column_usage ccu ON ccu.constraint_name = tc.constraint_name
SELECT pg_catalog.pg_get_constraintdef(r.oid, true) AS condef, conrelid::pg_catalog.regclass AS ontable FROM pg_catalog.pg_constraint r WHERE r.conrelid = 'orders'::regclass
SELECT i.relname, ix.indisunique, pg_get_indexdef(ix.indexrelid), array_agg(a.attname) FROM pg_index ix JOIN pg_class i ON i.oid = ix.indexrelid JOIN pg_attribute a ON a.attrelid = ix.indrelid AND a.attnum = ANY(ix.indkey) GROUP BY 1, 2, 3
SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_.*' AND nspname NOT IN ('information_schema') ORDER by nspname
SELECT pg_size_pretty(pg_total_relation_size('orders'))
SHOW TRANSACTION ISOLATION LEVEL
SHOW search_path
SHOW ALL
SHOW server_version
SELECT sum(total) OVER (PARTITION BY customer ORDER BY made ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM orders
SELECT rank() OVER w, dense_rank() OVER w, lag(total, 1, 0) OVER w, ntile(4) OVER w, first_value(id) OVER w FROM orders WINDOW w AS (ORDER BY total DESC)
SELECT date_trunc('month', made) AS m, count(*), sum(total), avg(total)::numeric(10,2), percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM orders GROUP BY 1 ORDER BY 1
SELECT customer, sum(total) FROM orders GROUP BY ROLLUP (customer)
SELECT customer, GROUPING(customer) FROM orders GROUP BY GROUPING SETS ((customer), ())
SELECT doc->'k'->>0, doc #>> '{k,1}', doc @> '{"k": [1]}', jsonb_array_elements(doc->'k'), doc ? 'k' FROM items
SELECT jsonb_agg(jsonb_build_object('id', id, 'name', name) ORDER BY id) FROM items
SELECT row_to_json(o) FROM (SELECT id, note FROM orders) o
SELECT json_agg(o) FROM orders o
SELECT jsonb_path_query(doc, '$.k[*] ? (@ > 1)') FROM items
SELECT doc['k'][0] FROM items
SELECT JSON_VALUE(doc, '$.k[0]' RETURNING int) FROM items
SELECT * FROM items, JSON_TABLE(doc, '$.k[*]' COLUMNS (v int PATH '$')) AS jt
SELECT unnest(tags), array_length(tags, 1), 'a' = ANY (tags), tags && ARRAY['a'], array_to_string(tags, ',') FROM items
SELECT * FROM unnest(ARRAY[1,2], ARRAY['a','b']) WITH ORDINALITY AS u(a, b, n)
SELECT to_tsvector('english', note) @@ plainto_tsquery('english', 'note'), ts_rank(to_tsvector(note), to_tsquery('note')) FROM orders
SELECT ts_headline('english', note, websearch_to_tsquery('note')) FROM orders
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t
WITH RECURSIVE t AS (SELECT id, ARRAY[id] AS path FROM orders WHERE id = 1 UNION ALL SELECT o.id, t.path || o.id FROM orders o JOIN t ON o.id = t.id + 1) SEARCH DEPTH FIRST BY id SET ord CYCLE id SET is_cycle USING p SELECT * FROM t
SELECT * FROM generate_series('2026-01-01'::date, '2026-02-01', '1 day') d
SELECT extract(epoch FROM now()), age(now()), now() - interval '1 day', to_char(now(), 'YYYY-MM-DD'), made AT TIME ZONE 'UTC' FROM orders LIMIT 1
SELECT coalesce(note, ''), nullif(total, 0), greatest(1, 2), CASE WHEN total > 5 THEN 'a' ELSE 'b' END FROM orders
SELECT md5('x'), sha256('x'), encode('x', 'base64'), gen_random_uuid(), random()
SELECT regexp_replace(note, '(n)o', '\1a', 'g'), regexp_matches(note, 'n'), split_part(note, ' ', 1), substring(note from 'n.*'), note ~* 'N' FROM orders
SELECT string_agg(note, ', ' ORDER BY id) FILTER (WHERE total > 5) FROM orders
SELECT * FROM orders WHERE made BETWEEN now() - interval '7 days' AND now() AND note ILIKE '%n%'
SELECT * FROM orders WHERE (id, total) IN (VALUES (1, 10), (2, 20))
SELECT o.*, x.* FROM orders o CROSS JOIN LATERAL (SELECT count(*) FROM items i WHERE i.order_id = o.id) x
SELECT * FROM orders_view
SELECT * FROM totals
SELECT * FROM ledger
SELECT * FROM virtually
SELECT felt, felt::text FROM people
SELECT * FROM people WHERE felt = 'sad'
SELECT * FROM people ORDER BY felt
SELECT enum_range(NULL::mood)
SELECT id FROM orders UNION SELECT id FROM items EXCEPT SELECT 5 INTERSECT SELECT 1
SELECT * FROM orders TABLESAMPLE bernoulli (50)
EXPLAIN SELECT * FROM orders
EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT * FROM orders WHERE id = 1
VALUES (1, 'a'), (2, 'b')
TABLE orders
COPY orders TO STDOUT
COPY (SELECT id, note FROM orders WHERE total > 5) TO STDOUT WITH (FORMAT csv, HEADER)
SELECT * FROM pg_stat_activity
SELECT * FROM pg_stat_user_tables
SELECT * FROM pg_locks
SELECT * FROM pg_settings
SELECT * FROM pg_indexes WHERE tablename = 'orders'
SELECT * FROM pg_stat_database
SELECT relname, n_live_tup FROM pg_stat_user_tables ORDER BY n_live_tup DESC
SELECT xmlelement(name a, note), xpath('/a/text()', '<a>1</a>'::xml) FROM orders LIMIT 1
SELECT int4range(1, 5) @> 3, '[1,5)'::int4range * '[2,9)'::int4range, lower('[1,5)'::int4range)
SELECT point(1,2) <-> point(3,4), '192.168.0.1'::inet << '192.168.0.0/16'
SELECT cast('1' AS int), '1'::int + 1, 1::text || 'a', '{1,2}'::int[], ROW(1,2) = ROW(1,2)
SELECT n.nspname, p.proname, pg_catalog.pg_get_function_result(p.oid), pg_catalog.pg_get_function_arguments(p.oid) FROM pg_catalog.pg_proc p LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE pg_catalog.pg_function_is_visible(p.oid) LIMIT 5
SELECT pg_catalog.array_to_string(d.datacl, E'\n') FROM pg_catalog.pg_database d
SELECT oid, typarray FROM pg_type WHERE typname = 'hstore'
SELECT t.typname FROM pg_type t JOIN pg_namespace n ON t.typnamespace = n.oid WHERE t.typtype = 'e' AND EXISTS (SELECT 1 FROM pg_enum e WHERE e.enumtypid = t.oid)
SELECT quote_ident('a'), quote_literal('b'), format('%I %L', 'a', 'b')
SELECT last_value, is_called FROM orders_id_seq
SELECT * FROM pg_sequences
SELECT currval(pg_get_serial_sequence('orders', 'id')) WHERE false
SELECT o FROM orders o LIMIT 1
SELECT (o).id FROM orders o LIMIT 1
SELECT count(o) FROM orders o
SELECT o.id AS "Order ID", 'it''s' AS q, $$dollar$$, E'a\nb', U&'\0061', B'101', X'ff' FROM orders o LIMIT 1
SELECT ALL 1; SELECT 2;
SELECT customer FROM orders WHERE customer = 'x'
SELECT lower(customer), length(customer), trim(customer), customer || 'x', concat(customer, note) FROM orders
SELECT date '2026-01-01', timestamp '2026-01-01 00:00', interval '1 day', time '10:00', bit '101'
SELECT width_bucket(total, 0, 100, 10), corr(total, id), regr_slope(total, id), stddev(total), mode() WITHIN GROUP (ORDER BY note) FROM orders GROUP BY total
SELECT pg_typeof(1), 1 IS DISTINCT FROM 2, NOT true, true AND false, 5 % 2, 2 ^ 3, |/ 4, @ -5, 5 & 3, ~1
SELECT exists(select 1), array(select id from orders), (select max(id) from orders)
SELECT * FROM people WHERE email = 'a@EXAMPLE.org'
SELECT * FROM people WHERE email LIKE 'a%' AND extra -> 'a' = '1' AND path <@ 'top'
SELECT email::text, 'x'::citext, extra::text, hstore_x.key FROM people, LATERAL (SELECT 'k' AS key) hstore_x
SELECT 5::positive, CAST(1 AS positive), NULL::mood, 'sad'::mood::text
SELECT CASE felt WHEN 'sad' THEN 1 ELSE 2 END FROM people
SELECT CASE id WHEN 1 THEN 'a' END FROM orders
SELECT a.id FROM orders a JOIN items b USING (id) WHERE a.id BETWEEN 1 AND 5
SELECT * FROM orders NATURAL JOIN items
SELECT note FROM orders WHERE note % 'note' ORDER BY note <-> 'note' LIMIT 3
SELECT jsonb_populate_record(NULL::orders, '{"id": 5}')
SELECT * FROM jsonb_to_recordset('[{"a": 1}]') AS t(a int, b text)
SELECT column_name FROM information_schema.columns WHERE table_name = 'people'
SELECT 1 FROM orders WHERE id = 1
`);
