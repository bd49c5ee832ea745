import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import pino from 'pino';
import { until } from '../../e2e/cluster/component.ts';
import {
  type ControlPlane,
  controlPlaneUnavailable,
  startControlPlane,
} from '../../e2e/cluster/control-plane.ts';
import { type RunningKube, connectKube } from './connect.ts';
import { type Kube, KubeError, LEASES } from './kube.ts';
import { type Election, type LeaseTimes, electLeader } from './leader.ts';
import { isJson } from './object.ts';

const unavailable = await controlPlaneUnavailable();
const log = pino({ level: 'silent' });
const times = { duration: 9000, renewLimit: 6000, retry: 200 };
/** Where nothing is to run out: longer than any wait here, so that what happens sooner happened for another reason. */
const long = { duration: 180_000, renewLimit: 120_000, retry: 200 };

suite('leader election', { skip: unavailable ?? false }, () => {
  let plane: ControlPlane;
  let kube: RunningKube;
  before(async () => {
    plane = await startControlPlane();
    kube = await connectKube({ kubeconfig: plane.kubeconfig, log });
  });
  after(async () => {
    await kube.close();
    await plane.stop();
  });

  /** A candidate whose way to the API server can be cut: to the others it is as if it were killed. */
  function candidate(name: string, identity: string, lease: LeaseTimes = times) {
    const link = { cut: false };
    const said: string[] = [];
    const guarded =
      <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) =>
      async (...args: Args): Promise<Result> => {
        if (link.cut) throw new KubeError('cut', undefined);
        return call(...args);
      };
    const cuttable: Pick<Kube, 'get' | 'create' | 'patch'> = {
      get: guarded((...args) => kube.get(...args)),
      create: guarded((...args) => kube.create(...args)),
      patch: guarded((...args) => kube.patch(...args)),
    };
    const election: Election = electLeader(
      cuttable,
      { namespace: 'default', name, identity, log, times: lease },
      { onStarted: () => void said.push('started'), onStopped: () => void said.push('stopped') },
    );
    return { election, said, link };
  }

  async function holder(name: string): Promise<unknown> {
    const lease = await kube.get(LEASES, 'default', name);
    return isJson(lease?.['spec']) ? lease['spec']['holderIdentity'] : undefined;
  }

  test('one of two leads; given back, the other leads at once', async () => {
    const both = [candidate('given', 'one', long), candidate('given', 'two', long)];
    const first = await until('one leads', () => both.find(({ election }) => election.leading), {
      every: 10,
    });
    const other = both.find((each) => each !== first);
    assert.ok(other);
    assert.equal(other.election.leading, false);
    await first.election.close();
    assert.deepEqual(first.said, ['started', 'stopped']);
    assert.equal(first.election.leading, false);
    // Long before the Lease would run out.
    await until('the other leads', () => (other.election.leading ? true : undefined), { every: 10 });
    await other.election.close();
    assert.equal(await holder('given'), '');
  });

  test('one that is cut off stops before another begins, and comes back as a candidate', async () => {
    const first = candidate('cut', 'one');
    await until('it leads', () => (first.election.leading ? true : undefined), { every: 10 });
    const other = candidate('cut', 'two');
    first.link.cut = true;
    let both = 0;
    const look = () => {
      if (first.election.leading && other.election.leading) both += 1;
      return other.election.leading ? true : undefined;
    };
    await until('the other leads', look, { every: 5 });
    assert.equal(both, 0, 'never both');
    assert.deepEqual(first.said, ['started', 'stopped']);
    first.link.cut = false;
    await other.election.close();
    await until('it leads again', () => (first.election.leading ? true : undefined), { every: 10 });
    assert.deepEqual(first.said, ['started', 'stopped', 'started']);
    await first.election.close();
  });

  test('an API server that is away for a moment changes nothing; for longer, nobody leads', async () => {
    const first = candidate('away', 'one');
    await until('it leads', () => (first.election.leading ? true : undefined), { every: 10 });
    await plane.kill('kube-apiserver');
    // It is said by a timer, which may come a moment after the time itself.
    await until('it leads no more', () => (first.said.length > 1 ? true : undefined), { every: 10 });
    assert.equal(first.election.leading, false);
    assert.deepEqual(first.said, ['started', 'stopped']);
    await plane.start('kube-apiserver');
    await until('it leads again', () => (first.election.leading ? true : undefined));
    await first.election.close();
  });

  test('of many that start at once, one leads', async () => {
    const many = Array.from({ length: 8 }, (_, index) => candidate('many', `candidate-${index}`, long));
    await until('one leads', () => many.find(({ election }) => election.leading), { every: 10 });
    for (let look = 0; look < 20; look += 1) {
      assert.ok(many.filter(({ election }) => election.leading).length <= 1);
      await new Promise((done) => setTimeout(done, 50));
    }
    assert.equal(many.flatMap(({ said }) => said).filter((each) => each === 'started').length, 1);
    await Promise.all(many.map(({ election }) => election.close()));
    assert.equal(await holder('many'), '');
  });
});
