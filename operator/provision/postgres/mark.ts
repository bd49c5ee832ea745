/** What says that a role is ours, and whose: its name, and its comment, which is JSON. */
import { createHash } from 'node:crypto';
import { parse } from '../../../crds/schema/parse.ts';
import { choice, object, optional, required, text, type Static } from '../../../crds/schema/schema.ts';
import type { RunRole } from '../provisioner.ts';

const PREFIX = 'sw_';
const MAX_SLUG = 36;
const HASH = 20;

const word = (description: string) => text(description, { minLength: 1, maxLength: 512 });

const markSchema = object('The comment on a role.', {
  madeBy: required(choice('Whose format.', ['sidewarden'])),
  installation: required(word('Which installation of Sidewarden.')),
  session: required(
    object('The Session object.', {
      namespace: required(word('Its namespace.')),
      name: required(word('Its name.')),
      uid: required(word('Its uid.')),
    }),
  ),
  plan: optional(word('Digest of what was granted.')),
});

export type Mark = Static<typeof markSchema>;

export function writeMark(installation: string, { session }: RunRole, plan?: string): string {
  const { namespace, name, uid } = session;
  const mark: Mark = {
    madeBy: 'sidewarden',
    installation,
    session: { namespace, name, uid },
    ...(plan === undefined ? {} : { plan }),
  };
  return JSON.stringify(mark);
}

/** Undefined for any comment that is not exactly such a one. */
export function readMark(comment: unknown): Mark | undefined {
  if (typeof comment !== 'string') return undefined;
  let json: unknown;
  try {
    json = JSON.parse(comment);
  } catch {
    return undefined;
  }
  const parsed = parse(markSchema, json);
  return parsed.kind === 'parsed' ? parsed.value : undefined;
}

/** Whether the comment is this installation's, for just this session. */
export function isMarkOf(mark: Mark | undefined, installation: string, { session }: RunRole): mark is Mark {
  if (mark?.installation !== installation) return false;
  const { namespace, name, uid } = mark.session;
  return namespace === session.namespace && name === session.name && uid === session.uid;
}

/**
 * `sw_orders_db_` and 80 bits of a hash over installation and session: at most 60 bytes. It depends on the session alone, so that a
 * role is found over any connection to its server.
 */
export function roleName(installation: string, { session }: RunRole): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([installation, session.namespace, session.name, session.uid]))
    .digest('hex')
    .slice(0, HASH);
  // The broker names sessions after their connections: `orders-db-0123…`.
  const connection = session.name.replace(/-[^-]*$/, '');
  const slug = connection
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .slice(0, MAX_SLUG);
  return `${PREFIX}${slug}_${hash}`;
}

/**
 * Owns what runs made and left behind: a role that can do nothing, so that neither can a function or view of theirs. Each administrator
 * has one: who made a role may give things to it.
 */
export function keeperName(installation: string, administrator: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([installation, administrator]))
    .digest('hex');
  return `sidewarden_kept_${hash.slice(0, 12)}`;
}

/** For LIKE: all names that `roleName` gives. */
export const ROLE_PATTERN = 'sw\\_%';
