/**
 * The program that stands for many sidecars: for each run the sidecar's own client of the broker, its configuration stream, its session.
 * The bench forks it and talks to it in `Order`s and `Told`s.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Agent } from 'node:https';
import { connect } from 'node:net';
import { BrokerClient } from '../../sidecar/broker/client.ts';
import { readNothing } from '../../sidecar/broker/nothing.ts';
import {
  parseApprovalAnswer,
  parseSessionAnswer,
  type ApprovalMessage,
} from '../../sidecar/broker/protocol.ts';
import { LEDGER } from './manifests.ts';

export type Order =
  | { readonly kind: 'broker'; readonly ca: string }
  /** Listens and opens its session. */
  | { readonly kind: 'begin'; readonly run: string; readonly port: number; readonly tokenFile: string }
  | { readonly kind: 'ask'; readonly run: string }
  | { readonly kind: 'report'; readonly run: string; readonly operations: number };

export type Told =
  | { readonly kind: 'done' | 'revoked'; readonly run: string }
  | { readonly kind: 'failed'; readonly run: string; readonly why: string };

const TIMEOUT = 30_000;
/** Connections from each address of this machine's own, one after the other: of one address the broker takes no more than a node's pods have. */
const ADDRESSES = 32;

interface Sidecar {
  readonly client: BrokerClient;
  readonly gone: AbortController;
}

const sidecars = new Map<string, Sidecar>();
let broker: Extract<Order, { kind: 'broker' }> | undefined;

let connections = 0;
// Called with its own agent below.
// eslint-disable-next-line @typescript-eslint/unbound-method
const { createConnection } = Agent.prototype;
Agent.prototype.createConnection = function (this: Agent, options, ...rest) {
  connections += 1;
  const localAddress = `127.0.0.${2 + (connections % ADDRESSES)}`;
  const socket = connect({ host: '127.0.0.1', port: Number(options.port), localAddress });
  return createConnection.call(this, { ...options, socket }, ...rest);
};

function tell(told: Told): void {
  process.send?.(told);
}

async function begin({ run, port, tokenFile }: Extract<Order, { kind: 'begin' }>): Promise<void> {
  if (broker === undefined) throw new Error('no broker yet');
  const client = new BrokerClient({
    url: new URL(`https://localhost:${port}`),
    ca: broker.ca,
    tokenFile,
    resolve: (_host, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
  });
  const gone = new AbortController();
  sidecars.set(run, { client, gone });
  listen(run, await client.open('/v1/configuration', gone.signal));
  await client.post('/v1/sessions', { connection: LEDGER }, parseSessionAnswer, {
    timeout: TIMEOUT,
    until: performance.now() + TIMEOUT,
  });
}

/** Until its run has ended. */
function listen(run: string, stream: IncomingMessage): void {
  stream.setEncoding('utf8');
  stream.on('error', () => undefined);
  stream.on('data', (text: string) => {
    if (!text.includes('"kind":"revoked"')) return;
    sidecars.get(run)?.client.close();
    sidecars.get(run)?.gone.abort();
    sidecars.delete(run);
    tell({ kind: 'revoked', run });
  });
}

function clientOf(run: string): BrokerClient {
  const sidecar = sidecars.get(run);
  if (!sidecar) throw new Error('there is no such sidecar');
  return sidecar.client;
}

async function ask(run: string): Promise<void> {
  const answer = await clientOf(run).post('/v1/approvals', approvalOf(run), parseApprovalAnswer, {
    timeout: TIMEOUT,
  });
  if (answer.kind !== 'pending') throw new Error(JSON.stringify(answer.denial));
}

/** A statement of one kilobyte, with a plan as long. */
function approvalOf(run: string): ApprovalMessage {
  const digest = createHash('sha256').update(run).digest('hex');
  const note = `${run} `.repeat(Math.ceil(1000 / (run.length + 1)));
  return {
    connection: LEDGER,
    recording: 'r-1',
    operation: {
      text: `INSERT INTO ledger VALUES (1, '${note}')`,
      parameters: [],
      verb: 'INSERT',
      effects: ['write'],
      tables: [{ name: 'public.ledger', access: ['write'], indirect: false }],
      database: 'postgres',
      role: 'sw_run',
      searchPath: ['public'],
      inTransaction: false,
      transactionWrote: false,
    },
    digest: `sha256:${digest}`,
    requirements: [{ policy: 'access/usual', rule: 'writes' }],
    evidence: { plan: 'Insert on ledger  (cost=0.00..0.01 rows=0 width=0)\n'.repeat(20), estimatedRows: 1 },
  };
}

async function report(run: string, operations: number): Promise<void> {
  const decisions = { allow: operations, deny: 0, hold: 0 };
  const message = { connection: LEDGER, decisions, recordings: 1, ended: 'no' };
  await clientOf(run).post('/v1/sessions/report', message, readNothing, { timeout: TIMEOUT });
}

async function follow(order: Exclude<Order, { kind: 'broker' }>): Promise<void> {
  switch (order.kind) {
    case 'begin':
      return begin(order);
    case 'ask':
      return ask(order.run);
    case 'report':
      return report(order.run, order.operations);
  }
}

process.on('message', (message) => {
  // The bench's own words.
  const order = message as Order;
  if (order.kind === 'broker') {
    broker = order;
    return;
  }
  const { run } = order;
  follow(order).then(
    () => tell({ kind: 'done', run }),
    (error: unknown) => tell({ kind: 'failed', run, why: error instanceof Error ? error.message : '' }),
  );
});
process.once('disconnect', () => process.exit(0));
