/** pgbench: its own tables, and its loads in each of its protocol modes. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Check, Client, Target } from './client.ts';
import { type Output, runTool, toolVersion } from './tool.ts';

async function pgbench({ main }: Target, ...args: string[]): Promise<Output> {
  const output = await runTool('pgbench', args, main);
  assert.equal(output.status, 0, output.stderr);
  return output;
}

function counted({ stdout, stderr }: Output): number {
  const match = /number of transactions actually processed: (\d+)/.exec(stdout);
  const failed = /number of failed transactions: (\d+)/.exec(stdout);
  assert.equal(failed?.[1] ?? '0', '0', stdout + stderr);
  return Number(match?.[1]);
}

const initialise: Check = {
  name: 'pgbench -i with foreign keys',
  run: async (target) => {
    const { stderr } = await pgbench(target, '-i', '-s', '1', '--foreign-keys');
    assert.match(stderr, /done in/);
  },
};

const serverSide: Check = {
  name: 'pgbench -i with data made by the server, and partitions',
  run: async (target) => {
    await pgbench(target, '-i', '-I', 'dtGvp', '--partitions=3', '-s', '1');
    await pgbench(target, '-i', '-s', '1');
  },
};

const modes = ['simple', 'extended', 'prepared'].flatMap((mode): Check[] => [
  {
    name: `TPC-B-like load, ${mode}`,
    run: async (target) => {
      assert.equal(counted(await pgbench(target, '-n', '-M', mode, '-c', '4', '-t', '50')), 200);
    },
  },
  {
    name: `select-only load, ${mode}`,
    run: async (target) => {
      assert.equal(counted(await pgbench(target, '-S', '-n', '-M', mode, '-c', '8', '-t', '200')), 1600);
    },
  },
]);

const pipeline: Check = {
  name: 'pipelines',
  run: async (target) => {
    const directory = await mkdtemp(join(tmpdir(), 'sidewarden-pgbench-'));
    try {
      const script = join(directory, 'script.sql');
      const select = 'select abalance from pgbench_accounts where aid = :aid;\n'.repeat(5);
      await writeFile(script, `\\set aid random(1, 1000)\n\\startpipeline\n${select}\\endpipeline\n`);
      for (const mode of ['extended', 'prepared']) {
        assert.equal(
          counted(await pgbench(target, '-n', '-M', mode, '-f', script, '-c', '2', '-t', '100')),
          200,
        );
      }
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
};

const connecting: Check = {
  name: 'a connection for each transaction',
  run: async (target) => {
    assert.equal(counted(await pgbench(target, '-S', '-n', '-C', '-c', '2', '-t', '20')), 40);
  },
};

const drop: Check = {
  name: 'dropping its tables',
  run: async (target) => {
    await pgbench(target, '-i', '-I', 'd');
  },
};

export const pgbenchClient: Client = {
  name: 'pgbench',
  server: 'current',
  prepare: async () =>
    (await toolVersion('pgbench')) === undefined
      ? { missing: 'no pgbench' }
      : [initialise, ...modes, pipeline, connecting, serverSide, drop],
};
