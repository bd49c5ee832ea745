import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Clock } from '../kube/clock.ts';
import type { Key } from '../kube/kube.ts';
import { StandingCheck } from './standing-check.ts';

const key: Key = { namespace: 'n', name: 'a' };
const settle = () => new Promise((done) => setImmediate(done));

function setUp() {
  let now = 0;
  const clock: Clock = { now: () => now, later: () => () => undefined };
  const check = new StandingCheck<string>({ goodFor: () => 100, workers: 2, clock });
  const told: string[] = [];
  const stop = check.listen(({ name }) => told.push(name));
  let calls = 0;
  const answer = (result: string) => () => {
    calls += 1;
    return Promise.resolve(result);
  };
  return { check, told, stop, answer, calls: () => calls, pass: (ms: number) => void (now += ms) };
}

suite('a standing check', () => {
  test('gives nothing at first, tells when there is a result, and is not repeated while it is good', async () => {
    const { check, told, answer, calls, pass } = setUp();
    for (let time = 0; time < 3; time += 1) assert.equal(check.result(key, '1', answer('good')), undefined);
    await settle();
    assert.deepEqual([told, calls()], [['a'], 1]);
    pass(99);
    assert.equal(check.result(key, '1', answer('other')), 'good');
    await settle();
    assert.equal(calls(), 1);
  });

  test('gives the old result while it is repeated, and none for something else', async () => {
    const { check, told, answer, pass } = setUp();
    check.result(key, '1', answer('first'));
    await settle();
    pass(100);
    assert.equal(check.result(key, '1', answer('second')), 'first');
    await settle();
    assert.equal(check.result(key, '1', answer('third')), 'second');
    assert.equal(check.result(key, '2', answer('for two')), undefined);
    await settle();
    assert.equal(check.result(key, '2', answer('x')), 'for two');
    assert.equal(told.length, 3);
  });

  test('a result for what is not asked any more is not taken for the new one', async () => {
    const { check } = setUp();
    const first = Promise.withResolvers<string>();
    check.result(key, '1', () => first.promise);
    await settle();
    check.result(key, '2', () => Promise.resolve('two'));
    first.resolve('one');
    await settle();
    await settle();
    assert.equal(
      check.result(key, '2', () => Promise.resolve('again')),
      'two',
    );
  });

  test('forgotten, or stopped, it says and does nothing', async () => {
    const { check, told, stop, answer, calls } = setUp();
    check.result(key, '1', answer('one'));
    check.forget(key);
    await settle();
    assert.deepEqual(told, []);
    stop();
    assert.equal(check.result(key, '1', answer('one')), undefined);
    await settle();
    assert.ok(calls() <= 1);
    assert.deepEqual(told, []);
  });
});
