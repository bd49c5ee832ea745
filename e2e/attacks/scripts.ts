/** Random message scripts of the PostgreSQL protocol, the same for the same seed: mostly valid, seldom sensible. */
import { message } from '../../bench/wire.ts';
import { bind, copyData, copyDone, describeOf, execute, flush, parse, query, sync } from './frontend.ts';

export interface Sent {
  /** How it reads in a failure. */
  readonly label: string;
  readonly bytes: Buffer;
}

/** Whole numbers below a bound, by mulberry32. */
export type Random = (below: number) => number;

export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export function pick<T>(random: Random, values: readonly T[]): T {
  const value = values[random(values.length)];
  if (value === undefined) throw new Error('nothing to pick from');
  return value;
}

/** Run in each of the two databases before the scripts. */
export const SCHEMA = `
  CREATE TABLE items (id int PRIMARY KEY, name text);
  INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 5) i;
  CREATE SCHEMA other;
  CREATE TABLE other.items (id int, other_name text, more int);
  INSERT INTO other.items VALUES (100, 'other', 1);
  CREATE VIEW item_names AS SELECT name FROM items;
  CREATE FUNCTION noisy() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'noise'; RETURN 1; END $$;
  CREATE PROCEDURE proc() LANGUAGE sql AS $$ SELECT 1 $$;
`;

export const STATEMENTS: readonly string[] = [
  'SELECT 1 AS a',
  'SELECT id, name FROM items WHERE id <= 3 ORDER BY id',
  'SELECT * FROM items ORDER BY id',
  'SELECT * FROM generate_series(1, 5) AS g',
  'TABLE item_names',
  'SELECT $1 AS x',
  'SELECT $1::int + 1 AS x',
  'SELECT 1/0',
  'SELECT 10/($1::int)',
  'SELECT nope',
  'SELECT * FROM nowhere',
  'SELEC 1',
  'SELECT 1 +',
  '',
  ' ',
  '-- only a comment',
  'BEGIN',
  'BEGIN',
  'START TRANSACTION READ ONLY',
  'COMMIT',
  'ROLLBACK',
  'COMMIT AND CHAIN',
  'SAVEPOINT s',
  'ROLLBACK TO s',
  'RELEASE s',
  'INSERT INTO items VALUES (50, $1)',
  'INSERT INTO items VALUES (1, NULL)',
  'INSERT INTO items VALUES (51, NULL) RETURNING id',
  'UPDATE items SET name = name WHERE id < 3',
  'DELETE FROM items WHERE id >= 50',
  'WITH gone AS (DELETE FROM items WHERE id = 51 RETURNING id) SELECT count(*) FROM gone',
  'COPY items TO STDOUT',
  'COPY (SELECT id FROM items ORDER BY id) TO STDOUT (FORMAT binary)',
  'COPY items FROM STDIN',
  'COPY nowhere FROM STDIN',
  'DEALLOCATE ALL',
  'DEALLOCATE a',
  'DISCARD TEMP',
  'PREPARE a AS SELECT 7 AS seven',
  'PREPARE b(int) AS SELECT id FROM items WHERE id = $1',
  'EXECUTE a',
  'EXECUTE b(2)',
  'DECLARE cp CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id',
  'DECLARE cq CURSOR FOR SELECT * FROM items ORDER BY id',
  'FETCH 2 FROM cp',
  'FETCH ALL FROM cq',
  'FETCH 1 FROM p',
  'MOVE 1 FROM cq',
  'CLOSE cp',
  'CLOSE p',
  'SET search_path = other, public',
  'SET LOCAL search_path = other, public',
  'RESET search_path',
  "SELECT set_config('search_path', 'other, public', false)",
  "SET work_mem = '5MB'",
  'SHOW work_mem',
  'SHOW search_path',
  'SET nonsense = 1',
  'RESET ALL',
  "SET application_name = 'other'",
  "SET datestyle = 'ISO, DMY'",
  'CREATE TEMP TABLE items (x int)',
  'DROP TABLE IF EXISTS pg_temp.items',
  'SELECT noisy()',
  'CALL proc()',
  "DO $$ BEGIN RAISE NOTICE 'hi'; END $$",
  "DO $$ BEGIN RAISE EXCEPTION 'oh'; END $$",
  'LISTEN channel',
  'UNLISTEN *',
  "NOTIFY channel, 'word'",
  'EXPLAIN (COSTS OFF) SELECT 1',
  'VALUES (1, 2), (3, 4)',
  'LOCK TABLE items IN SHARE MODE',
  'SELECT ARRAY[1,2], ROW(1), NULL::json',
  'CREATE TABLE scratch AS SELECT 1 AS one',
  'DROP TABLE scratch',
  'ALTER TABLE items ADD COLUMN extra int DEFAULT 4',
  'ALTER TABLE items DROP COLUMN IF EXISTS extra',
  'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE',
];

