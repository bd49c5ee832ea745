/** An agent that is root in its container, and a developer with `edit`, against the sidecar of a running pod. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { clusterUnavailable } from '../cluster/availability.ts';
import type { Outcome } from '../cluster/access.ts';
import { until } from '../cluster/component.ts';
import { followPages } from './pages.ts';
import { startStage } from './shared-stage.ts';
import { ACCESS, AGENTS, OPERATOR, type Stage } from './stage.ts';

const skip = (await clusterUnavailable()) ?? false;
const BROKER = `https://sidewarden.${OPERATOR}.svc:8443`;
const TARGET = 'orders.databases.svc.cluster.local';
const developer = { user: 'dev', groups: ['system:authenticated'] };
let stage: Stage;

before(async () => {
  if (skip === false) stage = await startStage();
});

/** Stands where the database would be, says what comes, and asks for the password in clear. */
const IMPOSTOR = `
const net = require('node:net');
net.createServer((socket) => {
  console.log('CAME');
  socket.on('error', () => undefined).on('data', (bytes) => {
    console.log('GOT', bytes.toString('latin1'));
    socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]));
  });
}).listen(5432, '::', () => console.log('LISTENING'));
`;

/** Two containers of root: with a shell and PostgreSQL's clients, and with Node and iptables. */
const attacker = (name: string, annotations: object = {}, impostor = '', more: object = {}) => {
  const securityContext = { runAsUser: 0 };
  const imagePullPolicy = 'IfNotPresent';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: AGENTS,
      annotations: { 'sidewarden.dev/connections': `${ACCESS}/orders-db`, ...annotations },
    },
    spec: {
      serviceAccountName: 'agent',
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 5,
      ...more,
      containers: [
        {
          name: 'node',
          image: 'sidewarden-sidecar:0.1.0',
          imagePullPolicy,
          securityContext,
          command: ['node', '-e', `${impostor};setInterval(() => undefined, 1000)`],
        },
        { name: 'shell', image: 'postgres:18', imagePullPolicy, securityContext, command: ['sleep', '3600'] },
      ],
    },
  };
};

async function start(pod: ReturnType<typeof attacker>): Promise<void> {
  await stage.cluster.apply(JSON.stringify(pod));
  await stage.kubectl(
    `wait --for condition=Ready pod/${pod.metadata.name} --namespace ${AGENTS} --timeout 180s`,
  );
}

const inside = (pod: string, container: string, ...command: readonly string[]): Promise<Outcome> =>
  stage.cluster.kubectlOutcome(['exec', '-n', AGENTS, pod, '-c', container, '--', ...command]);

async function shell(pod: string, script: string): Promise<string> {
  const { stdout, stderr } = await inside(pod, 'shell', 'bash', '-c', script);
  return `${stdout}${stderr}`;
}

async function node(pod: string, script: string): Promise<string> {
  const { stdout, stderr } = await inside(pod, 'node', 'node', '-e', script);
  return `${stdout}${stderr}`;
}

test('the operator, a database, a connection to it', { skip }, async (t) => {
  await followPages(t, stage, ['docs/kubernetes/install.md', 'docs/kubernetes/first-connection.md']);
  await stage.kubectl(`create rolebinding developers --clusterrole edit --user dev --namespace ${AGENTS}`);
  await Promise.all([
    start(attacker('root')),
    start(attacker('redirected', { 'sidewarden.dev/redirect': 'true' })),
    start(attacker('impostor', {}, IMPOSTOR)),
  ]);
});

test('who is root and writes the pod’s /etc/hosts is not taken for the database', { skip }, async () => {
  const heard = () => stage.kubectl(`logs impostor --namespace ${AGENTS} --container node`);
  await until('the impostor listens', async () => (await heard()).includes('LISTENING') || undefined);
  const aside = `awk '!/${TARGET}/' /etc/hosts > /tmp/hosts; echo "127.0.0.1 ${TARGET} orders.databases" >> /tmp/hosts; cat /tmp/hosts > /etc/hosts`;
  // The sidecar has looked for nothing before.
  assert.match(await shell('impostor', `${aside}; getent hosts ${TARGET}`), /^127\.0\.0\.1/u);
  assert.match(await shell('impostor', 'psql -At -c "SELECT current_user"'), /^sw_orders_db_/u);
  assert.equal((await heard()).trim(), 'LISTENING');
});

