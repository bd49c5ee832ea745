/**
 * Random message scripts, to the server itself and through Sidewarden: under a policy that allows all, a client gets the same
 * messages. Where texts are denied, it gets what the server says to texts that it cannot read: the same messages but for the
 * error's words. `WIRE_SEEDS=1000-2000` tries others than the usual ones.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Frontend } from './frontend.ts';
import { END, SCHEMA, STATEMENTS, type Sent, pick, script, seeded } from './scripts.ts';
import { type SideBySide, startSideBySide } from './side-by-side.ts';
import { transcript } from './transcript.ts';

const [from = 1, to = 200] = (process.env['WIRE_SEEDS'] ?? '1-200').split('-').map(Number);
const ROUNDS = 4;

/** First lines in which the two may differ, after which they are not compared. */
const KNOWN: readonly { readonly why: string; readonly direct: RegExp; readonly proxied: RegExp }[] = [
  {
    why: 'a portal is not executed again once path or role are others',
    direct: /cannot be run|^C |^s |portal ".*" does not exist/,
    proxied: /^E ERROR \| 42501 \| what the statement runs under has changed/,
  },
  {
    why: 'a query of ours within a batch makes it a transaction, as any second statement does',
    direct: /can only be used in transaction blocks/,
    proxied: /^C DECLARE CURSOR/,
  },
];

/** In one piece, message by message, or in pieces that end anywhere. */
async function send(
  client: Frontend,
  sent: readonly Sent[],
  manner: 'whole' | 'messages' | 'pieces',
): Promise<void> {
  const bytes = Buffer.concat(sent.map((one) => one.bytes));
  switch (manner) {
    case 'whole':
      client.send(bytes);
      return;
    case 'messages':
      for (const one of sent) {
        client.send(one.bytes);
        if (/^[SQ]/.test(one.label)) await new Promise((done) => setTimeout(done, 2));
      }
      return;
    case 'pieces':
      for (let at = 0; at < bytes.length; at += 7) {
        client.send(bytes.subarray(at, at + 7));
        if (at % 70 === 0) await new Promise((done) => setImmediate(done));
      }
  }
}

function compare(direct: readonly string[], proxied: readonly string[], context: () => string): boolean {
  const at = direct.findIndex((line, index) => line !== proxied[index]);
  if (at < 0 && direct.length === proxied.length) return true;
  const [one = '', other = ''] = at < 0 ? [] : [direct[at], proxied[at]];
  if (KNOWN.some((known) => known.direct.test(one) && known.proxied.test(other))) return false;
  assert.deepEqual(proxied, direct, context());
  return true;
}

interface Kind {
  readonly direct: readonly string[];
  readonly proxied: readonly string[];
  readonly normal: (lines: readonly string[]) => readonly string[];
}

async function runSeed(sides: SideBySide, seed: number, kind: Kind): Promise<void> {
  await sides.reset();
  const [direct, proxied] = await Promise.all([sides.direct(), sides.proxied()]);
  try {
    const [one, other] = [seeded(seed), seeded(seed)];
    for (let round = 0; round < ROUNDS && !direct.closed; round++) {
      const steps = 1 + one(8);
      other(8);
      const toServer = [...script(one, steps, kind.direct), ...END];
      const toWarden = [...script(other, steps, kind.proxied), ...END];
      const manner = pick(one, ['whole', 'messages', 'pieces'] as const);
      other(3);
      const answers = await Promise.all([
        send(direct, toServer, manner).then(() => transcript(direct)),
        send(proxied, toWarden, manner).then(() => transcript(proxied)),
      ]);
      const context = () =>
        `seed ${seed}, round ${round}, sent as ${manner}:\n${toWarden.map(({ label }) => label).join('\n')}`;
      if (!compare(kind.normal(answers[0]), kind.normal(answers[1]), context)) return;
    }
  } finally {
    direct.close();
    proxied.close();
  }
}

async function runSeeds(sides: SideBySide, kind: Kind): Promise<void> {
  for (let seed = from; seed <= to; seed++) {
    try {
      await runSeed(sides, seed, kind);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    }
  }
}

describe('message scripts, directly and through Sidewarden', () => {
  let sides: SideBySide;
  before(async () => {
    sides = await startSideBySide(SCHEMA, [
      { name: 'all', when: 'true', action: 'Allow' },
      { name: 'no-truncate', when: 'sql.verb.startsWith("TRUNCATE")', action: 'Deny' },
    ]);
  });
  after(async () => {
    await sides.stop();
  });

  it('are answered alike when all is allowed', async () => {
    await runSeeds(sides, { direct: STATEMENTS, proxied: STATEMENTS, normal: (lines) => lines });
  });

  it('are answered alike when what is denied is what the server cannot read', async () => {
    // A third of all texts.
    const texts = STATEMENTS.filter((sql) => !/^SELEC |\+$/.test(sql));
    const refused = texts.length / 2;
    const kind: Kind = {
      direct: [...texts, ...Array.from({ length: refused }, () => 'TRUNCAT items')],
      proxied: [...texts, ...Array.from({ length: refused }, () => 'TRUNCATE items')],
      normal: (lines) =>
        lines.map((line) =>
          /^E ERROR \| (?:42601 \| syntax error at or near "TRUNCAT"|42501 \| )/.test(line)
            ? 'E refused'
            : line,
        ),
    };
    await runSeeds(sides, kind);
  });
});
