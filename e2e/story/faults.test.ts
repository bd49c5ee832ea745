/** Parts of a real cluster are killed in the middle of holds, of long answers, of uploads and of provisioning; then it is looked what became of all that. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { before, test } from 'node:test';
import { clusterUnavailable } from '../cluster/availability.ts';
import { givenKubeconfig } from '../cluster/given-cluster.ts';
import { readMark, roleName, writeMark } from '../../operator/provision/postgres/mark.ts';
import { agentJob, TOLD, type AgentJob } from './agent-job.ts';
import { signedIn } from './agent-pod.ts';
import { startFaultScene, within, type ApprovalObject, type FaultScene } from './faults-scene.ts';
import { ACCESS, AGENTS, OPERATOR } from './stage.ts';

const skip =
  givenKubeconfig() === undefined
    ? ((await clusterUnavailable()) ?? false)
    : 'parts of a cluster that is not ours cannot be killed';
let scene: FaultScene;

/** Seconds: that it hangs is meant, not that a machine is slow. */
const RECOVERY = 90;
/** For what several parts must do one after the other when all of them have just been started. */
const ALL_OF_IT = 180;
/** A replica that dies without a word is taken over from when its Lease has run out. */
const TAKEOVER = 20;
const ROWS = 1_000_000;

/** In each agent's script: a client that comes again until it is let through. */
const AGAIN = 'again() { until psql -qAt -c "$1"; do sleep 0.5; done; }';

before(async (t) => {
  // As node:test gives to hooks of a file.
  if (skip === false) scene = await startFaultScene(t as Parameters<typeof startFaultScene>[0]);
});

interface Busy {
  readonly hold: AgentJob;
  readonly approval: string;
  readonly row: number;
  readonly rows: AgentJob;
}

/** Seconds that a pod waits for its sidecar, which waits for the operator: longer than any fault here. */
const PATIENT = 300;
/** What says that an answer has begun, and ends when it may be read on: after a while, */
const A_WHILE = 'echo begun; sleep 9';
/** or as soon as the pod's connections are cut. `psql` itself does not see that while nobody takes what it writes. */
const UNTIL_CUT = `echo "SELECT 'begun' \\watch 0.5" | timeout 600 psql -qAt`;

/** One run that waits for a person to let it delete a row, and one in the middle of an answer of a million rows. */
async function busy(fault: string, row: number, meanwhile = A_WHILE): Promise<Busy> {
  const name = `fault-${fault}`;
  const [hold, rows] = await Promise.all([
    agentJob(scene, {
      name: `${fault}-hold`,
      script: `${AGAIN}; ${signedIn()}; psql -c "DELETE FROM orders WHERE id = ${row} /* ${name}-hold */" || { echo lost; again "SELECT 1, '${name}-again'"; ${TOLD}; }; again "SELECT '${name}-after-hold'"`,
      grace: PATIENT,
    }),
    agentJob(scene, {
      name: `${fault}-rows`,
      script: `${AGAIN}; ${signedIn()}; psql -c "COPY (SELECT i, '${name}-rows' FROM generate_series(1, ${ROWS}) i) TO STDOUT" | { read first; ${meanwhile}; echo "rows $(wc -l)"; }; again "SELECT '${name}-after-rows'"`,
      grace: PATIENT,
    }),
  ]);
  const approval = await approvalOf(hold);
  await logged(rows, /begun/);
  return { hold, approval, row, rows };
}

async function approvalOf(job: AgentJob): Promise<string> {
  const pod = await job.pod();
  return within(60, 'there is an approval', async () => {
    const all = await scene.approvals();
    return all.find(({ spec }) => spec.request.identity.pod === `${AGENTS}/${pod}`)?.metadata.name;
  });
}

function logged(job: AgentJob, expected: RegExp, seconds = 60): Promise<string> {
  return within(seconds, `its log has ${String(expected)}`, async () => {
    const text = await job.logs();
    return expected.test(text) ? text : undefined;
  });
}

async function isThere(row: number): Promise<boolean> {
  const rows = await scene.query(`select 1 from orders where id = ${row}`);
  return rows.length === 1;
}

/** The webhooks may be away for a moment: whoever decides tries again, as a person would. */
async function approved(name: string): Promise<void> {
  await within(RECOVERY, 'the approval is taken', async () => {
    const { code, stderr } = await scene.approve(name);
    if (code !== 0) throw new Error(stderr);
    return true;
  });
}

