/**
 * One `serve` a state folder: a second would seal the first one's recordings and void its approvals. The lock is a socket
 * in the folder, since the kernel lets go of it however its process ends, and tells across containers whether anybody
 * listens.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, constants, linkSync, lstatSync, openSync, renameSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const LOCK = 'serve.lock';
const ROUNDS = 5;
/** Longer than others take between looking at a lock that was left and putting theirs in its place. */
const SETTLE_MS = 50;

export class StateInUse extends Error {
  readonly code = 'state-in-use';
}

export interface StateLock {
  release(): void;
}

/** Throws `StateInUse` when another process has it; other errors when the folder cannot hold a socket. */
export async function lockState(state: string): Promise<StateLock> {
  const own = join(state, `.lock-${randomBytes(6).toString('hex')}`);
  const server = await listen(state, own);
  try {
    await take(state, own);
  } catch (error) {
    server.close();
    throw error;
  } finally {
    rmSync(own, { force: true });
  }
  const path = join(state, LOCK);
  const inode = lstatSync(path).ino;
  return {
    release() {
      if (lstatSync(path, { throwIfNoEntry: false })?.ino === inode) rmSync(path, { force: true });
      server.close();
    },
  };
}

/** The path of a socket has room for a hundred bytes: it goes by the folder's descriptor where there is such a thing. */
async function listen(state: string, own: string): Promise<Server> {
  const server = createServer((other) => other.destroy());
  const folder = openSync(state, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await new Promise<void>((done, fail) => {
      server.once('error', fail);
      server.listen(reach(folder, own), done);
    });
  } finally {
    closeSync(folder);
  }
  server.unref();
  chmodSync(own, 0o600);
  return server;
}

function reach(folder: number, path: string): string {
  return process.platform === 'linux'
    ? `/proc/self/fd/${folder}/${path.slice(path.lastIndexOf('/') + 1)}`
    : path;
}

async function take(state: string, own: string): Promise<void> {
  const path = join(state, LOCK);
  for (let round = 0; round < ROUNDS; round++) {
    if (linked(own, path)) {
      if (round === 0) return;
      // Another start may have taken this one for the lock that was left, and puts it back when it sees its mistake.
      await sleep(SETTLE_MS);
      if (lstatSync(path, { throwIfNoEntry: false })?.ino === lstatSync(own).ino) return;
    } else if (await listens(state, LOCK)) break;
    else await removeDead(state, path);
  }
  throw new StateInUse(
    `another \`sidewarden serve\` uses the state folder ${state}: stop it, or give this one a folder of its own with --state`,
  );
}

/** Out of the way first, and looked at again there: what came in its place meanwhile is put back. */
async function removeDead(state: string, path: string): Promise<void> {
  const aside = `.lock-${randomBytes(6).toString('hex')}`;
  try {
    renameSync(path, join(state, aside));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  if (await listens(state, aside)) linked(join(state, aside), path);
  rmSync(join(state, aside), { force: true });
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Whether a process has the socket. What cannot be told counts as one. */
function listens(state: string, name: string): Promise<boolean> {
  const folder = openSync(state, constants.O_RDONLY | constants.O_DIRECTORY);
  return new Promise<boolean>((done) => {
    const socket = connect(reach(folder, join(state, name)));
    socket.once('connect', () => done(true));
    socket.once('error', (error) => done(!['ECONNREFUSED', 'ENOENT', 'ENOTSOCK'].includes(codeOf(error))));
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.destroy());
  }).finally(() => closeSync(folder));
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
