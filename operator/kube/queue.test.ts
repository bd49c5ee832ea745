import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { backoff } from './backoff.ts';
import type { Clock } from './clock.ts';
import type { Key } from './kube.ts';
import { type Again, type Turn, WorkQueue } from './queue.ts';

const key = (name: string): Key => ({ namespace: 'n', name });

/** Time that goes on only when told to. */
class TestClock implements Clock {
  #now = 0;
  readonly #later = new Map<object, { readonly at: number; readonly call: () => void }>();

  now(): number {
    return this.#now;
  }

  later(milliseconds: number, call: () => void): () => void {
    const id = {};
    this.#later.set(id, { at: this.#now + milliseconds, call });
    return () => void this.#later.delete(id);
  }

  get pending(): number {
    return this.#later.size;
  }

  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      const next = [...this.#later].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!next) break;
      const [id, { at, call }] = next;
      this.#later.delete(id);
      this.#now = at;
      call();
      await settle();
    }
    this.#now = end;
    await settle();
  }
}

const settle = () => new Promise((done) => setImmediate(done));

/** Work that ends when it is told to. */
function setUp(workers: number) {
  const clock = new TestClock();
  const running = new Map<string, { end: (again?: Again) => void; fail: (error: Error) => void }>();
  const begun: string[] = [];
  const turns: Turn[] = [];
  let most = 0;
  const queue = new WorkQueue({
    workers,
    clock,
    wait: { first: 100, most: 1000 },
    onTurn: (turn) => turns.push(turn),
    work: ({ name }) => {
      assert.ok(!running.has(name), 'one worker a key');
      begun.push(name);
      return new Promise<Again | undefined>((end, fail) => {
        running.set(name, { end, fail });
        most = Math.max(most, running.size);
      }).finally(() => running.delete(name));
    },
  });
  const finish = async (name: string, again?: Again) => {
    running.get(name)?.end(again);
    await settle();
  };
  const fail = async (name: string) => {
    running.get(name)?.fail(new Error('failed'));
    await settle();
  };
  return { clock, running, begun, turns, queue, finish, fail, most: () => most };
}

suite('the work queue', () => {
  test('a key is queued once, and again when added while it is worked on', async () => {
    const { queue, begun, finish } = setUp(1);
    for (const name of ['a', 'b', 'b']) queue.add(key(name));
    assert.deepEqual([begun, queue.depth], [['a'], 1]);
    await finish('a');
    queue.add(key('b'));
    queue.add(key('b'));
    await finish('b');
    assert.deepEqual(begun, ['a', 'b', 'b']);
    await finish('b');
    assert.deepEqual(begun, ['a', 'b', 'b']);
    await queue.stop();
  });

  test('failures wait longer and longer, up to a limit, and forget when it goes well', async () => {
    const { queue, clock, begun, fail, finish, turns } = setUp(1);
    queue.add(key('a'));
    for (const most of [100, 200, 400, 800, 1000, 1000]) {
      await fail('a');
      const before = begun.length;
      await clock.advance(most / 2 - 1);
      assert.equal(begun.length, before, 'not before half of it');
      await clock.advance(most / 2 + 1);
      assert.equal(begun.length, before + 1, 'not after the whole');
    }
    await finish('a');
    queue.add(key('a'));
    await fail('a');
    await clock.advance(100);
    assert.equal(begun.length, 9);
    assert.equal(turns.filter(({ error }) => error !== undefined).length, 7);
    await finish('a');
    assert.equal(clock.pending, 0);
  });

  test('what is added need not wait; the earlier of two waits counts', async () => {
    const { queue, clock, begun, finish } = setUp(1);
    queue.addAfter(key('a'), 500);
    queue.addAfter(key('a'), 100);
    queue.addAfter(key('a'), 300);
    await clock.advance(99);
    assert.deepEqual(begun, []);
    await clock.advance(1);
    assert.deepEqual(begun, ['a']);
    await finish('a', { after: 1000 });
    queue.add(key('a'));
    assert.deepEqual(begun, ['a', 'a']);
    await finish('a');
    await clock.advance(5000);
    assert.deepEqual(begun, ['a', 'a']);
  });

  test('the age is that of the oldest that waits', async () => {
    const { queue, clock, finish, turns } = setUp(1);
    queue.add(key('a'));
    await clock.advance(10);
    queue.add(key('b'));
    await clock.advance(30);
    queue.add(key('c'));
    assert.deepEqual([queue.depth, queue.age], [2, 30]);
    await finish('a');
    assert.deepEqual([queue.depth, queue.age], [1, 0]);
    await finish('b');
    await finish('c');
    assert.deepEqual(
      turns.map(({ waited, took }) => [waited, took]),
      [
        [0, 40],
        [30, 0],
        [0, 0],
      ],
    );
  });

  test('stopping waits for what has begun and begins nothing more', async () => {
    const { queue, clock, begun, finish } = setUp(1);
    queue.add(key('a'));
    queue.add(key('b'));
    queue.addAfter(key('c'), 10);
    let stopped = false;
    const stop = queue.stop().then(() => (stopped = true));
    await settle();
    assert.equal(stopped, false);
    await finish('a', { after: 5 });
    await stop;
    queue.add(key('d'));
    await clock.advance(1000);
    assert.deepEqual([begun, clock.pending], [['a'], 0]);
  });

  test('whatever happens: never two at a key, never more than the workers, nothing added is forgotten', async () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd');
    const step = fc.oneof(
      fc.record({ kind: fc.constant('add' as const), name }),
      fc.record({ kind: fc.constant('later' as const), name, ms: fc.nat(500) }),
      fc.record({ kind: fc.constant('finish' as const), name }),
      fc.record({ kind: fc.constant('fail' as const), name }),
      fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(300) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.array(step, { maxLength: 60 }),
        async (workers, steps) => {
          const world = setUp(workers);
          /** Added and not begun since. */
          const owed = new Set<string>();
          let counted = 0;
          const look = () => {
            for (; counted < world.begun.length; counted += 1) owed.delete(world.begun[counted] ?? '');
          };
          for (const each of steps) {
            if (each.kind === 'add') {
              look();
              owed.add(each.name);
              world.queue.add(key(each.name));
            } else if (each.kind === 'later') world.queue.addAfter(key(each.name), each.ms);
            else if (each.kind === 'finish') await world.finish(each.name);
            else if (each.kind === 'fail') await world.fail(each.name);
            else await world.clock.advance(each.ms);
            look();
            assert.ok(world.most() <= workers);
            if (world.running.size < workers)
              assert.equal(world.queue.depth, 0, 'a free worker takes what is due');
          }
          for (let round = 0; round < 20; round += 1) {
            for (const running of [...world.running.keys()]) await world.finish(running);
            await world.clock.advance(1000);
          }
          look();
          assert.deepEqual([...owed, world.queue.depth, world.clock.pending], [0, 0]);
          await world.queue.stop();
        },
      ),
      { numRuns: 200 },
    );
  });
});

test('backoff grows from the half of first to most', () => {
  fc.assert(
    fc.property(
      fc.nat(10_000),
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      (failures, random) => {
        const wait = backoff(failures, { first: 100, most: 5000 }, random);
        if (failures === 0) assert.equal(wait, 0);
        else assert.ok(wait >= 50 && wait <= 5000);
      },
    ),
  );
});
