/** The twins' schema and rows. Everything that is not protected is the same on both sides. */
export type Side = 'left' | 'right';

/** As a policy's masks name them. Views, partitions, generated columns and children follow from these. */
export const PROTECTED: readonly string[] = [
  ...['card', 'ssn', 'salary', 'born', 'profile', 'tags', 'secret', 'loc', 'score'].map(
    (column) => `public.customers.${column}`,
  ),
  'public.claims.ssn',
  'public.events.payload',
  'public.people.pin',
  'public.pans.pan',
  'public.vault.code',
  'public.ledger.account',
  'public.late.ssn',
  'public.badges.holder',
  'public.ranges.span',
  'public.uniq.code',
];

/** Rows of `customers`. */
const COUNT = 12;

interface Row {
  readonly card: string | null;
  readonly ssn: string | null;
  readonly salary: string | null;
  readonly born: string | null;
  readonly profile: string | null;
  readonly tags: string | null;
  readonly secret: string | null;
  readonly loc: string | null;
  readonly score: number;
}

function left(n: number): Row {
  const absent = n % 5 === 0;
  return {
    card: absent ? null : `4929 1234 5678 ${String(9000 + n)}`,
    ssn: absent ? null : `900-00-${String(1000 + n)}`,
    salary: absent ? null : String(1000 * n),
    born: absent ? null : `1970-01-${String(n).padStart(2, '0')}`,
    profile: absent ? null : JSON.stringify({ level: n, note: `leftnote${n}`, flags: [n % 2 === 0, null] }),
    tags: absent ? null : `{leftone,lefttwo${n}}`,
    secret: absent ? null : `\\x00ff${n.toString(16).padStart(2, '0')}`,
    loc: absent ? null : `("left street ${n}",${10000 + n})`,
    score: n,
  };
}

/** Other values, lengths, NULLs; the other order; duplicates. */
function right(n: number): Row {
  const absent = n % 3 === 0;
  const twice = Math.floor(n / 2);
  return {
    card: absent ? null : `5500-${'7'.repeat(n * 40)}${twice}`,
    ssn: absent ? null : `${'right'.repeat(n)}${100 - n}`,
    salary: absent ? null : String(90_000.125 - twice),
    born: absent ? null : `19${90 - n}-12-31`,
    profile: absent ? null : JSON.stringify([{ right: 'rightnote'.repeat(twice), level: `x${twice}` }]),
    tags: absent ? null : twice === 2 ? '{}' : `{right${twice},NULL,"a b",c${'d'.repeat(n * 10)}}`,
    secret: absent ? null : `\\x${'ab'.repeat(n * 20)}`,
    loc: absent ? null : `(,${99999 - twice})`,
    score: 100 - twice,
  };
}

function literal(value: string | number | null): string {
  return value === null ? 'NULL' : `'${String(value).replaceAll("'", "''")}'`;
}

const numbers = Array.from({ length: COUNT }, (_, index) => index + 1);

function rowOf(side: Side, n: number): Row {
  return side === 'left' ? left(n) : right(n);
}

function customers(side: Side): string {
  const rows = numbers.map((n) => {
    const { card, ssn, salary, born, profile, tags, secret, loc, score } = rowOf(side, n);
    const values = [card, ssn, salary, born, profile, tags, secret, loc, score].map(literal).join(', ');
    return `(${n}, 'name ${n}', ${n % 4}, ${values}, 'note ${n}')`;
  });
  return `INSERT INTO customers (id, name, region, card, ssn, salary, born, profile, tags, secret, loc, score, note)
    VALUES ${rows.join(', ')}`;
}

/** Rows of a small table with a number and one protected text. */
function texts(side: Side, table: string, columns: string, row: (n: number) => string): string {
  const word = (n: number) =>
    side === 'left' ? `left${n}` : n % 3 === 0 ? null : `right${'r'.repeat(n * 30)}${n}`;
  return `INSERT INTO ${table} (${columns}) VALUES ${numbers.map((n) => `(${row(n)}, ${literal(word(n))})`).join(', ')}`;
}

