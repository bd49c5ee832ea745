/** Against a real server: it makes the literals, and it reads the masked ones back. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { startPostgres, type TestPostgres } from '../../../e2e/postgres.ts';
import { compileDetectors } from '../../mask/detectors.ts';
import { createMaskKeys } from '../../mask/keys.ts';
import { DETECTORS, type FieldMask } from '../../mask/mask.ts';
import type { CopyOptions } from '../sql/statement.ts';
import { builtinTypes } from './builtin-types.ts';
import { compileCopyMasker } from './copy-masker.ts';
import { FrameWriter } from './frame-writer.ts';
import { TypeCatalog } from './type-catalog.ts';

let server: TestPostgres;
let client: pg.Client;
const types = new TypeCatalog();
const keys = createMaskKeys();
const detectors = compileDetectors(DETECTORS.map((detector) => ({ detector, mask: { with: 'Redact' } })));

before(async () => {
  server = await startPostgres();
  const { host, port, user, password } = server;
  client = new pg.Client({ host, port, user, password, database: 'postgres' });
  await client.connect();
  await client.query(`
    CREATE DOMAIN tag AS text CHECK (VALUE <> 'never');
    CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE TYPE place AS (street text, "no" int, tags text[]);
    CREATE TYPE person AS (name text, home place, moods mood[]);
    CREATE TYPE textrange AS RANGE (subtype = text);
    CREATE TABLE source (id int, t text, v varchar(200), b char(60), d tag, m mood, a text[], n int[], j json, jb jsonb,
      c place, p person, ps person[], i8 int8, num numeric, ip inet, r int8range, mr int8multirange, by bytea, ts timestamptz,
      u uuid, x textrange, da tag[], na numeric[], f float8, tv tsvector);
    INSERT INTO source SELECT g, v, v, left(v, 50), v, 'calm', ARRAY[v, NULL, 'a"b\\c', '', 'NULL', '{x,y}'], ARRAY[1, NULL, g],
      json_build_object('k', v, 'n', g, v, ARRAY[v]), jsonb_build_object('k', v, 'n', 1.5, 'l', ARRAY[v, NULL]),
      ROW(v, g, ARRAY[v, '(,)'])::place, ROW(v, ROW('q"' || v, NULL, NULL)::place, ARRAY['cross']::mood[])::person,
      ARRAY[ROW(v, ROW(E'back\\\\slash', 7, ARRAY[v, ' '])::place, NULL)::person, NULL],
      g * 1000, g + 0.25, '10.1.2.3', int8range(1, g + 5), int8multirange(int8range(1, 3), int8range(7, 9)),
      convert_to(v, 'UTF8'), now(), gen_random_uuid(), textrange('a', 'b'), ARRAY[v]::tag[], ARRAY[1.5, NULL], g / 3.0, 'one two'
      FROM unnest(ARRAY['plain', E'tab\\t nl\\n cr\\r back\\\\ "quotes" ''single'' , ; | é €', '', 'mail bob@example.com now',
        'card 4111 1111 1111 1111', '{"json":"bob@example.com"}', '\\N', '\\.']) WITH ORDINALITY AS s(v, g);
    INSERT INTO source (id) VALUES (100);`);
});

after(async () => {
  await client.end();
  await server.stop();
});

async function rowsOf(sql: string): Promise<(string | null)[][]> {
  const result = await client.query<(string | null)[]>({
    text: sql,
    rowMode: 'array',
    types: { getTypeParser: () => (v: string) => v },
  });
  return result.rows;
}

async function load(oids: readonly number[]): Promise<void> {
  for (let missing = types.missing(oids); missing.length > 0; missing = types.missing(oids)) {
    types.add(missing, await rowsOf(TypeCatalog.query(missing)));
  }
}

/** Sends the table through the masker in this format, and gives it back to the server as another table. */
async function roundTrip(
  sql: string,
  readBack: string,
  options: CopyOptions,
  masks: readonly FieldMask[] | undefined,
  found: boolean,
): Promise<void> {
  const oids = (
    await rowsOf(
      `SELECT atttypid FROM pg_attribute WHERE attrelid = 'source'::regclass AND attnum > 0 ORDER BY attnum`,
    )
  ).map(([oid]) => Number(oid));
  await load(oids);
  const masker = compileCopyMasker(options, oids, masks, found ? detectors : undefined, types.lookup, keys);
  if (masker?.kind !== 'masker') throw new Error(masker?.reason ?? 'nothing to mask');
  const out = new FrameWriter();
  for await (const chunk of client.query(copyTo(`COPY source TO STDOUT ${sql}`)) as AsyncIterable<Buffer>) {
    masker.push(chunk, 0, chunk.length, out);
  }
  masker.end();
  const frames = out.take();
  const payloads: Buffer[] = [];
  for (let at = 0; at < frames.length;) {
    const end = at + 1 + frames.readInt32BE(at + 1);
    payloads.push(frames.subarray(at + 5, end));
    at = end;
  }
  await client.query('DROP TABLE IF EXISTS masked; CREATE TABLE masked (LIKE source)');
  await pipeline(Readable.from(payloads), client.query(copyFrom(`COPY masked FROM STDIN ${readBack}`)));
}

