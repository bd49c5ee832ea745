/** From what a sidecar asks to a new Approval. Who may decide, and for how long, is the operator's own knowledge of the policies. */
import {
  parseEvidence,
  parseOperation,
  type Approval,
  type ApprovalEvidence,
  type ApprovalOperation,
} from '../../crds/approval.ts';
import type { ProtectedConnection } from '../../crds/connection.ts';
import type { PolicyRule } from '../../crds/policy.ts';
import { milliseconds } from '../../crds/schema/duration.ts';
import type { FieldError } from '../../crds/schema/failure.ts';
import { formatPath } from '../../crds/schema/path.ts';
import { escapeForDisplay, escapeLine } from '../../sidecar/approval/display.ts';
import { newApprovalName } from '../../sidecar/approval/name.ts';
import { newApproval } from '../../sidecar/approval/object.ts';
import type { ApprovalMessage } from '../../sidecar/broker/protocol.ts';
import type { Denial, HoldRequirement, Identity } from '../../sidecar/operation.ts';
import type { Store } from '../kube/kube.ts';
import { readPolicy } from '../kube/read.ts';
import type { SessionRef } from './session-owner.ts';

/** Whose operation it is: known by the broker from the token. */
export interface ApprovalRun {
  readonly identity: Identity;
  readonly session: SessionRef;
  /** As parsed from the API server's object. */
  readonly connection: ProtectedConnection;
}

export type Requested =
  | { readonly kind: 'approval'; readonly approval: Approval }
  | { readonly kind: 'refused'; readonly denial: Denial };

/** `now` in milliseconds since the epoch. */
export function requestedApproval(
  { identity, session, connection }: ApprovalRun,
  message: ApprovalMessage,
  policies: Store,
  now: number,
): Requested {
  const { namespace } = session;
  const { name } = connection.metadata;
  if (message.connection !== `${namespace}/${name}`)
    return invalid('it is for another connection than its session');
  const requirements: HoldRequirement[] = [];
  for (const asked of message.requirements) {
    const found = holdInForce(asked, { namespace, connection: name }, policies);
    if (found === undefined) return outdated(`${asked.policy}, rule ${asked.rule}`);
    requirements.push(found);
  }
  const operation = parseOperation(shownNames(message.operation));
  if (operation.kind === 'invalid') return unfit(operation.errors);
  if (isUnshowable(operation.value)) return unshowable();
  const evidence = parseEvidence(fitting(message.evidence));
  if (evidence.kind === 'invalid') return unfit(evidence.errors);
  const made = newApproval(
    newApprovalName(name),
    '',
    {
      connection: factsOf(namespace, connection),
      session: session.name,
      recording: message.recording,
      identity,
      operation: operation.value,
      digest: message.digest,
      requirements,
      evidence: evidence.value,
      maxPending: connection.spec.limits.maxPendingApprovals,
    },
    now,
  );
  if (made.kind === 'new') return { kind: 'approval', approval: made.approval };
  const hint = 'Make it shorter, or split it.';
  return refused('unsupported', 'this operation cannot be held for an approval', made.why, hint);
}

interface Place {
  readonly namespace: string;
  readonly connection: string;
}

/** Undefined when no policy in force for this connection holds operations by such a rule. */
export function holdInForce(
  { policy, rule }: { readonly policy: string; readonly rule: string },
  { namespace, connection }: Place,
  policies: Store,
): HoldRequirement | undefined {
  const [place, name] = policy.split('/');
  if (place !== namespace || name === undefined) return undefined;
  const object = policies.get(namespace, name);
  const parsed = object === undefined ? undefined : readPolicy(object);
  if (parsed?.kind !== 'parsed') return undefined;
  const { spec } = parsed.value;
  if (spec.mode !== 'Enforce' || !spec.connections.includes(connection)) return undefined;
  const hold = heldBy(spec.rules.find((one) => one.name === rule));
  if (hold === undefined) return undefined;
  const { approvers, timeout, inTransaction } = hold;
  return { rule: { policy, rule }, approvers, timeout: milliseconds(timeout), inTransaction };
}

