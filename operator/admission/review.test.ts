/** Properties of what reads and writes reviews. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { wishOf } from './inject/annotations.ts';
import { jsonPatch } from './json-patch.ts';
import { isJson, sameJson, type Json } from './json.ts';
import { parseReview } from './review.ts';

const key = fc.constantFrom('a', 'b', 'a/b', '~', '~1', '', '__proto__', 'constructor', '0');
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, 0, 1, 'x', true),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map((entries) => Object.fromEntries(entries)),
  ),
}));

/** RFC 6902, as far as our patches use it. */
function apply(before: unknown, operations: ReturnType<typeof jsonPatch>): unknown {
  return operations.reduce((current, operation) => {
    const path = operation.path
      .split('/')
      .slice(1)
      .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
    return change(current, path, operation);
  }, before);
}

function change(
  current: unknown,
  path: readonly string[],
  operation: ReturnType<typeof jsonPatch>[number],
): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return operation.op === 'remove' ? undefined : operation.value;
  if (Array.isArray(current)) {
    return current.map((item: unknown, index) =>
      index === Number(first) ? change(item, rest, operation) : item,
    );
  }
  assert.ok(isJson(current), 'a path leads through what is there');
  const entries = new Map(Object.entries(current));
  if (rest.length === 0) assert.equal(entries.has(first), operation.op !== 'add', operation.op);
  const next = change(entries.get(first), rest, operation);
  if (next === undefined) entries.delete(first);
  else entries.set(first, next);
  return Object.fromEntries(entries);
}

test('a patch makes the one value of the other, and nothing of equal ones', () => {
  fc.assert(
    fc.property(value, value, (before, after) => {
      assert.ok(sameJson(apply(before, jsonPatch(before, after)), after));
      assert.deepEqual(jsonPatch(before, structuredClone(before)), []);
    }),
    { numRuns: 2000 },
  );
});

const good: Json = {
  uid: '1',
  kind: { group: '', version: 'v1', kind: 'Pod' },
  resource: { group: '', version: 'v1', resource: 'pods' },
  operation: 'UPDATE',
  userInfo: { username: 'ann', uid: '7', groups: ['dba'], extra: { k: ['v'] } },
  object: { a: 1 },
  oldObject: { a: 0 },
  dryRun: true,
  subResource: 'status',
};
const review = (request: unknown) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request,
});

test('a review is read whole, or not at all', () => {
  assert.deepEqual(parseReview(review(good)), {
    ...{ uid: '1', operation: 'UPDATE', dryRun: true, subresource: 'status', name: '', namespace: '' },
    ...{ kind: good['kind'], resource: good['resource'], user: good['userInfo'] },
    ...{ object: { a: 1 }, oldObject: { a: 0 }, options: undefined },
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(good), 'name', 'namespace', 'options'),
      fc.jsonValue(),
      (field, junk) => {
        const parsed = parseReview(review({ ...good, [field]: junk }));
        if (parsed !== undefined) assert.equal(typeof parsed.uid, 'string');
      },
    ),
  );
  fc.assert(fc.property(fc.jsonValue(), (junk) => assert.equal(parseReview(junk), undefined)));
});

test('any annotation is read, refused or none of ours', () => {
  const annotation = fc
    .constantFrom('connections', 'redirect', 'service-account-token', 'x')
    .map((name) => `sidewarden.dev/${name}`);
  const text = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.stringMatching(/^[a-z/,. -]{0,30}$/u),
    fc.constantFrom('true', 'keep', 'a/b'),
  );
  fc.assert(
    fc.property(fc.dictionary(annotation, text), (annotations) => {
      const wish = wishOf(annotations);
      if (wish.kind !== 'wish') return;
      for (const id of wish.wish.connections) assert.match(id, /^[a-z0-9-]{1,63}\/[a-z0-9.-]{1,253}$/u);
    }),
    { numRuns: 1000 },
  );
});
