/**
 * What a sidecar and the operator's broker say to each other: JSON over HTTPS, each request with the pod's projected token for
 * `BROKER_AUDIENCE`. The broker knows the run by that token alone: no message says who its sender is.
 *
 * | request | body | answer |
 * |---|---|---|
 * | GET  /v1/configuration     | — | a stream of `BrokerEvent`s, one a line (NDJSON), that ends only when the run or the broker does |
 * | POST /v1/sessions          | `SessionRequest` | `SessionAnswer` |
 * | POST /v1/targets          | `TargetRequest` | `TargetAnswer` |
 * | POST /v1/sessions/report   | `SessionReport` | `{}` |
 * | POST /v1/approvals         | `ApprovalMessage` | `ApprovalAnswer` |
 * | POST /v1/approvals/end     | `ApprovalEnd` | `{}` |
 * | POST /v1/approvals/lost    | `ApprovalsLost` | `{}`: all that was asked for before is void |
 * | POST /v1/recordings/seal   | `SealRequest` | `SealAnswer` |
 * | POST /v1/recordings/upload | `UploadRequest` | `UploadAnswer` |
 * | PUT  /v1/recordings/file   | the file's bytes; what it is stands in `x-sidewarden-file`, an `UploadRequest` | `{}`: stored, or safe with the operator |
 *
 * Every other answer is a `BrokerError`. All of it is parsed strictly on both sides.
 *
 * A stream begins with a `configuration`. Behind it come, once more, the decisions on all approvals of the run that were not
 * reported as ended: a sidecar that was away meanwhile misses none, and takes none twice.
 */
import type { Parsed } from '../../crds/schema/failure.ts';
import { parse } from '../../crds/schema/parse.ts';
import { objectName } from '../../crds/schema/reference.ts';
import {
  choice,
  defaulted,
  free,
  integer,
  list,
  object,
  optional,
  required,
  text,
  timestamp,
  type Schema,
  type Static,
} from '../../crds/schema/schema.ts';

/** Audience of the tokens that sidecars show; pods get one by injection only. */
export const BROKER_AUDIENCE = 'broker.sidewarden.dev';
/** The broker sends something at least so often; a sidecar that hears nothing for `SILENCE` looks for another replica. Milliseconds. */
export const PING = 2_000;
export const SILENCE = 8_000;
/** Caps on one message, in bytes. */
export const MAX_REQUEST = 4 * 1024 * 1024;
export const MAX_EVENT = 32 * 1024 * 1024;