/** An approved hold runs once, and the long answer is whole. */
async function goesOn({ hold, approval, row, rows }: Busy): Promise<void> {
  assert.ok(await isThere(row), 'nothing ran before it was approved');
  await approved(approval);
  await hold.complete();
  assert.match(await hold.logs(), /DELETE 1/);
  assert.equal(await isThere(row), false);
  await rows.complete();
  assert.match(await rows.logs(), new RegExp(`rows ${ROWS - 1}\\b`));
}

/** Connections were cut: what was held did not run and never will, and the clients came back by themselves. */
async function startsAgain({ hold, approval, row, rows }: Busy, why: string): Promise<void> {
  const phase = await within(ALL_OF_IT, 'nobody is asked any more', async () => {
    const found = (await scene.approvals()).find(({ metadata }) => metadata.name === approval)?.status;
    const completed = found?.conditions?.find(({ type }) => type === 'Completed');
    return found?.phase === 'Pending' || completed === undefined
      ? undefined
      : `${found?.phase ?? ''} ${completed.reason}`;
  });
  assert.equal(phase, `Void ${why}`);
  // Not before: with its session it would be void for that reason.
  await within(RECOVERY, 'its agent is told', () => hold.tell().then(() => true));
  assert.notEqual((await scene.approve(approval)).code, 0, 'it cannot be approved any more');
  await Promise.all([hold.complete(), rows.complete()]);
  assert.match(await hold.logs(), /lost/);
  assert.doesNotMatch(await rows.logs(), new RegExp(`rows ${ROWS - 1}\\b`));
  assert.ok(await isThere(row), 'what nobody approved did not run');
}

async function ended(...jobs: readonly AgentJob[]): Promise<void> {
  const pods = await Promise.all(jobs.map(async (job) => `${AGENTS}/${await job.pod()}`));
  await within(ALL_OF_IT, 'their sessions are over, and revoked', async () => {
    const mine = (await scene.sessions()).filter(({ spec }) => pods.includes(spec.identity.pod ?? ''));
    return mine.length > 0 && mine.every(({ status }) => status?.phase === 'Ended') ? true : undefined;
  });
}

function killOperator(pod: string): Promise<void> {
  return scene.own.containers.kill({ namespace: OPERATOR, pod, container: 'operator' });
}

async function podOf(app: string): Promise<string> {
  const path = 'jsonpath={.items[0].metadata.name}';
  return scene.kubectl(`get pods --namespace databases --selector app=${app} --output ${path}`);
}

test('the sidecar', { skip }, async () => {
  const runs = await busy('sidecar', 1, UNTIL_CUT);
  for (const job of [runs.hold, runs.rows])
    await scene.own.containers.kill({ namespace: AGENTS, pod: await job.pod(), container: 'sidewarden' });
  await startsAgain(runs, 'ClientDisconnected');
  await ended(runs.hold, runs.rows);
});

for (const [which, index] of [
  ['leader', 0],
  ['follower', 1],
] as const)
  test(`one replica of the operator: the ${which}`, { skip }, async () => {
    const runs = await busy(which, 10 + index);
    const replica = (await scene.replicas())[index] ?? '';
    const beginning = new RegExp(`^fault-${which}-(early|one|two|three)$`);
    const [early, ...late] = await Promise.all(
      ['early', 'one', 'two', 'three'].map((name) =>
        agentJob(scene, {
          name: `${which}-${name}`,
          script: `${AGAIN}; again "SELECT card, 'fault-${which}-${name}' FROM customers WHERE id = 7"`,
        }),
      ),
    );
    assert.ok(early);
    await within(60, 'a role is made', async () => {
      if ((await scene.roles()).length > 2) return true;
      // It may be gone again by now.
      return [...(await scene.reached())].some((marker) => beginning.test(marker)) ? true : undefined;
    });
    await killOperator(replica);
    await goesOn(runs);
    for (const job of [early, ...late]) {
      await job.complete();
      assert.match(await job.logs(), /\*0007/);
    }
    await within(TAKEOVER + RECOVERY, 'no role is left', async () =>
      (await scene.roles()).length === 0 ? true : undefined,
    );
    await ended(runs.hold, runs.rows, early, ...late);
  });