const SEVERAL = [
  'DISCARD ALL',
  'SELECT 1; SELECT 2',
  ';;',
  'SELECT 1; SELECT 1/0; SELECT 3',
  'BEGIN; SELECT 1',
  'BEGIN; SELECT 1/0; ROLLBACK',
  'SELECT 1; COMMIT; SELECT 2',
  'INSERT INTO items VALUES (60, NULL); ROLLBACK; SELECT 1',
  'COPY items FROM STDIN; SELECT 1',
  'SELECT 1; COPY items TO STDOUT; COPY items FROM STDIN; SELECT 2',
  'CREATE TEMP TABLE t2 (x int); SELECT * FROM t2; DROP TABLE t2',
  'SET LOCAL search_path = other; SELECT * FROM items',
  'SET search_path = other; SELECT * FROM items; RESET search_path',
  'CLOSE ALL',
  'SELECT 1; SELEC 2',
  'COPY items FROM STDIN; COPY items FROM STDIN',
  'SELECT pg_sleep(0.01); COPY items FROM STDIN',
  'COPY items FROM STDIN; DO $$ BEGIN PERFORM pg_sleep(0.01); END $$; COPY items FROM STDIN',
  'BEGIN; DECLARE c2 CURSOR FOR SELECT 1; FETCH c2; COMMIT',
] as const;

const NAMES = ['', '', 'a', 'b'] as const;
const PORTALS = ['', '', 'p', 'q'] as const;

function text(sql: string): Sent {
  return { label: `Q ${sql}`, bytes: query(sql) };
}

function values(random: Random): readonly (string | null)[] {
  return pick(random, [[], [], ['1'], ['1'], ['0'], [null], ['word'], ['1', '2']]);
}

/** Anything but COPY data: those only count where a COPY may be on. */
function single(random: Random, statements: readonly string[]): readonly Sent[] {
  const name = pick(random, NAMES);
  const portal = pick(random, PORTALS);
  switch (random(15)) {
    case 0:
    case 1:
      return [text(pick(random, statements))];
    case 2:
      return [text(pick(random, SEVERAL))];
    case 3:
    case 4: {
      const sql = pick(random, statements);
      return [{ label: `P ${name}: ${sql}`, bytes: parse(name, sql, random(6) === 0 ? [25] : []) }];
    }
    case 5:
    case 6: {
      const given = values(random);
      return [{ label: `B ${portal}<${name} ${JSON.stringify(given)}`, bytes: bind(portal, name, given) }];
    }
    case 7: {
      const kind = pick(random, ['S', 'P'] as const);
      const of = kind === 'S' ? name : portal;
      return [{ label: `D ${kind} ${of}`, bytes: describeOf(kind, of) }];
    }
    case 8:
    case 9: {
      const rows = pick(random, [0, 0, 1, 2]);
      return [{ label: `E ${portal} ${rows}`, bytes: execute(portal, rows) }];
    }
    case 10: {
      const kind = pick(random, ['S', 'P'] as const);
      const of = kind === 'S' ? name : portal;
      return [{ label: `C ${kind} ${of}`, bytes: message('C', Buffer.from(`${kind}${of}\0`)) }];
    }
    case 11:
      return [{ label: 'H', bytes: flush }];
    case 12:
      return [{ label: 'S', bytes: sync }];
    default:
      return whole(random, statements);
  }
}

