/** Other pods, other users, other faults: what agents' pods can be, and what happens to them while they run. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { until } from '../cluster/component.ts';
import { sharedClusterUnavailable } from '../cluster/shared.ts';
import {
  admitted,
  agentContainer,
  agentPod,
  apply,
  endedSessions,
  outputOf,
  podTemplate,
  saying,
  sessionsOf,
  signedIn,
} from './agent-pod.ts';
import { LEAVING, LIMITED, READER_PASSWORD, RESTRICTED, prepareCast } from './cast.ts';
import { followPages } from './pages.ts';
import { startStage } from './shared-stage.ts';
import { ACCESS, AGENTS, type Stage } from './stage.ts';
import { prepareStore } from './store.ts';

const skip = (await sharedClusterUnavailable()) ?? false;
let stage: Stage;

before(async () => {
  if (skip === false) stage = await startStage();
});

test('the stage is set', { skip }, async (t) => {
  await followPages(t, stage, ['docs/kubernetes/install.md', 'docs/kubernetes/first-connection.md']);
  await prepareStore(stage);
  await prepareCast(stage);
});

/** A statement a second in one session, each with its errors. */
const loop = (url: string, statement: string) =>
  `${signedIn(`"${url}"`)}; while :; do echo "${statement}"; sleep 0.5; done | psql "${url}" -At 2>&1; echo "psql ended with $?"; while :; do psql "${url}" -Atc "${statement}" 2>&1; sleep 1; done`;
const ORDERS = '$SIDEWARDEN_ORDERS_DB_URL';
const confined = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};

const crash = `${signedIn()}; psql -Atc "select 'run', count(*) from orders"
if [ -e /scratch/once ]; then exit 0; fi
touch /scratch/once; exit 3`;

/** Where its password could be: the environments and files of all that the agent, as root, can see. */
const search = `${signedIn()}; psql -Atc "select current_user"
printf '%s-%s' reader 7f3a91c4 > /scratch/pattern
echo found: $(grep -rlFf /scratch/pattern /etc /home /opt /root /run /tmp /usr/local /var /dev/shm /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null)
echo mounts: $(grep -c -e sidewarden.dev -e /var/lib/sidewarden /proc/mounts)
echo others: $(ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c 'node$')`;
const scratch = { volumes: [{ name: 'scratch', emptyDir: {} }] };
/** For those that end by themselves: their sidecars have so long to hand over what they recorded. */
const patient = { terminationGracePeriodSeconds: 180 };
const scratched = { volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }] };

test('pods of every make are admitted, and start', { skip }, async () => {
  const first = agentContainer('first', `${signedIn()}; psql -Atc "select 'first', count(*) from customers"`);
  const second = agentContainer(
    'second',
    `${signedIn()}; psql "${ORDERS}" -Atc "select 'second', count(*) from customers"`,
  );
  const tick = { name: 'tick', script: `${signedIn()}; psql -Atc "select 'tick', count(*) from orders"` };
  const two = {
    name: 'two',
    script: 'exit 1',
    spec: {
      restartPolicy: 'Always',
      containers: ['one', 'other'].map((name) =>
        agentContainer(name, `${signedIn()}; psql -Atc "select '${name}', count(*) from orders"; sleep 300`),
      ),
    },
  };
  const job = (pod: Parameters<typeof podTemplate>[0]) => ({ backoffLimit: 0, template: podTemplate(pod) });
  const makes = [
    {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: 'tick', namespace: AGENTS },
      spec: { schedule: '* * * * *', concurrencyPolicy: 'Forbid', jobTemplate: { spec: job(tick) } },
    },
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'prepared', namespace: AGENTS },
      spec: job({
        name: 'prepared',
        script: `${signedIn()}; psql -Atc "select 'main', count(*) from customers"`,
        spec: { initContainers: [first, second] },
      }),
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'two', namespace: AGENTS },
      spec: { selector: { matchLabels: { app: 'two' } }, template: podTemplate(two, { app: 'two' }) },
    },
    agentPod({
      name: 'crashing',
      script: crash,
      container: scratched,
      spec: { ...scratch, ...patient, restartPolicy: 'OnFailure' },
    }),
    agentPod({
      name: 'both',
      spec: patient,
      connections: 'orders-db,stock-db',
      script: `for url in "${ORDERS}" "$SIDEWARDEN_STOCK_DB_URL"; do ${signedIn('"$url"')}; psql "$url" -Atc "select 'in', current_database()"; done
echo port $SIDEWARDEN_ORDERS_DB_PORT $SIDEWARDEN_STOCK_DB_PORT host $SIDEWARDEN_STOCK_DB_HOST pghost=$PGHOST`,
    }),
    agentPod({
      name: 'confined',
      namespace: RESTRICTED,
      script: `${signedIn()}; id -u; touch /here 2>&1; psql -Atc "select 'confined', count(*) from orders"`,
      container: { securityContext: confined },
      spec: {
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 1000,
          runAsGroup: 1000,
          seccompProfile: { type: 'RuntimeDefault' },
        },
      },
    }),
    agentPod({
      name: 'limited',
      namespace: LIMITED,
      script: `${signedIn()}; psql -Atc "select 'limited', count(*) from orders"`,
    }),
    agentPod({ name: 'silent', script: 'env | grep -c ^PG' }),
    agentPod({
      name: 'searching',
      connections: 'stock-db',
      script: search,
      container: { ...scratched, securityContext: { runAsUser: 0 } },
      spec: scratch,
    }),
    agentPod({
      name: 'observed',
      connections: 'observed-db',
      script: `${signedIn()}; psql -Atc "select card from customers order by id limit 1" 2>&1`,
    }),
  ];
  await admitted(stage, makes);
  await apply(stage, makes);
});

