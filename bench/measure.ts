/** What is measured, in the order of a round, with the goals that it must reach. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestPostgres } from '../e2e/postgres.ts';
import type { Closing } from './closing.ts';
import type { Contender, ContenderName } from './contender.ts';
import { aside, ROWS } from './database.ts';
import { residentMemory } from './memory.ts';
import { type Load, type LoadResult, type LoadScripts, runLoad } from './pgbench.ts';
import { contenderOf, serve } from './sidewarden.ts';
import { message, Wire } from './wire.ts';

export interface Setting {
  readonly closing: Closing;
  readonly postgres: TestPostgres;
  readonly pgbench: string;
  readonly scripts: LoadScripts;
  /** Seconds that a pgbench load takes. */
  readonly seconds: number;
}

/** `ratio`: to PgBouncer's, in the same round. `value`: in the measure's own unit. */
export type Goal =
  | { readonly kind: 'ratio'; readonly atLeast: number }
  | { readonly kind: 'ratio'; readonly atMost: number }
  | { readonly kind: 'value'; readonly atMost: number };

export interface Measure {
  readonly name: string;
  readonly title: string;
  readonly unit: 'ms' | 'tps' | 'krows/s' | 'MB/s' | 'MB';
  readonly goal?: Goal;
  readonly contenders: readonly ContenderName[];
  run(contender: Contender, setting: Setting): Promise<number>;
}

const all = ['Direct', 'PgBouncer', 'Sidewarden'] as const;

function load(name: string, title: string, of: Load, take: keyof LoadResult, goal?: Goal): Measure {
  const unit = take === 'latency' ? 'ms' : 'tps';
  const run = async (contender: Contender, { pgbench, scripts, seconds }: Setting) =>
    (await runLoad(pgbench, scripts.path(of.script), contender, of, seconds))[take];
  return { name, title, unit, contenders: all, run, ...(goal ? { goal } : {}) };
}

const loads: readonly Measure[] = [
  load(
    'prepared-1',
    'prepared point select, 1 client: latency',
    { mode: 'prepared', script: 'point', clients: 1 },
    'latency',
    { kind: 'ratio', atMost: 1.15 },
  ),
  load(
    'prepared-8',
    'prepared point select, 8 clients: throughput',
    { mode: 'prepared', script: 'point', clients: 8 },
    'throughput',
    { kind: 'ratio', atLeast: 0.8 },
  ),
  load(
    'simple-1',
    'simple point select, 1 client: latency',
    { mode: 'simple', script: 'point', clients: 1 },
    'latency',
  ),
  load(
    'simple-8',
    'simple point select, 8 clients: throughput',
    { mode: 'simple', script: 'point', clients: 8 },
    'throughput',
  ),
  load(
    'unique-1',
    'simple query, unique texts, 1 client: latency',
    { mode: 'simple', script: 'unique', clients: 1 },
    'latency',
    { kind: 'ratio', atMost: 1.4 },
  ),
];

async function withWire<T>(contender: Contender, work: (wire: Wire) => Promise<T>): Promise<T> {
  const wire = await Wire.connect(contender);
  try {
    return await work(wire);
  } finally {
    wire.close();
  }
}

const selectRows = (table: string) => `select id, name, card, total from ${table}`;

/** Seconds for the whole answer. Throws when it is too short to be whole. */
async function readRows(wire: Wire, table: string): Promise<number> {
  const begun = performance.now();
  const bytes = await wire.run(selectRows(table));
  const seconds = (performance.now() - begun) / 1000;
  // Tag, length, count of fields and their four lengths are 23 bytes; a masked field keeps at least one byte of its own.
  if (bytes < ROWS * 40) throw new Error(`${table}: an answer of ${bytes} bytes is not a million rows`);
  return seconds;
}

function rows(name: string, title: string, table: string, atLeast: number): Measure {
  const run = async (contender: Contender) =>
    withWire(contender, async (wire) => ROWS / 1000 / (await readRows(wire, table)));
  return { name, title, unit: 'krows/s', contenders: all, goal: { kind: 'ratio', atLeast }, run };
}

const line = Buffer.from(`4711\tcustomer 4711\t${'some words that were copied '.repeat(7)}\t123456\n`);
const LINES_A_PIECE = 256;
const piece = Buffer.concat(Array.from({ length: LINES_A_PIECE }, () => message('d', line)));
const PIECES = Math.ceil(64e6 / (line.length * LINES_A_PIECE));
const COPIED = (PIECES * LINES_A_PIECE * line.length) / 1e6;