for (const [what, fault, component, row] of [
  ['the API server', 'api', 'kube-apiserver', 20],
  ["the API server's store", 'etcd', 'etcd', 21],
] as const)
  test(what, { skip }, async () => {
    const runs = await busy(fault, row);
    const ends = await agentJob(scene, {
      name: `${fault}-ends`,
      script: `${AGAIN}; again "SELECT 'fault-${fault}-ends'"; echo begun; sleep 3; again "SELECT 'fault-${fault}-away'"`,
      grace: 120,
    });
    await logged(ends, /begun/);
    await scene.own.kill(component);
    try {
      await within(RECOVERY, 'what is allowed goes on', async () =>
        (await scene.reached()).has(`fault-${fault}-away`) ? true : undefined,
      );
      assert.ok(await isThere(runs.row));
      // Its agent ends while nobody can be told.
      await sleep(3_000);
    } finally {
      await scene.own.start(component);
    }
    await within(ALL_OF_IT, 'the run that ended meanwhile has no role', async () => {
      const roles = await scene.roles();
      return roles.length <= 2 ? true : undefined;
    });
    await goesOn(runs);
    await ends.complete();
    await ended(runs.hold, runs.rows, ends);
  });

/** Also for who asks the network and not the API server. */
async function leadsNowhere(service: string, port: number): Promise<void> {
  const path = 'jsonpath={.spec.clusterIP}';
  const host = await scene.kubectl(`get service ${service} --namespace databases --output ${path}`);
  const refused = () =>
    new Promise<true | undefined>((done) => {
      const socket = connect({ host, port, timeout: 5_000 });
      socket.once('connect', () => socket.destroy());
      socket.once('timeout', () => socket.destroy());
      socket.once('error', (error) => done(error.message.includes('ECONNREFUSED') || undefined));
      socket.once('close', () => done(undefined));
    });
  await within(RECOVERY, `the Service ${service} leads nowhere`, refused);
}

test('the object store', { skip }, async () => {
  const runs = await busy('store', 30);
  const store = { namespace: 'databases', pod: await podOf('store'), container: 'store' };
  const patch = (app: string) =>
    scene.kubectl(
      `patch service store --namespace databases --type merge --patch {"spec":{"selector":{"app":"${app}"}}}`,
    );
  // In the middle of uploads: it takes them, does not answer, and dies.
  await scene.own.containers.kill(store, 'SIGSTOP');
  await sleep(3_000);
  await patch('nothing');
  // The kubelet starts it again at once: nobody must find it then.
  await leadsNowhere('store', 7070);
  await scene.own.containers.kill(store);
  const away = await agentJob(scene, {
    name: 'store-away',
    script: `${AGAIN}; again "SELECT 'fault-store-away'"`,
  });
  await goesOn(runs);
  await away.complete();
  const pod = await away.pod();
  const stored = async () => {
    const all = await scene.sessions();
    const session = all.find(({ spec }) => spec.identity.pod === `${AGENTS}/${pod}`);
    const complete = session?.status?.conditions?.find(({ type }) => type === 'RecordingComplete');
    return complete?.status === 'True' ? true : undefined;
  };
  assert.equal(await stored(), undefined);
  // Who keeps it now dies, too.
  await Promise.all((await scene.replicas()).map(killOperator));
  await patch('store');
  await within(ALL_OF_IT, 'the operator brings what it was handed', stored);
  await ended(runs.hold, runs.rows, away);
});

test('the database', { skip }, async () => {
  const runs = await busy('database', 40, UNTIL_CUT);
  const late = await agentJob(scene, {
    name: 'database-late',
    script: `${AGAIN}; again "SELECT 'fault-database-late'"`,
  });
  await within(60, 'its role is being made', async () => {
    const pod = await late.pod();
    const all = await scene.sessions();
    return all.some(({ spec }) => spec.identity.pod === `${AGENTS}/${pod}`) ? true : undefined;
  });
  const pod = await podOf('orders');
  await scene.own.containers.kill({ namespace: 'databases', pod, container: 'postgres' });
  await within(60, 'the database is back', async () => (await scene.query('select 1')).length === 1);
  await startsAgain(runs, 'TargetDisconnected');
  await late.complete();
  await ended(runs.hold, runs.rows, late);
});