test('names that lead nowhere do not cut a sidecar off from the operator', { skip }, async () => {
  const astray = `echo "127.0.0.1 sidewarden.${OPERATOR}.svc" >> /etc/hosts; echo "nameserver 127.0.0.1" > /etc/resolv.conf`;
  assert.match(
    await shell('impostor', `${astray}; getent hosts sidewarden.${OPERATOR}.svc`),
    /^127\.0\.0\.1/u,
  );
  const of = `--namespace ${OPERATOR} --selector app.kubernetes.io/name=sidewarden`;
  const old = (await stage.kubectl(`get pods ${of} --output name`)).trim().split(/\s+/u);
  await stage.kubectl(`rollout restart deployment/sidewarden --namespace ${OPERATOR}`);
  await stage.kubectl(`rollout status deployment/sidewarden --namespace ${OPERATOR} --timeout 180s`);
  await stage.kubectl(`wait --for delete ${old.join(' ')} --namespace ${OPERATOR} --timeout 180s`);
  const address = await stage.kubectl(
    `get pod impostor --namespace ${AGENTS} --output jsonpath={.status.podIP}`,
  );
  await until(
    'it hears the new replicas',
    async () => {
      const told = await shell('root', `curl -s -m 5 'http://${address}:15090/metrics'`);
      return /^sidewarden_policy_stale_seconds 0$/mu.test(told) || undefined;
    },
    { every: 500 },
  );
  assert.match(await shell('impostor', 'psql -At -c "SELECT current_user"'), /^sw_orders_db_/u);
});

test('the sidecar’s files, processes and user', { skip }, async () => {
  const seen = await shell(
    'root',
    'ls -dR /var/run/* /run/* /var/lib/* 2>/dev/null; for file in /proc/[0-9]*/exe; do readlink $file; done; env; cat /proc/self/mountinfo; ls /dev/shm',
  );
  assert.doesNotMatch(
    seen,
    /sidewarden-spool|sidewarden-token|serviceaccount|\/var\/lib\/sidewarden|bin\/node|PASSWORD|eyJ/u,
  );
  const as = (script: string) => `process.setgid(64937); process.setuid(64937); ${script}`;
  const files = as(
    `const fs = require('node:fs');
     for (const id of fs.readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)))
       try { console.log(fs.readFileSync('/proc/' + id + '/environ', 'latin1').includes('SIDEWARDEN_TOKEN_FILE')); } catch {}`,
  );
  assert.doesNotMatch(await node('root', files), /true/u);
  const share = as(
    `require('node:net').createServer().on('error', (error) => console.log(error.code))
       .listen({ port: 15432, host: '127.0.0.1', reusePort: true }, () => { console.log('SHARED'); process.exit(); });`,
  );
  assert.match(await node('root', share), /EADDRINUSE/u);
});

test('the broker, the API server and the database without a credential', { skip }, async () => {
  const curl = (more: string, url: string) =>
    shell('root', `curl -sk -m 60 -w ' %{http_code}' ${more} '${url}'`);
  const admin = { namespace: AGENTS, account: 'agent' };
  const mine = (await stage.kubectl(`create token ${admin.account} --namespace ${admin.namespace}`)).trim();
  const bound = (
    await stage.kubectl(
      `create token agent --namespace ${AGENTS} --bound-object-kind Pod --bound-object-name root`,
    )
  ).trim();
  const forged =
    "-H 'X-Remote-User: system:admin' -H 'X-Remote-Group: system:masters' -H 'Impersonate-User: admin'";
  for (const more of [
    '',
    forged,
    '-H "Authorization: Bearer x"',
    `-H "Authorization: Bearer ${mine}"`,
    `-H "Authorization: Bearer ${bound}"`,
  ]) {
    for (const path of ['configuration', 'sessions', 'targets'])
      assert.match(await curl(more, `${BROKER}/v1/${path}`), /unauthenticated.* 401$/su, path);
  }
  assert.match(await curl('', 'https://kubernetes.default.svc/api/v1/namespaces'), / (?:401|403)$/u);
  for (const user of ['postgres', 'agent', 'sw_orders_db'])
    assert.match(
      await shell('root', `psql -w -h ${TARGET} -p 5432 -U ${user} -d orders -c 'select 1'`),
      /no password supplied/u,
    );
});

