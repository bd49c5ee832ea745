/** `make bench`: Direct, PgBouncer and Sidewarden in turn, round by round. Exit codes: 2 arguments, 3 a tool is missing. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../e2e/bundle.ts';
import type { TestPostgres } from '../e2e/postgres.ts';
import { Closing } from './closing.ts';
import { type Contender, CONTENDERS, type ContenderName } from './contender.ts';
import { database, directUser, startDatabase } from './database.ts';
import { describeMachine } from './machine.ts';
import { type Measure, measures, type Setting } from './measure.ts';
import { writePage } from './page.ts';
import { writeScripts } from './pgbench.ts';
import { startPgbouncer } from './pgbouncer.ts';
import { type Samples, summarise, table } from './report.ts';
import { findTools, MissingTool, type Tools } from './requirement.ts';
import { contenderOf, serve } from './sidewarden.ts';

const usage = `usage: node bench/main.ts [--rounds N] [--quick] [--only MEASURE]... [--without CONTENDER]... [--json FILE] [--write]

  --rounds N     rounds (5; 2 with --quick)
  --quick        short loads: a look, no numbers to keep
  --only         ${measures.map(({ name }) => name).join(' | ')}
  --without      ${CONTENDERS.join(' | ')}
  --json FILE    every single sample
  --write        renew docs/bench.md
`;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly chosen: readonly Measure[];
  readonly names: readonly ContenderName[];
  readonly json: string | undefined;
  readonly write: boolean;
}

/** Throws an `Error` that says what is wrong with the arguments. */
function readOptions(): Options | 'help' {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      without: { type: 'string', multiple: true, default: [] },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const rounds = Number(values.rounds ?? (values.quick ? 2 : 5));
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds must be a whole number above 0');
  const known = new Set<string>([...measures.map(({ name }) => name), ...CONTENDERS]);
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
  };
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
    await writePage(path, `Taken ${taken} on: ${machine}.\n${how}\n\n${text}`);
  }
}

async function bench(options: Options): Promise<void> {
  const tools = await findTools();
  const machine = await describeMachine(tools);
  const closing = new Closing();
  const interrupt = (signal: NodeJS.Signals) => {
    void closing.close().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    await publish(options, machine, await takeAll(options, tools, closing));
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
