/** `make bench`: the proxy beside Direct and PgBouncer, and the operator in its cluster. Exit codes: 2 arguments, 3 a tool is missing. */
import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../e2e/bundle.ts';
import type { TestPostgres } from '../e2e/postgres.ts';
import { Closing } from './closing.ts';
import {
  benchCluster,
  clusterBenchUnavailable,
  clusterMeasures,
  type ClusterOptions,
} from './cluster/bench.ts';
import { figureTable } from './cluster/table.ts';
import { type Contender, CONTENDERS, type ContenderName } from './contender.ts';
import { database, directUser, startDatabase } from './database.ts';
import { describeMachine } from './machine.ts';
import { type Measure, measures, type Setting } from './measure.ts';
import { clusterMarks, proxyMarks, writePage } from './page.ts';
import { writeScripts } from './pgbench.ts';
import { startPgbouncer } from './pgbouncer.ts';
import { type Samples, summarise, table } from './report.ts';
import { findTools, MissingTool, type Tools } from './requirement.ts';
import { contenderOf, serve } from './sidewarden.ts';

const usage = `usage: node bench/main.ts [proxy | cluster] [--rounds N] [--quick] [--only MEASURE]... [--without CONTENDER]... [--json FILE] [--write] [--outage SECONDS]

  --rounds N     rounds (5; 2 with --quick)
  --quick        short loads: a look, no numbers to keep
  --only         of the proxy: ${measures.map(({ name }) => name).join(' | ')}
                 of the cluster: ${clusterMeasures.join(' | ')}
  --without      ${CONTENDERS.join(' | ')}
  --json FILE    every single sample
  --write        renew docs/bench.md
  --outage N     seconds that the cluster's object store is away (30)

Without a part both are taken, the cluster where it can run.
`;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly chosen: readonly Measure[];
  readonly names: readonly ContenderName[];
  readonly json: string | undefined;
  readonly write: boolean;
  readonly part: 'proxy' | 'cluster' | undefined;
  readonly cluster: ClusterOptions;
}