function heldBy(rule: PolicyRule | undefined): PolicyRule['hold'] {
  return rule?.action === 'Hold' ? rule.hold : undefined;
}

function factsOf(namespace: string, { metadata, spec }: ProtectedConnection) {
  return {
    name: metadata.name,
    namespace,
    protocol: spec.protocol,
    database: spec.target.database ?? '',
    labels: metadata.labels ?? {},
  };
}

/** Evidence helps and binds nothing: what is too long is cut rather than that nobody can be asked. */
function fitting(evidence: ApprovalMessage['evidence']): unknown {
  // An object whose fields are all still unknown; these are the names of some.
  const { plan, unavailable, locks, ...rest } = evidence as Partial<Record<keyof ApprovalEvidence, unknown>>;
  const cut = (value: unknown, limit: number) =>
    typeof value === 'string' && value.length > limit ? `${value.slice(0, limit - 2)} …` : value;
  return {
    ...rest,
    plan: cut(typeof plan === 'string' ? escapeForDisplay(plan.slice(0, 65_536)) : plan, 65_536),
    unavailable: cut(line(unavailable), 1_024),
    locks: Array.isArray(locks) ? locks.slice(0, 1_024).map((lock: unknown) => mapped(lock, line)) : locks,
  };
}

/**
 * The exact text and its parameters are stored as they are, since they run. All else is only shown, in lists and by kubectl too: what
 * would not show, or would look like another name, is escaped.
 */
function shownNames(operation: ApprovalMessage['operation']): Readonly<Record<string, unknown>> {
  // An object whose fields are all still unknown; these are the names of some.
  const { text, parameters, tables, searchPath, ...rest } = operation as Partial<
    Record<keyof ApprovalOperation, unknown>
  >;
  const each = (value: unknown, change: (one: unknown) => unknown) =>
    Array.isArray(value) ? value.slice(0, LONGEST_LIST).map(change) : value;
  return {
    ...Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, line(value)])),
    text,
    ...(parameters === undefined ? {} : { parameters }),
    ...(tables === undefined ? {} : { tables: each(tables, (table) => mapped(table, line)) }),
    ...(searchPath === undefined ? {} : { searchPath: each(searchPath, line) }),
  };
}

/** YAML has no way to hold them raw, so that kubectl shows nothing at all of a list with one of them in it. */
const NEVER_SHOWN = /[\u007f-\u0084\u0086-\u009f\ufffe\uffff]/u;

function isUnshowable({ text, parameters }: ApprovalOperation): boolean {
  return [text, ...parameters].some((each) => each !== null && NEVER_SHOWN.test(each));
}

function unshowable(): Requested {
  return refused(
    'unsupported',
    'this operation cannot be held for an approval',
    'Its text or a parameter has control characters that an approver could not be shown.',
    'Write them as escapes of the language.',
  );
}

/** One more than the kind takes of any: what is longer is refused or cut, and need not be gone through whole. */
const LONGEST_LINE = 1_025;
const LONGEST_LIST = 4_097;

const line = (value: unknown): unknown =>
  typeof value === 'string' ? escapeLine(value.slice(0, LONGEST_LINE)) : value;

function mapped(value: unknown, change: (field: unknown) => unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, change(field)]));
}

function outdated(hold: string): Requested {
  return refused(
    'denied',
    'this operation is held by a rule that is not in force any more',
    `No policy of the connection holds operations by ${hold}.`,
    'Run it again: the policy has just changed.',
  );
}

function unfit([first]: readonly FieldError[]): Requested {
  return invalid(first === undefined ? 'it is not valid' : `${formatPath(first.path)}: ${first.message}`);
}

function invalid(detail: string): Requested {
  return refused('internal', 'the approval could not be asked for', detail, 'Tell the platform team.');
}

function refused(code: Denial['code'], message: string, detail: string, hint: string): Requested {
  return { kind: 'refused', denial: { code, message, detail, hint } };
}
