/**
 * Non-interference (THREATS.md, masked columns): two databases that differ in protected values only give a client the same
 * bytes, the same recording and the same approvals, whatever it sends. By hand, and at random: `SIDEWARDEN_SEED` repeats a
 * run, `FUZZ_SECONDS` makes it longer.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { bundlePath } from '../bundle.ts';
import { ALONE, ATTACKS, type Attack } from './mask-attacks.ts';
import { recordingsClosed } from '../recordings-closed.ts';
import { SqlGenerator } from './sql-generator.ts';
import { PROTECTED } from './twin-schema.ts';
import {
  describeDifference,
  forgetStatistics,
  Pair,
  type Script,
  startTwins,
  stopTwins,
  type Twins,
} from './twins.ts';

const run = promisify(execFile);
const masks = [{ columns: PROTECTED, with: 'Redact' }];
const HOLD = { name: 'held', when: 'sql.text.contains("held")', action: 'Hold' } as const;
const ALLOW = { name: 'all', when: 'true', action: 'Allow' } as const;

// The same in each run of CI; `make fuzz` tries others.
const anySeed = process.env['FUZZ_TIMES'] === undefined ? 20_261_121 : Date.now() % 1_000_000;
const seed = Number(process.env['SIDEWARDEN_SEED'] ?? anySeed);
const seconds = Number(process.env['FUZZ_SECONDS'] ?? 10 * Number(process.env['FUZZ_TIMES'] ?? 1));

// An array of steps is no step.
const scriptOf = (attack: Attack, alone = false): Script => ({
  steps: Array.isArray(attack) ? (attack as Script['steps']) : [attack as Script['steps'][number]],
  alone,
});

describe('non-interference', () => {
  let twins: Twins;
  let pair: Pair;
  const differences: string[] = [];

  async function tell(scripts: Iterable<Script>): Promise<number> {
    let answered = 0;
    for (const script of scripts) {
      const found = await pair.run(script);
      if (pair.answered) answered += 1;
      if (found) differences.push(`${JSON.stringify(script.steps)}\n${describeDifference(found)}`);
    }
    return answered;
  }

  before(async () => {
    const hold = { ...HOLD, hold: { approvers: { groups: ['dba'] }, timeout: '1s' } };
    twins = await startTwins([{ masks }, { name: 'held-db', masks, rules: [hold, ALLOW] }]);
    pair = new Pair(twins);
  });
  after(async () => {
    pair.close();
    await stopTwins(twins);
  });

  function nothingFound(): void {
    const found = differences.splice(0);
    assert.equal(found.length, 0, `${found.length} told something:\n${found.slice(0, 20).join('\n')}`);
  }

  for (const [kind, attacks] of ATTACKS) {
    test(`${attacks.length} × ${kind}`, async () => {
      await tell(attacks.map((attack) => scriptOf(attack)));
      nothingFound();
    });
  }

  test(`${ALONE.length} × transactions of their own`, async () => {
    await tell(ALONE.map((attack) => scriptOf(attack, true)));
    nothingFound();
  });

  test(`at random, seed ${seed}`, async (context) => {
    await forgetStatistics(twins);
    const generator = new SqlGenerator(seed);
    const until = performance.now() + seconds * 1000;
    let [tried, answered] = [0, 0];
    while ((performance.now() < until || tried < 100) && differences.length < 10) {
      answered += await tell([scriptOf(generator.next())]);
      tried += 1;
    }
    context.diagnostic(`${tried} scripts, ${answered} answered, seed ${seed}`);
    nothingFound();
    assert.ok(answered > tried / 20, `only ${answered} of ${tried} random scripts were answered at all`);
  });

  test('recordings and approvals', async () => {
    pair.close();
    const held = new Pair(twins, 'held-db');
    for (const text of HELD) {
      const found = await held.run({ steps: [text] });
      if (found) differences.push(describeDifference(found));
    }
    held.close();
    nothingFound();
    const [left, right] = await Promise.all(twins.map(({ sidewarden }) => told(sidewarden.state)));
    assert.ok((left?.length ?? 0) > 2 * HELD.length, 'too little was recorded');
    assert.equal(left?.length, right?.length);
    for (const [at, line] of left?.entries() ?? []) assert.equal(line, right?.[at]);
  });
});

/** Statements that are recorded with their rows; those that are held, with evidence. */
const HELD = [
  'SELECT * FROM customers ORDER BY id',
  'SELECT id, card, loc, tags FROM customers ORDER BY id',
  'COPY customers TO STDOUT',
  'UPDATE customers SET name = NULL WHERE id = 1',
  "SELECT id FROM customers WHERE card = 'x'",
  'SELECT id, card FROM customers WHERE id = 3 /* held */',
  'SELECT name FROM customers /* held */',
  "UPDATE orders SET item = 'held' WHERE id < 5",
  "DELETE FROM log WHERE line = 'held'",
];

/** What was recorded of the sessions on `held-db`, and the approvals, but for names, times and keys. */
async function told(state: string): Promise<readonly string[]> {
  await recordingsClosed(state);
  const list = await cli('recordings', 'list', '--state', state, '--json');
  // Its shape is the command's documented one.
  const sessions = JSON.parse(list) as readonly { session: string; connection: { name: string } }[];
  const lines: string[] = [];
  for (const { session, connection } of sessions) {
    if (connection.name !== 'held-db') continue;
    const text = await cli('recordings', 'export', session, '--state', state, '--format', 'jsonl');
    lines.push(...text.split('\n').map(anonymous));
  }
  const folder = join(state, 'approvals');
  const approvals = await Promise.all(
    (await readdir(folder)).map((name) => readFile(join(folder, name), 'utf8')),
  );
  return [...lines, ...approvals.map(anonymous).sort()];
}

async function cli(...args: readonly string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [bundlePath, ...args], { maxBuffer: 64 << 20 });
  return stdout;
}

function anonymous(text: string): string {
  return text
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replaceAll(/\b\d{8}t\d{6}z-[0-9a-f]{32}\b/g, 'SESSION')
    .replaceAll(/\bheld-db-[0-9a-z]{6}\b/g, 'APPROVAL')
    .replaceAll(/\b127\.0\.0\.1:\d+\b/g, 'ADDRESS')
    .replaceAll(/"(digest|hash|prev|publicKey|process|port|server)":\s*("[^"]*"|\d+)/g, '"$1":"X"')
    .replaceAll(/"(at|took|ms|micros|duration|elapsed|uid)":\s*("[^"]*"|[\d.]+)/g, '"$1":"X"');
}
