import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BrokerFailure } from './broker-failure.ts';
import { TargetNames, type ResolveAll } from './target-names.ts';

const unavailable = (error: unknown) => error instanceof BrokerFailure && error.code === 'unavailable';

test('the system’s resolver', async () => {
  assert.ok(
    (await new TargetNames().of('localhost')).some((address) => ['127.0.0.1', '::1'].includes(address)),
  );
  assert.deepEqual(await new TargetNames().of('127.0.0.9'), ['127.0.0.9']);
  await assert.rejects(new TargetNames().of('no.such.name.invalid'), unavailable);
});

test('many who ask at once ask the resolver once; names do not meet', async (t) => {
  t.mock.method(performance, 'now', () => 0);
  const asked: string[] = [];
  const resolve: ResolveAll = (host) => {
    asked.push(host);
    return Promise.resolve([{ address: host === 'a' ? '10.0.0.1' : '10.0.0.2', family: 4 }]);
  };
  const names = new TargetNames(resolve);
  const all = await Promise.all(Array.from({ length: 20 }, () => names.of('a')));
  for (const each of all) assert.deepEqual(each, ['10.0.0.1']);
  assert.deepEqual(await names.of('b'), ['10.0.0.2']);
  assert.deepEqual(asked, ['a', 'b']);
});

test('no address, and a resolver that does not answer, are told as such', async () => {
  const none: ResolveAll = () => Promise.resolve([]);
  const silent: ResolveAll = () => new Promise(() => undefined);
  const huge: ResolveAll = () =>
    Promise.resolve(Array.from({ length: 1_000 }, () => ({ address: '10.0.0.1', family: 4 })));
  await assert.rejects(new TargetNames(none).of('a'), unavailable);
  await assert.rejects(new TargetNames(silent).of('a'), unavailable);
  assert.equal((await new TargetNames(huge).of('a')).length, 256);
});