test(
  'init containers, several containers, restarts and schedules: each has its database',
  { skip },
  async () => {
    await stage.kubectl(`wait --for condition=Complete job/prepared --namespace ${AGENTS} --timeout 240s`);
    for (const container of ['first', 'second', 'agent']) {
      const said = await stage.kubectl(`logs job/prepared --namespace ${AGENTS} --container ${container}`);
      assert.match(said, /^(first|second|main)\|50$/m);
    }
    assert.match(await outputOf(stage, 'crashing'), /run\|500/);
    const restarts = 'jsonpath={.status.containerStatuses[0].restartCount}';
    assert.equal(await stage.kubectl(`get pod crashing --namespace ${AGENTS} --output ${restarts}`), '1');
    assert.equal((await endedSessions(stage, 'crashing')).length, 1, 'a run is a pod, restarts and all');
    await stage.kubectl(`rollout status deployment/two --namespace ${AGENTS} --timeout 240s`);
    for (const container of ['one', 'other']) {
      await until(`${container} has asked`, async () => {
        const said = await stage.kubectl(
          `logs deployment/two --namespace ${AGENTS} --container ${container}`,
        );
        return said.includes(`${container}|500`) ? true : undefined;
      });
    }
  },
);

test('two connections have a listener and variables each', { skip }, async () => {
  const said = await outputOf(stage, 'both');
  assert.match(said, /in\|orders\nin\|stock\n/);
  assert.match(said, /port 15432 15433 host 127\.0\.0\.1 pghost=\n/, 'PGHOST could be meant for either');
  const connections = (await endedSessions(stage, 'both')).map(({ spec }) => spec.connection);
  assert.deepEqual(connections.sort(), ['orders-db', 'stock-db']);
});

test('restricted pods, and those under a quota, are served', { skip }, async () => {
  const said = await outputOf(stage, 'confined', RESTRICTED);
  assert.match(said, /^1000\n.*Read-only file system\nconfined\|500\n/);
  assert.match(await outputOf(stage, 'limited', LIMITED), /limited\|500/);
});

test('a run that never connects has no session, and completes', { skip }, async () => {
  assert.match(await outputOf(stage, 'silent'), /5/);
  assert.deepEqual(await sessionsOf(stage, 'silent'), []);
});

test("a credential that is used as it is is nowhere in the agent's reach", { skip }, async () => {
  assert.equal(READER_PASSWORD, 'reader-7f3a91c4');
  assert.equal(await outputOf(stage, 'searching'), 'reader\nfound:\nmounts: 0\nothers: 0\n');
});

test('an observing policy lets through, and says what it would have done', { skip }, async () => {
  const said = await outputOf(stage, 'observed');
  assert.match(said, /would deny this statement/);
  assert.match(said, /4242424242420001/);
});

