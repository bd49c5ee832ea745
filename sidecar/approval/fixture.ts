/** Real folders and real files for the tests of this room. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Approval } from '../../crds/approval.ts';
import { operationDigest } from './digest.ts';
import { FileApprovals, type FileApprovalsOptions } from './files.ts';
import type { ApprovalOutcome, ApprovalRequest, PendingApproval, RefusedApproval } from './gateway.ts';
import { shownDigest } from './object.ts';
import { readApproval, type Receipt } from './store.ts';

/** Users that every Debian has. */
export const USERS = { root: 0, daemon: 1, bin: 2, nobody: 65534 } as const;

export interface Fixture {
  readonly state: string;
  readonly approvals: FileApprovals;
  readonly logs: readonly string[];
  readonly read: (name: string) => Approval;
  /** Another process of `serve` on the same folder, after this one. */
  readonly restart: () => Promise<FileApprovals>;
}

export function fixture(t: TestContext, options: Partial<FileApprovalsOptions> = {}): Fixture {
  const state = options.state ?? mkdtempSync(join(tmpdir(), 'sidewarden-approvals-'));
  const logs: string[] = [];
  const note = (fields: object, message: string) => void logs.push(`${message} ${JSON.stringify(fields)}`);
  const log = { info: note, warn: note, error: note };
  const approvers = new Map([
    ['daemon', ['dba']],
    ['bin', ['sre']],
    ['root', ['dba', 'sre']],
  ]);
  const make = () => new FileApprovals({ approvers, log, ...options, state });
  let approvals = make();
  t.after(async () => {
    await approvals.close();
    rmSync(state, { recursive: true, force: true });
  });
  return {
    state,
    approvals,
    logs,
    read: (name) => readApproval(join(state, 'approvals', `${name}.json`)),
    restart: async () => {
      approvals = make();
      return approvals;
    },
  };
}

export function requirement(
  groups: readonly string[],
  users: readonly string[] = [],
  rule = `needs-${groups.join('-')}`,
) {
  return {
    rule: { policy: 'production-access/orders', rule },
    approvers: { users, groups },
    timeout: 60_000,
    inTransaction: 'Auto',
  } as const;
}

export type Asked = Partial<ApprovalRequest> & { readonly text?: string; readonly username?: string };

export function asked({
  text = 'ALTER TABLE orders ADD note text',
  username = 'agent',
  ...rest
}: Asked = {}): ApprovalRequest {
  const session = rest.session ?? '20261121t120000z-0123456789abcdef0123456789abcdef';
  const identity = {
    issuer: 'sidewarden:token',
    subject: `run-${username}`,
    username,
    groups: ['ai-agents'],
    claims: {},
    serviceAccount: '',
    pod: '',
  };
  const connection = {
    name: 'orders-db',
    namespace: 'production-access',
    protocol: 'postgres',
    database: 'orders',
    labels: {},
  };
  const digest = operationDigest({
    connection,
    session,
    identity,
    text,
    parameters: [],
    role: 'app',
    searchPath: ['public'],
    transaction: 'idle',
  });
  return {
    connection,
    session,
    identity,
    operation: alterOrders(text),
    digest,
    requirements: [requirement(['dba'])],
    evidence: { unavailable: 'not explainable' },
    maxPending: 5,
    ...rest,
  };
}

/** A statement of that text, which changes a table. */
export function alterOrders(text: string): ApprovalRequest['operation'] {
  return {
    text,
    parameters: [],
    verb: 'ALTER TABLE',
    effects: ['ddl'],
    tables: [{ name: 'public.orders', access: ['ddl'], indirect: false }],
    database: 'orders',
    role: 'app',
    searchPath: ['public'],
    inTransaction: false,
    transactionWrote: false,
  };
}

export function pending(answer: PendingApproval | RefusedApproval): PendingApproval {
  if (answer.kind === 'refused') assert.fail(`refused: ${answer.denial.message} ${answer.denial.detail}`);
  return answer;
}

/** Asks, with a connection that stays. */
export function ask(approvals: FileApprovals, request: Asked = {}): PendingApproval {
  return pending(approvals.request(asked(request), new AbortController().signal));
}

export interface Writing {
  readonly uid?: number;
  readonly mode?: number;
  /** Instead of JSON of the fields. */
  readonly raw?: string;
  readonly fields?: Record<string, unknown>;
}

/** The content of a decision on what is held. */
export function decisionOn(approval: Approval, verdict: string, fields: Record<string, unknown> = {}) {
  const { request } = approval.spec;
  return {
    approval: approval.metadata.name,
    digest: request.digest,
    shown: shownDigest(request),
    verdict,
    ...fields,
  };
}

/** Puts a file there as another user would, and gives its identifier. */
export function putDecision(
  state: string,
  content: unknown,
  { uid = USERS.daemon, mode = 0o640, raw }: Writing = {},
): string {
  const id = randomUUID();
  const temporary = join(state, 'decisions', `.${id}.tmp`);
  writeFileSync(temporary, raw ?? JSON.stringify(content), { mode });
  chmodSync(temporary, mode);
  chownSync(temporary, uid, -1);
  renameSync(temporary, join(state, 'decisions', `${id}.json`));
  return id;
}

/** Waits for the answer to a decision file. */
export async function receiptOf(state: string, id: string): Promise<Receipt> {
  const path = join(state, 'receipts', `${id}.json`);
  const read = (): Receipt | null => {
    try {
      // Written by the store as exactly this.
      return JSON.parse(readFileSync(path, 'utf8')) as Receipt;
    } catch {
      return null;
    }
  };
  const { promise, resolve, reject } = Promise.withResolvers<Receipt>();
  const look = () => {
    const receipt = read();
    if (receipt !== null) resolve(receipt);
  };
  const watcher = watch(join(state, 'receipts'), look);
  const timer = setTimeout(() => reject(new Error(`no receipt ${id}`)), 60_000);
  look();
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    watcher.close();
  }
}

export async function decide(
  fixed: Pick<Fixture, 'state' | 'read'>,
  name: string,
  verdict: string,
  writing: Writing = {},
) {
  const content = decisionOn(fixed.read(name), verdict, writing.fields);
  return receiptOf(fixed.state, putDecision(fixed.state, content, writing));
}

export async function kindOf(outcome: Promise<ApprovalOutcome>): Promise<string> {
  return (await outcome).kind;
}
