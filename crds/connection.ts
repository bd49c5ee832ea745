/** `ProtectedConnection`: one protected target, who may come to it, and how it is recorded. */
import { conditions, observedGeneration } from './schema/condition.ts';
import { duration } from './schema/duration.ts';
import type { Parsed } from './schema/failure.ts';
import { defineKind } from './schema/kind.ts';
import { parse } from './schema/parse.ts';
import { keyReference, labelSelector, nameReference } from './schema/reference.ts';
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

const PROTOCOLS = ['postgres', 'kubernetes', 'ssh', 'http', 'mysql', 'redis', 'mongodb'] as const;
type Protocol = (typeof PROTOCOLS)[number];

const CONNECTION_CONDITIONS = ['Ready', 'CredentialsValid', 'RecordingReady'] as const;
const CONNECTION_REASONS = [
  'Reconciled',
  'SecretNotFound',
  'SecretKeyMissing',
  'CertificateInvalid',
  'ConfigMapNotFound',
  'RecordingMisconfigured',
  'RecordingUnreachable',
  'TargetUnreachable',
  'AuthenticationFailed',
  'NoPolicy',
  'ProtocolUnsupported',
  'InternalError',
] as const;
/** Why a condition of a connection is as it is. @public */
export type ConnectionReason = (typeof CONNECTION_REASONS)[number];

const DEFAULT_PORTS: Readonly<Record<Protocol, number>> = {
  postgres: 5432,
  kubernetes: 443,
  ssh: 22,
  http: 443,
  mysql: 3306,
  redis: 6379,
  mongodb: 27_017,
};

const port = (description: string) => integer(description, { minimum: 1, maximum: 65_535 });
const subject = text('Stable name of who asks; it appears in approvals and recordings.', {
  minLength: 1,
  maxLength: 256,
});
const username = text('Name that policies see; the subject when not given.', {
  minLength: 1,
  maxLength: 256,
});
const groups = list('Groups that policies see.', text('A group.', { minLength: 1, maxLength: 256 }), {
  maxItems: 64,
  unique: 'set',
});

const tls = object('TLS towards the target.', {
  mode: defaulted(
    choice("As libpq's sslmode: what is checked of the target's certificate.", [
      'disable',
      'require',
      'verify-ca',
      'verify-full',
    ]),
    'verify-full',
  ),
  caFrom: optional(
    object(
      "Where the CA certificates (PEM) are; the system's own when not given.",
      {
        configMapKeyRef: optional(keyReference('A key of a ConfigMap.')),
        secretKeyRef: optional(keyReference('A key of a Secret.')),
      },
      [
        {
          rule: 'has(self.configMapKeyRef) != has(self.secretKeyRef)',
          message: 'exactly one of configMapKeyRef and secretKeyRef must be set',
        },
      ],
    ),
  ),
  serverName: optional(
    text('Name that the certificate must be for; the host when not given.', { minLength: 1, maxLength: 253 }),
  ),
});

const target = object('The protected target.', {
  host: required(
    text('Host name or address.', {
      minLength: 1,
      maxLength: 253,
      pattern: '^[A-Za-z0-9_.:%-]+$',
      patternMessage: 'must be a host name or an IP address',
    }),
  ),
  port: optional(port("Port; the protocol's usual one when not given.")),
  database: optional(
    text('Database that sessions use; required for postgres.', {
      minLength: 1,
      maxLength: 63,
      pattern: '^[^\\x00-\\x1f\\x7f]+$',
      patternMessage: 'must not contain control characters',
    }),
  ),
  tls: defaulted(tls, {}),
});

const serviceAccountSource = object(
  "Accepts the token of the run's own Kubernetes service account, issued for the sidecar's audience.",
  {},
);

const oidcSource = object('Accepts tokens of an OpenID Connect issuer.', {
  issuer: required(
    text('Issuer URL, exactly as in the tokens.', {
      minLength: 9,
      maxLength: 2048,
      pattern: '^https://[^\\s?#]+$',
      patternMessage: 'must be an https:// URL without query or fragment',
    }),
  ),
  audience: required(text('Audience that a token must be for.', { minLength: 1, maxLength: 512 })),
  claims: optional(
    free(
      'Claims that a token must have: each equal to the value given here, or containing it when it is a list.',
    ),
  ),
  usernameClaim: optional(text('Claim that names the user; default sub.', { minLength: 1, maxLength: 256 })),
  groupsClaim: optional(
    text('Claim that lists the groups; default groups.', { minLength: 1, maxLength: 256 }),
  ),
});

