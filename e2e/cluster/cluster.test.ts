import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { clusterUnavailable } from './availability.ts';
import { type OwnCluster, startCluster } from './cluster.ts';
import { until } from './component.ts';
import {
  agentImage,
  agentImageName,
  postgresImage,
  postgresImageName,
  sidecarImage,
  storeImage,
  storeImageName,
} from './images.ts';

const unavailable = await clusterUnavailable();

interface Container {
  readonly name: string;
  readonly image?: string;
  readonly script?: string;
  readonly [field: string]: unknown;
}

function container({ script, ...rest }: Container): Record<string, unknown> {
  return {
    image: agentImageName,
    imagePullPolicy: 'Never',
    ...(script === undefined ? {} : { command: ['bash', '-ec', script] }),
    ...rest,
  };
}

function pod(
  name: string,
  spec: { containers: Container[]; initContainers?: Container[]; volumes?: unknown[] },
) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { app: name } },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 1,
      ...spec,
      containers: spec.containers.map(container),
      initContainers: (spec.initContainers ?? []).map(container),
    },
  };
}

suite('a cluster', { skip: unavailable ?? false }, () => {
  let cluster: OwnCluster;
  before(async () => {
    cluster = await startCluster({
      images: await Promise.all([agentImage(), postgresImage(), storeImage(), sidecarImage('e2e')]),
    });
  });
  after(() => cluster.stop());

  const apply = (object: unknown) => cluster.apply(JSON.stringify(object));
  const finished = async (name: string) => {
    await cluster.kubectl([
      'wait',
      `pod/${name}`,
      '--for=jsonpath={.status.phase}=Succeeded',
      '--timeout=180s',
    ]);
    return cluster.kubectl(['logs', name]);
  };

  test('runs the real psql in the agent image, as any user', async () => {
    const script = 'psql --version; id -u; curl --version | head -1; echo "$0" | sed s/b/B/';
    await apply(pod('psql', { containers: [{ name: 'one', script, securityContext: { runAsUser: 1000 } }] }));
    assert.match(await finished('psql'), /^psql \(PostgreSQL\) \d+.*\n1000\ncurl /);
  });

  test('runs our own image as its Dockerfile says, with iptables for the redirect', async () => {
    const capabilities = { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] };
    const rules = ['iptables', 'ip6tables'].map(
      (program) =>
        `${program} -t nat -A OUTPUT -p tcp -m owner ! --uid-owner 64937 -j REDIRECT --to-ports 15432`,
    );
    const image = 'sidewarden-sidecar:e2e';
    await apply(
      pod('own', {
        containers: [
          { name: 'one', image },
          {
            name: 'two',
            image,
            command: ['/usr/local/bin/node', '-e', runs(rules)],
            securityContext: { runAsUser: 0, readOnlyRootFilesystem: true, capabilities },
          },
        ],
      }),
    );
    const ended = await until(
      'both have ended',
      async () => {
        const phase = await cluster.kubectl(['get', 'pod', 'own', '-o', 'jsonpath={.status.phase}']);
        return phase === 'Failed' ? true : undefined;
      },
      { limit: 180_000 },
    );
    assert.ok(ended);
    assert.match(await cluster.kubectl(['logs', 'own', '-c', 'one']), /SIDEWARDEN_\w+/);
    assert.equal(await cluster.kubectl(['logs', 'own', '-c', 'two']), '0 done\n');
  });

  test('completes a Job whose pod has a native sidecar', async () => {
    const template = pod('job', {
      initContainers: [
        {
          name: 'sidecar',
          restartPolicy: 'Always',
          script: 'trap "exit 0" TERM; while :; do sleep 0.1; done',
        },
      ],
      containers: [{ name: 'one', script: 'echo done' }],
    });
    await apply({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'job', namespace: 'default' },
      spec: { backoffLimit: 0, template: { metadata: { labels: { app: 'job' } }, spec: template.spec } },
    });
    await cluster.kubectl(['wait', 'job/job', '--for=condition=Complete', '--timeout=180s']);
  });

  test('gives a pod a token with an audience of its own', async () => {
    const volume = {
      name: 'token',
      projected: {
        sources: [{ serviceAccountToken: { audience: 'sidewarden', expirationSeconds: 600, path: 'token' } }],
      },
    };
    const mount = [{ name: 'token', mountPath: '/token' }];
    await apply(
      pod('token', {
        volumes: [volume],
        containers: [{ name: 'one', script: 'cat /token/token', volumeMounts: mount }],
      }),
    );
    const [, claims = ''] = (await finished('token')).split('.');
    const read = JSON.parse(Buffer.from(claims, 'base64url').toString());
    assert.deepEqual(read.aud, ['sidewarden']);
    assert.equal(read['kubernetes.io'].pod.name, 'token');
  });

  test('lets a pod resolve and reach Services: a database, a store, the API', async () => {
    const env = [{ name: 'POSTGRES_PASSWORD', value: 'secret' }];
    const readinessProbe = { tcpSocket: { port: 5432 }, periodSeconds: 1 };
    const keys = ['ROOT_ACCESS_KEY_ID', 'ROOT_SECRET_ACCESS_KEY'].map((name) => ({ name, value: 'secret' }));
    await apply(
      pod('postgres', { containers: [{ name: 'one', image: postgresImageName, env, readinessProbe }] }),
    );
    await apply(pod('store', { containers: [{ name: 'one', image: storeImageName, env: keys }] }));
    await apply(service('postgres', 5432));
    await apply(service('store', 7070));
    await cluster.kubectl(['wait', 'pod/postgres', 'pod/store', '--for=condition=Ready', '--timeout=180s']);
    const script = `
      export PGPASSWORD=secret
      until psql -h postgres.default.svc.cluster.local -U postgres -Atc 'select 6*7' 2>/dev/null; do sleep 0.2; done
      curl -s --retry 60 --retry-all-errors --retry-delay 1 -o /dev/null -w '%{http_code}\\n' http://store.default:7070/
      curl -sk https://kubernetes.default.svc/version
    `;
    await apply(pod('client', { containers: [{ name: 'one', script }] }));
    assert.match(await finished('client'), /^42\n403\n\{\n {2}"major": "1"/);
  });

  test('is reached by this machine, and reaches it', async () => {
    const ip = await cluster.kubectl(['get', 'pod', 'store', '-o', 'jsonpath={.status.podIP}']);
    assert.equal((await fetch(`http://${ip}:7070/`)).status, 403);
    assert.match(
      await cluster.kubectl(['exec', 'postgres', '--', 'postgres', '--version']),
      /^postgres \(PostgreSQL\) 18/,
    );
  });

  test('starts a killed container again', async () => {
    const loop = pod('loop', { containers: [{ name: 'one', script: 'sleep 1000' }] });
    await apply({ ...loop, spec: { ...loop.spec, restartPolicy: 'Always' } });
    await cluster.kubectl(['wait', 'pod/loop', '--for=condition=Ready', '--timeout=180s']);
    await cluster.containers.kill({ namespace: 'default', pod: 'loop', container: 'one' });
    await until(
      'it was restarted',
      async () => {
        const path =
          'jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}';
        return (await cluster.kubectl(['get', 'pod', 'loop', '-o', path])) === '1 true' ? true : undefined;
      },
      { limit: 180_000 },
    );
  });

  test('outlives the loss of API server, kubelet and containerd', async () => {
    for (const name of ['kube-apiserver', 'kubelet', 'containerd'] as const) await cluster.restart(name);
    await apply(pod('later', { containers: [{ name: 'one', script: 'echo later' }] }));
    assert.equal(await finished('later'), 'later\n');
  });
});

/** A script for node that runs commands one after another. */
function runs(commands: readonly string[]): string {
  const run = `for (const line of ${JSON.stringify(commands)}) { const [name, ...args] = line.split(' ');
    require('node:child_process').execFileSync(name, args, { stdio: 'inherit' }); }`;
  return `${run} console.log(process.getuid(), 'done')`;
}

function service(name: string, port: number): unknown {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: { selector: { app: name }, ports: [{ port }] },
  };
}