test('both replicas of the operator, for longer than policyMaxAge', { skip }, async () => {
  const runs = await busy('both', 50);
  const gone = await agentJob(scene, {
    name: 'both-gone',
    script: `${AGAIN}; again "SELECT 'fault-both-gone'"; echo begun; sleep 600`,
  });
  const aging = await agentJob(scene, {
    name: 'both-aging',
    connection: `${ACCESS}/aging-db`,
    script: `${AGAIN}; again "SELECT 'fault-both-aging'"; echo begun
n=0; while psql -qAt -c "SELECT 'fault-both-aging-$n'"; do echo "went $n"; n=$((n+1)); sleep 1; done
echo refused; again "SELECT 'fault-both-aging-again'"; echo back`,
  });
  // Its agent ends while nobody signs recordings, and its pod waits for no more than a second.
  const cut = await agentJob(scene, {
    name: 'both-cut',
    connection: `${ACCESS}/aging-db`,
    grace: 6,
    script: `${AGAIN}; again "SELECT 'fault-both-cut'"; echo begun; while psql -qAt -c "SELECT 'fault-both-cut-more'"; do sleep 1; done`,
  });
  await Promise.all([gone, aging, cut].map((job) => logged(job, /begun/)));
  const brief = await agentJob(scene, {
    name: 'both-brief',
    script: `${AGAIN}; ${signedIn()}; psql -c "INSERT INTO brief VALUES (1) /* fault-both-brief */" || echo expired; again "SELECT 'fault-both-after-brief'"`,
    grace: PATIENT,
  });
  await approvalOf(brief);
  // Roles that are half made: their views wait for this lock.
  const locked = assert.rejects(
    scene.query(
      'begin; lock table customers in access exclusive mode; select pg_sleep(300) /* the lock */; commit',
    ),
    /terminat/,
  );
  await within(60, 'the table is locked', async () => {
    const sleeping = await scene.query(
      "select 1 from pg_stat_activity where query like '%/* the lock */%' and wait_event = 'PgSleep'",
    );
    return sleeping.length > 0 ? true : undefined;
  });
  const half = await Promise.all(
    ['one', 'two', 'three'].map((name) =>
      agentJob(scene, { name: `both-${name}`, script: `${AGAIN}; again "SELECT 'fault-both-${name}'"` }),
    ),
  );
  await within(60, 'a role is half made', async () => {
    const waiting = await scene.query(
      "select 1 from pg_stat_activity where usename = 'postgres' and wait_event_type = 'Lock'",
    );
    return waiting.length > 0 ? true : undefined;
  });
  const replicas = await scene.replicas();
  await Promise.all(replicas.map(killOperator));
  await scene.kubectl(`scale deployment sidewarden --namespace ${OPERATOR} --replicas 0`);
  // The kubelet may have started them again.
  await scene.kubectl(
    `wait --for delete pod --selector app.kubernetes.io/name=sidewarden --namespace ${OPERATOR} --timeout ${ALL_OF_IT}s`,
  );
  await scene.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where query like '%/* the lock */%' and pid <> pg_backend_pid()",
  );
  await locked;

  const refused = await scene.cluster.kubectlOutcome(['apply', '--filename', '-'], {
    input: JSON.stringify(pod('both-refused')),
  });
  assert.notEqual(refused.code, 0, 'no run begins');
  await orphan(gone);
  await logged(brief, /expired/);
  // What psql says and what the script says come by two streams, in any order.
  assert.match(await logged(aging, /policyMaxAge/), /went/);
  await logged(aging, /refused/);
  assert.ok(await isThere(runs.row));
  await cut.complete();

  await scene.kubectl(`scale deployment sidewarden --namespace ${OPERATOR} --replicas 2`);
  await scene.kubectl(`rollout status deployment/sidewarden --namespace ${OPERATOR} --timeout ${ALL_OF_IT}s`);
  await goesOn(runs);
  await Promise.all([aging, brief, ...half].map((job) => job.complete()));
  await within(TAKEOVER + RECOVERY, 'no role is left', async () =>
    (await scene.roles()).length === 0 ? true : undefined,
  );
  await ended(runs.hold, runs.rows, aging, brief, cut, ...half);
  assert.deepEqual(await scene.query('select * from brief'), []);
});

function pod(name: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: AGENTS,
      annotations: { 'sidewarden.dev/connections': `${ACCESS}/orders-db` },
    },
    spec: {
      serviceAccountName: 'agent',
      restartPolicy: 'Never',
      containers: [{ name: 'agent', image: 'postgres:18', command: ['true'] }],
    },
  };
}

/** Its pod goes without a word. And another role is there as if the operator had died before its Session lasted. */
async function orphan(job: AgentJob): Promise<void> {
  await scene.kubectl(`delete job both-gone --namespace ${AGENTS} --cascade=orphan`);
  await scene.kubectl(`delete pod ${await job.pod()} --namespace ${AGENTS} --grace-period=0 --force`);
  const [row] = await scene.query(
    "select shobj_description(oid, 'pg_authid') as comment from pg_roles where starts_with(rolname, 'sw_') limit 1",
  );
  const mark = readMark(row?.['comment']);
  assert.ok(mark);
  const session = { namespace: ACCESS, name: 'orders-db-never', uid: randomUUID() };
  const name = roleName(mark.installation, { session });
  const comment = writeMark(mark.installation, { session });
  await scene.query(
    `create role ${name} login password 'x'; grant select on orders to ${name}; comment on role ${name} is '${comment}'`,
  );
}

