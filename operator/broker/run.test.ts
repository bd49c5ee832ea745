import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { KubeObject } from '../kube/kube.ts';
import { CONNECTIONS_ANNOTATION, INJECTED_LABEL } from '../kube/names.ts';
import { callerOf, type Caller } from './caller.ts';
import { parseKey, runEnded, runIn } from './run.ts';

const EXTRA = 'authentication.kubernetes.io/';

function userOf(username: string, extra: Readonly<Record<string, readonly string[]>>) {
  const entries = Object.entries(extra).map(([key, values]) => [`${EXTRA}${key}`, values]);
  return { username, uid: 'u', groups: ['system:serviceaccounts'], extra: Object.fromEntries(entries) };
}

const bound = { 'pod-name': ['run'], 'pod-uid': ['uid-1'] };
const agent = 'system:serviceaccount:agents:agent';

suite('whose a token is', () => {
  const cases: readonly [string, string, Readonly<Record<string, readonly string[]>>, boolean][] = [
    ['bound to a pod', agent, bound, true],
    ['bound to a pod and its node', agent, { ...bound, 'node-name': ['one'] }, true],
    ['bound to nothing', agent, {}, false],
    ['without the uid', agent, { 'pod-name': ['run'] }, false],
    ['of an empty pod', agent, { 'pod-name': [''], 'pod-uid': ['uid-1'] }, false],
    ['of two pods', agent, { 'pod-name': ['run', 'other'], 'pod-uid': ['uid-1'] }, false],
    ['of two nodes', agent, { ...bound, 'node-name': ['one', 'two'] }, false],
    ["a person's", 'alice', bound, false],
    ["a node's", 'system:node:one', bound, false],
    ['of a name that only looks like an account', 'system:serviceaccount:agents', bound, false],
    ['of a name with more to it', `${agent}:more`, bound, false],
  ];
  for (const [what, username, extra, good] of cases)
    test(what, () => assert.equal(callerOf(userOf(username, extra)) !== undefined, good));
});

const caller: Caller = {
  user: userOf(agent, bound),
  namespace: 'agents',
  serviceAccount: 'agent',
  pod: 'run',
  podUid: 'uid-1',
  node: undefined,
};

function podOf(spec: object, status: object = {}, metadata: object = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'run',
      namespace: 'agents',
      uid: 'uid-1',
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { [INJECTED_LABEL]: 'true' },
      annotations: { [CONNECTIONS_ANNOTATION]: 'a/b, c/d,a/b,nonsense,../x,a/b/c' },
      ...metadata,
    },
    spec: { serviceAccountName: 'agent', ...spec },
    status,
  };
}

suite('a run', () => {
  test('is who its token says, with what its annotation names', () => {
    const { identity, connections, ended } = runIn(podOf({}), caller);
    assert.equal(identity.serviceAccount, 'agents/agent');
    assert.equal(identity.pod, 'agents/run');
    assert.deepEqual(connections, [
      { namespace: 'a', name: 'b' },
      { namespace: 'c', name: 'd' },
    ]);
    assert.equal(ended, false);
  });

  const refused: readonly [string, KubeObject, Caller, string][] = [
    ['another service account', podOf({ serviceAccountName: 'other' }), caller, 'unauthenticated'],
    ['another node', podOf({ nodeName: 'two' }), { ...caller, node: 'one' }, 'unauthenticated'],
    ['no injection', podOf({}, {}, { labels: {} }), caller, 'forbidden'],
  ];
  for (const [what, pod, by, code] of refused)
    test(`is refused with ${what}`, () => assert.throws(() => runIn(pod, by), { code }));

  const exited = [{ name: 'agent', state: { terminated: { exitCode: 1 } } }];
  const running = [{ name: 'agent', state: { running: {} } }];
  const once = { restartPolicy: 'Never', containers: [{ name: 'agent' }] };
  const deleted = { deletionTimestamp: '2026-01-01T00:00:00Z' };
  const ends: readonly [string, KubeObject, boolean][] = [
    ['pending', podOf(once, { phase: 'Pending' }), false],
    ['running', podOf(once, { phase: 'Running', containerStatuses: running }), false],
    ['succeeded', podOf(once, { phase: 'Succeeded' }), true],
    ['exited', podOf(once, { phase: 'Running', containerStatuses: exited }), true],
    ['running, to be deleted', podOf(once, { phase: 'Running', containerStatuses: running }, deleted), true],
  ];
  for (const [what, pod, ended] of ends)
    test(`${what}: ${ended ? 'ended' : 'goes on'}`, () => assert.equal(runEnded(pod), ended));

  test('any text is a key of two names, or none', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '/', '.', '-', 'B', '\n', '0') }), (text) => {
        const key = parseKey(text);
        if (key !== undefined) assert.equal(`${key.namespace}/${key.name}`, text);
        if (key !== undefined) assert.match(key.namespace, /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
      }),
    );
  });
});
