import assert from 'node:assert/strict';
import { test } from 'node:test';
import { APPROVALS, SESSIONS } from './kube.ts';
import { listPages } from './list.ts';
import type { Call } from './transport.ts';

test('approvals, whose texts are long, come in small pages', async () => {
  for (const [resource, limit] of [
    [APPROVALS, '20'],
    [SESSIONS, '200'],
  ] as const) {
    const asked: (string | undefined)[] = [];
    const transport = {
      call: (call: Call) => {
        asked.push(call.query?.['limit']);
        const next = asked.length < 3 ? { continue: 'more' } : {};
        return Promise.resolve({
          status: 200,
          body: { metadata: { resourceVersion: '1', ...next }, items: [] },
        });
      },
    };
    await listPages(transport, resource, {}, () => undefined);
    assert.deepEqual(asked, [limit, limit, limit]);
  }
});
