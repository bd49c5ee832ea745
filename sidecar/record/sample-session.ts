/** Sessions for tests: a folder that goes away, a key, and events of every kind. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { RuleRef, SqlStatementFacts } from '../operation.ts';
import { DirectoryStore } from './directory-store.ts';
import type { OperationCompleted, OperationDecided, RecordingEvent } from './event.ts';
import {
  openRecording,
  type RecordingHeader,
  type RecordingOptions,
  type SessionRecorder,
} from './recorder.ts';
import { newSessionId } from './session-id.ts';
import { signerOf } from './signer.ts';
import type { RecordingStore } from './store.ts';

export const signer = signerOf(generateKeyPairSync('ed25519').privateKey);
export const trusted = { keyId: signer.keyId, key: signer.publicKey };

export async function sampleFolder(
  t: TestContext,
): Promise<{ readonly folder: string; readonly store: DirectoryStore }> {
  const folder = await mkdtemp(join(tmpdir(), 'recordings-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return { folder, store: new DirectoryStore(folder) };
}

export function sampleHeader(session = newSessionId()): RecordingHeader {
  return {
    session,
    identity: {
      issuer: 'sidewarden:token',
      subject: 'agent-7',
      username: 'agent',
      groups: ['ai-agents'],
      claims: { run: '42' },
      serviceAccount: '',
      pod: '',
    },
    connection: {
      name: 'orders-db',
      namespace: 'production',
      protocol: 'postgres',
      database: 'orders',
      labels: {},
    },
    client: { address: '127.0.0.1:50000', applicationName: 'psql' },
    policies: [{ name: 'production/agents', digest: 'abc' }],
    serverVersion: '18.1',
  };
}

const RULE: RuleRef = { policy: 'production/agents', rule: 'reads' };

export function sampleStatement(text = 'SELECT id, name FROM customers WHERE id = $1'): SqlStatementFacts {
  return {
    verb: 'SELECT',
    effects: ['read'],
    tables: [{ name: 'public.customers', access: ['read'], indirect: false }],
    columns: [{ table: 'public.customers', name: 'id', access: ['read'] }],
    functions: [],
    hasWhere: true,
    text,
    fingerprint: 'f0',
  };
}

const STATEMENT = sampleStatement();

export function sampleDecision(
  operation: number,
  statement: SqlStatementFacts = STATEMENT,
): OperationDecided {
  return {
    kind: 'decision',
    operation,
    decision: { kind: 'allow', rules: [RULE], observed: [] },
    facts: {
      kind: 'postgres',
      sql: { statement, parameters: [String(operation)], role: 'app', inTransaction: false },
    },
    digest: 'd1gest',
    masks: { kind: 'columns', fields: ['clear', 'Redact'] },
  };
}

export function sampleComplete(operation: number, tag: string | null = 'SELECT 1'): OperationCompleted {
  return { kind: 'complete', operation, tag, error: null, rows: 1, bytes: 12, masked: 0, rowsNotRecorded: 0 };
}

/** One of each kind. */
export function sampleEvents(): readonly RecordingEvent[] {
  const columns = [
    { name: 'id', type: '23' },
    { name: 'name', type: '25' },
  ];
  const unknown = { kind: 'unknown', text: 'SELEC 1' } as const;
  const denial = { code: 'unparseable', message: 'syntax error', detail: 'parser', hint: '' } as const;
  return [
    sampleDecision(1),
    {
      kind: 'rows',
      operation: 1,
      columns,
      rows: [
        ['1', '***'],
        ['2', null],
      ],
    },
    sampleComplete(1),
    {
      kind: 'decision',
      operation: 2,
      decision: { kind: 'refuse', denial },
      facts: unknown,
      digest: '',
      masks: { kind: 'clear' },
    },
    { ...sampleComplete(2, null), error: { code: '42601', message: 'syntax error' } },
    {
      ...sampleDecision(3, sampleStatement('ALTER TABLE orders ADD note text')),
      decision: {
        kind: 'hold',
        rules: [RULE],
        requirements: [
          { rule: RULE, approvers: { users: [], groups: ['dba'] }, timeout: 900_000, inTransaction: 'Auto' },
        ],
        observed: [{ policy: 'production/next', would: 'deny', rules: [RULE] }],
      },
    },
    {
      kind: 'hold',
      operation: 3,
      approval: 'orders-db-x7',
      rules: [RULE],
      expiresAt: '2026-11-21T12:00:00Z',
    },
    {
      kind: 'approval',
      operation: 3,
      approval: 'orders-db-x7',
      verdict: 'Modify',
      by: 'ann',
      decidedAt: '2026-11-21T11:50:00Z',
      reason: 'shorter',
      modified: 'ALTER TABLE orders ADD n text',
    },
    {
      ...sampleDecision(4, sampleStatement('DROP TABLE orders')),
      decision: { kind: 'deny', rules: [RULE], message: 'not here', hint: 'ask', observed: [] },
      masks: { kind: 'refused', reason: 'none' },
    },
    { kind: 'notice', operation: null, severity: 'NOTICE', code: '00000', message: 'hello' },
    { kind: 'copy', operation: 5, direction: 'out', data: Buffer.from('1\tü\n') },
    { kind: 'copy', operation: 5, direction: 'in', data: Buffer.from([0, 255, 254]) },
    { kind: 'policy-change', policies: [{ name: 'production/agents', digest: 'def' }], error: null },
    sampleDecision(6),
    { kind: 'rows', operation: 6, columns, rows: [['3', '***']] },
    sampleComplete(6),
  ];
}

export function openSample(
  store: RecordingStore,
  options: Partial<RecordingOptions> = {},
  header = sampleHeader(),
): Promise<SessionRecorder> {
  return openRecording(store, header, signer, {
    durability: 'batched',
    onFailure: () => undefined,
    ...options,
  });
}