test(
  'what the sidecar says of itself holds no secret, and its listener is for the pod alone',
  { skip },
  async () => {
    await shell('root', 'psql -c "SELECT id FROM customers LIMIT 1"');
    const address = await stage.kubectl(
      `get pod root --namespace ${AGENTS} --output jsonpath={.status.podIP}`,
    );
    const role = (await shell('root', 'psql -At -c "SELECT current_user"')).trim();
    const told = await Promise.all(
      ['metrics', 'readyz', 'healthz', 'v1/configuration', '%2e%2e/%2e%2e/etc/passwd', ''].map((path) =>
        shell('root', `curl -s -i -m 60 --path-as-is 'http://${address}:15090/${path}'`),
      ),
    );
    const all = told.join('\n');
    assert.match(all, /sidewarden_operations_total/u);
    for (const secret of [role, TARGET, 'change-me', 'eyJ', 'customer', 'CERTIFICATE'])
      assert.ok(!all.includes(secret), secret);
    for (const method of ['POST', 'PUT', 'DELETE', 'TRACE'])
      assert.doesNotMatch(
        await shell('root', `curl -s -i -m 60 -X ${method} 'http://${address}:15090/metrics'`),
        /^HTTP\/1\.1 5/u,
      );
    const other = await shell(
      'redirected',
      `(echo > /dev/tcp/${address}/15432) 2>&1; psql -w -h ${address} -p 15432 -c 'select 1'`,
    );
    assert.match(other, /refused/u);
  },
);

test('its role’s password is not to be had or changed by a client', { skip }, async () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ['SELECT rolpassword FROM pg_authid', /ERROR/u],
    ['SELECT passwd FROM pg_shadow', /ERROR/u],
    ["ALTER ROLE CURRENT_USER PASSWORD 'known'", /ERROR/u],
    ["DO $$ BEGIN EXECUTE format('ALTER ROLE %I PASSWORD %L', current_user, 'known'); END $$", /ERROR/u],
    ["SELECT query FROM pg_stat_activity WHERE query ILIKE '%password%'", /ERROR|0 rows/u],
    ['CREATE ROLE mine LOGIN SUPERUSER', /ERROR/u],
    ['SET ROLE postgres', /ERROR/u],
  ];
  for (const [statement, refusal] of rows)
    assert.match(
      await shell('root', `psql -c "${statement.replaceAll('$', '\\$').replaceAll('"', '\\"')}"`),
      refusal,
      statement,
    );
  assert.match(await shell('root', "PGOPTIONS='-c role=postgres' psql -c 'SELECT 1'"), /FATAL/u);
  assert.match(await shell('root', "PGDATABASE=postgres psql -c 'SELECT 1'"), /FATAL/u);
  const bypass = await stage.query(
    "select count(*)::int as count from pg_stat_activity where usename like 'sw\\_%' and client_addr is null",
  );
  assert.equal(bypass[0]?.['count'], 0);
});

test('the redirect cannot be undone, and a direct address leads to the sidecar', { skip }, async () => {
  const direct = await shell('redirected', `psql -At -h ${TARGET} -p 5432 -c 'SELECT current_user'`);
  assert.match(direct, /^sw_orders_db_/u);
  const address = (await shell('redirected', `getent hosts ${TARGET}`)).split(/\s+/u)[0] ?? '';
  assert.match(
    await shell('redirected', `psql -At -h ${address} -p 5432 -c 'SELECT current_user'`),
    /^sw_orders_db_/u,
  );
  for (const program of ['iptables', 'ip6tables']) {
    const { code } = await inside('redirected', 'node', program, '-t', 'nat', '-F');
    assert.notEqual(code, 0, program);
  }
  // Who becomes the sidecar's user passes the redirect, and stands before the database with nothing in hand.
  const past = `process.setgid(64937); process.setuid(64937);
    const socket = require('node:net').connect(5432, '${address}');
    const start = Buffer.from('\\0\\x03\\0\\0user\\0postgres\\0database\\0orders\\0\\0', 'latin1');
    const length = Buffer.alloc(4); length.writeInt32BE(start.length + 4);
    socket.write(Buffer.concat([length, start]));
    socket.on('data', (bytes) => { console.log(bytes.toString('latin1')); process.exit(); });`;
  assert.match(await node('redirected', past), /SCRAM-SHA-256/u);
  const raw = `try { require('node:child_process').execFileSync('iptables', ['-L']); console.log('LISTED'); } catch { console.log('refused'); }`;
  assert.match(await node('redirected', raw), /refused/u);
});

