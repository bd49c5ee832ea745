/** What the steps of the demo are made of: a part types something, it is really run, and the outcome is looked at. */
import { join } from 'node:path';
import type { Agent } from './agent.ts';
import type { Customer } from './data.ts';
import type { Postgres } from './postgres.ts';
import { runCommand, type Ran } from './program.ts';
import { lookUp } from './shop.ts';
import type { Part, Stage } from './stage.ts';

/** A step did not give what it should. */
export class StoryError extends Error {}

/** What `--state` is when it is not given, so that commands can be shown without it. */
export const STATE = '.sidewarden';

export interface SceneParts {
  readonly stage: Stage;
  readonly agent: Agent;
  readonly server: Postgres;
  readonly customers: readonly Customer[];
  /** Where commands are run; the state folder of `serve` lies in it. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

export class Scene {
  readonly #parts: SceneParts;
  readonly #stopped: Promise<never>;
  /** All that the agent and the auditor saw. */
  readonly #seen: string[] = [];

  constructor(parts: SceneParts) {
    this.#parts = parts;
    this.#stopped = new Promise((_, fail) => {
      parts.signal.addEventListener('abort', () => fail(new Error('stopped')), { once: true });
    });
    // Raced where somebody waits.
    this.#stopped.catch(() => undefined);
  }

  get stage(): Stage {
    return this.#parts.stage;
  }

  get state(): string {
    return join(this.#parts.folder, STATE);
  }

  /** The agent's statement, and the lines of its answer. */
  async asks(
    statement: string,
    onLine: (line: string) => void = () => undefined,
  ): Promise<readonly string[]> {
    const { stage, agent } = this.#parts;
    await stage.types('agent', statement);
    const lines: string[] = [];
    const answered = agent.run(statement, (line) => {
      if (line !== '') stage.sees('agent', line);
      lines.push(line);
      onLine(line);
    });
    await Promise.race([answered, this.#stopped]);
    this.#seen.push(...lines);
    return lines;
  }

  /** A command of the program itself, run as it is shown; of its lines those that match are. */
  async runs(part: Part, args: readonly string[], shown = /./u): Promise<Ran> {
    const { stage } = this.#parts;
    const typed = args.map((arg) => (/[^\w./-]/u.test(arg) ? `'${arg}'` : arg)).join(' ');
    await stage.types(part, `sidewarden ${typed}`);
    const elsewhere = args.includes('--recordings');
    const ran = await this.quietly(elsewhere ? args : [...args, '--state', STATE], (line) => {
      if (shown.test(line)) stage.sees(part, line);
    });
    if (part === 'auditor') this.#seen.push(...ran.lines);
    return ran;
  }

  async quietly(args: readonly string[], onLine?: (line: string) => void): Promise<Ran> {
    const { folder, signal } = this.#parts;
    return runCommand(folder, args, signal, onLine);
  }

  /** Looks past the sidecar whether the database has in `column` of the first row what it should. */
  async database(text: string, column: string, expected: unknown): Promise<void> {
    const [row] = await lookUp(this.#parts.server, text);
    const found: unknown = typeof row === 'object' && row !== null ? Reflect.get(row, column) : undefined;
    if (found !== expected) {
      throw new StoryError(`the database has ${String(found)} and not ${String(expected)}: ${text}`);
    }
  }

  nothingLeaked(): void {
    const text = this.#seen.join('\n');
    const leak = this.#parts.customers.find(({ email, card }) => text.includes(email) || text.includes(card));
    if (leak !== undefined) throw new StoryError(`a protected value of customer ${leak.id} was shown`);
  }
}

export function expect(lines: readonly string[], pattern: RegExp, what: string): void {
  if (!lines.some((line) => pattern.test(line))) {
    throw new StoryError(`${what} should have been there, but it was:\n${lines.join('\n')}`);
  }
}
