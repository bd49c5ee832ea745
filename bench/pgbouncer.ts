/** PgBouncer in session mode: the plainest proxy that PostgreSQL has, in C, without a look at what passes. */
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, serverUser, type TestPostgres } from '../e2e/postgres.ts';
import type { Contender } from './contender.ts';
import { database, serverLogin } from './database.ts';
import { Wire } from './wire.ts';

export interface Bouncer {
  readonly contender: Contender;
  readonly stop: () => Promise<void>;
}

/** Its own defaults, but for the addresses: clients come without a password, the server asks it for SCRAM. */
function configuration(postgres: TestPostgres, port: number, users: string): string {
  return `[databases]
${database} = host=${postgres.host} port=${postgres.port} dbname=${database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = session
default_pool_size = 40
max_client_conn = 100
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
`;
}

export async function startPgbouncer(program: string, postgres: TestPostgres): Promise<Bouncer> {
  const directory = await mkdtemp(join(tmpdir(), 'sidewarden-pgbouncer-'));
  await chmod(directory, 0o755);
  const port = await freePort();
  const users = join(directory, 'users.txt');
  const file = join(directory, 'pgbouncer.ini');
  await writeFile(users, `"${serverLogin.user}" "${serverLogin.password}"\n`);
  await writeFile(file, configuration(postgres, port, users));
  // It refuses to run as root, like the server.
  const owner = (await serverUser()) ?? {};
  const child = spawn(program, ['-q', file], {
    ...owner,
    cwd: directory,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-20_000)));
  const ended = new Promise<void>((done) => {
    child.once('error', (error) => {
      log += String(error);
      done();
    });
    child.once('close', () => done());
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  const contender: Contender = {
    name: 'PgBouncer',
    host: '127.0.0.1',
    port,
    user: serverLogin.user,
    database,
    pid: child.pid,
  };
  if (!(await answers(contender, () => child.exitCode === null))) {
    await stop();
    throw new Error(`pgbouncer did not start:\n${log}`);
  }
  return { contender, stop };
}

/** Tries for five seconds, as long as the process is there. */
async function answers(contender: Contender, isThere: () => boolean): Promise<boolean> {
  for (let i = 0; i < 100 && isThere(); i++) {
    try {
      (await Wire.connect(contender)).close();
      return true;
    } catch {
      await sleep(50);
    }
  }
  return false;
}