/** Parse, Bind, Describe, Execute of one statement, as drivers send it. */
function whole(random: Random, statements: readonly string[]): readonly Sent[] {
  const name = pick(random, NAMES);
  const portal = pick(random, PORTALS);
  const sql = pick(random, statements);
  const given = sql.includes('$1') && !/PREPARE/.test(sql) ? ['3'] : [];
  return [
    ...(random(3) === 0 ? [{ label: `C S ${name}`, bytes: message('C', Buffer.from(`S${name}\0`)) }] : []),
    { label: `P ${name}: ${sql}`, bytes: parse(name, sql) },
    ...(random(3) === 0 ? [{ label: `D S ${name}`, bytes: describeOf('S', name) }] : []),
    { label: `B ${portal}<${name} ${JSON.stringify(given)}`, bytes: bind(portal, name, given) },
    ...(random(2) === 0 ? [{ label: `D P ${portal}`, bytes: describeOf('P', portal) }] : []),
    { label: `E ${portal} 0`, bytes: execute(portal, pick(random, [0, 0, 0, 2])) },
    ...copying(random, sql),
    ...(random(2) === 0 ? [{ label: 'S', bytes: sync }] : []),
  ];
}

function copying(random: Random, sql: string): readonly Sent[] {
  if (!/COPY \w+ FROM STDIN/.test(sql)) return [];
  const line = pick(random, ['70\tcopied\n', '71\tcopied\n', '1\ttwice\n', 'bad\n', '72\tcut', '\\.\n', '']);
  const data = { label: `d ${JSON.stringify(line)}`, bytes: copyData(line) };
  const end = pick(random, [
    { label: 'c', bytes: copyDone },
    { label: 'c', bytes: copyDone },
    { label: 'f', bytes: message('f', Buffer.from('given up\0')) },
  ]);
  const ignored = random(4) === 0 ? [pick(random, [{ label: 'H', bytes: flush }])] : [];
  const first = random(4) === 0 ? [data, ...ignored, data, end] : [data, ...ignored, end];
  return /STDIN.*STDIN/.test(sql)
    ? [...first, { label: 'd', bytes: copyData('73\tsecond\n') }, { label: 'c', bytes: copyDone }]
    : first;
}

/**
 * A script of about so many steps. COPY data follow each text that could take them, at times also where none do. A text
 * within a batch that has executed something comes after its Sync only: the server itself gets that wrong ("unexpected state STARTED").
 */
export function script(random: Random, steps: number, statements = STATEMENTS): readonly Sent[] {
  const sent: Sent[] = [];
  let bound = false;
  for (let step = 0; step < steps; step++) {
    for (const one of single(random, statements)) {
      if (one.label.startsWith('Q') && bound) sent.push(SYNC);
      if (one.label.startsWith('B')) bound = true;
      if (one.label.startsWith('Q') || one.label === 'S') bound = false;
      sent.push(one);
      if (one.label.startsWith('Q')) sent.push(...copying(random, one.label));
    }
    if (random(20) === 0) sent.push({ label: 'd (stray)', bytes: copyData('stray\n') });
  }
  return sent;
}

const SYNC: Sent = { label: 'S', bytes: sync };

/** Ends any COPY, batch and transaction; the answer's last row says `the end`. */
export const END: readonly Sent[] = [
  { label: 'f', bytes: message('f', Buffer.from('the end\0')) },
  { label: 'S', bytes: sync },
  text('ROLLBACK'),
  text("SELECT 'the end'"),
];
