/**
 * Decisions on Approvals. `stamp` (mutating) turns what a person wrote into what counts: who it was by the API server's own word,
 * when, and the operator's proof of it. `validate` then looks at the final object, whoever else has changed it since.
 *
 * | request | by | answer |
 * |---|---|---|
 * | create | operator | yes, undecided |
 * | update of spec.decision | who may approve the connection, is an approver of a hold (then and now), and is not the run | yes, once, while pending |
 * | other update of spec | anyone | no |
 * | update of metadata | anyone: labels and annotations that are not ours; operator and garbage collector: all | yes |
 * | update of the status | operator | yes |
 * | delete | operator, garbage collector, namespace controller; anyone once it is over | yes |
 */
import {
  parseApproval,
  type Approval,
  type ApprovalDecision,
  type GivenApproval,
} from '../../crds/approval.ts';
import { formatPath } from '../../crds/schema/path.ts';
import { describePhase, whoIsNeeded } from '../../sidecar/approval/judge.ts';
import { objectionInForce } from '../approval/in-force.ts';
import { deciderFrom, take, type Words } from '../approval/judging.ts';
import type { Saying, Stamper } from '../approval/stamp.ts';
import { CONNECTIONS, type Kube, type UserInfo } from '../kube/kube.ts';
import { object, own, sameJson, type Json } from './json.ts';
import { ALLOWED, changesOwnMetadata, forbidden, isCollector, isPhase, specOf } from './own-kinds.ts';
import type { AdmissionAnswer, AdmissionRequest } from './review.ts';
import type { Handler } from './server.ts';

export interface ApprovalAdmission {
  readonly kube: Pick<Kube, 'mayAccess' | 'stores'>;
  readonly stamper: Stamper;
  /** The operator's own user name. */
  readonly operator: string;
  /** The ClusterRole that lets people approve, for who lacks it. */
  readonly approverRole: string;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
}

const OVER = ['Denied', 'Expired', 'Used', 'Void'];

/** For `/stamp`. */
export function stampHandler({ stamper, clock = Date.now }: ApprovalAdmission): Handler {
  return (request) => {
    if (request.operation !== 'UPDATE' || request.subresource !== '') return ALLOWED;
    const pair = parsedPair(request);
    if (pair.kind === 'refused') return pair;
    return stamped(request, pair, stamper, clock());
  };
}

interface Pair {
  readonly kind: 'pair';
  readonly before: Approval;
  readonly after: Approval;
}

function stamped(request: AdmissionRequest, pair: Pair, stamper: Stamper, now: number): AdmissionAnswer {
  const { before, after } = pair;
  const early = objection(pair);
  if (early !== null) return early;
  const { decision } = after.spec;
  if (decision === undefined || before.spec.decision !== undefined) {
    if (sameJson(before.spec.approvals, after.spec.approvals)) return ALLOWED;
    const warnings = ['spec.approvals is written by Sidewarden alone; to approve, set spec.decision'];
    return { kind: 'allowed', object: withSpec(request, { approvals: before.spec.approvals }), warnings };
  }
  const use = request.dryRun ? 'dry-run' : 'real';
  const taken = take(before, { user: request.user, words: wordsOf(decision), now, use }, stamper);
  const { approvals } = before.spec;
  switch (taken.kind) {
    case 'refused':
      return forbidden(taken.message);
    case 'again': {
      const kept = { approvals, decision: undefined };
      return { kind: 'allowed', object: withSpec(request, kept), warnings: [taken.message] };
    }
    case 'decided':
      return { kind: 'allowed', object: withSpec(request, { approvals, decision: taken.decision }) };
    case 'given': {
      const all = [...(approvals ?? []), taken.given];
      const needed = whoIsNeeded({ ...before, spec: { ...before.spec, approvals: all } });
      const warnings = [`approved by ${request.user.username}; still needed: ${needed}`];
      return {
        kind: 'allowed',
        object: withSpec(request, { approvals: all, decision: undefined }),
        warnings,
      };
    }
  }
}

/** What no stamp can make good, said here because it is said better than by the schema. */
function objection({ before, after }: Pair): AdmissionAnswer | null {
  const asked = ({ spec }: Approval) => [spec.request, spec.stamp];
  if (!sameJson(asked(before), asked(after)))
    return forbidden(
      'spec.request never changes: decide on what was asked, or let the agent ask for something else',
    );
  if (before.spec.decision === undefined || sameJson(before.spec.decision, after.spec.decision)) return null;
  return forbidden(`a decision is made once: ${describePhase(before)}`);
}

/** What the update adds, if that is one approval or the decision and nothing else. */
function addition({ before, after }: Pair): Saying | undefined {
  const { approvals: old = [], decision: decided } = before.spec;
  const { approvals = [], decision } = after.spec;
  if (decided !== undefined || !sameJson(old, approvals.slice(0, old.length))) return undefined;
  const [given, ...more] = approvals.slice(old.length);
  if (given !== undefined && more.length === 0 && decision === undefined) return { kind: 'given', given };
  return given === undefined && decision !== undefined ? { kind: 'decision', decision } : undefined;
}

/** For `/validate`, resource `approvals` and its status. */
export function approvalHandler(options: ApprovalAdmission): Handler {
  return (request) => {
    switch (request.operation) {
      case 'CREATE':
        return created(request, options);
      case 'UPDATE':
        return request.subresource === '' ? updated(request, options) : statusUpdated(request, options);
      case 'DELETE':
        return deleted(request, options);
      case 'CONNECT':
        return forbidden('nothing can be connected to an Approval');
    }
  };
}

