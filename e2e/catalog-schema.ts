/** A database with one of everything that the catalog tells of. */
export const CATALOG_SCHEMA = `
CREATE SCHEMA app; CREATE SCHEMA "Odd ""schema"" é"; CREATE SCHEMA hidden;
CREATE TABLE app.customers (
  id int PRIMARY KEY, email text UNIQUE, card text CHECK (length(card) > 0), gone int,
  shout text GENERATED ALWAYS AS (upper(email) || id) STORED);
ALTER TABLE app.customers DROP COLUMN gone;
CREATE UNIQUE INDEX customers_plain ON app.customers (card);
CREATE INDEX customers_expression ON app.customers (lower(card), id);
CREATE INDEX customers_partial ON app.customers (id) WHERE email IS NOT NULL;
CREATE INDEX customers_uninteresting ON app.customers (id);
CREATE TABLE app.orders (id int, customer int REFERENCES app.customers ON DELETE CASCADE ON UPDATE SET NULL,
  during int4range, EXCLUDE USING gist (during WITH &&));
CREATE VIEW app.emails AS SELECT id, email FROM app.customers WHERE card IS NOT NULL;
CREATE VIEW app.emails_twice AS SELECT e.* FROM app.emails e JOIN app.orders o ON o.id = e.id;
CREATE MATERIALIZED VIEW app.material AS SELECT card FROM app.customers;
CREATE SEQUENCE app.numbers;
CREATE TYPE app.pair AS (a int, b text);
CREATE TYPE app.mood AS ENUM ('sad', 'ok');
CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);
CREATE TYPE app.span AS RANGE (subtype = float8);
CREATE TYPE app.int4 AS (shadow int);
CREATE TABLE app.measures (at int, value text) PARTITION BY RANGE (at);
CREATE TABLE app.measures_1 PARTITION OF app.measures FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (at);
CREATE TABLE app.measures_1a PARTITION OF app.measures_1 FOR VALUES FROM (0) TO (5);
CREATE TABLE app.measures_2 PARTITION OF app.measures FOR VALUES FROM (10) TO (20);
CREATE TABLE app.animal (name text); CREATE TABLE app.cat (meow text) INHERITS (app.animal);
CREATE FUNCTION app.watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER watching AFTER UPDATE OR DELETE ON app.orders FOR EACH ROW EXECUTE FUNCTION app.watch();
CREATE TRIGGER asleep AFTER INSERT ON app.orders FOR EACH ROW EXECUTE FUNCTION app.watch();
ALTER TABLE app.orders DISABLE TRIGGER asleep;
CREATE TRIGGER row_trigger AFTER INSERT ON app.measures FOR EACH ROW EXECUTE FUNCTION app.watch();
CREATE TABLE app.ruled (a int);
CREATE RULE also AS ON INSERT TO app.ruled DO ALSO SELECT 1;
CREATE TABLE app.secured (a int); ALTER TABLE app.secured ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION app.twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION app.twice(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION hidden.lower(text) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1';
CREATE PROCEDURE app.doing() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE app.total(int) (sfunc = int4pl, stype = int);
CREATE OPERATOR app.%% (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
CREATE TABLE "Odd ""schema"" é"."sélect ' \\ "" ; --" ("a'b\\" int);
CREATE TABLE public.pg_class (fake int); CREATE TABLE hidden.customers (other int);
CREATE TABLE public.t63_${'x'.repeat(59)} (a int);
`;
