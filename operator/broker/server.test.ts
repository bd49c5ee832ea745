import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import pino from 'pino';
import { TestObjects } from '../../e2e/test-recordings.ts';
import { bundleOf, LIFETIMES, renewed } from '../admission/material.ts';
import type { Kube } from '../kube/kube.ts';
import { startBroker, type BrokerOptions, type BrokerServer } from './server.ts';

const HOST = 'sidewarden.sidewarden.svc';
/** As many as a node's pods may have, should they come from its one address. */
const EACH = 256;

let broker: BrokerServer;
let bundle: string;

before(async () => {
  const material = await renewed(undefined, [HOST], Date.now(), LIFETIMES);
  bundle = bundleOf(material);
  const never = () => Promise.reject(new Error('nobody gets so far'));
  const serving = { ...material.serving, bundle };
  broker = await startBroker({
    kube: {
      stores: new TestObjects().stores,
      tokenReview: () => Promise.resolve(undefined),
    } as unknown as Kube,
    certificates: { current: () => serving, watch: () => () => undefined, close: () => Promise.resolve() },
    approvals: { ask: never, end: never, lost: never, outcomes: () => () => undefined },
    recordings: {} as BrokerOptions['recordings'],
    provisioner: () => undefined,
    log: pino({ level: 'silent' }),
    port: 0,
    address: '127.0.0.1',
  });
});
after(() => broker.close());

async function idle(localAddress: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: broker.port, localAddress }).resume();
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** The status, or the code of what went wrong. */
function asked(localAddress: string): Promise<number | string> {
  return new Promise((resolve) => {
    const sent = request(
      {
        ...{ host: '127.0.0.1', port: broker.port, localAddress, path: '/v1/sessions', method: 'POST' },
        ...{ ca: bundle, servername: HOST, agent: false },
      },
      (answer) => resolve(answer.resume().statusCode ?? 0),
    );
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message)).end();
  });
}

test('one address has its share of connections, and others are served', async () => {
  const open = await Promise.all(Array.from({ length: EACH }, () => idle('127.0.0.2')));
  const more = await Promise.all(Array.from({ length: 50 }, () => idle('127.0.0.2')));
  for (const socket of more) if (!socket.closed) await once(socket, 'close');
  // Not because they were silent for too long, or the first ones were closed before.
  assert.ok(open.every((socket) => !socket.closed));
  assert.equal(await asked('127.0.0.3'), 401);
  const [first] = open;
  assert.ok(first);
  first.destroy();
  // When the broker has seen that it is gone.
  while ((await asked('127.0.0.2')) !== 401);
  for (const socket of open) socket.destroy();
});
