import assert from 'node:assert/strict';
import type { LookupAddress } from 'node:dns';
import { test } from 'node:test';
import { AddressBook } from './address-book.ts';

const v4 = (address: string): LookupAddress => ({ address, family: 4 });

/** What the name means can be changed. */
function bookOf(...first: readonly string[]) {
  const name = { now: first as readonly string[] | Error };
  const book = new AddressBook((_host, done) => {
    if (name.now instanceof Error) done(name.now, []);
    else done(null, name.now.map(v4));
  });
  const found = () =>
    new Promise<readonly string[] | Error>((done) => {
      book.lookup('broker', {}, (error, addresses) => done(error ?? addresses.map(({ address }) => address)));
    });
  return { book, name, found };
}

test('what failed lately comes last', async () => {
  const { book, found } = bookOf('10.0.0.1', '10.0.0.2');
  book.suspect('10.0.0.1');
  for (let look = 0; look < 10; look += 1) assert.deepEqual(await found(), ['10.0.0.2', '10.0.0.1']);
});

test('what was the broker is tried whatever the name means later', async () => {
  const { book, name, found } = bookOf('10.0.0.1');
  book.prove('10.0.0.1');
  assert.deepEqual(await found(), ['10.0.0.1']);
  name.now = ['127.0.0.1'];
  assert.deepEqual([...((await found()) as string[])].sort(), ['10.0.0.1', '127.0.0.1']);
  book.suspect('127.0.0.1');
  assert.deepEqual(await found(), ['10.0.0.1', '127.0.0.1']);
  name.now = new Error('no such name');
  assert.deepEqual(await found(), ['10.0.0.1']);
});

test('a name that means nothing is told where nobody was the broker; few are remembered', async () => {
  const { book, name, found } = bookOf();
  name.now = new Error('no such name');
  assert.deepEqual(await found(), name.now);
  book.prove(undefined);
  book.prove('broker');
  assert.deepEqual(await found(), name.now);
  for (let last = 1; last <= 9; last += 1) book.prove(`10.0.0.${last}`);
  const all = await found();
  assert.ok(Array.isArray(all));
  assert.deepEqual([...all].sort(), ['10.0.0.6', '10.0.0.7', '10.0.0.8', '10.0.0.9']);
});
