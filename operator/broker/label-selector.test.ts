import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { selects } from './label-selector.ts';

type Selector = Parameters<typeof selects>[0];
const expression = (operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist', ...values: string[]): Selector => ({
  matchExpressions: [{ key: 'a', operator, ...(values.length === 0 ? {} : { values }) }],
});

suite('label selectors', () => {
  const cases: readonly [string, Selector, Readonly<Record<string, string>>, boolean][] = [
    ['none selects nothing', undefined, { a: '1' }, false],
    ['an empty one selects all', {}, {}, true],
    ['an equal label', { matchLabels: { a: '1' } }, { a: '1', b: '2' }, true],
    ['another value', { matchLabels: { a: '1' } }, { a: '2' }, false],
    ['no such label', { matchLabels: { a: '1' } }, {}, false],
    ['a name that every object has', { matchLabels: { constructor: '1' } }, {}, false],
    ['in', expression('In', '1', '2'), { a: '2' }, true],
    ['not in those', expression('In', '1', '2'), { a: '3' }, false],
    ['in, without the label', expression('In', ''), {}, false],
    ['none of', expression('NotIn', '1'), { a: '2' }, true],
    ['one of', expression('NotIn', '1'), { a: '1' }, false],
    ['none of, without the label', expression('NotIn', '1'), {}, true],
    ['exists', expression('Exists'), { a: '' }, true],
    ['does not', expression('Exists'), {}, false],
    ['must not exist', expression('DoesNotExist'), { a: '' }, false],
    ['both must hold', { matchLabels: { b: '1' }, ...expression('Exists') }, { a: '1' }, false],
  ];
  for (const [what, selector, labels, selected] of cases)
    test(what, () => assert.equal(selects(selector, labels), selected));
});
