/** From a person's PATCH of an Approval to the end of the statement that it held, as the client sees it. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Transport } from '../../operator/kube/transport.ts';
import { patch } from './api.ts';
import { type Figure, percentile } from './figure.ts';
import { ACCESS, approver, LEDGER, TEAMS } from './manifests.ts';
import { endRun, removeRun, startRun } from './run.ts';
import { startSidecar } from './sidecar.ts';
import type { Stage } from './stage.ts';

/** Milliseconds: no person is faster, and what making the Approval still does is over. */
const THINKING = 60;
const WARM_UP = 2;
/** A session may ask ten times in a row. */
const HOLDS_A_RUN = 10 - WARM_UP;

export async function deciding(
  stage: Stage,
  { holds }: { readonly holds: number },
): Promise<readonly Figure[]> {
  const operator = await stage.startOperator();
  const person = new Transport(await stage.plane.clientFor(approver));
  const took: number[] = [];
  for (let index = 0; took.length < holds; index += 1) {
    const wanted = Math.min(HOLDS_A_RUN, holds - took.length);
    took.push(...(await oneRun(stage, person, index, wanted)));
  }
  person.close();
  await operator.stop();
  const name = `from PATCH to the statement's completion, ${holds} holds`;
  return [
    { measure: `${name}: p50`, unit: 'ms', value: percentile(took, 0.5) },
    { measure: `${name}: p99`, unit: 'ms', value: percentile(took, 0.99), goal: 150 },
    { measure: `${name}: slowest`, unit: 'ms', value: Math.max(...took) },
  ];
}

async function oneRun(
  stage: Stage,
  person: Transport,
  index: number,
  holds: number,
): Promise<readonly number[]> {
  const run = await startRun(stage, `deciding-${index}`, LEDGER, TEAMS[index % TEAMS.length]);
  const sidecar = await startSidecar(stage, run);
  const { ledger } = stage.ports;
  const client = new pg.Client({ host: '127.0.0.1', port: ledger, user: 'agent', database: 'postgres' });
  // Of a connection that is lost its statements tell.
  client.on('error', () => undefined);
  await client.connect();
  const took: number[] = [];
  for (let hold = 0; hold < WARM_UP + holds; hold += 1) took.push(await decideOne(client, person, hold));
  await client.end();
  await endRun(stage, run);
  await sidecar.stop();
  await removeRun(stage, run);
  return took.slice(WARM_UP);
}

async function decideOne(client: pg.Client, person: Transport, hold: number): Promise<number> {
  const told = new Promise<string>((resolve) => {
    client.once('notice', ({ message = '' }: { readonly message?: string | undefined }) =>
      resolve(/waiting for approval (\S+)/.exec(message)?.[1] ?? ''),
    );
  });
  const running = client.query('INSERT INTO ledger VALUES ($1, $2)', [hold, 'held']);
  // Its failure is waited for below.
  running.catch(() => undefined);
  const name = await Promise.race([told, running.then(() => '')]);
  if (name === '') throw new Error('the statement was not held');
  await sleep(THINKING);
  const decision = { verdict: 'Approve', reason: 'as agreed' };
  const began = performance.now();
  const path = `/apis/sidewarden.dev/v1alpha1/namespaces/${ACCESS}/approvals/${name}`;
  await Promise.all([patch(person, path, { spec: { decision } }), running]);
  return performance.now() - began;
}