/** Throws an `Error` that says what is wrong with the arguments. */
function readOptions(): Options | 'help' {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      without: { type: 'string', multiple: true, default: [] },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
      outage: { type: 'string', default: '30' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const rounds = Number(values.rounds ?? (values.quick ? 2 : 5));
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds must be a whole number above 0');
  const part = partOf(positionals);
  const outage = Number(values.outage);
  if (!Number.isInteger(outage) || outage < 1) throw new Error('--outage must be a whole number above 0');
  const known = new Set<string>([...measures.map(({ name }) => name), ...CONTENDERS, ...clusterMeasures]);
  const stranger = [...values.only, ...values.without].find((name) => !known.has(name));
  if (stranger !== undefined) throw new Error(`there is no ${stranger}`);
  const isPart = values.only.length > 0 || values.without.length > 0;
  if (values.write && isPart) throw new Error('--write needs all measures of all three');
  return {
    rounds,
    seconds: values.quick ? 1 : 4,
    chosen: measures.filter(({ name }) => values.only.length === 0 || values.only.includes(name)),
    names: CONTENDERS.filter((name) => !values.without.includes(name)),
    json: values.json,
    write: values.write,
    part,
    cluster: {
      quick: values.quick,
      outage,
      chosen: clusterMeasures.filter((name) => values.only.length === 0 || values.only.includes(name)),
    },
  };
}

function partOf(positionals: readonly string[]): Options['part'] {
  const [part] = positionals;
  if (part === undefined) return undefined;
  if (positionals.length === 1 && (part === 'proxy' || part === 'cluster')) return part;
  throw new Error(`there is no part ${positionals.join(' ')}`);
}

async function startContender(
  name: ContenderName,
  tools: Tools,
  postgres: TestPostgres,
  closing: Closing,
): Promise<Contender> {
  const { host, port } = postgres;
  switch (name) {
    case 'Direct':
      return { name, host, port, user: directUser, database, pid: undefined };
    case 'PgBouncer': {
      const bouncer = await startPgbouncer(tools.pgbouncer, postgres);
      closing.add(bouncer.stop);
      return bouncer.contender;
    }
    case 'Sidewarden': {
      const sidewarden = await serve(postgres);
      closing.add(() => sidewarden.stop());
      return contenderOf(sidewarden);
    }
  }
}

/** Each load once, unmeasured and short: caches filled, code compiled. */
async function warmUp(
  contenders: readonly Contender[],
  chosen: readonly Measure[],
  setting: Setting,
): Promise<void> {
  for (const measure of chosen) {
    if (measure.unit === 'MB' || measure.name === 'start') continue;
    for (const contender of contenders) await measure.run(contender, { ...setting, seconds: 1 });
  }
}

type Taken = Record<ContenderName, number[]>;

async function takeRound(
  contenders: readonly Contender[],
  chosen: readonly Measure[],
  setting: Setting,
  samples: ReadonlyMap<string, Taken>,
): Promise<void> {
  for (const measure of chosen) {
    const values: string[] = [];
    for (const contender of contenders) {
      if (!measure.contenders.includes(contender.name)) continue;
      const value = await measure.run(contender, setting);
      samples.get(measure.name)?.[contender.name].push(value);
      values.push(`${contender.name} ${value.toPrecision(4)}`);
    }
    if (values.length > 0) console.error(`  ${measure.name.padEnd(16)} ${values.join('  ')} ${measure.unit}`);
  }
}

async function takeAll(options: Options, tools: Tools, closing: Closing): Promise<Samples> {
  console.error('starting the server and filling it');
  const postgres = await startDatabase(closing);
  const scripts = await writeScripts();
  closing.add(scripts.remove);
  const contenders: Contender[] = [];
  for (const name of options.names) contenders.push(await startContender(name, tools, postgres, closing));
  const setting: Setting = { closing, postgres, pgbench: tools.pgbench, scripts, seconds: options.seconds };
  const samples = new Map(
    options.chosen.map(({ name }): [string, Taken] => [name, { Direct: [], PgBouncer: [], Sidewarden: [] }]),
  );
  console.error('warming up');
  await warmUp(contenders, options.chosen, setting);
  for (let round = 1; round <= options.rounds; round++) {
    console.error(`round ${round} of ${options.rounds}`);
    await takeRound(contenders, options.chosen, setting, samples);
  }
  return samples;
}

async function publish(options: Options, machine: string, samples: Samples): Promise<void> {
  const rows = summarise(options.chosen, samples);
  const text = table(rows);
  console.log(`${machine}\n\n${text}`);
  const taken = new Date().toISOString().slice(0, 10);
  if (options.json !== undefined) {
    const report = { taken, machine, rounds: options.rounds, rows, samples: Object.fromEntries(samples) };
    await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
  }
  if (options.write) {
    const path = join(root, 'docs', 'bench.md');
    const how = `${options.rounds} rounds, loads of ${options.seconds} s; medians, ratios round by round.`;
    await writePage(path, `Taken ${taken} on: ${machine}.\n${how}\n\n${text}`, proxyMarks);
  }
}

async function benchProxy(options: Options, closing: Closing): Promise<void> {
  const tools = await findTools();
  const machine = await describeMachine(tools);
  await publish(options, machine, await takeAll(options, tools, closing));
}

async function benchOperator(options: Options, closing: Closing): Promise<void> {
  const unavailable = await clusterBenchUnavailable();
  if (unavailable !== undefined) {
    if (options.part === 'cluster') throw new MissingTool(unavailable);
    console.error(`the cluster is not measured: ${unavailable}`);
    return;
  }
  const machine = await describeMachine();
  const [before = 0] = loadavg();
  const figures = await benchCluster(options.cluster, closing);
  const text = figureTable(figures);
  console.log(`${machine}\n\n${text}`);
  if (options.json !== undefined && options.part === 'cluster')
    await writeFile(options.json, `${JSON.stringify({ machine, figures }, null, 2)}\n`);
  if (!options.write) return;
  const taken = new Date().toISOString().slice(0, 16).replace('T', ' ');
  const load = `Load average of the machine at the start: ${before.toFixed(1)}.`;
  const path = join(root, 'docs', 'bench.md');
  await writePage(path, `Taken ${taken} UTC on: ${machine}.\n${load}\n\n${text}`, clusterMarks);
}

async function bench(options: Options): Promise<void> {
  const closing = new Closing();
  const interrupt = (signal: NodeJS.Signals) => {
    void closing.close().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    if (options.part !== 'cluster' && options.chosen.length > 0) await benchProxy(options, closing);
    await closing.close();
    if (options.part !== 'proxy' && options.cluster.chosen.length > 0) await benchOperator(options, closing);
  } finally {
    await closing.close();
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

async function main(): Promise<number> {
  let options: Options | 'help';
  try {
    options = readOptions();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return 2;
  }
  if (options === 'help') {
    console.log(usage);
    return 0;
  }
  try {
    await bench(options);
    return 0;
  } catch (error) {
    console.error(error instanceof MissingTool ? error.message : error);
    return error instanceof MissingTool ? 3 : 1;
  }
}

process.exitCode = await main();