test('unchanged addresses lead to the sidecar, with TLS for clients that demand it', { skip }, async () => {
  const orders = 'host=orders.databases.svc.cluster.local port=5432 dbname=orders user=postgres';
  const secure = 'host=secure.databases.svc.cluster.local port=5432 dbname=stock user=app';
  await apply(stage, [
    agentPod({
      name: 'redirected',
      redirect: true,
      script: `${signedIn()}; cd /; unset PGHOST PGPORT PGSSLMODE
psql "${orders}" -Atc "select current_user, card from customers order by id limit 1" 2>&1
psql "${orders} sslmode=require" -Atc "select 1" 2>&1
[ -n "$(cat /proc/net/if_inet6)" ] && echo has IPv6`,
    }),
    agentPod({
      name: 'secured',
      connections: 'secure-db',
      redirect: true,
      script: `${signedIn()}; psql -Atc "select 'by variables', ssl from pg_stat_ssl where pid = pg_backend_pid()" 2>&1
unset PGHOST PGPORT PGSSLMODE
psql "${secure} sslmode=verify-full sslrootcert=/authority/ca.crt" -Atc "select 'verified', current_user" 2>&1
psql "${secure} sslmode=disable" -Atc "select 'in clear'" 2>&1 || true`,
      container: { volumeMounts: [{ name: 'authority', mountPath: '/authority' }] },
      spec: { volumes: [{ name: 'authority', configMap: { name: 'authority' } }] },
    }),
  ]);
  const said = await outputOf(stage, 'redirected');
  assert.match(said, /^sw_orders_db_\w+\|\*{4}0001\n/);
  assert.match(said, /server does not support SSL/, 'this listener has no certificate');
  const secured = await outputOf(stage, 'secured');
  assert.match(secured, /^verified\|postgres$/m);
  assert.doesNotMatch(secured, /in clear$/m);
});

