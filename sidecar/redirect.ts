/**
 * The transparent redirect, set by an init container before the agent starts: what anyone but the sidecar's user sends to a target
 * arrives at the sidecar's listener. By the target's port alone, wherever it goes, since names may resolve to something else by the
 * time the agent asks; only targets that share a port are told apart by their addresses of now. Loopback is left alone.
 * Why so: docs/decisions/redirect.md.
 */
import { spawn } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';

export interface Redirect {
  /** Port of the sidecar's listener, on 127.0.0.1 and ::1. */
  readonly listen: number;
  readonly host: string;
  readonly port: number;
  /** Addresses of `host`; used only when another target has the same port. */
  readonly addresses: readonly string[];
}

export interface RedirectRules {
  /** For `iptables-restore --noflush`. */
  readonly ipv4: string;
  /** For `ip6tables-restore --noflush`. */
  readonly ipv6: string;
}

const CHAIN = 'SIDEWARDEN';

/** Throws an Error when two targets cannot be told apart. */
export function redirectRules(uid: number, redirects: readonly Redirect[]): RedirectRules {
  checkDistinct(redirects);
  return { ipv4: table(uid, redirects, 4), ipv6: table(uid, redirects, 6) };
}

function table(uid: number, redirects: readonly Redirect[], family: 4 | 6): string {
  const loopback = family === 4 ? '127.0.0.0/8' : '::1/128';
  const rules = redirects.flatMap(({ listen, port, addresses }) => {
    const to = `-p tcp --dport ${port} -j REDIRECT --to-ports ${listen}`;
    if (!isShared(redirects, port)) return [`-A ${CHAIN} ${to}`];
    return addresses
      .filter((address) => isIP(address) === family)
      .map((address) => `-A ${CHAIN} -d ${address} ${to}`);
  });
  return [
    '*nat',
    `:${CHAIN} - [0:0]`,
    `-A OUTPUT -p tcp -j ${CHAIN}`,
    `-A ${CHAIN} -m owner --uid-owner ${uid} -j RETURN`,
    `-A ${CHAIN} -d ${loopback} -j RETURN`,
    ...rules,
    'COMMIT',
    '',
  ].join('\n');
}

function isShared(redirects: readonly Redirect[], port: number): boolean {
  return redirects.filter((each) => each.port === port).length > 1;
}

function checkDistinct(redirects: readonly Redirect[]): void {
  const seen = new Map<string, string>();
  for (const { host, port, addresses } of redirects) {
    if (!isShared(redirects, port)) continue;
    if (addresses.length === 0)
      throw new Error(`${host} has no address, and its port ${port} is another target's too`);
    for (const address of addresses) {
      const other = seen.get(`${address} ${port}`);
      if (other !== undefined) throw new Error(`${host} and ${other} are both ${address}, port ${port}`);
      seen.set(`${address} ${port}`, host);
    }
  }
}

const TARGET = /^(\d{1,5})=(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.%-]+):(\d{1,5})$/u;

/** `redirect UID LISTEN=HOST:PORT...`; rejects with an Error that says what could not be done. */
export async function redirect(args: readonly string[]): Promise<void> {
  const [user = '', ...targets] = args;
  if (!/^\d{1,10}$/u.test(user) || targets.length === 0) throw new Error('redirect UID LISTEN=HOST:PORT...');
  const parsed = targets.map(parseTarget);
  const redirects = await Promise.all(
    parsed.map(async (each) => ({
      ...each,
      addresses:
        parsed.filter(({ port }) => port === each.port).length > 1 ? await addressesOf(each.host) : [],
    })),
  );
  const rules = redirectRules(Number(user), redirects);
  await restore('iptables-restore', rules.ipv4);
  if (await hasIpv6()) await restore('ip6tables-restore', rules.ipv6);
}

function parseTarget(text: string): Omit<Redirect, 'addresses'> {
  const [, listen, host = '', port] = TARGET.exec(text) ?? [];
  const ports = [Number(listen), Number(port)];
  if (!ports.every((each) => each >= 1 && each <= 65_535))
    throw new Error(`${JSON.stringify(text)} is no LISTEN=HOST:PORT`);
  return { listen: Number(listen), host: host.replaceAll(/[[\]]/gu, ''), port: Number(port) };
}

async function addressesOf(host: string): Promise<readonly string[]> {
  try {
    const found = await lookup(host, { all: true });
    return [...new Set(found.map(({ address }) => address))];
  } catch (error) {
    throw new Error(`${host} cannot be resolved`, { cause: error });
  }
}

/** Whether the pod has any IPv6 at all; where the kernel has none, its tables are missing too. */
async function hasIpv6(): Promise<boolean> {
  const interfaces = await readFile('/proc/net/if_inet6', 'utf8').catch(() => '');
  return interfaces.trim() !== '';
}

function restore(program: string, rules: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const child = spawn(program, ['--noflush'], { stdio: ['pipe', 'inherit', 'inherit'] });
  child.on('error', (error) => reject(new Error(`${program} cannot be run`, { cause: error })));
  child.on('exit', (code) => {
    if (code === 0) resolve(undefined);
    else reject(new Error(`${program} failed with ${code ?? 'a signal'}`));
  });
  // Its exit says what went wrong.
  child.stdin.on('error', () => undefined);
  child.stdin.end(rules);
  return promise;
}
