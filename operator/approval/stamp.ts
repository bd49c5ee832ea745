/**
 * The operator's proof that a decision passed its admission. Without it, what is written while the webhooks are away (deleted, or
 * exempted by whoever may change them) would be believed. HMAC-SHA256 with a key in a Secret of the operator's own namespace, over
 * everything that was decided: the object, the whole request, the words, the person, the time.
 *
 * Webhooks do not know who calls them: whoever reaches the admission port can have a stamp made in any name. Through admission it is
 * worth nothing, since the stamp webhook writes its own; past admission only those can write who may also change the webhooks.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Approval, ApprovalDecision, GivenApproval } from '../../crds/approval.ts';
import { shownDigest } from '../../sidecar/approval/object.ts';
import { KubeError, SECRETS, type Kube, type KubeObject } from '../kube/kube.ts';

/** What a person said: one of several approvals, or the decision. */
export type Saying =
  | { readonly kind: 'given'; readonly given: GivenApproval }
  | { readonly kind: 'decision'; readonly decision: ApprovalDecision };

/** The request itself, by the Session's uid: it is stamped before the object has a uid of its own. */
export interface Asked {
  readonly kind: 'request';
  readonly session: string;
  readonly stamp?: string | undefined;
}

export type Stamped = Saying | Asked;

/** A stamp of a dry run passes validation in the same request, and proves nothing. */
export type StampUse = 'real' | 'dry-run';

export interface Stamper {
  /** base64url, 43 characters. */
  stamp(approval: Approval, words: Stamped, use: StampUse): string;
  /** Whether the stamp that `words` carries is ours, for exactly this. */
  verify(approval: Approval, words: Stamped, use: StampUse): boolean;
}

const KEY_BYTES = 32;
const SECRET = 'sidewarden-approval-stamp';

export function createStamper(key: Uint8Array): Stamper {
  if (key.length !== KEY_BYTES) throw new RangeError(`the stamp's key must have ${KEY_BYTES} bytes`);
  const mac = (approval: Approval, words: Stamped, use: StampUse) =>
    createHmac('sha256', key)
      .update(canonical(approval, words, use))
      .digest();
  return {
    stamp: (approval, words, use) => mac(approval, words, use).toString('base64url'),
    verify: (approval, words, use) => {
      const stamp = Buffer.from(stampOf(words) ?? '', 'base64url');
      const expected = mac(approval, words, use);
      return stamp.length === expected.length && timingSafeEqual(stamp, expected);
    },
  };
}

function stampOf(words: Stamped): string | undefined {
  switch (words.kind) {
    case 'given':
      return words.given.stamp;
    case 'decision':
      return words.decision.stamp;
    case 'request':
      return words.stamp;
  }
}

/** A JSON array of fixed positions: two different things never have the same encoding. */
function canonical({ metadata, spec }: Approval, words: Stamped, use: StampUse): string {
  const uid = words.kind === 'request' ? '' : (metadata.uid ?? '');
  const object = [metadata.namespace ?? '', metadata.name, uid, shownDigest(spec.request)];
  return JSON.stringify(['sidewarden.dev/stamp/v1', use, object, wordsOf(words)]);
}

function wordsOf(words: Stamped): readonly unknown[] {
  if (words.kind === 'request') return ['request', words.session];
  if (words.kind === 'given') {
    const { by, at = null, reason = null, holds } = words.given;
    return ['given', person(by), at, reason, holds];
  }
  const { verdict, reason = null, modified = null, decidedBy, at = null } = words.decision;
  return ['decision', person(decidedBy), at, reason, verdict, modified];
}

function person(by: GivenApproval['by'] | undefined): readonly unknown[] | null {
  return by === undefined ? null : [by.username, by.uid ?? null, by.groups];
}

/** The stamper of all replicas: reads the key from its Secret, or makes it. Rejects with a `KubeError`. */
export async function loadStamper(kube: Pick<Kube, 'get' | 'create'>, namespace: string): Promise<Stamper> {
  const there = await kube.get(SECRETS, namespace, SECRET);
  if (there !== undefined) return createStamper(keyOf(there));
  const made = await kube.create(SECRETS, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: SECRET, namespace },
    immutable: true,
    type: 'Opaque',
    data: { key: randomBytes(KEY_BYTES).toString('base64') },
  });
  if (made.kind === 'written') return createStamper(keyOf(made.object));
  // Another replica was faster.
  const other = made.kind === 'conflict' ? await kube.get(SECRETS, namespace, SECRET) : undefined;
  if (other === undefined) throw new KubeError(`the Secret ${namespace}/${SECRET} cannot be made`, undefined);
  return createStamper(keyOf(other));
}

function keyOf(secret: KubeObject): Buffer {
  const { data } = secret;
  const text = typeof data === 'object' && data !== null && 'key' in data ? data.key : undefined;
  const key = Buffer.from(typeof text === 'string' ? text : '', 'base64');
  if (key.length === KEY_BYTES) return key;
  throw new KubeError(
    `the Secret ${secret.metadata.namespace}/${SECRET} holds no key of ${KEY_BYTES} bytes`,
    undefined,
  );
}
