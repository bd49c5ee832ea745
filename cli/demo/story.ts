/** The demo's steps. Each says what it expects and looks whether it was so: the demo is a test too. */
import { audit } from './audit.ts';
import { programPath } from './program.ts';
import { expect, Scene, StoryError, type SceneParts } from './scene.ts';

export interface StoryOptions {
  /** A person decides, in another terminal. */
  readonly interactive: boolean;
  /** Without waits. */
  readonly fast: boolean;
}

const READING = `SELECT id, name, email, card, notes FROM customers WHERE country = 'NO' ORDER BY id LIMIT 4;`;
const GUESSING = `SELECT count(*) FROM customers WHERE card LIKE '4929%';`;
const DROPPING = 'DROP TABLE customers CASCADE;';
const CHANGING = 'ALTER TABLE orders ADD COLUMN shipped_at timestamptz;';
const WORKING = `UPDATE orders SET status = 'shipped' WHERE id = 17;`;

/** How long the person of the story takes to decide, in seconds. */
const THINKING = 1.8;

/** Rejects with a StoryError when a step does not give what it should. */
export async function playStory(parts: SceneParts, options: StoryOptions): Promise<void> {
  const scene = new Scene(parts);
  await reads(scene, parts);
  await guesses(scene);
  await drops(scene);
  await changes(scene, options);
  await goesOn(scene);
  await parts.agent.close();
  await audit(scene, options.fast);
  scene.nothingLeaked();
}

async function reads(scene: Scene, { customers }: SceneParts): Promise<void> {
  const { stage } = scene;
  await stage.step(
    'The agent reads customers.',
    'It gets rows, with the protected values masked on their way.',
  );
  const lines = await scene.asks(READING);
  expect(lines, /\[redacted\]/u, 'masked e-mails');
  expect(lines, /\*\*\*\*\d{4}/u, 'cards with their last four digits only');
  expect(lines, /^\(4 rows\)$/u, 'four rows');
  const first = customers.find(({ country }) => country === 'NO');
  if (first !== undefined)
    stage.note(`In the database, row ${first.id} has ${first.email} and ${first.card}.`);
  await stage.pause(1);
}

async function guesses(scene: Scene): Promise<void> {
  const { stage } = scene;
  await stage.step(
    'It tries to guess a card digit by digit.',
    'A filter on a masked column would tell it: refused.',
  );
  const lines = await scene.asks(GUESSING);
  expect(lines, /^ERROR: .*public\.customers\.card/u, 'an error that names the column');
  expect(lines, /^HINT: /u, 'a hint');
  await stage.pause(1);
}

async function drops(scene: Scene): Promise<void> {
  const { stage } = scene;
  await stage.step(
    'It tries to drop a table.',
    'A rule denies it. The error says which, and what to do instead.',
  );
  const lines = await scene.asks(DROPPING);
  expect(lines, /^ERROR: {2}agents drop nothing$/u, "the rule's message");
  expect(lines, /^DETAIL: .*no-drops/u, "the rule's name");
  expect(lines, /^HINT: .*Rename/u, "the rule's hint");
  await scene.database('select count(*)::int as count from customers', 'count', 2_000);
  await stage.pause(1);
}

async function changes(scene: Scene, { interactive }: StoryOptions): Promise<void> {
  const { stage } = scene;
  await stage.step(
    'It changes the schema.',
    'A rule holds this for the group dba. The statement waits in the open connection.',
  );
  let name: (found: string) => void = () => undefined;
  const named = new Promise<string>((done) => (name = done));
  const answer = scene.asks(CHANGING, (line) => {
    const found = /waiting for approval (\S+)/u.exec(line)?.[1];
    if (found !== undefined) name(found);
  });
  // Reported below, once there is an approval to decide.
  answer.catch(() => undefined);
  const approval = await Promise.race([named, answer.then(noHold)]);
  if (interactive) askPerson(scene, approval);
  else await approve(scene, approval);
  const lines = await answer;
  if (interactive && lines.some((line) => line.startsWith('ERROR:'))) {
    stage.note('It was not approved: the agent was told so, and the table is as it was.');
    await hasColumn(scene, 0);
    return;
  }
  expect(lines, /^ALTER TABLE$/u, 'the altered table');
  // A person may have approved another text.
  if (!interactive) await hasColumn(scene, 1);
  await stage.pause(1);
}

function noHold(lines: readonly string[]): never {
  throw new StoryError(`the statement was not held:\n${lines.join('\n')}`);
}

function askPerson({ stage, state }: Scene, approval: string): void {
  stage.line();
  stage.line('   It waits for you. In another terminal, look at it and decide:');
  for (const verb of ['show', 'approve', 'deny']) {
    const command = [process.execPath, programPath(), 'approvals', verb, approval, '--state', state];
    stage.line(`     ${command.map(quoted).join(' ')}`);
  }
  stage.line();
}

function quoted(word: string): string {
  return /^[\w./-]+$/u.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

async function approve(scene: Scene, approval: string): Promise<void> {
  await scene.stage.pause(0.5);
  const { lines } = await scene.runs('approver', ['approvals', 'list']);
  expect(lines, new RegExp(`^${approval} `, 'u'), 'the approval in the list');
  await scene.stage.pause(THINKING);
  const decision = ['approvals', 'approve', approval, '--reason', 'planned in CHG-212'];
  const { code } = await scene.runs('approver', decision);
  if (code !== 0) throw new StoryError('the approval was not accepted');
}

async function hasColumn(scene: Scene, count: number): Promise<void> {
  const text = `select count(*)::int as count from information_schema.columns where table_name = 'orders' and column_name = 'shipped_at'`;
  await scene.database(text, 'count', count);
}

async function goesOn(scene: Scene): Promise<void> {
  const { stage } = scene;
  await stage.step('The agent goes on working.', 'Same session, same tool; this one a rule allows.');
  const lines = await scene.asks(WORKING);
  expect(lines, /^UPDATE 1$/u, 'one updated row');
  await scene.database('select status from orders where id = 17', 'status', 'shipped');
  await stage.pause(1);
}
