import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { redirect, redirectRules, type Redirect } from './redirect.ts';

const run = promisify(execFile);
const to = (listen: number, port: number, host: string, ...addresses: string[]): Redirect => ({
  listen,
  port,
  host,
  addresses,
});

test('by port alone, where only one target has it; the sidecar and loopback are left alone', () => {
  const { ipv4, ipv6 } = redirectRules(64937, [to(15432, 5432, 'a')]);
  assert.deepEqual(ipv4.split('\n'), [
    '*nat',
    ':SIDEWARDEN - [0:0]',
    '-A OUTPUT -p tcp -j SIDEWARDEN',
    '-A SIDEWARDEN -m owner --uid-owner 64937 -j RETURN',
    '-A SIDEWARDEN -d 127.0.0.0/8 -j RETURN',
    '-A SIDEWARDEN -p tcp --dport 5432 -j REDIRECT --to-ports 15432',
    'COMMIT',
    '',
  ]);
  assert.match(ipv6, /-d ::1\/128 -j RETURN/u);
});

test('by address too where a port is shared, or not at all', () => {
  const { ipv4, ipv6 } = redirectRules(1, [
    to(1, 5432, 'a', '10.0.0.1', '2001:db8::1'),
    to(2, 5432, 'b', '10.0.0.2'),
    to(3, 5433, 'c'),
  ]);
  assert.match(
    ipv4,
    /-d 10.0.0.1 -p tcp --dport 5432 -j REDIRECT --to-ports 1\n-A SIDEWARDEN -d 10.0.0.2 .* 2\n-A SIDEWARDEN -p tcp --dport 5433/u,
  );
  assert.match(ipv6, /-d 2001:db8::1 -p tcp --dport 5432/u);
  assert.doesNotMatch(ipv6, /10\.0/u);
  assert.throws(
    () => redirectRules(1, [to(1, 5432, 'a', '10.0.0.1'), to(2, 5432, 'b', '10.0.0.1')]),
    /are both 10.0.0.1/u,
  );
  assert.throws(
    () => redirectRules(1, [to(1, 5432, 'a', '10.0.0.1'), to(2, 5432, 'b')]),
    /b has no address/u,
  );
});

test('arguments that are none', async () => {
  for (const args of [
    [],
    ['1'],
    ['x', '1=a:1'],
    ['1', '0=a:1'],
    ['1', '1=a:70000'],
    ['1', '1=a b:2'],
    ['1', '1=-j ACCEPT:2'],
    ['1', '1=a'],
  ]) {
    await assert.rejects(redirect(args), /LISTEN=HOST:PORT/u, args.join(' '));
  }
});

/** Runs in a network namespace of its own: a listener as the sidecar, then connections by two users to addresses that nobody has. */
const script = (program: string) => `
set -e
ip link set lo up
ip addr add 10.9.9.1/24 dev lo
ip -6 addr add fd09::1/64 dev lo 2>/dev/null || true
ip route add default dev lo
ip -6 route add default dev lo 2>/dev/null || true
node -e '
const { redirect } = await import(${JSON.stringify(program)});
await redirect(["64937", "15432=db.internal:5432"]);
const net = await import("node:net");
const listen = (host) => new Promise((done) => {
  const server = net.createServer((socket) => socket.end("sidecar"));
  server.once("error", () => done(undefined)).listen(15432, host, () => done(server));
});
const servers = [await listen("127.0.0.1"), await listen("::1")];
const ask = (host, timeout = 60_000) => new Promise((done) => {
  const socket = net.connect({ host, port: 5432, timeout });
  let text = "";
  socket.on("data", (data) => { text += data; }).on("close", () => done(text)).on("error", () => done("none")).on("timeout", () => { done("none"); socket.destroy(); });
});
const answers = { ipv4: await ask("198.51.100.7"), loopback: await ask("127.0.0.1") };
if (servers[1]) answers.ipv6 = await ask("2001:db8::7");
process.seteuid(64937);
answers.sidecar = await ask("198.51.100.7", 1_000);
console.log(JSON.stringify(answers));
process.exit(0);
'`;

async function unavailable(): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'needs root, for a network namespace';
  try {
    await run('unshare', [
      '--net',
      'sh',
      '-c',
      'ip link set lo up && iptables-restore --version && ip6tables-restore --version',
    ]);
    return false;
  } catch {
    return 'needs unshare, ip and iptables';
  }
}

test(
  'real rules lead the agent to the sidecar, and let the sidecar out',
  { skip: await unavailable() },
  async () => {
    const { stdout } = await run('unshare', [
      '--net',
      'sh',
      '-c',
      script(join(import.meta.dirname, 'redirect.ts')),
    ]);
    const answers: unknown = JSON.parse(stdout.trim());
    assert.ok(typeof answers === 'object' && answers !== null);
    // Printed by the script above.
    const { ipv6 = 'sidecar', ...rest } = answers as Record<string, string>;
    assert.deepEqual(
      { ...rest, ipv6 },
      { ipv4: 'sidecar', loopback: 'none', sidecar: 'none', ipv6: 'sidecar' },
    );
  },
);
