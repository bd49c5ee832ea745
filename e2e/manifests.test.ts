import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { parseConnection } from '../crds/connection.ts';
import { parseSecret } from '../crds/core.ts';
import { parsePolicy } from '../crds/policy.ts';
import { usualManifests } from './manifests.ts';

const parsers = new Map<unknown, (input: unknown) => { readonly kind: string }>([
  ['ProtectedConnection', parseConnection],
  ['AccessPolicy', parsePolicy],
  ['Secret', parseSecret],
]);

test('the manifests of tests are valid kinds', () => {
  const postgres = { host: '127.0.0.1', port: 5432, user: 'u', password: 'p' };
  const hold = { approvers: { groups: ['dba'] }, timeout: '5s' };
  const text = usualManifests(
    { postgres, port: 15_432 },
    {
      postgres,
      port: 15_433,
      name: 'second',
      rules: [{ name: 'changes', when: '"ddl" in sql.effects', action: 'Hold', hold }],
      masks: [{ columns: ['public.customers.card'], with: 'Redact' }],
      durability: 'strict',
    },
  );
  const documents = parseAllDocuments(text);
  assert.equal(documents.length, 6);
  for (const parsedYaml of documents) {
    const document: unknown = parsedYaml.toJS();
    assert.ok(typeof document === 'object' && document !== null && 'kind' in document);
    const parsed = parsers.get(document.kind)?.(document);
    assert.equal(parsed?.kind, 'parsed', JSON.stringify(parsed));
  }
});