const FORMATS: readonly (readonly [string, CopyOptions])[] = [
  ['', { format: 'text', delimiter: '\t', null: '\\N', quote: '"', escape: '"', header: false }],
  [
    "(DELIMITER '|', NULL 'nil', HEADER)",
    { format: 'text', delimiter: '|', null: 'nil', quote: '"', escape: '"', header: true },
  ],
  ['(FORMAT csv)', { format: 'csv', delimiter: ',', null: '', quote: '"', escape: '"', header: false }],
  [
    "(FORMAT csv, HEADER, DELIMITER ';', QUOTE '''', ESCAPE '\\', FORCE_QUOTE (t, n))",
    { format: 'csv', delimiter: ';', null: '', quote: "'", escape: '\\', header: true },
  ],
  [
    '(FORMAT binary)',
    { format: 'binary', delimiter: '\t', null: '\\N', quote: '"', escape: '"', header: false },
  ],
];

const COLUMNS = 't v b d m a n j jb c p ps i8 num ip r mr by ts u x da na f tv'.split(' ');
const redact: FieldMask = { kind: 'value', mask: { with: 'Redact' } };
const clear: FieldMask = { kind: 'clear' };

for (const [sql, options] of FORMATS) {
  const readBack = sql.replace(/, FORCE_QUOTE \(t, n\)/, '');
  test(`column masks give literals that the server reads: COPY ${sql}`, async () => {
    for (const odd of [0, 1]) {
      const masks = [clear, ...COLUMNS.map((_, index) => (index % 2 === odd ? redact : clear))];
      await roundTrip(sql, readBack, options, masks, false);
      for (const [index, column] of COLUMNS.entries()) {
        if (index % 2 === odd) {
          const [[count] = []] = await rowsOf(
            `SELECT count(DISTINCT coalesce(${column}::text, 'null')) FROM masked`,
          );
          assert.equal(count, '1', column);
        } else await assertSame(column);
      }
    }
  });

  test(`masks within values: COPY ${sql}`, async () => {
    const inPlace: FieldMask = {
      kind: 'composite',
      fields: [redact, clear, { kind: 'array', element: redact }],
    };
    const inPerson: FieldMask = { kind: 'composite', fields: [clear, inPlace, redact] };
    const masks = COLUMNS.map((column): FieldMask => {
      if (column === 'c') return inPlace;
      if (column === 'p') return inPerson;
      if (column === 'ps') return { kind: 'array', element: inPerson };
      return column === 'a' || column === 'n' ? { kind: 'array', element: redact } : clear;
    });
    await roundTrip(sql, readBack, options, [clear, ...masks], false);
    const wrong = await rowsOf(`SELECT m.id FROM source s JOIN masked m USING (id) WHERE s.id < 100 AND NOT (
      (m.c).street = '[redacted]' AND (m.c)."no" = (s.c)."no" AND (m.c).tags = ARRAY['[redacted]', '[redacted]']
      AND (m.p).name = (s.p).name AND ((m.p).home).street = '[redacted]' AND (m.p).moods IS NULL
      AND (m.ps[1]).name = (s.ps[1]).name AND ((m.ps[1]).home).street = '[redacted]' AND ((m.ps[1]).home)."no" = 7
      AND ((m.ps[1]).home).tags = ARRAY['[redacted]', '[redacted]'] AND m.ps[2] IS NULL AND cardinality(m.ps) = 2
      AND m.a = array_fill('[redacted]'::text, ARRAY[6]) AND m.n = ARRAY[NULL, NULL, NULL]::int[])`);
    assert.deepEqual(wrong, []);
    for (const column of COLUMNS.filter((one) => !['c', 'p', 'ps', 'a', 'n'].includes(one)))
      await assertSame(column);
  });

  test(`detectors leave valid values without finds: COPY ${sql}`, async () => {
    await roundTrip(sql, readBack, options, undefined, true);
    for (const column of COLUMNS) {
      const shown = column === 'by' ? "encode(by, 'escape')" : `${column}::text`;
      assert.deepEqual(await rowsOf(`SELECT id FROM masked WHERE ${shown} ~ 'bob@|4111'`), [], column);
    }
    for (const column of ['t', 'j', 'jb', 'a', 'c', 'p', 'ps', 'da']) {
      const found = await rowsOf(
        `SELECT id FROM masked WHERE ${column}::text LIKE '%[redacted]%' ORDER BY id`,
      );
      assert.deepEqual(found, [['4'], ['5'], ['6']], column);
      await assertSame(column, 'AND id NOT IN (4, 5, 6)');
    }
    for (const column of ['m', 'n', 'ts', 'u', 'i8', 'num', 'r', 'mr', 'x', 'na', 'f', 'tv'])
      await assertSame(column);
    assert.deepEqual(await rowsOf('SELECT id FROM masked WHERE ip IS NOT NULL'), []);
  });

  test(`partial masks and hashes keep arrays readable: COPY ${sql}`, async () => {
    const masks = COLUMNS.map((column): FieldMask => {
      if (column === 'a') return { kind: 'value', mask: { with: 'Partial', keepFirst: 1, keepLast: 1 } };
      return column === 'da' || column === 'jb'
        ? { kind: 'value', mask: { with: 'Hash', scope: 'Session' } }
        : clear;
    });
    await roundTrip(sql, readBack, options, [clear, ...masks], false);
    const wrong = await rowsOf(`SELECT m.id FROM source s JOIN masked m USING (id) WHERE s.id < 100 AND NOT (
      cardinality(m.a) = 6 AND m.a[2] IS NULL AND m.a[3] = 'a****c' AND m.da[1] ~ '^h:' AND jsonb_typeof(m.jb) = 'string')`);
    assert.deepEqual(wrong, []);
  });
}

