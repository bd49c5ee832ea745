/** The demo's steps. Each says what it expects and looks whether it was so: the demo is a test too. */
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent } from './agent.ts';
import type { Customer } from './data.ts';
import type { Postgres } from './postgres.ts';
import { programPath, runCommand, type Ran } from './program.ts';
import { lookUp } from './shop.ts';
import type { Part, Stage } from './stage.ts';
import { tamper } from './tampering.ts';

/** A step did not give what it should. */
export class StoryError extends Error {}

export interface StoryParts {
  readonly stage: Stage;
  readonly agent: Agent;
  readonly server: Postgres;
  readonly customers: readonly Customer[];
  /** The folder of `serve`. */
  readonly state: string;
  /** A folder that does not exist yet. */
  readonly copy: string;
  /** A person decides, in another terminal. */
  readonly interactive: boolean;
  readonly fast: boolean;
  readonly signal: AbortSignal;
}

const READING = `SELECT id, name, email, card, notes FROM customers WHERE country = 'NO' ORDER BY id LIMIT 4;`;
const GUESSING = `SELECT count(*) FROM customers WHERE card LIKE '4929%';`;
const DROPPING = 'DROP TABLE customers CASCADE;';
const CHANGING = 'ALTER TABLE orders ADD COLUMN shipped_at timestamptz;';
const WORKING = `UPDATE orders SET status = 'shipped' WHERE id = 17;`;

/** How long the person of the story takes to decide, in seconds. */
const THINKING = 1.8;

export class Story {
  readonly #parts: StoryParts;
  /** All that the agent and the auditor saw. */
  readonly #seen: string[] = [];

  constructor(parts: StoryParts) {
    this.#parts = parts;
  }

  async play(): Promise<void> {
    await this.#reads();
    await this.#guesses();
    await this.#drops();
    await this.#changes();
    await this.#goesOn();
    await this.#parts.agent.close();
    await this.#isVerified();
    await this.#isReplayed();
    await this.#isTamperedWith();
    this.#nothingLeaked();
  }

