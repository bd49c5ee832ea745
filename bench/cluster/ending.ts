/** From the end of a run's container, as the API server is told it, until nothing of the run is left. */
import pg from 'pg';
import { until } from '../../e2e/cluster/component.ts';
import { TestSidecar } from '../../e2e/broker/sidecar.ts';
import { answered, textAt } from './api.ts';
import { type Figure, percentile } from './figure.ts';
import { ACCESS, LEDGER } from './manifests.ts';
import { endRun, removeRun, startRun } from './run.ts';
import type { Stage } from './stage.ts';

export async function ending(stage: Stage, { runs }: { readonly runs: number }): Promise<readonly Figure[]> {
  const operator = await stage.startOperator();
  const administrator = await connect(stage, stage.postgres);
  const took: number[] = [];
  for (let index = 0; index < runs; index += 1) took.push(await oneRun(stage, administrator, `end-${index}`));
  await administrator.end();
  await operator.stop();
  const name = `ended run: role gone, backends ended, session closed, ${runs} runs`;
  return [
    { measure: `${name}: median`, unit: 'ms', value: percentile(took, 0.5) },
    { measure: `${name}: slowest`, unit: 'ms', value: Math.max(...took), goal: 2000 },
  ];
}

async function oneRun(stage: Stage, administrator: pg.Client, name: string): Promise<number> {
  const run = await startRun(stage, name, LEDGER);
  const broker = new TestSidecar(stage.replicas[0].broker, stage.ca, run.token, 'localhost');
  const { status, body } = await broker.post('/v1/sessions', { connection: LEDGER });
  if (status !== 200) throw new Error(JSON.stringify(body));
  const user = textAt(body, 'username');
  const agent = await connect(stage, { user, password: textAt(body, 'password') });
  await agent.query('SELECT count(*) FROM ledger');
  const cut = new Promise((done) => agent.once('end', done));
  const began = performance.now();
  await endRun(stage, run);
  const session = textAt(body, 'session');
  const path = `/apis/sidewarden.dev/v1alpha1/namespaces/${ACCESS}/sessions/${session}`;
  const every = { every: 10, limit: 20_000 };
  await Promise.all([
    cut,
    until(
      'the role is gone',
      async () => {
        const left = await administrator.query(
          'SELECT 1 FROM pg_roles WHERE rolname = $1 UNION ALL SELECT 1 FROM pg_stat_activity WHERE usename = $1',
          [user],
        );
        return left.rowCount === 0 || undefined;
      },
      every,
    ),
    until(
      'the session has ended',
      async () =>
        textAt(await answered(stage.api, { method: 'GET', path }), 'status', 'phase') === 'Ended' ||
        undefined,
      every,
    ),
  ]);
  const took = performance.now() - began;
  await removeRun(stage, run);
  return took;
}

async function connect(
  { postgres: { host, port } }: Stage,
  { user, password }: { readonly user: string; readonly password: string },
): Promise<pg.Client> {
  const client = new pg.Client({ host, port, user, password, database: 'postgres' });
  // That it is cut is waited for by its end.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