const copyIn: Measure = {
  name: 'copy-in',
  title: '64 MB COPY in',
  unit: 'MB/s',
  contenders: all,
  run: async (contender, { postgres }) => {
    await aside(postgres, 'truncate copy_sink');
    return withWire(contender, async (wire) => {
      const begun = performance.now();
      await wire.copyIn('copy copy_sink from stdin', piece, PIECES);
      return (COPIED * 1000) / (performance.now() - begun);
    });
  },
};

async function fillCopySource(postgres: TestPostgres): Promise<void> {
  const text = `insert into copy_source select 4711, 'customer 4711', '${'some words that were copied '.repeat(7)}', 123456
    from generate_series(1, ${PIECES * LINES_A_PIECE}) where not exists (select from copy_source)`;
  await aside(postgres, text);
}

const copyOut: Measure = {
  name: 'copy-out',
  title: '64 MB COPY out',
  unit: 'MB/s',
  contenders: all,
  run: async (contender, { postgres }) => {
    await fillCopySource(postgres);
    return withWire(contender, async (wire) => {
      const begun = performance.now();
      const bytes = await wire.run('copy copy_source to stdout');
      const seconds = (performance.now() - begun) / 1000;
      if (bytes < COPIED * 1e6) throw new Error(`only ${bytes} bytes were copied out`);
      return COPIED / seconds;
    });
  },
};

const CONNECTIONS = 20;

const connecting: Measure = {
  name: 'connect',
  title: 'connect to ready for a query',
  unit: 'ms',
  contenders: all,
  run: async (contender) => {
    const begun = performance.now();
    for (let i = 0; i < CONNECTIONS; i++) await withWire(contender, async () => undefined);
    return (performance.now() - begun) / CONNECTIONS;
  },
};

/** A process of its own for what depends on its history. */
async function afresh<T>(
  { postgres, closing }: Setting,
  ruleCount: number | undefined,
  work: (contender: Contender & { readonly pid: number }, startedIn: number) => Promise<T>,
): Promise<T> {
  const sidewarden = await serve(postgres, ruleCount);
  const stop = closing.add(() => sidewarden.stop());
  try {
    return await work({ ...contenderOf(sidewarden), pid: sidewarden.pid }, sidewarden.startedIn);
  } finally {
    await stop();
  }
}

const starting: Measure = {
  name: 'start',
  title: '`serve` with 1 connection and 50 rules: process start to ready',
  unit: 'ms',
  goal: { kind: 'value', atMost: 500 },
  contenders: ['Sidewarden'],
  run: (_, setting) => afresh(setting, 50, async (_contender, startedIn) => startedIn),
};

type Bare = Omit<Contender, 'pid'> & { readonly pid: number };

async function idle({ pid, ...contender }: Bare): Promise<number> {
  return withWire({ ...contender, pid }, async (wire) => {
    await wire.run('select id, name, balance from points where id = 7');
    await sleep(1_500);
    return residentMemory(pid);
  });
}

async function afterRows(contender: Bare): Promise<number> {
  return withWire(contender, async (wire) => {
    await readRows(wire, 'plain_rows');
    const atOnce = await residentMemory(contender.pid);
    await sleep(1_000);
    return Math.max(atOnce, await residentMemory(contender.pid));
  });
}

/** Growth from the second second after the client's last read to the eighth. */
async function stalled(contender: Bare): Promise<number> {
  return withWire(contender, async (wire) => {
    await wire.runAndStall(selectRows('plain_rows'));
    await sleep(2_000);
    const before = await residentMemory(contender.pid);
    let most = before;
    for (let i = 0; i < 12; i++) {
      await sleep(500);
      most = Math.max(most, await residentMemory(contender.pid));
    }
    return most - before;
  });
}

function memory(
  name: string,
  title: string,
  atMost: number,
  of: (contender: Bare) => Promise<number>,
): Measure {
  return {
    name,
    title,
    unit: 'MB',
    goal: { kind: 'value', atMost },
    contenders: ['PgBouncer', 'Sidewarden'],
    run: async (contender, setting) => {
      if (contender.name === 'Sidewarden') return afresh(setting, undefined, of);
      const { pid } = contender;
      if (pid === undefined) throw new Error(`${contender.name} has no process of its own`);
      return of({ ...contender, pid });
    },
  };
}

export const measures: readonly Measure[] = [
  ...loads,
  rows('rows', '1,000,000 rows, no masks on them', 'plain_rows', 0.9),
  rows('rows-masked', '1,000,000 rows, one of four columns masked', 'masked_rows', 0.5),
  copyIn,
  copyOut,
  connecting,
  starting,
  memory('memory-idle', 'memory, idle with one session', 90, idle),
  memory('memory-rows', 'memory, after the million rows', 130, afterRows),
  // "Flat" needs a number: what a runtime's bookkeeping moves by itself stays below it.
  memory('memory-stalled', 'memory, growth in 6 s with a client that stops reading', 5, stalled),
];