function created({ user, object: made }: AdmissionRequest, { operator }: ApprovalAdmission): AdmissionAnswer {
  if (user.username !== operator)
    return forbidden("Approvals are made by Sidewarden's operator alone, when a policy holds an operation");
  const spec = object(specOf(made));
  const decided = own(spec, 'decision') !== undefined || own(spec, 'approvals') !== undefined;
  return decided ? forbidden('a new Approval is undecided') : ALLOWED;
}

function statusUpdated({ user }: AdmissionRequest, { operator }: ApprovalAdmission): AdmissionAnswer {
  if (user.username === operator) return ALLOWED;
  return forbidden(
    "the status of an Approval is written by Sidewarden's operator alone; to decide, set spec.decision",
  );
}

function deleted({ user, oldObject }: AdmissionRequest, { operator }: ApprovalAdmission): AdmissionAnswer {
  if (user.username === operator || isCollector(user) || isPhase(oldObject, OVER)) return ALLOWED;
  return forbidden('an operation waits for this Approval: deny it instead, then it can be deleted');
}

async function updated(request: AdmissionRequest, options: ApprovalAdmission): Promise<AdmissionAnswer> {
  const ours = request.user.username === options.operator || isCollector(request.user);
  if (!ours && changesOwnMetadata(request))
    return forbidden(
      'owners, finalizers and the labels and annotations of sidewarden.dev are not yours to change',
    );
  if (sameJson(specOf(request.object), specOf(request.oldObject))) return ALLOWED;
  const pair = parsedPair(request);
  if (pair.kind === 'refused') return pair;
  const early = objection(pair);
  if (early !== null) return early;
  const added = addition(pair);
  if (added === undefined) return forbidden('only spec.decision can be set, once, and only by who decides');
  return decided(request, pair.before, added, options);
}

async function decided(
  { user, dryRun }: AdmissionRequest,
  before: Approval,
  added: Saying,
  { kube, stamper, approverRole, clock = Date.now }: ApprovalAdmission,
): Promise<AdmissionAnswer> {
  const use = dryRun ? 'dry-run' : 'real';
  if (!isBy(user, before, added) || !stamper.verify(before, added, use))
    return forbidden(
      'the decision was changed after Sidewarden stamped it, or never came to its stamp webhook',
    );
  const taken = take(before, { user, words: wordsFrom(added), now: clock(), use }, stamper);
  if (taken.kind === 'refused' || taken.kind === 'again') return forbidden(taken.message);
  if (taken.kind !== (added.kind === 'given' ? 'given' : 'decided'))
    return forbidden('who is needed has changed meanwhile: try again');
  const speaking = { user, words: wordsFrom(added), now: clock() };
  const late = objectionInForce(before, speaking, kube.stores.policies);
  if (late !== null) return forbidden(late);
  return (await mayApprove(kube, user, before)) ? ALLOWED : forbidden(noRight(user, before, approverRole));
}

function isBy(user: UserInfo, approval: Approval, added: Saying): boolean {
  const by = added.kind === 'given' ? added.given.by : added.decision.decidedBy;
  const { username, uid, groups } = deciderFrom(user, approval);
  return sameJson({ uid: '', ...by }, { username, uid, groups });
}

function mayApprove(
  kube: ApprovalAdmission['kube'],
  user: UserInfo,
  { metadata, spec }: Approval,
): Promise<boolean> {
  return kube.mayAccess({
    user,
    verb: 'approve',
    group: CONNECTIONS.group,
    resource: CONNECTIONS.plural,
    namespace: metadata.namespace ?? '',
    name: spec.request.connection,
  });
}

function noRight({ username }: UserInfo, { metadata, spec }: Approval, role: string): string {
  const namespace = metadata.namespace ?? '';
  const account = /^system:serviceaccount:([^:]+:[^:]+)$/u.exec(username)?.[1];
  const subject = account === undefined ? `--user=${quoted(username)}` : `--serviceaccount=${account}`;
  const ask = `kubectl create rolebinding approvers -n ${namespace} --clusterrole=${role} ${subject}`;
  return `${username} may not approve on ${namespace}/${spec.request.connection}: it lacks the verb "approve" on that protectedconnection; ask an administrator for: ${ask}`;
}

/** For a shell. */
function quoted(name: string): string {
  return /^[\w@.:/-]+$/u.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
}

function parsedPair({
  object: next,
  oldObject,
}: AdmissionRequest): Pair | (AdmissionAnswer & { kind: 'refused' }) {
  const before = parseApproval(oldObject);
  const after = parseApproval(next);
  if (before.kind === 'parsed' && after.kind === 'parsed')
    return { kind: 'pair', before: before.value, after: after.value };
  const errors = [before, after].flatMap((each) => (each.kind === 'invalid' ? each.errors : []));
  const said = errors.slice(0, 5).map(({ path, message }) => `${formatPath(path)}: ${message}`);
  return { kind: 'refused', code: 422, message: `not a valid Approval: ${said.join('; ')}` };
}

function wordsOf({ verdict, reason, modified }: Words): Words {
  return {
    verdict,
    ...(reason === undefined ? {} : { reason }),
    ...(modified === undefined ? {} : { modified }),
  };
}

function wordsFrom(added: Saying): Words {
  if (added.kind === 'decision') return wordsOf(added.decision);
  return { verdict: 'Approve', ...(added.given.reason === undefined ? {} : { reason: added.given.reason }) };
}

/** The object with these fields of its spec; undefined ones are taken away. */
function withSpec(
  request: AdmissionRequest,
  fields: {
    readonly approvals: readonly GivenApproval[] | undefined;
    readonly decision?: ApprovalDecision | undefined;
  },
): Json {
  const spec = Object.entries({ ...object(specOf(request.object)), ...fields });
  return { ...request.object, spec: Object.fromEntries(spec.filter(([, value]) => value !== undefined)) };
}
