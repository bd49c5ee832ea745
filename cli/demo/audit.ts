/** The auditor's steps: the recording is verified, replayed, and found out when somebody changes it. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, type Scene, STATE, StoryError } from './scene.ts';
import { tamper } from './tampering.ts';

const COPY = 'copy';
const KEY = join(STATE, 'keys', 'recording.ed25519.pub');

export async function audit(scene: Scene, fast: boolean): Promise<void> {
  await verified(scene);
  await replayed(scene, fast);
  await tamperedWith(scene);
}

async function verified(scene: Scene): Promise<void> {
  await scene.stage.step(
    'An auditor checks the recording.',
    'Every event is chained to the one before, and signed.',
  );
  await closed(scene);
  const { code, lines } = await scene.runs('auditor', ['recordings', 'verify', 'last'], /^clean/u);
  if (code !== 0) throw new StoryError(`the recording is not clean:\n${lines.join('\n')}`);
  await scene.stage.pause(1);
}

/** The session ends a moment after its client. */
async function closed(scene: Scene): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const { lines } = await scene.quietly(['recordings', 'list', '--json', '--state', STATE]);
    if (lines.some((line) => line.includes('"state": "closed"'))) return;
    await sleep(100);
  }
  throw new StoryError('the recording was not closed');
}

async function replayed(scene: Scene, fast: boolean): Promise<void> {
  await scene.stage.step(
    'The auditor replays it.',
    'What the agent typed and saw, after the masks; here sped up.',
  );
  const pace = fast ? ['--speed', '1000'] : ['--speed', '8', '--max-pause', '0.25'];
  const { code, lines } = await scene.runs('auditor', ['recordings', 'replay', 'last', ...pace]);
  if (code !== 0) throw new StoryError('the recording could not be replayed');
  expect(lines, /DROP TABLE customers/u, 'the refused statement in the replay');
  expect(lines, /^-- (Approve|Deny|Modify|Expired)/u, 'the decision in the replay');
  await scene.stage.pause(1);
}

async function tamperedWith(scene: Scene): Promise<void> {
  await scene.stage.step(
    'Somebody edits a copy of it.',
    'One byte: the refused DROP TABLE now reads DROP TABLF.',
  );
  const copy = join(scene.state, '..', COPY);
  const recordings = join(scene.state, 'recordings');
  const event = await tamper(recordings, copy, 'DROP TABLE customers', 'DROP TABLF customers');
  const command = ['recordings', 'verify', 'last', '--recordings', COPY, '--key', KEY];
  const { code, lines } = await scene.runs('auditor', command, /^TAMPERED/u);
  if (code !== 1) throw new StoryError('the changed byte was not found');
  expect(lines, new RegExp(`^TAMPERED.* first wrong event is ${event}:`, 'u'), 'the changed event');
}