const id = (description: string) => text(description, { minLength: 1, maxLength: 512 });
const words = (description: string, maxLength: number) => text(description, { maxLength });
const count = (description: string) => integer(description, { minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** `namespace/name`. */
const qualified = (description: string) =>
  text(description, {
    maxLength: 317,
    pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$',
    patternMessage: 'must be namespace/name',
  });
const base64url = (description: string) =>
  text(description, {
    minLength: 1,
    maxLength: 512,
    pattern: '^[A-Za-z0-9_-]+$',
    patternMessage: 'must be base64url',
  });

const decider = object('A person.', {
  username: required(words('User name.', 512)),
  uid: required(words('User id.', 512)),
});

const outcome = object('What became of an approval; which fields there are depends on the kind.', {
  kind: required(choice('How it ended.', ['approved', 'denied', 'modified', 'expired'])),
  by: optional(
    list('Who decided: one or more; of a denial exactly one.', decider, { minItems: 1, maxItems: 256 }),
  ),
  at: optional(timestamp('When.')),
  reason: optional(words('Why.', 1024)),
  text: optional(words('For modified: what is to run instead.', 262_144)),
  /** Milliseconds. */
  after: optional(count('For expired: how long it waited.')),
});

const identity = object("Who the run is, by the API server's word.", {
  issuer: required(id('Who vouches.')),
  subject: required(id('Stable name.')),
  username: required(id('User name.')),
  groups: required(list('Groups.', id('A group.'), { maxItems: 512 })),
  claims: required(free('Claims.')),
  serviceAccount: required(words('namespace/name.', 512)),
  pod: required(words('namespace/name.', 512)),
});

/** No word of `revoked`: it is broken. A sidecar that has had it in order goes on with what it had, up to its policyMaxAge. */
const unusable = object('A connection that the pod asks for and cannot have now.', {
  connection: required(qualified('Which.')),
  message: required(words('Why, for people; no secret in it.', 4096)),
  /** Clients that come there on loopback are told why. */
  port: optional(
    integer('Where its clients would come, when that is known.', { minimum: 1, maximum: 65_535 }),
  ),
});

const event = object('One line of the configuration stream; which fields there are depends on the kind.', {
  /**
   * configuration: all that the sidecar needs but the target's credentials; sent at the start and after each change.
   * decision: of an approval of this run; those made before are sent again when the stream begins. revoked: the run may not use the
   * connection (any more): what there is of it is cut at once; said again when a stream begins. A later configuration that has the
   * connection means that it may. ping: nothing new.
   */
  kind: required(choice('What it is.', ['configuration', 'decision', 'revoked', 'ping'])),
  revision: optional(id('configuration: changes whenever anything in it does.')),
  identity: optional(identity),
  manifests: optional(
    list(
      'configuration: ProtectedConnections, AccessPolicies, and of Secrets and ConfigMaps the keys that they name, as in files.',
      free('A Kubernetes object.'),
      { maxItems: 4096 },
    ),
  ),
  unusable: optional(list('configuration: what cannot be served, and why.', unusable, { maxItems: 256 })),
  credentials: optional(
    free(
      'configuration: by connection (namespace/name) a text that changes when its credentials do: ask for them anew.',
    ),
  ),
  approval: optional(objectName('decision: of which approval.')),
  outcome: optional(outcome),
  connection: optional(qualified('decision, revoked: on which connection.')),
  reason: optional(words('revoked: why.', 1024)),
});

const sessionRequest = object(
  'The first byte for a connection arrived, or its credentials changed. Idempotent.',
  {
    connection: required(qualified('Which.')),
  },
);

const sessionAnswer = object('The session, and what to sign in to the target with. Kept in memory only.', {
  session: required(objectName("The Session object's name, in the connection's namespace.")),
  username: required(words('User on the target.', 512)),
  password: required(words('Its password.', 8192)),
});

const targetRequest = object(
  'Where the target is now. In the pod, names count for nothing where no certificate is checked: its agents may write /etc/hosts.',
  { connection: required(qualified('Which.')) },
);

const targetAnswer = object('As the operator resolves its name.', {
  addresses: required(
    list('IP addresses, in the order in which to try them.', words('An IP address.', 64), {
      minItems: 1,
      maxItems: 256,
    }),
  ),
});

const counts = object('Operations by decision.', {
  allow: required(count('Allowed at once.')),
  deny: required(count('Denied or refused.')),
  hold: required(count('Held for a person.')),
});

const sessionReport = object(
  'What a session has done so far: totals, sent when they changed. The last one says `ended`.',
  {
    connection: required(qualified('Which.')),
    decisions: required(counts),
    recordings: required(count('Recordings so far, one for each connection of a client.')),
    ended: defaulted(choice('Whether the sidecar is done with it.', ['no', 'yes']), 'no'),
  },
);

const requirement = object('A hold that must be satisfied; who may decide stands in the policy.', {
  policy: required(qualified('Which policy.')),
  rule: required(id('Which rule of it.')),
});

const approvalMessage = object('An operation that waits for a person.', {
  /** Sent again, with the same key, when no answer came: the broker then answers with the approval that it made the first time. */
  key: optional(base64url('Of this one request.')),
  connection: required(qualified('On what.')),
  recording: required(objectName("Id of the client connection's recording.")),
  operation: required(free("An `ApprovalOperation` without its summary; checked by the kind's own schema.")),
  digest: required(id('`operationDigest` of what is to be sent.')),
  requirements: required(list('All must be satisfied.', requirement, { minItems: 1, maxItems: 256 })),
  evidence: required(free("An `ApprovalEvidence`; checked by the kind's own schema.")),
});

const denial = object('A refusal that the client is told.', {
  code: required(choice('What kind.', ['denied', 'approval-denied', 'unsupported', 'internal'])),
  message: required(words('In a sentence.', 4096)),
  detail: required(words('Which rule or check.', 4096)),
  hint: required(words('What to do.', 4096)),
});

const approvalAnswer = object('Whether a person is asked.', {
  kind: required(choice('Pending: the Approval is there to be decided.', ['pending', 'refused'])),
  name: optional(objectName('pending: its name.')),
  expiresAt: optional(timestamp('pending: when it expires.')),
  denial: optional(denial),
});

const approvalEnd = object('The held operation went forward, or never will.', {
  connection: required(qualified('On what.')),
  name: required(objectName('The approval.')),
  how: required(
    choice('used, or why it is void.', [
      'used',
      'ClientDisconnected',
      'ClientCancelled',
      'TargetDisconnected',
      'SessionEnded',
      'StateChanged',
    ]),
  ),
});

const approvalsLost = object(
  'A sidecar that died has begun anew: nobody waits for what was asked on this connection before.',
  { connection: required(qualified('On what.')) },
);

const sealRequest = object(
  "A header, head or manifest of one of the run's recordings, to be signed with the operator's key.",
  {
    connection: required(qualified('On what the recording is.')),
    recording: required(objectName('Its id.')),
    payload: required(words('The document, as in `sealed.ts`.', 3 * 1024 * 1024)),
  },
);

const sealAnswer = object('The signature.', {
  keyId: required(base64url('Which key.')),
  signature: required(base64url('Ed25519, over the same bytes as a local signature.')),
});

const uploadRequest = object('A finished file that is to go to the store.', {
  connection: required(qualified('On what the recording is.')),
  recording: required(objectName('Its id.')),
  file: required(
    text('Plain file name.', {
      maxLength: 64,
      pattern: '^[a-z0-9][a-z0-9.-]*$',
      patternMessage: 'must be a file name',
    }),
  ),
  bytes: required(count('Its size.')),
  digest: required(base64url('SHA-256.')),
  conflict: optional(choice('yes: the store said that something is there under this name.', ['yes'])),
});

const uploadAnswer = object('Where to put it, exactly once.', {
  kind: required(
    choice(
      'kept: the connection names no store, recordings stay with the sidecar. stored: of a conflict, these very bytes are there.',
      ['put', 'kept', 'stored'],
    ),
  ),
  url: optional(words('Presigned: good for exactly these bytes, for a short time.', 8192)),
  headers: optional(free('Headers that must be sent with it, name to value.')),
  ca: optional(words("CA certificates (PEM) of the store; the system's when not given.", 262_144)),
});

const brokerError = object('Why a request failed.', {
  code: required(
    choice('unavailable: try again, here or at another replica. All others are final.', [
      'unauthenticated',
      'forbidden',
      'not-found',
      'invalid',
      'ended',
      'unavailable',
    ]),
  ),
  message: required(words('For people; no secret in it.', 4096)),
});

export type BrokerEvent = Static<typeof event>;
export type SessionRequest = Static<typeof sessionRequest>;
export type SessionAnswer = Static<typeof sessionAnswer>;
export type TargetAnswer = Static<typeof targetAnswer>;
export type SessionReport = Static<typeof sessionReport>;
export type ApprovalMessage = Static<typeof approvalMessage>;
export type ApprovalAnswer = Static<typeof approvalAnswer>;
export type ApprovalEnd = Static<typeof approvalEnd>;
export type ApprovalsLost = Static<typeof approvalsLost>;
export type SealRequest = Static<typeof sealRequest>;
export type SealAnswer = Static<typeof sealAnswer>;
export type UploadRequest = Static<typeof uploadRequest>;
export type UploadAnswer = Static<typeof uploadAnswer>;
export type BrokerError = Static<typeof brokerError>;

function reader<T>(schema: Schema<T>): (input: unknown) => Parsed<T> {
  return (input) => parse(schema, input);
}

export const parseBrokerEvent = reader(event);
export const parseSessionRequest = reader(sessionRequest);
export const parseSessionAnswer = reader(sessionAnswer);
export const parseTargetRequest = reader(targetRequest);
export const parseTargetAnswer = reader(targetAnswer);
export const parseSessionReport = reader(sessionReport);
export const parseApprovalMessage = reader(approvalMessage);
export const parseApprovalAnswer = reader(approvalAnswer);
export const parseApprovalEnd = reader(approvalEnd);
export const parseApprovalsLost = reader(approvalsLost);
export const parseSealRequest = reader(sealRequest);
export const parseSealAnswer = reader(sealAnswer);
export const parseUploadRequest = reader(uploadRequest);
export const parseUploadAnswer = reader(uploadAnswer);
export const parseBrokerError = reader(brokerError);
