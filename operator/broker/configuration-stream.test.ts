import assert from 'node:assert/strict';
import { createServer, get, type IncomingMessage } from 'node:http';
import { test } from 'node:test';
import type { AddressInfo } from 'node:net';
import type { BrokerEvent } from '../../sidecar/broker/protocol.ts';
import { Cache } from '../kube/store.ts';
import pino from 'pino';
import { ConfigurationStream } from './configuration-stream.ts';
import { Materials } from './materials.ts';
import { PolicyBook } from './policy-book.ts';
import type { Run } from './run.ts';

const cache = new Cache(pino({ level: 'silent' }));
const metadata = {
  name: 'run',
  namespace: 'agents',
  uid: 'u',
  resourceVersion: '1',
  creationTimestamp: 'now',
};
const run: Run = {
  pod: { apiVersion: 'v1', kind: 'Pod', metadata },
  identity: {
    issuer: 'sidewarden:serviceAccount',
    subject: 's',
    username: 's',
    groups: [],
    claims: {},
    serviceAccount: 'agents/s',
    pod: 'agents/run',
  },
  connections: [{ namespace: 'access', name: 'none' }],
  ended: false,
};

test('a client that reads nothing is dropped before much waits for it', { timeout: 120_000 }, async () => {
  let tell: (event: BrokerEvent) => void = () => undefined;
  let stopped = 0;
  const begun = Promise.withResolvers<undefined>();
  const dropped = Promise.withResolvers<undefined>();
  const server = createServer((_request, response) => {
    const stream = new ConfigurationStream({
      response,
      run,
      current: () => Promise.resolve(run),
      sources: {
        stores: { connections: cache, namespaces: cache },
        policies: new PolicyBook(cache),
        materials: new Materials({ get: () => Promise.resolve(undefined) }, () => undefined),
        ended: () => undefined,
      },
      subscribe: () => () => void (stopped += 1),
      decisions: (listener) => {
        tell = listener;
        return () => void (stopped += 1);
      },
      refused: () => undefined,
    });
    response.on('close', () => dropped.resolve(undefined));
    void stream.start().then(() => begun.resolve(undefined));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  // A server that listens on a port has an AddressInfo, says Node's documentation.
  const { port } = server.address() as AddressInfo;
  const response = await new Promise<IncomingMessage>((done) => {
    get({ host: '127.0.0.1', port, agent: false }, (answer) => done(answer.pause()));
  });
  response.on('error', () => undefined);
  await begun.promise;
  const by = [{ username: 'alice', uid: '1' }];
  const outcome = {
    kind: 'modified',
    text: 'x'.repeat(262_144),
    by,
    at: '2026-01-01T00:00:00Z',
    reason: '',
  } as const;
  for (let count = 0; count < 400; count += 1)
    tell({ kind: 'decision', approval: 'a', connection: 'access/none', outcome: { ...outcome, by } });
  await dropped.promise;
  assert.equal(stopped, 2);
  response.destroy();
  await new Promise((done) => server.close(done));
});