  async #reads(): Promise<void> {
    const { stage } = this.#parts;
    await stage.step(
      'The agent reads customers.',
      'It gets rows, with the protected values masked on their way.',
    );
    const lines = await this.#asks(READING);
    expect(lines, /\[redacted\]/u, 'masked e-mails');
    expect(lines, /\*\*\*\*\d{4}/u, 'cards with their last four digits only');
    expect(lines, /^\(4 rows\)$/u, 'four rows');
    const first = this.#parts.customers.find(({ country }) => country === 'NO');
    if (first !== undefined)
      stage.note(`In the database, row ${first.id} has ${first.email} and ${first.card}.`);
    await stage.pause(1);
  }

  async #guesses(): Promise<void> {
    const { stage } = this.#parts;
    await stage.step(
      'It tries to guess a card digit by digit.',
      'A filter on a masked column would tell it: refused.',
    );
    const lines = await this.#asks(GUESSING);
    expect(lines, /^ERROR: /u, 'an error');
    await stage.pause(1);
  }

  async #drops(): Promise<void> {
    const { stage } = this.#parts;
    await stage.step(
      'It tries to drop a table.',
      'A rule denies it. The error says which, and what to do instead.',
    );
    const lines = await this.#asks(DROPPING);
    expect(lines, /^ERROR: {2}agents drop nothing$/u, "the rule's message");
    expect(lines, /^DETAIL: .*no-drops/u, "the rule's name");
    expect(lines, /^HINT: .*Rename/u, "the rule's hint");
    await this.#database('select count(*)::int as count from customers', 'count', 2_000);
    await stage.pause(1);
  }

  async #changes(): Promise<void> {
    const { stage, interactive } = this.#parts;
    await stage.step(
      'It changes the schema.',
      'A rule holds this for the group dba. The statement waits in the open connection.',
    );
    let name: (found: string) => void = () => undefined;
    const named = new Promise<string>((done) => (name = done));
    const answer = this.#asks(CHANGING, (line) => {
      const found = /waiting for approval (\S+)/u.exec(line)?.[1];
      if (found !== undefined) name(found);
    });
    // Reported below, once there is an approval to decide.
    answer.catch(() => undefined);
    const approval = await Promise.race([named, answer.then(noHold)]);
    if (interactive) this.#askPerson(approval);
    else await this.#approve(approval);
    const lines = await answer;
    if (interactive && lines.some((line) => line.startsWith('ERROR:'))) {
      stage.note('It was not approved: the agent was told so, and the table is as it was.');
      await this.#hasColumn(0);
      return;
    }
    expect(lines, /^ALTER TABLE$/u, 'the altered table');
    // A person may have approved another text.
    if (!interactive) await this.#hasColumn(1);
    await stage.pause(1);
  }

  #askPerson(approval: string): void {
    const { stage, state } = this.#parts;
    const command = (verb: string) =>
      `${process.execPath} ${programPath()} approvals ${verb} ${approval} --state ${state}`;
    stage.line();
    stage.line('   It waits for you. In another terminal, look at it and decide:');
    for (const verb of ['show', 'approve', 'deny']) stage.line(`     ${command(verb)}`);
    stage.line();
  }

  async #approve(approval: string): Promise<void> {
    const { stage, state } = this.#parts;
    await stage.pause(0.5);
    const { lines } = await this.#runs('approver', ['approvals', 'list'], `--state ${state}`);
    expect(lines, new RegExp(`^${approval} `, 'u'), 'the approval in the list');
    await stage.pause(THINKING);
    const decision = ['approvals', 'approve', approval, '--reason', 'planned in CHG-212'];
    const { code } = await this.#runs('approver', decision, `--state ${state}`);
    if (code !== 0) throw new StoryError('the approval was not accepted');
  }

  async #goesOn(): Promise<void> {
    const { stage } = this.#parts;
    await stage.step('The agent goes on working.', 'Same session, same tool; this one a rule allows.');
    const lines = await this.#asks(WORKING);
    expect(lines, /^UPDATE 1$/u, 'one updated row');
    await this.#database('select status from orders where id = 17', 'status', 'shipped');
    await stage.pause(1);
  }

  async #isVerified(): Promise<void> {
    const { stage, state } = this.#parts;
    await stage.step(
      'An auditor checks the recording.',
      'Every event is chained to the one before, and signed.',
    );
    await this.#recordingClosed();
    const { code, lines } = await this.#runs(
      'auditor',
      ['recordings', 'verify', 'last'],
      `--state ${state}`,
      /^clean/u,
    );
    if (code !== 0) throw new StoryError(`the recording is not clean:\n${lines.join('\n')}`);
    await stage.pause(1);
  }

  async #isReplayed(): Promise<void> {
    const { stage, state, fast } = this.#parts;
    await stage.step(
      'The auditor replays it.',
      'What the agent typed and saw, after the masks; here sped up.',
    );
    const pace = fast ? ['--speed', '1000'] : ['--speed', '8', '--max-pause', '0.25'];
    const { code, lines } = await this.#runs(
      'auditor',
      ['recordings', 'replay', 'last', ...pace],
      `--state ${state}`,
      /./u,
    );
    if (code !== 0) throw new StoryError('the recording could not be replayed');
    expect(lines, /DROP TABLE customers/u, 'the refused statement in the replay');
    expect(lines, /^-- (Approve|Deny|Modify|Expired)/u, 'the decision in the replay');
    await stage.pause(1);
  }

  async #isTamperedWith(): Promise<void> {
    const { stage, state, copy } = this.#parts;
    await stage.step(
      'Somebody edits a copy of it.',
      'One byte: the refused DROP TABLE now reads DROP TABLF.',
    );
    const changed = await tamper(
      join(state, 'recordings'),
      copy,
      'DROP TABLE customers',
      'DROP TABLF customers',
    );
    const key = join(state, 'keys', 'recording.ed25519.pub');
    const where = `--recordings ${copy} --key ${key}`;
    const { code, lines } = await this.#runs(
      'auditor',
      ['recordings', 'verify', 'last'],
      where,
      /^TAMPERED/u,
    );
    if (code !== 1) throw new StoryError('the changed byte was not found');
    expect(lines, new RegExp(`^TAMPERED.* first wrong event is ${changed.event}:`, 'u'), 'the changed event');
  }

  /** The agent's statement and its answer. */
  async #asks(
    statement: string,
    onLine: (line: string) => void = () => undefined,
  ): Promise<readonly string[]> {
    const { stage, agent, signal } = this.#parts;
    await stage.types('agent', statement);
    const lines: string[] = [];
    const answered = agent.run(statement, (line) => {
      if (line !== '') stage.sees('agent', line);
      lines.push(line);
      onLine(line);
    });
    await Promise.race([answered, aborted(signal)]);
    this.#seen.push(...lines);
    return lines;
  }

  /** A command of the program itself; `where` holds its folders, which are left out of what is shown. */
  async #runs(part: Part, args: readonly string[], where: string, shown = /./u): Promise<Ran> {
    const { stage, signal } = this.#parts;
    const typed = args.map((arg) => (/[^\w./-]/u.test(arg) ? `'${arg}'` : arg)).join(' ');
    await stage.types(part, `sidewarden ${typed}`);
    const ran = await runCommand([...args, ...where.split(' ')], signal, (line) => {
      if (shown.test(line)) stage.sees(part, line);
    });
    if (part === 'auditor') this.#seen.push(...ran.lines);
    return ran;
  }

  async #recordingClosed(): Promise<void> {
    const { state, signal } = this.#parts;
    for (let attempt = 0; attempt < 50; attempt++) {
      const { lines } = await runCommand(['recordings', 'list', '--json', '--state', state], signal);
      if (lines.some((line) => line.includes('"state": "closed"'))) return;
      await sleep(100, undefined, { signal });
    }
    throw new StoryError('the recording was not closed');
  }

  async #hasColumn(count: number): Promise<void> {
    const text = `select count(*)::int as count from information_schema.columns where table_name = 'orders' and column_name = 'shipped_at'`;
    await this.#database(text, 'count', count);
  }

  async #database(text: string, column: string, expected: unknown): Promise<void> {
    const [row] = await lookUp(this.#parts.server, text);
    const found: unknown = typeof row === 'object' && row !== null ? Reflect.get(row, column) : undefined;
    if (found !== expected) {
      throw new StoryError(`the database has ${String(found)} and not ${String(expected)}: ${text}`);
    }
  }

  #nothingLeaked(): void {
    const text = this.#seen.join('\n');
    const leak = this.#parts.customers.find(({ email, card }) => text.includes(email) || text.includes(card));
    if (leak !== undefined) throw new StoryError(`a protected value of customer ${leak.id} was shown`);
  }
}

/** The name that approvers of the demo go by: `serve` knows them by the system's user. */
export function thisUser(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid:${process.geteuid?.() ?? ''}`;
  }
}

function noHold(lines: readonly string[]): never {
  throw new StoryError(`the statement was not held:\n${lines.join('\n')}`);
}

function expect(lines: readonly string[], pattern: RegExp, what: string): void {
  if (!lines.some((line) => pattern.test(line))) {
    throw new StoryError(`${what} should have been there, but it was:\n${lines.join('\n')}`);
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, fail) => {
    const stop = (): void => fail(new Error('stopped'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}
