/** `Session`: one run on one connection, from the first byte to revocation. */
import { conditions, observedGeneration } from './schema/condition.ts';
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
  object,
  optional,
  required,
  text,
  timestamp,
  type Static,
} from './schema/schema.ts';

const SESSION_PHASES = ['Active', 'Ending', 'Ended'] as const;
/** Where a session stands. @public */
export type SessionPhase = (typeof SESSION_PHASES)[number];

const SESSION_CONDITIONS = ['Ready', 'Revoked', 'RecordingComplete'] as const;
const SESSION_REASONS = [
  'Started',
  'RunEnded',
  'ClientDisconnected',
  'TargetDisconnected',
  'IdleTimeout',
  'PodDeleted',
  'ConnectionDeleted',
  'RoleDropped',
  'NothingProvisioned',
  'RevocationFailed',
  'ManifestSigned',
  'RecordingCut',
  'InternalError',
] as const;
/** Why a condition of a session is as it is. @public */
export type SessionReason = (typeof SESSION_REASONS)[number];

const short = (description: string) => text(description, { maxLength: 512 });
const count = (description: string) => integer(description, { minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

const identity = object("Who it is, as proven by the run's token.", {
  issuer: required(text('Who vouches for it.', { minLength: 1, maxLength: 2048 })),
  subject: required(short('Stable name.')),
  username: required(short('User name.')),
  groups: defaulted(list('Groups.', short('A group.'), { maxItems: 512 }), []),
  serviceAccount: optional(short('namespace/name of the service account.')),
  pod: optional(short('namespace/name of the pod.')),
});

const counts = object('Operations by decision.', {
  allow: defaulted(count('Allowed at once.'), 0),
  deny: defaulted(count('Denied.'), 0),
  hold: defaulted(count('Held for a person.'), 0),
});

const recording = object('The recording, which lasts when this object is gone.', {
  location: required(text('Where it is.', { minLength: 1, maxLength: 2048 })),
  events: optional(count('Events in it.')),
  manifestDigest: optional(
    text('Digest of its signed manifest, when it is closed.', {
      maxLength: 71,
      pattern: '^sha256:[0-9a-f]{64}$',
      patternMessage: 'must be sha256: and 64 hexadecimal digits',
    }),
  ),
});

const spec = object(
  'Who is on what; never changes.',
  {
    connection: required(objectName('The connection, in the same namespace.')),
    identity: required(identity),
    startedAt: required(timestamp('When it began.')),
  },
  [{ rule: 'self == oldSelf', message: 'the spec of a session never changes' }],
);

const status = object('What became of it.', {
  observedGeneration: optional(observedGeneration),
  phase: required(choice('Where it stands.', SESSION_PHASES)),
  endedAt: optional(timestamp('When it ended.')),
  decisions: defaulted(counts, {}),
  recording: optional(recording),
  recordings: optional(
    count("Recordings by the sidecar's last report, one for each connection of a client."),
  ),
  sidecarDone: optional(boolean('Whether that report was its last one.')),
  conditions: optional(conditions(SESSION_CONDITIONS, SESSION_REASONS)),
});

export const session = defineKind({
  names: {
    kind: 'Session',
    plural: 'sessions',
    singular: 'session',
    shortNames: ['sess'],
    categories: ['sidewarden'],
  },
  description: 'One run on one connection, from the first byte to revocation. Made by the operator.',
  spec,
  status,
  columns: [
    { name: 'Phase', type: 'string', jsonPath: '.status.phase', description: 'Where it stands.' },
    { name: 'Connection', type: 'string', jsonPath: '.spec.connection', description: 'On what.' },
    { name: 'Who', type: 'string', jsonPath: '.spec.identity.username', description: 'Who.' },
    {
      name: 'Allowed',
      type: 'integer',
      jsonPath: '.status.decisions.allow',
      description: 'Allowed at once.',
    },
    { name: 'Denied', type: 'integer', jsonPath: '.status.decisions.deny', description: 'Denied.' },
    { name: 'Held', type: 'integer', jsonPath: '.status.decisions.hold', description: 'Held for a person.' },
    {
      name: 'Recording',
      type: 'string',
      jsonPath: '.status.recording.location',
      description: 'Where the recording is.',
      priority: 1,
    },
    { name: 'Ended', type: 'date', jsonPath: '.status.endedAt', description: 'When it ended.' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Age.' },
  ],
});

export type Session = Static<typeof session.schema>;

/** Any JSON value in, a Session with its defaults or all errors out; with `old`, the change from it is checked too. */
export function parseSession(input: unknown, old?: Session): Parsed<Session> {
  return parse(session.schema, input, old);
}