async function assertSame(column: string, where = ''): Promise<void> {
  const differing = await rowsOf(
    `SELECT id FROM source s JOIN masked m USING (id) WHERE s.${column}::text IS DISTINCT FROM m.${column}::text ${where}`,
  );
  assert.deepEqual(differing, [], column);
}

test("the table of PostgreSQL's own types is that of the server", async () => {
  const rows =
    await rowsOf(`SELECT oid, typarray, typdelim, typname FROM pg_type WHERE oid < 10000 AND typarray < 10000
    AND typarray <> 0 AND typtype IN ('b', 'r', 'm') AND typname <> 'gtsvector'`);
  for (const [oid, array, delimiter, name] of rows) {
    assert.ok(builtinTypes(Number(oid)), name ?? '');
    assert.deepEqual(
      builtinTypes(Number(array)),
      { kind: 'array', element: Number(oid), delimiter },
      name ?? '',
    );
  }
  const ranges = await rowsOf(
    'SELECT rngtypid, rngmultitypid, rngsubtype FROM pg_range WHERE rngtypid < 10000',
  );
  for (const [range, multirange, subtype] of ranges) {
    assert.deepEqual(builtinTypes(Number(range)), { kind: 'range', subtype: Number(subtype) });
    assert.deepEqual(builtinTypes(Number(multirange)), { kind: 'multirange', subtype: Number(subtype) });
  }
});