const tokenSource = object('Accepts one static run token, for use without a cluster.', {
  secretKeyRef: required(keyReference('The key of a Secret that holds the token.')),
  subject: required(subject),
  username: optional(username),
  groups: defaulted(groups, []),
});

const loopbackSource = object('Accepts anyone who connects from the loopback interface, without a token.', {
  subject: required(subject),
  username: optional(username),
  groups: defaulted(groups, []),
});

const source = object(
  'One way to prove who asks; exactly one of its fields is set.',
  {
    serviceAccount: optional(serviceAccountSource),
    oidc: optional(oidcSource),
    token: optional(tokenSource),
    loopback: optional(loopbackSource),
  },
  [
    {
      rule: '[has(self.serviceAccount), has(self.oidc), has(self.token), has(self.loopback)].filter(x, x).size() == 1',
      message: 'exactly one of serviceAccount, oidc, token and loopback must be set',
    },
  ],
);

const identity = object('Who may use the connection, and how they prove who they are.', {
  sources: required(
    list('Tried in order; none means that nobody can connect.', source, { minItems: 1, maxItems: 16 }),
  ),
});

const PRIVILEGES = [
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'TRUNCATE',
  'REFERENCES',
  'TRIGGER',
  'MAINTAIN',
] as const;

const grant = object('Privileges on some tables.', {
  tables: required(
    list('Tables as schema.table.', text('A table.', { minLength: 3, maxLength: 256 }), {
      minItems: 1,
      maxItems: 512,
      unique: 'set',
    }),
  ),
  privileges: required(
    list('Privileges on each of them.', choice('A privilege.', PRIVILEGES), {
      minItems: 1,
      maxItems: PRIVILEGES.length,
      unique: 'set',
    }),
  ),
});

const role = object('The role that a session works as on the target.', {
  provision: defaulted(
    boolean(
      'Make a role for each session and drop it afterwards; otherwise the credentials are used as they are.',
    ),
    false,
  ),
  ttl: defaulted(duration('How long a provisioned role is valid.', { minimum: '1m', maximum: '168h' }), '1h'),
  inherit: defaulted(
    list('Roles that a provisioned role is a member of.', text('A role.', { minLength: 1, maxLength: 63 }), {
      maxItems: 64,
      unique: 'set',
    }),
    [],
  ),
  grants: defaulted(list('What a provisioned role may do.', grant, { maxItems: 256 }), []),
  maskedViews: defaulted(
    boolean(
      'Put views of the tables with masked columns first in the search_path of a provisioned role, with the masks in them: `select *` works, and the database itself gives no more than the wire does.',
    ),
    false,
  ),
});

const rowBudget = object("How much of a statement's answer is recorded; what is beyond is counted only.", {
  rows: defaulted(integer('Rows a statement.', { minimum: 0, maximum: 1_000_000 }), 200),
  bytes: defaulted(integer('Bytes a statement.', { minimum: 0, maximum: 268_435_456 }), 65_536),
});

const recording = object('Where and how sessions are recorded.', {
  configMapRef: optional(
    nameReference('The ConfigMap that names the store; without a cluster, the state folder when not given.'),
  ),
  durability: defaulted(
    choice(
      'strict: a decision is on disk before its operation goes forward. batched: it may be lost with the machine, for less delay.',
      ['strict', 'batched'],
    ),
    'strict',
  ),
  rowBudget: defaulted(rowBudget, {}),
});