test('kubectl in a developer’s hands', { skip }, async () => {
  const tries: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['exec', ['exec', 'root', '-c', 'sidewarden', '--', 'node', '-v'], /is refused/u],
    [
      'exec into the redirect',
      ['exec', 'redirected', '-c', 'sidewarden-redirect', '--', 'node', '-v'],
      /is refused/u,
    ],
    ['attach', ['attach', 'root', '-c', 'sidewarden'], /is refused/u],
    [
      'cp',
      ['cp', '-c', 'sidewarden', 'root:/var/run/secrets/sidewarden.dev/token', '/dev/null'],
      /is refused/u,
    ],
    ['port-forward', ['port-forward', 'pod/root', ':15432'], /portforward into a pod/u],
    [
      'debug',
      ['debug', 'root', '--image=postgres:18', '--target=sidewarden', '--', 'id'],
      /forbidden|ephemeral/iu,
    ],
    [
      'debug of a copy',
      ['debug', 'root', '--copy-to=copy', '--image=postgres:18', '--share-processes', '--', 'id'],
      /shareProcessNamespace/u,
    ],
    [
      'debug of a copy of the sidecar',
      ['debug', 'root', '--copy-to=copy', '--container=sidewarden', '--share-processes=false', '--', 'id'],
      /sidewarden/u,
    ],
    ['run', ['run', 'bare', '--image=postgres:18'], /has no sidecar/u],
    ['a token', ['create', 'token', 'agent', '--audience=broker.sidewarden.dev'], /sidecars only/u],
    [
      'annotate',
      ['annotate', 'pod', 'root', '--overwrite', 'sidewarden.dev/connections=a/b'],
      /cannot be changed/u,
    ],
    ['label', ['label', 'pod', 'root', 'sidewarden.dev/injected-'], /cannot be changed/u],
    [
      'set image',
      ['set', 'image', 'pod/root', 'sidewarden=postgres:18'],
      /cannot be changed|unable to find/u,
    ],
    ['the sessions', ['get', 'sessions', '-n', ACCESS], /forbidden/iu],
    ['the connection’s Secret', ['get', 'secret', 'orders-db-admin', '-n', ACCESS], /forbidden/iu],
  ];
  for (const [name, args, reason] of tries) {
    const { code, stderr } = await stage.cluster.kubectlOutcome(['-n', AGENTS, ...args], { as: developer });
    assert.notEqual(code, 0, name);
    assert.match(stderr, reason, name);
  }
  // As the cluster's administrator, whom RBAC does not stop.
  const debug = ['-n', AGENTS, 'debug', 'root', '--image=postgres:18', '--target=sidewarden', '--', 'id'];
  assert.match((await stage.cluster.kubectlOutcome(debug)).stderr, /ephemeral container/u);
  const own = await stage.cluster.kubectlOutcome(['-n', AGENTS, 'exec', 'root', '-c', 'shell', '--', 'id'], {
    as: developer,
  });
  assert.match(own.stdout, /uid=0/u, own.stderr);
  const logs = await stage.cluster.kubectlOutcome(['-n', AGENTS, 'logs', 'root', '-c', 'sidewarden'], {
    as: developer,
  });
  assert.match(logs.stdout, /session started/u);
  assert.doesNotMatch(logs.stdout, /change-me|eyJ|password/iu);
});

test('a flood of connections of an agent brings nobody but itself down', { skip }, async () => {
  const restarts = () =>
    stage.kubectl(
      `get pod root --namespace ${AGENTS} --output jsonpath={.status.initContainerStatuses[0].restartCount}`,
    );
  const flood = `const net = require('node:net');
    for (let i = 0; i < 2000; i += 1) net.connect(15432, '127.0.0.1').on('error', () => undefined).write(Buffer.alloc(64));
    setTimeout(() => process.exit(), 3000);`;
  await node('root', flood);
  const answer = await until(
    'the sidecar serves',
    async () => {
      const told = await shell('root', 'psql -At -c "SELECT 1"');
      return told.trim() === '1' ? told : undefined;
    },
    { every: 500 },
  );
  assert.equal(answer.trim(), '1');
  assert.equal(await restarts(), '0');
});
