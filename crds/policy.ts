/** `AccessPolicy`: rules that decide operations, and masks on what comes back. */
import { conditions, observedGeneration } from './schema/condition.ts';
import { duration } from './schema/duration.ts';
import type { Parsed } from './schema/failure.ts';
import { defineKind } from './schema/kind.ts';
import { parse } from './schema/parse.ts';
import { objectName } from './schema/reference.ts';
import { COLUMN_PATTERN, checkColumnName } from './column.ts';
import {
  boolean,
  choice,
  defaulted,
  free,
  integer,
  list,
  object,
  optional,
  required,
  text,
  type Static,
} from './schema/schema.ts';

/** The same set as the sidecar's own; a test compares them. */
export const POLICY_DETECTORS = [
  'CreditCard',
  'Email',
  'PhoneNumber',
  'IBAN',
  'USSocialSecurityNumber',
  'IPAddress',
  'AWSAccessKey',
  'PrivateKey',
  'JWT',
] as const;

const POLICY_CONDITIONS = ['Ready'] as const;
const POLICY_REASONS = [
  'Compiled',
  'ExpressionInvalid',
  'ExpressionTooExpensive',
  'ConnectionNotFound',
  'MaskUnsupported',
  'InternalError',
] as const;
/** Why a condition of a policy is as it is. @public */
export type PolicyReason = (typeof POLICY_REASONS)[number];

const name = (description: string) => text(description, { minLength: 1, maxLength: 256 });
const names = (description: string, item: string, minItems: number) =>
  list(description, name(item), { minItems, maxItems: 128, unique: 'set' });

const subject = object(
  'Whom the policy is for: all parts that are named must match, each by any of its values.',
  {
    everyone: optional(boolean('Everyone who may use the connection; then no other part is given.')),
    users: optional(names('User names.', 'A user name.', 1)),
    groups: optional(names('Groups.', 'A group.', 1)),
    serviceAccounts: optional(
      list(
        'Service accounts.',
        text('namespace/name.', {
          maxLength: 317,
          pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$',
          patternMessage: 'must be namespace/name',
        }),
        { minItems: 1, maxItems: 128, unique: 'set' },
      ),
    ),
    claims: optional(
      free(
        'Claims of the identity: each equal to the value given here, or containing it when it is a list.',
        {
          minProperties: 1,
        },
      ),
    ),
  },
  [
    {
      rule: '!has(self.everyone) || self.everyone',
      message: 'everyone can only be true: leave it out otherwise',
      field: 'everyone',
    },
    {
      rule: 'has(self.everyone) != (has(self.users) || has(self.groups) || has(self.serviceAccounts) || has(self.claims))',
      message: 'either everyone, or at least one of users, groups, serviceAccounts and claims must be set',
    },
  ],
);

const approvers = object(
  'Who may decide: a user named here, or a member of a group named here.',
  {
    users: defaulted(names('User names.', 'A user name.', 0), []),
    groups: defaulted(names('Groups.', 'A group.', 0), []),
  },
  [
    {
      rule: 'self.users.size() + self.groups.size() > 0',
      message: 'at least one user or group must be named',
    },
  ],
);

const hold = object('How a held operation waits.', {
  approvers: required(approvers),
  timeout: defaulted(
    duration('How long it waits for a decision, and is then refused.', { minimum: '1s', maximum: '24h' }),
    '15m',
  ),
  inTransaction: defaulted(
    choice(
      'When a transaction is open: Wait keeps its locks meanwhile, Refuse refuses at once, Auto waits if nothing was written yet.',
      ['Wait', 'Refuse', 'Auto'],
    ),
    'Auto',
  ),
});

const rule = object(
  'What happens to operations that its expression is true of.',
  {
    name: required(
      text('Name, unique in the policy; refusals and recordings say it.', {
        minLength: 1,
        maxLength: 63,
        pattern: '^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$',
        patternMessage:
          'must be letters, digits, "-", "_" and ".", beginning and ending with a letter or digit',
      }),
    ),
    when: required(
      text('A CEL expression over the facts of an operation.', { minLength: 1, maxLength: 8192 }),
    ),
    action: required(choice('Deny beats Hold beats Allow.', ['Allow', 'Deny', 'Hold'])),
    message: optional(text('What the client is told.', { minLength: 1, maxLength: 1024 })),
    hint: optional(text('What the client is told to do instead.', { minLength: 1, maxLength: 1024 })),
    hold: optional(hold),
  },
  [
    {
      rule: "(self.action == 'Hold') == has(self.hold)",
      message: 'hold must be set if the action is Hold, and only then',
      field: 'hold',
    },
  ],
);

