/**
 * Runs all tests, or those whose path contains one of the arguments. Prints failures as they come, then what was skipped and
 * why, the slowest files, and the counts. Exit code 1 when a test failed or none ran.
 */
import { globSync } from 'node:fs';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { styleText } from 'node:util';

const wanted = process.argv.slice(2);
const files = globSync('{crds,sidecar,operator,cli,e2e,bench}/**/*.test.ts')
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();

interface Result {
  readonly file: string;
  readonly name: string;
  readonly reason: string;
}

const failed: Result[] = [];
const skipped: Result[] = [];
const seconds = new Map<string, number>();
let passed = 0;
const began = performance.now();

function say(style: 'green' | 'red' | 'yellow' | 'dim', text: string): void {
  process.stdout.write(`${styleText(style, text, { stream: process.stdout })}\n`);
}

const short = (file: string | undefined) => (file ?? '').replace(`${process.cwd()}/`, '');

/** Reports to the lists above. */
async function runFiles(files: readonly string[], concurrency: number, minutes = 15): Promise<void> {
  if (files.length === 0) return;
  const stream = run({ files: [...files], concurrency, isolation: 'process', timeout: minutes * 60_000 });
  stream.on('test:pass', (event) => {
    const file = short(event.file);
    if (event.skip !== undefined) skipped.push({ file, name: event.name, reason: String(event.skip) });
    else if (event.details.type !== 'suite') passed += 1;
  });
  stream.on('test:fail', (event) => {
    const { cause, message } = event.details.error;
    const reason = cause instanceof Error ? (cause.stack ?? cause.message) : message;
    // A parent fails because of its children, which have told why.
    if (/subtests? failed/.test(message)) return;
    const file = short(event.file);
    failed.push({ file, name: event.name, reason });
    say('red', `✗ ${file}: ${event.name}`);
    process.stdout.write(`${reason.replaceAll(/^/gm, '    ')}\n`);
  });
  stream.on('test:stderr', ({ file, message }) => {
    if (/ExperimentalWarning|--trace-warnings/.test(message)) return;
    process.stdout.write(`${short(file)}: ${message}`);
  });
  stream.on('test:complete', (event) => {
    if (event.nesting === 0)
      seconds.set(
        short(event.file),
        (seconds.get(short(event.file)) ?? 0) + event.details.duration_ms / 1000,
      );
  });
  await finished(stream.resume());
}

// Two processes at once: the machine that this must pass on has two cores, and most tests wait for a server. Each story starts a whole
// cluster, and goes on alone.
const isStory = (file: string): boolean => file.startsWith('e2e/story/');
await runFiles(
  files.filter((file) => !isStory(file)),
  2,
);
await runFiles(files.filter(isStory), 1, 30);

if (skipped.length > 0) {
  say('yellow', `\nskipped, with the reason:`);
  for (const { file, name, reason } of skipped) process.stdout.write(`  ${file}: ${name}: ${reason}\n`);
}
const slowest = [...seconds].sort(([, one], [, other]) => other - one).slice(0, 12);
say('dim', '\nwhere the time went:');
for (const [file, took] of slowest) say('dim', `  ${took.toFixed(1).padStart(6)} s  ${file}`);
say('dim', `  ${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  all, on the clock`);
if (failed.length > 0) {
  say('red', '\nfailed:');
  // With the reasons once more: of a long log often only the end is kept.
  for (const { file, name, reason } of failed) {
    const beginning = reason.split('\n').slice(0, 25).join('\n').slice(0, 3000);
    process.stdout.write(`  ${file}: ${name}\n${beginning.replaceAll(/^/gm, '      ')}\n`);
  }
}
say(
  failed.length > 0 ? 'red' : 'green',
  `\n${passed} passed, ${failed.length} failed, ${skipped.length} skipped`,
);
if (failed.length > 0 || passed === 0) process.exitCode = 1;
