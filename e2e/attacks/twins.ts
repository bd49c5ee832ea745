/**
 * Two servers whose databases differ in protected values only (other values, lengths, NULLs, order, duplicates), with a
 * Sidewarden before each. Whatever makes a client's bytes differ has told it something.
 */
import pg from 'pg';
import { usualManifests, type ManifestOptions } from '../manifests.ts';
import { freePort, startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden, type Sidewarden } from '../serve.ts';
import { Attacker, type Step } from './attacker.ts';
import { schemaOf, type Side } from './twin-schema.ts';

export interface Twin {
  readonly postgres: TestPostgres;
  readonly sidewarden: Sidewarden;
}

export type Twins = readonly [Twin, Twin];

/** What is run as one: by default within a transaction that is rolled back, each step under a savepoint. */
export interface Script {
  readonly steps: readonly Step[];
  /** Each step is a transaction of its own, on a connection of its own; it cleans up after itself. */
  readonly alone?: boolean;
}

interface Difference {
  readonly step: Step;
  readonly answers: readonly [readonly string[], readonly string[]];
}

async function load(postgres: TestPostgres, side: Side): Promise<void> {
  const client = new pg.Client({ ...postgres, database: 'postgres' });
  await client.connect();
  for (const text of schemaOf(side)) await client.query(text);
  await client.end();
}

export async function startTwin(side: Side, connections: readonly Partial<ManifestOptions>[]): Promise<Twin> {
  const ports = await Promise.all(connections.map(() => freePort()));
  const postgres = await startPostgres({ settings: ['autovacuum=off', 'track_functions=all'] });
  try {
    await load(postgres, side);
    const manifests = usualManifests(
      ...connections.map((options, index) => ({ ...options, postgres, port: ports[index] ?? 0 })),
    );
    return { postgres, sidewarden: await startSidewarden({ manifests }) };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

/**
 * Both servers plan by the same numbers from now on. The mean width of protected values and the pages that they fill are numbers of
 * the planner's: by them it chooses the order of rows for which a statement asks for none (docs/what-is-refused.md).
 */
export async function forgetStatistics(twins: Twins): Promise<void> {
  for (const { postgres } of twins) {
    const client = new pg.Client({ ...postgres, database: 'postgres' });
    await client.connect();
    await client.query(`SET allow_system_table_mods = on; DELETE FROM pg_statistic; DELETE FROM pg_statistic_ext_data;
      UPDATE pg_class SET relpages = 0, reltuples = -1 WHERE relnamespace = 'public'::regnamespace`);
    await client.end();
  }
}

/** Both sides in the same order, so that object and transaction numbers are alike. */
export async function startTwins(connections: readonly Partial<ManifestOptions>[]): Promise<Twins> {
  const left = await startTwin('left', connections);
  try {
    return [left, await startTwin('right', connections)];
  } catch (error) {
    await stopTwin(left);
    throw error;
  }
}

export async function stopTwin({ postgres, sidewarden }: Twin): Promise<void> {
  await sidewarden.stop();
  await postgres.stop();
}

export async function stopTwins(twins: Twins): Promise<void> {
  await Promise.all(twins.map(stopTwin));
}

/** Two connections, one to each twin, used in lockstep. */
export class Pair {
  readonly #open: () => Promise<readonly [Attacker, Attacker]>;
  #attackers: readonly [Attacker, Attacker] | undefined;
  /** Whether the last script had an answer without an error. */
  answered = false;

  constructor(twins: Twins, connection?: string) {
    this.#open = async () => {
      return Promise.all([attack(twins[0], connection), attack(twins[1], connection)]);
    };
  }

  close(): void {
    for (const attacker of this.#attackers ?? []) attacker.close();
    this.#attackers = undefined;
  }

  /** The first step whose answers differ. */
  async run({ steps, alone = false }: Script): Promise<Difference | undefined> {
    if (alone) this.close();
    this.answered = false;
    let found: Difference | undefined;
    if (!alone) found = await this.#step('begin');
    for (const step of steps) {
      if (found) break;
      found = alone || steps.length === 1 ? await this.#observe(step) : await this.#guarded(step);
    }
    if (alone || found) this.close();
    else found = await this.#end();
    return found;
  }

  async #guarded(step: Step): Promise<Difference | undefined> {
    const before = await this.#step('savepoint attack');
    const found = before ?? (await this.#observe(step));
    if (found) return found;
    const [left] = await this.#both();
    if (left.status === 'E') return this.#step('rollback to attack');
    return undefined;
  }

  async #end(): Promise<Difference | undefined> {
    const [left] = await this.#both();
    if (left.status !== 'I') return this.#step('rollback');
    return undefined;
  }

  async #both(): Promise<readonly [Attacker, Attacker]> {
    if (this.#attackers?.some(({ closed }) => closed) ?? false) this.close();
    this.#attackers ??= await this.#open();
    return this.#attackers;
  }

  async #observe(step: Step): Promise<Difference | undefined> {
    const found = await this.#step(step);
    if (!found && !this.#failed) this.answered = true;
    return found;
  }

  #failed = false;

  async #step(step: Step): Promise<Difference | undefined> {
    const [left, right] = await this.#both();
    const answers = await Promise.all([left.run(step), right.run(step)]);
    this.#failed = answers[0].some((line) => line.startsWith('E ') || line === 'closed');
    const same =
      answers[0].length === answers[1].length &&
      answers[0].every(
        (line, at) => line === answers[1][at] || nameless(line) === nameless(answers[1][at] ?? ''),
      );
    return same ? undefined : { step, answers };
  }
}

/** Approvals have names by chance. */
const nameless = (line: string): string => line.replaceAll(/approval \S+-[0-9a-z]{6}\b/g, 'approval NAME');

async function attack(twin: Twin, connection?: string): Promise<Attacker> {
  const { sidewarden } = twin;
  const port = connection === undefined ? sidewarden.port : sidewarden.ports.get(connection);
  return Attacker.connect({ host: '127.0.0.1', port: port ?? 0, user: 'agent', database: 'postgres' });
}

export function describeDifference({ step, answers }: Difference): string {
  const text = typeof step === 'string' ? step : JSON.stringify(step);
  const [left, right] = answers.map((lines) => lines.map((line) => JSON.stringify(line).slice(0, 600)));
  const first = left?.findIndex((line, at) => line !== right?.[at]) ?? 0;
  const at = first < 0 ? (left?.length ?? 0) : first;
  return `${text}\n  left  ${left?.[at] ?? 'nothing'}\n  right ${right?.[at] ?? 'nothing'}`;
}
