/** `Approval`: one held operation, made by the operator, decided by a person. */
import { conditions, observedGeneration } from './schema/condition.ts';
import { duration } from './schema/duration.ts';
import type { Parsed } from './schema/failure.ts';
import { defineKind } from './schema/kind.ts';
import { parse } from './schema/parse.ts';
import { objectName } from './schema/reference.ts';
import {
  boolean,
  choice,
  defaulted,
  integer,
  list,
  nullable,
  object,
  optional,
  required,
  text,
  timestamp,
  type Static,
} from './schema/schema.ts';

const APPROVAL_PHASES = ['Pending', 'Approved', 'Denied', 'Modified', 'Expired', 'Used', 'Void'] as const;
/** Where an approval stands. @public */
export type ApprovalPhase = (typeof APPROVAL_PHASES)[number];

const APPROVAL_CONDITIONS = ['Decided', 'Completed'] as const;
const APPROVAL_REASONS = [
  'AwaitingDecision',
  'ApprovedByPerson',
  'DeniedByPerson',
  'ModifiedByPerson',
  'TimedOut',
  'OperationForwarded',
  'ModifiedTextDenied',
  'ClientDisconnected',
  'ClientCancelled',
  'TargetDisconnected',
  'SessionEnded',
  'StateChanged',
  'DecisionNotStamped',
] as const;
export type ApprovalReason = (typeof APPROVAL_REASONS)[number];

/** Longer operations cannot be held: a person could not read them, and the object would not fit the store. */
export const MAX_OPERATION_TEXT = 262_144;

/** The same set as the sidecar's own; a test compares them. */
export const APPROVAL_EFFECTS = [
  'read',
  'write',
  'delete',
  'ddl',
  'privilege',
  'session',
  'administer',
  'opaque',
] as const;
/** More people are never needed for one operation; the cost of rules is bounded by it. */
export const MAX_APPROVALS = 16;
const ACCESSES = ['read', 'write', 'delete', 'ddl', 'privilege'] as const;

