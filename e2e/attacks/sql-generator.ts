/** Random SQL over the twins' schema: plausible more often than not, with protected columns wherever the grammar lets them be. */
import type { Attack } from './mask-attacks.ts';

/** A generator of numbers in [0, 1) that a seed repeats (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  customers: 'id name region card ssn salary born profile tags secret loc score note'.split(' '),
  orders: 'id customer_id item amount paid'.split(' '),
  events: 'id at kind payload'.split(' '),
  events_2025: 'id at kind payload'.split(' '),
  people: 'id name pin'.split(' '),
  staff: 'id name pin badge'.split(' '),
  pans: 'id last4 big pan'.split(' '),
  vault: 'id open code'.split(' '),
  late: 'id ssn'.split(' '),
  badges: 'id level holder'.split(' '),
  customer_view: 'id name plastic loud region'.split(' '),
  safe_view: 'id name region note'.split(' '),
  rich: 'id name'.split(' '),
  customer_copy: 'id card name'.split(' '),
  log: 'id line'.split(' '),
  counters: 'id hits'.split(' '),
};
const TABLES = Object.keys(COLUMNS);
const WRITABLE = [
  'customers',
  'orders',
  'people',
  'vault',
  'log',
  'counters',
  'safe_view',
  'events',
  'badges',
];

/** `$` is where an expression goes. */
const WRAPPERS =
  `upper($)|lower($)|length($)|md5($::text)|$::text|$::int|$::numeric|coalesce($, $)|nullif($, $)|$ IS NULL|$ IS NOT NULL|
$ || $|concat($, $)|($ = $)|($ < $)|($ <> $)|greatest($, $)|least($, $)|row_to_json(ROW($, $))|to_jsonb($)|json_build_array($, $)|
jsonb_build_object('a', $)|ARRAY[$, $]|(ARRAY[$, $])[1]|ROW($, $)|CASE WHEN $ IS NULL THEN $ ELSE $ END|CASE WHEN $ = $ THEN 1 END|
substr($::text, 1, 2)|left($::text, 1)|1 / nullif($, $)|abs($)|$ + 1|- $|$ * $|(SELECT $)|EXISTS (SELECT 1 WHERE $ IS NULL)|$ IN ($, $)|
$ LIKE '4%'|pg_typeof($)|hashtext($::text)|quote_literal($)|format('%s', $)|repeat('x', $)|array_length($, 1)|$ IS DISTINCT FROM $|
to_char($, 'YYYY')|extract(year FROM $)|$::bool|$ BETWEEN $ AND $|starts_with($, 'l')|json_build_object('k', $)|num_nulls($, $)|
position('9' IN $::text)|trim($::text)|encode($::text::bytea, 'hex')|$ COLLATE "C"|(ROW($, $)).f1|jsonb_typeof($)|$->>'level'|$ @> $|
ROW($, $) = ROW($, $)|NOT $|$ AND $|$ OR $|ascii($)|chr($)|generate_series(1, $)|unnest($)|($).zip|$[1]|to_json($)|reverse($)|cardinality($)`
    .split('|')
    .map((text) => text.trim());
const AGGREGATES =
  `count($)|count(DISTINCT $)|min($)|max($)|sum($)|array_agg($)|string_agg($::text, ',')|json_agg($)|jsonb_agg($)|bool_or($ IS NULL)|
count(*) FILTER (WHERE $ IS NULL)|array_agg($ ORDER BY $)|any_value($)|count(*)|row_number() OVER (ORDER BY $)|lag($) OVER (ORDER BY $)|
first_value($) OVER (PARTITION BY $ ORDER BY id)|sum($) OVER ()|rank() OVER (ORDER BY $, $)|avg($)|percentile_disc(0.5) WITHIN GROUP (ORDER BY $)`
    .split('|')
    .map((text) => text.trim());
const LITERALS = ["'left1'", "'x'", '1', '0', '3', 'NULL', "'4929 1234 5678 9001'", 'true', '$$a$$', "'{}'"];

interface Source {
  readonly sql: string;
  readonly aliases: readonly (readonly [string, readonly string[]])[];
}

export class SqlGenerator {
  readonly #random: () => number;
  #names = 0;

  constructor(seed: number) {
    this.#random = seeded(seed);
  }