test('a wrong password: who sees what, and that it heals', { skip }, async () => {
  await apply(stage, [
    agentPod({
      name: 'mistaken',
      connections: 'mistaken-db',
      script: 'while :; do psql -Atc "select current_user" 2>&1; sleep 1; done',
    }),
  ]);
  const refused = await saying(stage, 'mistaken', /FATAL/);
  assert.match(refused, /does not take the connection's credentials/);
  assert.doesNotMatch(refused, /password|reader/);
  const ready = `jsonpath={.status.conditions[?(@.type=="Ready")].reason}`;
  const reason = () =>
    stage.kubectl(`get protectedconnection mistaken-db --namespace ${ACCESS} --output ${ready}`);
  await until('its status says so', async () => (await reason()) === 'AuthenticationFailed' || undefined);
  await until('an Event says so', async () => {
    const events = await stage.kubectl(
      `get events --namespace ${ACCESS} --field-selector involvedObject.name=mistaken-db --output jsonpath={.items[*].reason}`,
    );
    return events.includes('AuthenticationFailed') || undefined;
  });
  const patch = JSON.stringify({ stringData: { password: READER_PASSWORD } });
  await stage.kubectl(`patch secret mistaken --namespace ${ACCESS} --type merge --patch ${patch}`);
  await saying(stage, 'mistaken', /^reader$/m);
  await until(
    'the connection is ready again',
    async () => ((await reason()) === 'Reconciled' ? true : undefined),
    {
      limit: 240_000,
    },
  );
  await stage.kubectl(`delete pod mistaken --namespace ${AGENTS} --wait=false`);
});

test('a changed policy holds for the next statement of an open session', { skip }, async () => {
  const patch = async (rules: unknown) =>
    stage.kubectl(
      `patch accesspolicy reading --namespace ${ACCESS} --type merge --patch ${JSON.stringify({ spec: { rules } })}`,
    );
  await apply(stage, [
    agentPod({ name: 'governed', namespace: LEAVING, script: loop(ORDERS, "select 'governed', 1;") }),
  ]);
  await saying(stage, 'governed', /^governed\|1$/m, LEAVING);
  await patch([{ name: 'closed', when: 'true', action: 'Deny', message: 'closed-for-today' }]);
  await saying(stage, 'governed', /closed-for-today/, LEAVING);
  await patch([{ name: 'reads', when: 'sql.effects==["read"]', action: 'Allow' }]);
  const said = await saying(stage, 'governed', /closed-for-today[^]*\ngoverned\|1$/m, LEAVING);
  assert.doesNotMatch(said, /psql ended/, 'one session all along');
});

test(
  'a namespace that is allowed no more is cut off, with the reason, and let in again',
  { skip },
  async () => {
    await stage.kubectl(`label namespace ${LEAVING} sidewarden.dev/agents-`);
    const said = await saying(stage, 'governed', /psql ended/, LEAVING);
    assert.match(said, /FATAL: .*revoked: .* does not allow the namespace agents-leaving/);
    await saying(stage, 'governed', /psql ended[^]*FATAL: .*revoked: /, LEAVING);
    await stage.kubectl(`label namespace ${LEAVING} sidewarden.dev/agents=true`);
    await saying(stage, 'governed', /psql ended[^]*\ngoverned\|1$/m, LEAVING);
    await stage.kubectl(`delete pod governed --namespace ${LEAVING} --wait=false`);
    await endedSessions(stage, 'governed', LEAVING);
  },
);

test('a deleted connection: its sessions are cut and revoked, then it goes', { skip }, async () => {
  await apply(stage, [
    agentPod({
      name: 'bereft',
      connections: 'doomed-db',
      script: loop('$SIDEWARDEN_DOOMED_DB_URL', "select 'bereft', 1;"),
    }),
  ]);
  await saying(stage, 'bereft', /^bereft\|1$/m);
  await stage.kubectl(`delete protectedconnection doomed-db --namespace ${ACCESS} --timeout 180s`);
  await saying(stage, 'bereft', /psql ended/);
  // Its backend is ended too, which may be what the open session hears first.
  await saying(stage, 'bereft', /FATAL: .*revoked: there is no ProtectedConnection/);
  const [session] = await sessionsOf(stage, 'bereft');
  assert.equal(session?.status?.phase, 'Ended');
  await stage.kubectl(`delete pod bereft --namespace ${AGENTS} --wait=false`);
});

test('a run that ends in the middle of a statement ends cleanly', { skip }, async () => {
  await apply(stage, [
    agentPod({
      name: 'hasty',
      spec: patient,
      script: `${signedIn()}; psql -Atc "select pg_sleep(900)" & sleep 3; psql -Atc "select current_user"; exit 0`,
    }),
    agentPod({
      name: 'killed',
      spec: patient,
      script: `trap 'exit 1' TERM; ${signedIn()}; psql -Atc "select current_user, pg_sleep(900)" & wait`,
    }),
  ]);
  await outputOf(stage, 'hasty');
  const code = 'jsonpath={.status.initContainerStatuses[0].state.terminated.exitCode}';
  assert.equal(await stage.kubectl(`get pod hasty --namespace ${AGENTS} --output ${code}`), '0');
  await until('the statement runs', async () => {
    const rows = await stage.query(
      "select 1 from pg_stat_activity where query like '%current_user, pg_sleep(900)%' and usename like 'sw_%'",
    );
    return rows.length > 0 ? true : undefined;
  });
  const move = `patch protectedconnection orders-db --namespace ${ACCESS} --type merge --patch {"spec":{"target":{"port":5433}}}`;
  await assert.rejects(stage.kubectl(move), /sessions have roles on this target/);
  await stage.kubectl(`delete pod killed --namespace ${AGENTS} --timeout 180s`);
  for (const pod of ['hasty', 'killed']) {
    const [session] = await endedSessions(stage, pod);
    assert.match(session?.status?.recording?.manifestDigest ?? '', /^sha256:/, pod);
  }
  const left = await stage.query(
    "select usename from pg_stat_activity where query like '%pg_sleep(900)%' and usename like 'sw_%'",
  );
  assert.deepEqual(left, []);
});

test(
  'large answers: rows without end are masked as they pass, one that is too large is refused',
  { skip },
  async (t) => {
    await apply(stage, [
      agentPod({
        name: 'many',
        script: `${signedIn()}; date +%s%N; psql -Atc "select c.id, c.card, n from customers c, generate_series(1, 20000) n" > /tmp/rows; date +%s%N
wc -l < /tmp/rows; grep -c 42424242 /tmp/rows; grep -c '|\\*\\*\\*\\*00' /tmp/rows`,
      }),
      agentPod({
        name: 'large',
        connections: 'small-db',
        script: `${signedIn()}; (printf "select length('"; printf '%070000d' 1; printf "');\\nselect 'goes on';\\n") | psql -At 2>&1 | cut -c 1-300`,
      }),
    ]);
    const [began = '', ended = '', ...counts] = (await outputOf(stage, 'many')).trim().split('\n');
    assert.deepEqual(counts, ['1000000', '0', '1000000']);
    t.diagnostic(`a million masked rows took ${(Number(BigInt(ended) - BigInt(began)) / 1e9).toFixed(1)} s`);
    const large = await outputOf(stage, 'large');
    t.diagnostic(`too large: ${large}`);
    assert.match(large, /ERROR|FATAL/);
  },
);

test('runs that begin and end together do not disturb each other', { skip }, async () => {
  const crowd = {
    name: 'crowd',
    script: `${signedIn()}; psql -Atc "select 'crowd', count(*) from customers"`,
  };
  await apply(stage, [
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'crowd', namespace: AGENTS },
      spec: { backoffLimit: 0, parallelism: 8, completions: 8, template: podTemplate(crowd) },
    },
  ]);
  await stage.kubectl(`wait --for condition=Complete job/crowd --namespace ${AGENTS} --timeout 240s`);
});

test('a schedule has made its run', { skip }, async () => {
  const said = await until(
    'the CronJob has run',
    async () => {
      const pods = await stage.kubectl(
        `get pods --namespace ${AGENTS} --field-selector status.phase=Succeeded --output name`,
      );
      const [pod] = pods.split('\n').filter((name) => name.startsWith('pod/tick-'));
      return pod === undefined ? undefined : outputOf(stage, pod.replace('pod/', ''));
    },
    { limit: 240_000, every: 500 },
  );
  assert.match(said, /tick\|500/);
});
