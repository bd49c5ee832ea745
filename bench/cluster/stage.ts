/**
 * What the measures of the cluster share: a real API server that calls the operator's webhooks, PostgreSQL, an object store, and the
 * operator as a process, started anew for each measure. Pods are objects: no kubelet runs them, the bench says what it would.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { root } from '../../e2e/bundle.ts';
import { until } from '../../e2e/cluster/component.ts';
import { startControlPlane, type ControlPlane } from '../../e2e/cluster/control-plane.ts';
import { kindsServed } from '../../e2e/cluster/kinds.ts';
import { startObjectStore, STORE_CREDENTIALS, type TestObjectStore } from '../../e2e/object-store.ts';
import { freePort, startPostgres, type TestPostgres } from '../../e2e/postgres.ts';
import { webhookConfigurations } from '../../operator/admission/webhook-configurations.ts';
import { Transport } from '../../operator/kube/transport.ts';
import type { Closing } from '../closing.ts';
import { answered } from './api.ts';
import { access, AGENTS, BUCKET, foundations, LEDGER, OPERATOR, type World } from './manifests.ts';
import { podOf } from './run.ts';
import type { Program } from './program.ts';
import { preparePlace, type Replica, startReplica } from './replica.ts';

export interface Stage {
  readonly plane: ControlPlane;
  readonly postgres: TestPostgres;
  readonly store: TestObjectStore;
  /** The administrator's. */
  readonly api: Transport;
  /** A node's: the only one that may get a pod's token for the broker. */
  readonly kubelet: Transport;
  /** PEM of the authority of the operator's certificate, which is for `localhost`. */
  readonly ca: string;
  readonly ports: World['ports'];
  /** Where the operator's replicas listen; the webhooks are the first one's. */
  readonly replicas: readonly [Replica, Replica];
  /** Ready, and one of them leads; predecessors must have been stopped. */
  startOperator(which?: Replica): Promise<Program>;
  /** The metrics of a replica that runs; the first one when not told. */
  metrics(which?: Replica): Promise<string>;
}

export async function startStage(closing: Closing): Promise<Stage> {
  const [plane, postgres, store, ports, first, second] = await Promise.all([
    startPlane(closing),
    startDatabase(closing),
    openStore(closing),
    connectionPorts(),
    replica(),
    replica(),
  ]);
  const api = transport(plane.client, closing);
  const groups = ['system:nodes', 'system:masters'];
  const kubelet = transport(await plane.clientFor({ user: 'system:node:bench', groups }), closing);
  const place = await preparePlace(plane, api);
  const metrics = async ({ http } = first) => (await fetch(`http://127.0.0.1:${http}/metrics`)).text();
  let count = 0;
  const startOperator = async (which = first) => {
    count += 1;
    const program = await startReplica(place, which, `bench-${count}`);
    closing.add(() => program.stop());
    await until('the operator is ready, and one leads', async () => {
      if (!program.running) return true;
      const texts = await Promise.all([first, second].map((each) => metrics(each).catch(() => '')));
      const leads = texts.some((text) => /^sidewarden_leader 1$/m.test(text));
      return leads && (await metrics(which)) !== '' ? true : undefined;
    });
    if (!program.running) throw new Error(await program.log());
    return program;
  };
  const { ca } = place;
  const replicas = [first, second] as const;
  const stage = { plane, postgres, store, api, kubelet, ca, ports, replicas, startOperator, metrics };
  await prepare(stage);
  return stage;
}

async function connectionPorts(): Promise<World['ports']> {
  return { ledger: await freePort(), recorded: await freePort() };
}

async function replica(): Promise<Replica> {
  return { admission: await freePort(), broker: await freePort(), http: await freePort() };
}

function transport(client: ControlPlane['client'], closing: Closing): Transport {
  const made = new Transport(client);
  closing.add(async () => made.close());
  return made;
}

async function startPlane(closing: Closing): Promise<ControlPlane> {
  const plane = await startControlPlane();
  closing.add(() => plane.stop());
  for (const kind of ['protectedconnections', 'accesspolicies', 'approvals', 'sessions'])
    await plane.apply(await readFile(join(root, 'crds', `${kind}.yaml`), 'utf8'));
  await kindsServed(plane);
  await applyAll(plane, foundations());
  return plane;
}

async function startDatabase(closing: Closing): Promise<TestPostgres> {
  const postgres = await startPostgres({ settings: ['fsync=off'] });
  closing.add(() => postgres.stop());
  const admin = new pg.Client({ ...postgres, database: 'postgres' });
  await admin.connect();
  await admin.query('CREATE TABLE ledger (id int, note text)');
  await admin.end();
  return postgres;
}

async function openStore(closing: Closing): Promise<TestObjectStore> {
  const store = await startObjectStore();
  closing.add(() => store.stop());
  await store.makeBucket(BUCKET);
  return store;
}

/** The webhooks, once somebody answers them, and what they look at. */
async function prepare(stage: Stage): Promise<void> {
  const { plane, postgres, store, ports, ca, api } = stage;
  const [{ admission }] = stage.replicas;
  const operator = await stage.startOperator();
  const caBundle = Buffer.from(ca).toString('base64');
  const place = { name: 'sidewarden', namespace: OPERATOR, service: 'sidewarden' };
  const configurations = webhookConfigurations(place).map((configuration) => ({
    ...configuration,
    webhooks: configuration.webhooks.map(({ clientConfig, ...webhook }) => ({
      ...webhook,
      clientConfig: { url: `https://127.0.0.1:${admission}${clientConfig.service.path}`, caBundle },
    })),
  }));
  await applyAll(plane, configurations);
  const { accessKeyId, secretAccessKey } = STORE_CREDENTIALS;
  const storeSecret = { accessKeyId, secretAccessKey };
  await applyAll(plane, access({ postgres, ports, store: store.config(BUCKET), storeSecret }));
  await until('pods are injected', async () => {
    const call = {
      method: 'POST',
      path: `/api/v1/namespaces/${AGENTS}/pods`,
      query: { dryRun: 'All' },
    } as const;
    const pod = await answered(api, { ...call, body: podOf('probe', AGENTS, LEDGER) });
    return JSON.stringify(pod).includes('sidewarden.dev/injected') ? true : undefined;
  });
  await operator.stop();
}

async function applyAll(plane: ControlPlane, objects: readonly object[]): Promise<void> {
  await plane.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
}