test('everything at once', { skip }, async () => {
  const runs = await busy('all', 60, UNTIL_CUT);
  const { containers } = scene.own;
  const killed = [
    ...(await Promise.all([runs.hold, runs.rows].map((job) => job.pod()))).map((pod) => ({
      namespace: AGENTS,
      pod,
      container: 'sidewarden',
    })),
    ...(await scene.replicas()).map((pod) => ({ namespace: OPERATOR, pod, container: 'operator' })),
    { namespace: 'databases', pod: await podOf('orders'), container: 'postgres' },
    { namespace: 'databases', pod: await podOf('store'), container: 'store' },
  ];
  // Nobody is to see another die, and to say so.
  await Promise.all(killed.map((each) => containers.kill(each, 'SIGSTOP')));
  await Promise.all([scene.own.kill('kube-apiserver'), ...killed.map((each) => containers.kill(each))]);
  await scene.own.start('kube-apiserver');
  await startsAgain(runs, 'ClientDisconnected');
  await ended(runs.hold, runs.rows);
});

/** Of runs that ended while no replica was there, for longer than their pods waited for it. */
function isCut(marker: string): boolean {
  return /^fault-both-(cut|gone)/.test(marker);
}

test('after all of it no role, approval or session is left open', { skip }, async (t) => {
  assert.deepEqual(await scene.roles(), []);
  const open = (one: ApprovalObject) =>
    ['Pending', 'Approved', 'Modified'].includes(one.status?.phase ?? 'Pending');
  assert.deepEqual((await scene.approvals()).filter(open), []);
  const cut = await within(90, 'each session says what became of its recordings', async () => {
    const all = (await scene.sessions()).map(({ metadata, status }) => {
      const found = status?.conditions?.find(({ type }) => type === 'RecordingComplete');
      const said = `${found?.status ?? ''} ${found?.reason ?? ''}`;
      return { name: metadata.name, phase: status?.phase, said };
    });
    const over = all.filter(
      ({ phase, said }) => phase === 'Ended' && /^(True ManifestSigned|False RecordingCut)$/.test(said),
    );
    if (over.length < all.length) throw new Error(JSON.stringify(all));
    return all.filter(({ said }) => said === 'False RecordingCut');
  });
  t.diagnostic(`sessions whose recordings are cut, and say so: ${cut.map(({ name }) => name).join(', ')}`);
  assert.equal(cut.length, 2);
});

test('after all of it each statement that reached the database is in a recording', { skip }, async (t) => {
  const { recordings, forwarded } = await scene.recorded();
  let interrupted = 0;
  for (const { verification, markers } of recordings) {
    if (verification.kind === 'clean') {
      interrupted += verification.interrupted === undefined ? 0 : 1;
      continue;
    }
    assert.equal(verification.kind, 'unfinished', JSON.stringify(verification));
    assert.ok(markers.every(isCut), `unfinished: ${markers.join()}`);
  }
  t.diagnostic(`${recordings.length} recordings, ${interrupted} of them were interrupted`);
  assert.equal(interrupted, 6, 'those of the killed sidecars');
  const reached = await scene.reached();
  t.diagnostic(
    `${reached.size} statements reached the database, ${forwarded.size} are recorded as let through`,
  );
  assert.ok(reached.size > 20);
  const unrecorded = [...reached].filter((marker) => !forwarded.has(marker) && !isCut(marker));
  assert.deepEqual(unrecorded, []);
  for (const fault of ['sidecar-hold', 'both-brief', 'database-hold', 'all-hold'])
    assert.ok(!reached.has(`fault-${fault}`), `${fault} was never approved`);
});

interface PodObject {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly initContainerStatuses?: readonly {
      readonly name: string;
      readonly state: { readonly terminated?: { readonly exitCode: number } };
    }[];
  };
}

test('after all of it each sidecar has ended with 0', { skip }, async () => {
  const text = await scene.kubectl(`get pods --namespace ${AGENTS} --output json`);
  // As the API server gives them.
  const { items } = JSON.parse(text) as { readonly items: readonly PodObject[] };
  const codes = items.map(({ metadata, status }) => {
    const sidecar = status.initContainerStatuses?.find(({ name }) => name === 'sidewarden');
    return `${metadata.name} ${sidecar?.state.terminated?.exitCode ?? 'runs'}`;
  });
  assert.ok(codes.length > 15);
  assert.deepEqual(
    codes.filter((code) => !code.endsWith(' 0')),
    [],
  );
});