const column = text('A column as schema.table.column, names quoted as in PostgreSQL where they must be.', {
  minLength: 5,
  maxLength: 400,
  pattern: COLUMN_PATTERN,
  patternMessage: 'must be schema.table.column, names quoted as in PostgreSQL where they must be',
  refine: checkColumnName,
});

const mask = object(
  'What is hidden, and how.',
  {
    columns: optional(
      list('These columns, and all that is derived from them.', column, {
        minItems: 1,
        maxItems: 1024,
        unique: 'set',
      }),
    ),
    detect: optional(
      list('Values that look like these.', choice('A kind of sensitive text.', POLICY_DETECTORS), {
        minItems: 1,
        maxItems: POLICY_DETECTORS.length,
        unique: 'set',
      }),
    ),
    with: required(
      choice(
        'Redact hides the whole value; Null gives null; Partial keeps some characters; Hash gives a keyed hash.',
        ['Redact', 'Null', 'Partial', 'Hash'],
      ),
    ),
    partial: optional(
      object('For Partial.', {
        keepFirst: defaulted(integer('Characters kept at the beginning.', { minimum: 0, maximum: 64 }), 0),
        keepLast: defaulted(integer('Characters kept at the end.', { minimum: 0, maximum: 64 }), 0),
      }),
    ),
    hash: optional(
      object('For Hash.', {
        scope: defaulted(
          choice('Equal values have equal hashes within one session, or within the connection.', [
            'Session',
            'Connection',
          ]),
          'Session',
        ),
      }),
    ),
  },
  [
    {
      rule: 'has(self.columns) != has(self.detect)',
      message: 'exactly one of columns and detect must be set',
    },
    {
      rule: "(self.with == 'Partial') == has(self.partial)",
      message: 'partial must be set if with is Partial, and only then',
      field: 'partial',
    },
    {
      rule: "self.with == 'Hash' || !has(self.hash)",
      message: 'hash can only be set if with is Hash',
      field: 'hash',
    },
  ],
);

const spec = object('What is wanted.', {
  connections: required(
    list('Connections in the same namespace that it is for.', objectName('A connection.'), {
      minItems: 1,
      maxItems: 256,
      unique: 'set',
    }),
  ),
  subjects: required(
    list('Whom it is for: anyone whom one of these matches.', subject, { minItems: 1, maxItems: 64 }),
  ),
  mode: defaulted(
    choice('Observe decides and records, but lets all through and says what would have happened.', [
      'Enforce',
      'Observe',
    ]),
    'Enforce',
  ),
  default: defaulted(choice('What happens when no rule matches.', ['Allow', 'Deny']), 'Deny'),
  rules: defaulted(list('The rules.', rule, { maxItems: 256, unique: { key: 'name' } }), []),
  masks: defaulted(list('What is hidden in answers.', mask, { maxItems: 256 }), []),
});

const status = object('What is.', {
  observedGeneration: optional(observedGeneration),
  conditions: optional(conditions(POLICY_CONDITIONS, POLICY_REASONS)),
});

export const accessPolicy = defineKind({
  names: {
    kind: 'AccessPolicy',
    plural: 'accesspolicies',
    singular: 'accesspolicy',
    shortNames: ['apol'],
    categories: ['sidewarden'],
  },
  description: 'Rules that decide what may be done on connections, and masks on what comes back.',
  spec,
  status,
  columns: [
    { name: 'Connections', type: 'string', jsonPath: '.spec.connections', description: 'What it is for.' },
    { name: 'Mode', type: 'string', jsonPath: '.spec.mode', description: 'Enforce or Observe.' },
    { name: 'Default', type: 'string', jsonPath: '.spec.default', description: 'When no rule matches.' },
    {
      name: 'Ready',
      type: 'string',
      jsonPath: ".status.conditions[?(@.type=='Ready')].status",
      description: 'Whether it is in force.',
    },
    {
      name: 'Reason',
      type: 'string',
      jsonPath: ".status.conditions[?(@.type=='Ready')].reason",
      description: 'Why.',
    },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Age.' },
  ],
});

export type AccessPolicy = Static<typeof accessPolicy.schema>;
export type AccessPolicySpec = Static<typeof spec>;
export type PolicySubject = Static<typeof subject>;
export type PolicyRule = Static<typeof rule>;
export type PolicyMask = Static<typeof mask>;

/** Any JSON value in, an AccessPolicy with its defaults or all errors out. */
export function parsePolicy(input: unknown): Parsed<AccessPolicy> {
  return parse(accessPolicy.schema, input);
}
