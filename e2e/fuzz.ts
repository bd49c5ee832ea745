/**
 * Property and fuzz tests for longer than CI has time for: `node e2e/fuzz.ts [TIMES] [PART OF A PATH]...`, by default twenty
 * times as many runs of each. A failure prints the seed and path with which fast-check repeats it.
 */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';

const [first, ...rest] = process.argv.slice(2);
const times = first !== undefined && /^\d+$/.test(first) ? Number(first) : 20;
const wanted = times === Number(first) ? rest : process.argv.slice(2);
const files = globSync('{crds,sidecar,cli,e2e}/**/*.test.ts')
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .filter((file) => /numRuns|FUZZ_|_SEEDS/.test(readFileSync(file, 'utf8')))
  .sort();
console.log(`${files.length} files, ${times} times as many runs`);
const seed = Date.now() % 1_000_000;
const env = {
  ...process.env,
  FUZZ_TIMES: String(times),
  FUZZ_RUNS: String(4_000 * times),
  FUZZ_TIME: String(6_000 * times),
  WIRE_SEEDS: `${seed}-${seed + 250 * times}`,
};
const args = [
  '--import',
  `${import.meta.dirname}/fuzz-longer.ts`,
  '--test',
  '--test-concurrency=2',
  ...files,
];
process.exitCode = spawnSync(process.execPath, args, { env, stdio: 'inherit' }).status ?? 1;