export function schemaOf(side: Side): readonly string[] {
  return [
    `CREATE ROLE direct SUPERUSER LOGIN`,
    `CREATE EXTENSION pgstattuple; CREATE EXTENSION pageinspect; CREATE EXTENSION hstore; CREATE EXTENSION citext;
     CREATE EXTENSION postgres_fdw; CREATE EXTENSION pg_trgm; CREATE EXTENSION btree_gist; CREATE EXTENSION tablefunc`,
    `CREATE TYPE address AS (street text, zip int);
     CREATE DOMAIN even AS int CHECK (VALUE % 2 = 0);
     CREATE DOMAIN short AS text CHECK (length(VALUE) < 10);
     CREATE TYPE mood AS ENUM ('sad', 'ok')`,
    `CREATE TABLE customers (
       id int PRIMARY KEY, name text NOT NULL, region int, card text, ssn text UNIQUE, salary numeric CHECK (salary >= 0),
       born date, profile jsonb, tags text[], secret bytea, loc address, score int NOT NULL, note text)`,
    `CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, item text, amount numeric, paid bool)`,
    `CREATE TABLE claims (id int PRIMARY KEY, ssn text REFERENCES customers (ssn) ON UPDATE CASCADE, what text)`,
    customers(side),
    `INSERT INTO orders SELECT n, n % 12 + 1, 'item ' || n, n * 1.5, n % 2 = 0 FROM generate_series(1, 30) n`,
    `CREATE INDEX customers_card ON customers (card); CREATE INDEX customers_lower ON customers (lower(card));
     CREATE INDEX customers_salary ON customers (salary, id); CREATE STATISTICS customers_stat ON salary, born FROM customers`,
    `CREATE TABLE events (id int, at date NOT NULL, kind text, payload text) PARTITION BY RANGE (at);
     CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
     CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
     CREATE TABLE events_other PARTITION OF events DEFAULT`,
    texts(side, 'events', 'id, at, kind, payload', (n) => `${n}, '${2024 + (n % 4)}-05-05', 'kind ${n % 3}'`),
    `CREATE TABLE ledger (id int, account int NOT NULL, amount int) PARTITION BY LIST (account);
     CREATE TABLE ledger_low PARTITION OF ledger FOR VALUES IN (1, 2, 3);
     CREATE TABLE ledger_high PARTITION OF ledger DEFAULT`,
    `INSERT INTO ledger VALUES ${numbers.map((n) => `(${n}, ${side === 'left' ? (n % 5) + 1 : n % 2}, ${n})`).join(', ')}`,
    `CREATE TABLE people (id int PRIMARY KEY, name text, pin text);
     CREATE TABLE staff (badge text) INHERITS (people)`,
    texts(side, 'people', 'id, name, pin', (n) => `${n}, 'p${n}'`),
    texts(side, 'staff', 'id, name, badge, pin', (n) => `${n + 100}, 's${n}', 'b${n}'`),
    `CREATE TABLE pans (id int PRIMARY KEY, last4 text GENERATED ALWAYS AS (right(pan, 4)) STORED,
       big text GENERATED ALWAYS AS (upper(pan)) VIRTUAL, pan text)`,
    texts(side, 'pans', 'id, pan', (n) => String(n)),
    `CREATE TABLE vault (id int PRIMARY KEY, open bool NOT NULL DEFAULT true, code text)`,
    texts(side, 'vault', 'id, code', (n) => String(n)),
    `CREATE TABLE late (id int PRIMARY KEY, ssn text CONSTRAINT late_ssn REFERENCES customers (ssn) DEFERRABLE INITIALLY DEFERRED);
     INSERT INTO late SELECT id, ssn FROM customers WHERE id IN (1, 2, 4);
     CREATE TABLE badges (id int, level int CHECK (level > 0), holder text); CREATE TABLE badges_kid () INHERITS (badges);
     CREATE VIEW badges_view AS SELECT id, level FROM badges`,
    texts(side, 'badges', 'id, level, holder', (n) => `${n}, 1`),
    texts(side, 'badges_kid', 'id, level, holder', (n) => `${n + 50}, 1`),
    `CREATE TABLE ranges (id int, span daterange, EXCLUDE USING gist (span WITH &&));
     INSERT INTO ranges SELECT n, daterange('19${side === 'left' ? '70' : '50'}-01-01'::date + n * 10, '19${side === 'left' ? '70' : '50'}-01-05'::date + n * 10)
       FROM generate_series(1, 8) n;
     CREATE TABLE uniq (id int GENERATED ALWAYS AS IDENTITY, code text UNIQUE)`,
    texts(side, 'uniq', 'note, code', (n) => String(n))
      .replace('note, code', 'code')
      .replace(/\(\d+, /g, '('),
    `CREATE TABLE log (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, line text); INSERT INTO log (line) VALUES ('one'), ('two');
     CREATE TABLE counters (id int PRIMARY KEY, hits int NOT NULL DEFAULT 0); INSERT INTO counters VALUES (1), (2), (3);
     CREATE TABLE note_lines (customer_id int, line text UNIQUE)`,
    `CREATE SEQUENCE clicks`,
    `CREATE VIEW customer_view AS SELECT id, name, card AS plastic, upper(card) AS loud, region FROM customers;
     CREATE VIEW rich AS SELECT id, name FROM customers WHERE salary > 5000;
     CREATE VIEW safe_view AS SELECT id, name, region, note FROM customers;
     CREATE VIEW open_vault AS SELECT * FROM vault WHERE open WITH CHECK OPTION;
     CREATE MATERIALIZED VIEW customer_copy AS SELECT id, card, name FROM customers;
     CREATE MATERIALIZED VIEW order_sums AS SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id`,
    `CREATE FUNCTION card_of(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT card FROM customers WHERE id = $1';
     CREATE FUNCTION cards() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT card FROM customers';
     CREATE FUNCTION plain(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
     CREATE FUNCTION shout(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE '%', $1; RETURN $1; END$$;
     CREATE FUNCTION raise(text) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION '%', $1 USING ERRCODE = '42000'; END$$;
     CREATE FUNCTION all_customers() RETURNS SETOF customers LANGUAGE sql STABLE AS 'SELECT * FROM customers'`,
    `CREATE FUNCTION on_vault() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
       RAISE NOTICE 'code was %', OLD.code; IF OLD.code LIKE 'left%' THEN RAISE WARNING 'left'; END IF; RETURN NEW; END$$;
     CREATE TRIGGER vault_trigger BEFORE UPDATE ON vault FOR EACH ROW EXECUTE FUNCTION on_vault()`,
    `ANALYZE; VACUUM`.split(';')[0] ?? '',
  ];
}