const listen = object(
  'Where the sidecar listens for the agent.',
  {
    port: required(port('Port.')),
    address: defaulted(
      text('IP address.', {
        minLength: 2,
        maxLength: 45,
        pattern: '^(([0-9]{1,3}\\.){3}[0-9]{1,3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$',
        patternMessage: 'must be an IP address',
      }),
      '127.0.0.1',
    ),
    tls: optional(
      object('TLS towards the client.', {
        secretRef: required(nameReference('A Secret with the keys tls.crt and tls.key.')),
      }),
    ),
  },
  [
    {
      rule: "has(self.tls) || self.address.startsWith('127.') || self.address == '::1'",
      message: 'tls is required when the address is not a loopback address',
      field: 'tls',
    },
  ],
);

const span = (description: string) => duration(description, { minimum: '1s', maximum: '168h' });

const limits = object('Bounds on what one session can take up.', {
  maxMessageBytes: defaulted(
    integer('Largest message of the protocol that is accepted.', { minimum: 1024, maximum: 1_073_741_824 }),
    67_108_864,
  ),
  maxPendingApprovals: defaulted(
    integer('Approvals of one session that may be pending at a time; further holds are refused.', {
      minimum: 0,
      maximum: 1000,
    }),
    5,
  ),
  idleTimeout: optional(span('A session that sends nothing for so long is ended; never when not given.')),
  policyMaxAge: defaulted(
    span('How long the last known policy is used when it cannot be read anew; then everything is refused.'),
    '1h',
  ),
});

const spec = object(
  'What is wanted.',
  {
    protocol: required(choice('What is spoken with the target.', PROTOCOLS)),
    target: required(target),
    credentials: required(
      object('What the sidecar signs in to the target with; the agent never sees it.', {
        secretRef: required(nameReference('A Secret with the keys username and password.')),
      }),
    ),
    allowedNamespaces: optional(
      labelSelector('Namespaces whose pods may use the connection; none when not given, all when empty.'),
    ),
    identity: required(identity),
    role: defaulted(role, {}),
    recording: defaulted(recording, {}),
    listen: required(listen),
    limits: defaulted(limits, {}),
  },
  [
    {
      rule: "self.protocol != 'postgres' || has(self.target.database)",
      message: 'target.database is required for postgres',
      field: 'target',
    },
    {
      rule: "!self.identity.sources.exists(s, has(s.loopback)) || self.listen.address.startsWith('127.') || self.listen.address == '::1'",
      message: 'a loopback identity source needs a listener on a loopback address',
      field: 'identity',
    },
  ],
);

const status = object('What is.', {
  observedGeneration: optional(observedGeneration),
  sessions: optional(integer('Sessions now.', { minimum: 0, maximum: 2_147_483_647 })),
  conditions: optional(conditions(CONNECTION_CONDITIONS, CONNECTION_REASONS)),
});

export const protectedConnection = defineKind({
  names: {
    kind: 'ProtectedConnection',
    plural: 'protectedconnections',
    singular: 'protectedconnection',
    shortNames: ['pconn'],
    categories: ['sidewarden'],
  },
  description:
    'One protected target: where it is, who may come to it, and how what happens there is recorded.',
  spec,
  status,
  columns: [
    {
      name: 'Protocol',
      type: 'string',
      jsonPath: '.spec.protocol',
      description: 'What is spoken with the target.',
    },
    { name: 'Host', type: 'string', jsonPath: '.spec.target.host', description: 'The target.' },
    {
      name: 'Database',
      type: 'string',
      jsonPath: '.spec.target.database',
      description: 'Its database.',
      priority: 1,
    },
    { name: 'Sessions', type: 'integer', jsonPath: '.status.sessions', description: 'Sessions now.' },
    {
      name: 'Ready',
      type: 'string',
      jsonPath: ".status.conditions[?(@.type=='Ready')].status",
      description: 'Whether it can be used.',
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

export type ProtectedConnection = Static<typeof protectedConnection.schema>;
export type ProtectedConnectionSpec = Static<typeof spec>;
export type IdentitySource = Static<typeof source>;

/** The target's port: as written, or the protocol's usual one. */
export function targetPort(connection: ProtectedConnectionSpec): number {
  return connection.target.port ?? DEFAULT_PORTS[connection.protocol];
}

/** Any JSON value in, a ProtectedConnection with its defaults or all errors out. */
export function parseConnection(input: unknown): Parsed<ProtectedConnection> {
  return parse(protectedConnection.schema, input);
}