  /** One script. */
  next(): Attack {
    const kind = this.#random();
    if (kind < 0.5) return this.#select(3);
    if (kind < 0.58)
      return { text: this.#select(2), format: this.#chance(0.7) ? 1 : 0, blind: this.#chance(0.5) };
    if (kind < 0.78) return this.#modification();
    if (kind < 0.84)
      return `COPY (${this.#chance(0.8) ? this.#select(2) : this.#modification()}) TO STDOUT${this.#pick(['', ' (FORMAT csv)', ' (FORMAT binary)', ' (FORMAT csv, HEADER)'])}`;
    if (kind < 0.88) return `EXPLAIN ${this.#pick(['', '(COSTS OFF) ', '(VERBOSE) '])}${this.#select(2)}`;
    return this.#several();
  }

  #several(): readonly string[] {
    const query = this.#select(2);
    return this.#pick([
      [`DECLARE k CURSOR FOR ${query}`, 'FETCH 2 FROM k', 'MOVE 1 FROM k', 'FETCH ALL FROM k'],
      [`PREPARE p AS ${query}`, 'EXECUTE p', 'DEALLOCATE p'],
      [`CREATE TEMP TABLE made AS ${query}`, 'SELECT * FROM made', 'SELECT count(*) FROM made'],
      [`CREATE VIEW made AS ${query}`, 'SELECT * FROM made'],
      [
        `PREPARE p AS ${this.#modification()}`,
        'EXECUTE p',
        'DEALLOCATE p',
        'SELECT * FROM log',
        "SELECT nextval('clicks')",
      ],
      [
        `CREATE INDEX made ON customers ((${this.#value(['customers', COLUMNS['customers'] ?? []], 2)}))`,
        'SELECT id FROM customers WHERE id > 0',
      ],
      [
        this.#modification(),
        'SELECT * FROM log ORDER BY id',
        'SELECT id, note, name FROM customers ORDER BY id',
        'SELECT * FROM counters ORDER BY id',
      ],
      [
        `ALTER TABLE customers ADD COLUMN made text GENERATED ALWAYS AS (${this.#value(['customers', COLUMNS['customers'] ?? []], 1)}) STORED`,
        'SELECT made FROM customers ORDER BY id',
      ],
      [
        `ALTER TABLE customers ADD CHECK (${this.#value(['customers', COLUMNS['customers'] ?? []], 1)} IS NOT NULL)`,
      ],
    ]);
  }

  #chance(part: number): boolean {
    return this.#random() < part;
  }

  #pick<T>(list: readonly T[]): T {
    const found = list[Math.floor(this.#random() * list.length)];
    if (found === undefined) throw new RangeError('nothing to pick from');
    return found;
  }

  #alias(): string {
    this.#names = (this.#names + 1) % 1000;
    return `t${this.#names}`;
  }

  #select(depth: number): string {
    const source = this.#source(depth);
    const items = Array.from({ length: 1 + Math.floor(this.#random() * 3) }, () => this.#item(source, depth));
    const first = source.aliases[0] ?? ['', []];
    const parts = [`SELECT ${this.#chance(0.1) ? 'DISTINCT ' : ''}${items.join(', ')} FROM ${source.sql}`];
    if (this.#chance(0.3)) parts.push(`WHERE ${this.#condition(source, depth)}`);
    if (this.#chance(0.1))
      parts.push(`GROUP BY ${this.#pick(['1', this.#column(source), this.#column(source)])}`);
    const order = this.#chance(0.7)
      ? `${first[0]}.${first[1].includes('id') ? 'id' : (first[1][0] ?? 'id')}`
      : this.#any(source, 1);
    if (depth > 1 && this.#chance(0.12)) {
      const operator = this.#pick(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT']);
      return `${parts.join(' ')} ${operator} ${this.#select(depth - 1)}`;
    }
    if (this.#chance(0.6)) parts.push(`ORDER BY ${order}`);
    if (this.#chance(0.15))
      parts.push(`LIMIT ${this.#chance(0.8) ? '3' : `(SELECT count(*) FROM (${this.#select(0)}) l)`}`);
    if (this.#chance(0.04)) parts.push('FOR UPDATE');
    return parts.join(' ');
  }

  #item(source: Source, depth: number): string {
    const kind = this.#random();
    if (kind < 0.12) return '*';
    if (kind < 0.2) return this.#pick(source.aliases)[0];
    if (kind < 0.26) return `${this.#pick(source.aliases)[0]}.*`;
    if (kind < 0.36) return this.#fill(this.#pick(AGGREGATES), source, depth);
    return this.#any(source, depth);
  }

  #source(depth: number): Source {
    const kind = this.#random();
    if (depth <= 0 || kind < 0.55) return this.#table();
    if (kind < 0.75) {
      const [one, other] = [this.#source(depth - 1), this.#table()];
      const join = this.#pick(['JOIN', 'LEFT JOIN', 'FULL JOIN', 'CROSS JOIN', 'NATURAL JOIN', 'RIGHT JOIN']);
      const aliases = [...one.aliases, ...other.aliases];
      const on =
        join === 'CROSS JOIN' || join === 'NATURAL JOIN'
          ? ''
          : ` ON ${this.#join({ sql: '', aliases }, depth)}`;
      return { sql: `${one.sql} ${join} ${other.sql}${on}`, aliases };
    }
    const name = this.#alias();
    const inner = this.#source(depth - 1);
    const columns = ['a', 'b'];
    const items = columns.map((column) => `${this.#any(inner, depth - 1)} AS ${column}`);
    if (kind < 0.9)
      return { sql: `(SELECT ${items.join(', ')} FROM ${inner.sql}) AS ${name}`, aliases: [[name, columns]] };
    const one = this.#table();
    const lateral = `LATERAL (SELECT ${this.#any(one, 1)} AS a, ${this.#any(one, 1)} AS b) AS ${name}`;
    return { sql: `${one.sql}, ${lateral}`, aliases: [...one.aliases, [name, columns]] };
  }

  #table(): Source {
    const table = this.#chance(0.45) ? 'customers' : this.#pick(TABLES);
    const name = this.#alias();
    return { sql: `${table} AS ${name}`, aliases: [[name, COLUMNS[table] ?? ['id']]] };
  }

  #join(source: Source, depth: number): string {
    const [one, other] = [source.aliases[0], source.aliases.at(-1)];
    if (one && other && this.#chance(0.7) && one[1].includes('id') && other[1].includes('id'))
      return `${one[0]}.id = ${other[0]}.id`;
    return this.#condition(source, depth);
  }

  #column(source: Source): string {
    const [name, columns] = this.#pick(source.aliases);
    return `${name}.${this.#chance(0.03) ? this.#pick(['ctid', 'xmin', 'tableoid']) : this.#pick(columns)}`;
  }

  #condition(source: Source, depth: number): string {
    const left = this.#any(source, depth - 1);
    return this.#pick([
      `${left} IS NOT NULL`,
      `${left} = ${this.#pick(LITERALS)}`,
      `${this.#column(source)} = ${this.#column(source)}`,
      `${this.#pick(source.aliases)[0]}.id < 5`,
      `${this.#pick(source.aliases)[0]}.id > 2`,
      `${left} IN (${this.#select(0)})`,
      `${left} < ${this.#any(source, 0)}`,
    ]);
  }

  #any(source: Source, depth: number): string {
    const kind = this.#random();
    if (depth <= 0 || kind < 0.45) return kind < 0.06 ? this.#pick(LITERALS) : this.#column(source);
    if (kind < 0.5) return `(${this.#select(depth - 2)})`;
    return this.#fill(this.#pick(WRAPPERS), source, depth);
  }

  #fill(template: string, source: Source, depth: number): string {
    return template
      .split('$')
      .map((part, at) => (at === 0 ? part : `${this.#any(source, depth - 1)}${part}`))
      .join('');
  }

  #value([name, columns]: readonly [string, readonly string[]], depth: number): string {
    return this.#any({ sql: name, aliases: [[name, columns]] }, depth);
  }

  #modification(): string {
    const table = this.#pick(WRITABLE);
    const columns = COLUMNS[table] ?? ['id'];
    const target: Source = { sql: table, aliases: [[table, columns]] };
    const other = this.#table();
    const both: Source = { sql: '', aliases: [...target.aliases, ...other.aliases] };
    const set = `${this.#pick(columns)} = ${this.#chance(0.5) ? this.#pick(LITERALS) : this.#any(both, 2)}`;
    const where = this.#chance(0.6) ? `${table}.id = 2` : this.#condition(both, 1);
    const returning = this.#chance(0.5)
      ? ` RETURNING ${this.#pick(['*', this.#any(target, 1), 'old.*', 'new.*'])}`
      : '';
    const second = this.#pick(columns);
    return this.#pick([
      `UPDATE ${table} SET ${set} FROM ${other.sql} WHERE ${where}${returning}`,
      `UPDATE ${table} SET ${this.#pick(columns)} = ${this.#any(target, 2)} WHERE ${table}.id < 4${returning}`,
      `DELETE FROM ${table} USING ${other.sql} WHERE ${where}${returning}`,
      `DELETE FROM ${table} WHERE ${this.#condition(target, 1)}${returning}`,
      `INSERT INTO ${table} (${columns[0] ?? 'id'}, ${second}) SELECT 500, ${this.#any(other, 1)} FROM ${other.sql}${returning}`,
      `INSERT INTO ${table} (${columns[0] ?? 'id'}, ${second}) VALUES (${this.#pick(['1', '700'])}, ${this.#pick(LITERALS)}) ON CONFLICT DO NOTHING${returning}`,
      `INSERT INTO ${table} (id, ${second}) VALUES (1, ${this.#pick(LITERALS)}) ON CONFLICT (id) DO UPDATE SET ${this.#pick(columns)} = ${this.#any(target, 1)} WHERE ${this.#condition(target, 1)}${returning}`,
      `MERGE INTO ${table} USING ${other.sql} ON ${where} WHEN MATCHED AND ${this.#condition(both, 1)} THEN UPDATE SET ${set} WHEN NOT MATCHED THEN DO NOTHING${returning}`,
      `WITH w AS (UPDATE ${table} SET ${set} FROM ${other.sql} WHERE ${where} RETURNING ${this.#any(target, 1)} AS a) SELECT ${this.#pick(['a', 'count(*)', 'count(a)'])} FROM w`,
      `TRUNCATE ${table}`,
    ]);
  }
}
