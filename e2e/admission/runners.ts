/** Pods as the controllers of CI systems make them, before admission: what these systems' own code adds to what users wrote. */
import type { Json } from '../../operator/admission/json.ts';

const mount = (name: string, mountPath: string, more: Json = {}): Json => ({ name, mountPath, ...more });
const empty = (name: string, more: Json = {}): Json => ({ name, emptyDir: more });
const fromSecret = (name: string, secret: string, key: string): Json => ({
  name,
  valueFrom: { secretKeyRef: { name: secret, key } },
});
const fromField = (name: string, fieldPath: string): Json => ({
  name,
  valueFrom: { fieldRef: { fieldPath } },
});

/** gha-runner-scale-set without a container mode. */
const github: Json = {
  restartPolicy: 'Never',
  serviceAccountName: 'default',
  securityContext: { fsGroup: 123 },
  containers: [
    {
      name: 'runner',
      image: 'ghcr.io/actions/actions-runner:latest',
      command: ['/home/runner/run.sh'],
      env: [
        fromSecret('ACTIONS_RUNNER_INPUT_JITCONFIG', 'runners-abc', 'jitToken'),
        {
          name: 'GITHUB_ACTIONS_RUNNER_EXTRA_USER_AGENT',
          value: 'actions-runner-controller/gha-runner-scale-set',
        },
      ],
      volumeMounts: [mount('work', '/home/runner/_work')],
    },
  ],
  volumes: [
    {
      name: 'work',
      ephemeral: {
        volumeClaimTemplate: {
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
      },
    },
  ],
};

/** A job's pod of the runner's container hook: on the runner's node, with its workspace. */
const githubHook: Json = {
  restartPolicy: 'Never',
  nodeName: 'node-1',
  containers: [
    {
      name: 'job',
      image: 'node:22',
      command: ['tail'],
      args: ['-f', '/dev/null'],
      env: [{ name: 'GITHUB_ACTIONS', value: 'true' }],
      volumeMounts: [
        mount('work', '/__w'),
        mount('work', '/__e', { subPath: 'externals', readOnly: true }),
        mount('work', '/github/home', { subPath: '_temp/_github_home' }),
      ],
    },
    { name: 'redis', image: 'redis:7', ports: [{ containerPort: 6379 }] },
  ],
  volumes: [{ name: 'work', persistentVolumeClaim: { claimName: 'runner-work' } }],
};

/** The Kubernetes executor with a service, which is reached by an alias of loopback. */
const gitlabMounts = [mount('repo', '/builds'), mount('scripts', '/scripts-1-1'), mount('logs', '/logs-1-1')];
const gitlab: Json = {
  restartPolicy: 'Never',
  activeDeadlineSeconds: 3600,
  hostAliases: [{ ip: '127.0.0.1', hostnames: ['postgres'] }],
  initContainers: [
    {
      name: 'init-permissions',
      image: 'gitlab-runner-helper:v18',
      command: ['sh', '-c', 'touch /logs-1-1/output.log && (chmod 777 /logs-1-1/output.log || exit 0)'],
      securityContext: { privileged: false },
      volumeMounts: gitlabMounts,
    },
  ],
  containers: [
    {
      name: 'build',
      image: 'alpine:3',
      command: ['sh', '-c', 'sleep 1'],
      stdin: true,
      env: [
        { name: 'CI', value: 'true' },
        { name: 'FF_USE_POWERSHELL_PATH_RESOLVER', value: 'false' },
      ],
      securityContext: { privileged: false },
      volumeMounts: gitlabMounts,
    },
    {
      name: 'helper',
      image: 'gitlab-runner-helper:v18',
      stdin: true,
      securityContext: { privileged: false },
      volumeMounts: gitlabMounts,
    },
    { name: 'svc-0', image: 'postgres:18', env: [{ name: 'POSTGRES_PASSWORD', value: 'x' }] },
  ],
  volumes: [
    empty('repo'),
    empty('logs'),
    {
      name: 'scripts',
      configMap: { name: 'runner-scripts', defaultMode: 0o777, optional: false },
    },
  ],
};

const tektonMounts = [
  mount('tekton-internal-scripts', '/tekton/scripts', { readOnly: true }),
  mount('tekton-internal-downward', '/tekton/downward', { readOnly: true }),
  mount('tekton-creds-init-home-0', '/tekton/creds'),
  mount('tekton-internal-run-0', '/tekton/run/0'),
  mount('tekton-internal-bin', '/tekton/bin', { readOnly: true }),
  mount('tekton-internal-workspace', '/workspace'),
  mount('tekton-internal-home', '/tekton/home'),
  mount('tekton-internal-results', '/tekton/results'),
  mount('tekton-internal-steps', '/tekton/steps', { readOnly: true }),
];
const tekton: Json = {
  restartPolicy: 'Never',
  activeDeadlineSeconds: 5400,
  automountServiceAccountToken: false,
  initContainers: [
    {
      name: 'prepare',
      image: 'entrypoint',
      command: ['/ko-app/entrypoint', 'init', '/ko-app/entrypoint', '/tekton/bin/entrypoint', 'step-agent'],
      workingDir: '/',
      volumeMounts: [
        mount('tekton-internal-bin', '/tekton/bin'),
        mount('tekton-internal-steps', '/tekton/steps'),
      ],
    },
    {
      name: 'place-scripts',
      image: 'shell',
      command: ['sh'],
      args: ['-c', 'true'],
      volumeMounts: [
        mount('tekton-internal-scripts', '/tekton/scripts'),
        mount('tekton-internal-bin', '/tekton/bin'),
      ],
    },
  ],
  containers: [
    {
      name: 'step-agent',
      image: 'agent:1',
      command: ['/tekton/bin/entrypoint'],
      args: ['-wait_file', '/tekton/downward/ready', '-entrypoint', 'sh', '--'],
      terminationMessagePath: '/tekton/termination',
      volumeMounts: tektonMounts,
    },
  ],
  volumes: [
    ...['workspace', 'home', 'results', 'steps', 'scripts', 'bin', 'run-0'].map((each) =>
      empty(`tekton-internal-${each}`),
    ),
    empty('tekton-creds-init-home-0', { medium: 'Memory' }),
    {
      name: 'tekton-internal-downward',
      downwardAPI: {
        items: [{ path: 'ready', fieldRef: { fieldPath: "metadata.annotations['tekton.dev/ready']" } }],
      },
    },
  ],
};

const jenkins: Json = {
  restartPolicy: 'Never',
  hostNetwork: false,
  nodeSelector: { 'kubernetes.io/os': 'linux' },
  containers: [
    {
      name: 'jnlp',
      image: 'jenkins/inbound-agent:latest',
      env: [
        { name: 'JENKINS_SECRET', value: 'x' },
        { name: 'JENKINS_AGENT_NAME', value: 'agent-1' },
        { name: 'JENKINS_URL', value: 'http://jenkins:8080/' },
        { name: 'REMOTING_OPTS', value: '-noReconnectAfter 1d' },
      ],
      resources: { requests: { cpu: '100m', memory: '256Mi' } },
      volumeMounts: [mount('workspace-volume', '/home/jenkins/agent')],
    },
    {
      name: 'agent',
      image: 'agent:1',
      command: ['sleep', 'infinity'],
      tty: true,
      workingDir: '/home/jenkins/agent',
      volumeMounts: [mount('workspace-volume', '/home/jenkins/agent')],
    },
  ],
  volumes: [empty('workspace-volume', { medium: '' })],
};

const buildkite: Json = {
  restartPolicy: 'Never',
  terminationGracePeriodSeconds: 60,
  initContainers: [
    {
      name: 'copy-agent',
      image: 'agent-stack-k8s/agent',
      command: ['cp', '/usr/local/bin/buildkite-agent', '/sbin/tini-static', '/workspace'],
      volumeMounts: [mount('workspace', '/workspace')],
    },
    {
      name: 'imagecheck-0',
      image: 'agent:1',
      command: ['/workspace/tini-static', '--version'],
      volumeMounts: [mount('workspace', '/workspace')],
    },
  ],
  containers: [
    {
      name: 'agent',
      image: 'agent-stack-k8s/agent',
      command: ['/workspace/buildkite-agent', 'start'],
      env: [
        fromSecret('BUILDKITE_AGENT_TOKEN', 'buildkite', 'BUILDKITE_AGENT_TOKEN'),
        fromField('BUILDKITE_K8S_POD_UID', 'metadata.uid'),
      ],
      envFrom: [{ secretRef: { name: 'buildkite', optional: true } }],
      volumeMounts: [mount('workspace', '/workspace')],
    },
    {
      name: 'container-0',
      image: 'agent:1',
      command: ['/workspace/tini-static'],
      args: ['--', '/workspace/buildkite-agent', 'kubernetes-bootstrap'],
      volumeMounts: [mount('workspace', '/workspace')],
    },
    {
      name: 'checkout',
      image: 'agent-stack-k8s/agent',
      command: ['/workspace/tini-static'],
      securityContext: { runAsUser: 0, runAsNonRoot: false },
      volumeMounts: [mount('workspace', '/workspace')],
    },
  ],
  volumes: [empty('workspace')],
};

/** Its executor has the token of an account of its own, in a container of its own. */
const argo: Json = {
  restartPolicy: 'Never',
  serviceAccountName: 'default',
  automountServiceAccountToken: false,
  initContainers: [
    {
      name: 'init',
      image: 'argoexec',
      command: ['argoexec', 'init'],
      env: [fromField('ARGO_POD_NAME', 'metadata.name'), { name: 'ARGO_TEMPLATE', value: '{}' }],
      volumeMounts: [mount('var-run-argo', '/var/run/argo')],
    },
  ],
  containers: [
    {
      name: 'wait',
      image: 'argoexec',
      command: ['argoexec', 'wait'],
      env: [fromField('ARGO_POD_NAME', 'metadata.name'), fromField('ARGO_POD_UID', 'metadata.uid')],
      volumeMounts: [
        mount('tmp-dir-argo', '/tmp', { subPath: '0' }),
        mount('var-run-argo', '/var/run/argo'),
        mount('exec-sa-token', '/var/run/secrets/kubernetes.io/serviceaccount', { readOnly: true }),
      ],
    },
    {
      name: 'main',
      image: 'agent:1',
      command: ['/var/run/argo/argoexec', 'emissary', '--', './agent.sh'],
      volumeMounts: [mount('var-run-argo', '/var/run/argo')],
    },
  ],
  volumes: [
    empty('var-run-argo'),
    empty('tmp-dir-argo'),
    { name: 'exec-sa-token', secret: { secretName: 'argo-executor.service-account-token' } },
  ],
};

/** Specs by the system that makes such pods. */
export const RUNNERS: readonly (readonly [string, Json])[] = [
  ['GitHub’s runner controller', github],
  ['GitHub’s container hook', githubHook],
  ['GitLab Runner', gitlab],
  ['Tekton', tekton],
  ['Jenkins', jenkins],
  ['Buildkite', buildkite],
  ['Argo Workflows', argo],
];
