/** The agent's ordinary client: psql where there is one, else node-postgres. It knows an address and no credential. */
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import type { FieldDef, QueryArrayResult } from 'pg';
import { loadDriver } from './driver.ts';
import { DATABASE } from './shop.ts';

const run = promisify(execFile);

export const CLIENTS = ['psql', 'node-postgres'] as const;
export type ClientName = (typeof CLIENTS)[number];

export interface Agent {
  /** One statement; resolves when it is answered. Lines come as they would on its screen. */
  run(statement: string, onLine: (line: string) => void): Promise<void>;
  close(): Promise<void>;
}

/** Variables that would change what psql prints, or send what no part of this demo is. */
const UNSET = ['PGOPTIONS', 'PGTZ', 'PGDATESTYLE', 'PGSERVICE', 'PGPASSWORD', 'PGCLIENTENCODING', 'PGGEQO'];
const ENVIRONMENT = [...UNSET.flatMap((name) => ['-u', name]), 'LC_ALL=C.UTF-8'];

export async function hasPsql(): Promise<boolean> {
  try {
    const { stdout } = await run('psql', ['--version']);
    // `\warn`, which the demo ends each answer with, came with 13.
    return Number(/\d+/u.exec(stdout)?.[0] ?? 0) >= 13;
  } catch {
    return false;
  }
}

export function openAgent(client: ClientName, port: number): Promise<Agent> {
  return client === 'psql' ? Promise.resolve(openPsql(port)) : openDriver(port);
}

function openPsql(port: number): Agent {
  const target = `host=127.0.0.1 port=${port} user=agent dbname=${DATABASE} sslmode=prefer application_name=psql`;
  // One pipe for both streams, so that they keep their order.
  const shell = ['sh', '-c', 'exec psql "$@" 2>&1', 'psql', '-X', '-P', 'pager=off', target];
  const child = spawn('env', [...ENVIRONMENT, ...shell], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((done) => child.once('close', () => done()));
  let onLine: (line: string) => void = () => undefined;
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
  // It may end by itself; what waits for its answer is told by `ended`.
  child.stdin.on('error', () => undefined);
  let count = 0;
  return {
    run: async (statement, tell) => {
      count += 1;
      const end = `-- answer ${count} ends --`;
      const answered = new Promise<void>((done) => {
        onLine = (line) => {
          if (line === end) done();
          else tell(line);
        };
      });
      child.stdin.write(`${statement}\n\\warn ${end}\n`);
      const outcome = await Promise.race([answered.then(() => 'answered'), ended.then(() => 'ended')]);
      if (outcome === 'ended') throw new Error('psql ended before its statement was answered');
    },
    close: async () => {
      child.stdin.end('\\q\n');
      const timer = setTimeout(() => child.kill('SIGKILL'), 2_000);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Prints as psql does. */
async function openDriver(port: number): Promise<Agent> {
  const { Client } = loadDriver();
  const config = {
    host: '127.0.0.1',
    port,
    user: 'agent',
    database: DATABASE,
    application_name: 'node-postgres',
  };
  const client = new Client(config);
  let onLine: (line: string) => void = () => undefined;
  // An ended connection is told by the statement that waits on it.
  client.on('error', () => undefined);
  client.on('notice', (notice) => tellFields(notice, onLine));
  await client.connect();
  const types = { getTypeParser: () => (value: string) => value };
  return {
    run: async (statement, tell) => {
      onLine = tell;
      try {
        const result = await client.query<(string | null)[]>({ text: statement, rowMode: 'array', types });
        if (result.fields.length === 0) tell(tagOf(statement, result));
        else for (const line of table(result.fields, result.rows)) tell(line);
      } catch (error) {
        if (!(error instanceof Error && 'severity' in error)) throw error;
        tellFields(error, tell);
      }
    },
    close: () => client.end(),
  };
}

/** node-postgres keeps only the first word of a command tag. */
function tagOf(statement: string, { command, rowCount }: QueryArrayResult<(string | null)[]>): string {
  if (rowCount !== null) return `${command} ${rowCount}`;
  return statement.split(' ', 2).join(' ');
}

/** Of an error or a notice; node-postgres has the same fields in both. */
function tellFields(fields: object, tell: (line: string) => void): void {
  const field = (name: string) => String(Reflect.get(fields, name) ?? '');
  tell(`${field('severity')}:  ${field('message')}`);
  if (field('detail') !== '') tell(`DETAIL:  ${field('detail')}`);
  if (field('hint') !== '') tell(`HINT:  ${field('hint')}`);
}

function table(fields: readonly FieldDef[], rows: readonly (string | null)[][]): readonly string[] {
  const names = fields.map(({ name }) => name);
  const widths = names.map((name, at) => Math.max(name.length, ...rows.map((row) => (row[at] ?? '').length)));
  const line = (cells: readonly (string | null)[]) =>
    cells.map((cell, at) => ` ${(cell ?? '').padEnd(widths[at] ?? 0)} `).join('|');
  const ruler = widths.map((width) => '-'.repeat(width + 2)).join('+');
  return [line(names), ruler, ...rows.map(line), `(${rows.length} ${rows.length === 1 ? 'row' : 'rows'})`];
}