const short = (description: string) => text(description, { maxLength: 512 });
const name = (description: string) => text(description, { minLength: 1, maxLength: 256 });
const names = (description: string, maxItems: number) => list(description, name('A name.'), { maxItems });
const count = (description: string) => integer(description, { minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

const identity = object("Who asks, as proven by the run's token.", {
  issuer: required(text('Who vouches for it.', { minLength: 1, maxLength: 2048 })),
  subject: required(short('Stable name.')),
  username: required(short('User name.')),
  groups: defaulted(list('Groups.', short('A group.'), { maxItems: 512 }), []),
  serviceAccount: optional(short('namespace/name of the service account.')),
  pod: optional(short('namespace/name of the pod.')),
});

const table = object('A table that the operation touches.', {
  name: required(short('schema.table.')),
  access: required(list('How.', choice('A kind of access.', ACCESSES), { maxItems: ACCESSES.length })),
  indirect: defaulted(boolean('Reached through a view, partition or inheritance.'), false),
});

const operation = object('The exact operation.', {
  summary: required(
    text('The operation in one line, shortened, special characters escaped; for lists.', { maxLength: 256 }),
  ),
  text: required(text('The exact text, whole.', { maxLength: MAX_OPERATION_TEXT })),
  parameters: defaulted(
    list(
      'Bind values in order, as text; null is SQL NULL.',
      nullable(text('A value.', { maxLength: MAX_OPERATION_TEXT })),
      {
        maxItems: 65_535,
      },
    ),
    [],
  ),
  verb: required(text('Command, such as DELETE or ALTER TABLE.', { minLength: 1, maxLength: 128 })),
  effects: required(
    list('What it does to the target.', choice('An effect.', APPROVAL_EFFECTS), {
      minItems: 1,
      maxItems: APPROVAL_EFFECTS.length,
    }),
  ),
  tables: defaulted(list('Tables that it touches.', table, { maxItems: 4096 }), []),
  database: optional(short('The database.')),
  role: required(short('The role that the target runs it as.')),
  searchPath: defaulted(names('Schemas that names are looked up in.', 128), []),
  inTransaction: required(boolean('A transaction is open; its locks are kept while this waits.')),
  transactionWrote: defaulted(boolean('The open transaction has written already.'), false),
});

const requirement = object('A hold that must be satisfied.', {
  policy: required(text('namespace/name of the policy.', { minLength: 1, maxLength: 317 })),
  rule: required(text('Name of the rule.', { minLength: 1, maxLength: 63 })),
  approvers: required(
    object('Who may decide.', {
      users: defaulted(names('User names.', 128), []),
      groups: defaulted(names('Groups.', 128), []),
    }),
  ),
  timeout: required(duration('How long the operation waits.', { minimum: '1s', maximum: '24h' })),
  inTransaction: required(choice('What is done when a transaction is open.', ['Wait', 'Refuse', 'Auto'])),
});

const lock = object('A lock that is held, or that the operation takes.', {
  relation: required(short('What is locked.')),
  mode: required(short("How, in the target's words.")),
  held: required(boolean('Held already by the open transaction.')),
});

const evidence = object('What helps to decide.', {
  plan: optional(text("The target's own plan, as text.", { maxLength: 65_536 })),
  estimatedRows: optional(count('Rows that the plan expects to touch.')),
  locks: optional(list('Locks.', lock, { maxItems: 1024 })),
  unavailable: optional(text('Why there is no plan.', { maxLength: 1024 })),
});

const request = object(
  'What is asked; never changes.',
  {
    connection: required(objectName('The connection, in the same namespace.')),
    session: required(objectName('The session: in a cluster the Session object.')),
    recording: optional(objectName("Id of the client connection's recording, when the session has several.")),
    identity: required(identity),
    operation: required(operation),
    digest: required(
      text('Digest of all that is approved: text, parameters, role, search path, session, target.', {
        maxLength: 71,
        pattern: '^sha256:[0-9a-f]{64}$',
        patternMessage: 'must be sha256: and 64 hexadecimal digits',
      }),
    ),
    requirements: required(list('All must be satisfied.', requirement, { minItems: 1, maxItems: 256 })),
    evidence: defaulted(evidence, {}),
    warnings: defaulted(
      list('What is suspicious about the operation.', text('A warning.', { maxLength: 1024 }), {
        maxItems: 64,
      }),
      [],
    ),
    createdAt: required(timestamp('When it was asked.')),
    expiresAt: required(timestamp('When it is refused unless decided.')),
  },
  [{ rule: 'self == oldSelf', message: 'the request never changes' }],
);

const decider = (description: string) =>
  object(description, {
    username: required(short('User name.')),
    uid: optional(short('User id.')),
    groups: defaulted(list('Groups.', short('A group.'), { maxItems: 512 }), []),
  });

const stamp = (description: string) =>
  text(description, {
    maxLength: 64,
    pattern: '^[A-Za-z0-9_-]+$',
    patternMessage: 'must be base64url',
  });

/** What a server adds to a person's word. */
const added = {
  at: optional(timestamp('When: set by the server.')),
  stamp: optional(
    stamp("The operator's proof that this passed its admission; a decision without it does not count."),
  ),
};

const decision = object(
  'What a person decided; set once.',
  {
    verdict: required(choice('Modify lets another text go forward instead.', ['Approve', 'Deny', 'Modify'])),
    reason: optional(text('Why; the client is told.', { maxLength: 1024 })),
    modified: optional(
      text('For Modify: the text to run instead; it is decided again like a new operation.', {
        minLength: 1,
        maxLength: MAX_OPERATION_TEXT,
      }),
    ),
    decidedBy: optional(
      decider('Who decided: set by the server from its own knowledge; what a client writes is overwritten.'),
    ),
    ...added,
  },
  [
    {
      rule: "(self.verdict == 'Modify') == has(self.modified)",
      message: 'modified must be set if the verdict is Modify, and only then',
      field: 'modified',
    },
    { rule: 'self == oldSelf', message: 'a decision is made once' },
  ],
);

const holds = (description: string) => list(description, short('A hold.'), { maxItems: 256 });

const given = object('One of the approvals that are needed, by one person.', {
  by: required(decider('Who.')),
  reason: optional(text('Why.', { maxLength: 1024 })),
  holds: required(holds('The holds that this satisfies, as policy/rule.')),
  ...added,
});

const spec = object(
  'The request, and its decision.',
  {
    request: required(request),
    stamp: optional(stamp("The operator's proof that it made this request.")),
    approvals: optional(
      list(
        'Who has approved so far, when several must: moved here from decision by the server, which alone writes it.',
        given,
        { maxItems: MAX_APPROVALS },
      ),
    ),
    decision: optional(decision),
  },
  [
    {
      rule: '!has(oldSelf.decision) || has(self.decision)',
      message: 'a decision cannot be taken back',
      field: 'decision',
    },
    {
      rule: '!has(oldSelf.stamp) || (has(self.stamp) && self.stamp == oldSelf.stamp)',
      message: 'the request never changes',
      field: 'stamp',
    },
    {
      rule: '!has(oldSelf.approvals) || (has(self.approvals) && oldSelf.approvals.all(one, one in self.approvals))',
      message: 'an approval cannot be taken back',
      field: 'approvals',
    },
  ],
);

const status = object('What became of it.', {
  observedGeneration: optional(observedGeneration),
  phase: required(choice('Where it stands.', APPROVAL_PHASES)),
  decidedBy: optional(decider('Who decided.')),
  decidedAt: optional(timestamp('When it was decided.')),
  awaiting: optional(holds('The holds that still need an approval, as policy/rule.')),
  needed: optional(text('Who must still approve, in words.', { maxLength: 4096 })),
  conditions: optional(conditions(APPROVAL_CONDITIONS, APPROVAL_REASONS)),
});

export const approval = defineKind({
  names: {
    kind: 'Approval',
    plural: 'approvals',
    singular: 'approval',
    shortNames: ['appr'],
    categories: ['sidewarden'],
  },
  description: "One held operation that waits for a person's decision. Made by the operator.",
  spec,
  status,
  columns: [
    { name: 'Phase', type: 'string', jsonPath: '.status.phase', description: 'Where it stands.' },
    { name: 'Connection', type: 'string', jsonPath: '.spec.request.connection', description: 'On what.' },
    { name: 'Who', type: 'string', jsonPath: '.spec.request.identity.username', description: 'Who asks.' },
    { name: 'Verb', type: 'string', jsonPath: '.spec.request.operation.verb', description: 'Command.' },
    {
      name: 'Rows',
      type: 'integer',
      jsonPath: '.spec.request.evidence.estimatedRows',
      description: 'Rows that the plan expects to touch.',
    },
    {
      name: 'Operation',
      type: 'string',
      jsonPath: '.spec.request.operation.summary',
      description: 'The operation, shortened.',
    },
    {
      name: 'Warning',
      type: 'string',
      jsonPath: '.spec.request.warnings[0]',
      description: 'What is most suspicious about it.',
    },
    {
      name: 'Expires',
      type: 'string',
      jsonPath: '.spec.request.expiresAt',
      description: 'Refused after that.',
    },
    {
      name: 'Needed',
      type: 'string',
      jsonPath: '.status.needed',
      description: 'Who must still approve.',
      priority: 1,
    },
    {
      name: 'Decided By',
      type: 'string',
      jsonPath: '.spec.decision.decidedBy.username',
      description: 'Who decided.',
      priority: 1,
    },
    {
      name: 'Held By',
      type: 'string',
      jsonPath: '.status.awaiting',
      description: 'The holds that still need an approval.',
      priority: 1,
    },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Age.' },
  ],
});

export type Approval = Static<typeof approval.schema>;
export type ApprovalDecision = Static<typeof decision>;
export type GivenApproval = Static<typeof given>;
export type ApprovalOperation = Static<typeof operation>;
export type ApprovalEvidence = Static<typeof evidence>;

/** Any JSON value in, an Approval with its defaults or all errors out; with `old`, the change from it is checked too. */
export function parseApproval(input: unknown, old?: Approval): Parsed<Approval> {
  return parse(approval.schema, input, old);
}

/** An operation without its one-line summary, from another program. */
export function parseOperation(input: Readonly<Record<string, unknown>>): Parsed<ApprovalOperation> {
  return parse(operation, { ...input, summary: '' });
}

/** Evidence, from another program. */
export function parseEvidence(input: unknown): Parsed<ApprovalEvidence> {
  return parse(evidence, input);
}
