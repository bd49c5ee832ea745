/** What a pod asks for by its annotations. */
import { CONNECTIONS_ANNOTATION, REDIRECT_ANNOTATION } from '../../kube/names.ts';

/** On a pod, `keep`: the agent may have the service account token that the pod asks for. Not in enforced namespaces. */
export const SERVICE_ACCOUNT_TOKEN_ANNOTATION = 'sidewarden.dev/service-account-token';

export interface Wish {
  /** `namespace/name`, in the order in which they were named; at least one. */
  readonly connections: readonly string[];
  readonly redirect: boolean;
  readonly keepToken: boolean;
}

export type WishOrProblems =
  | { readonly kind: 'wish'; readonly wish: Wish }
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed'; readonly problems: readonly string[] };

const PREFIX = 'sidewarden.dev/';
const KNOWN: readonly string[] = [
  CONNECTIONS_ANNOTATION,
  REDIRECT_ANNOTATION,
  SERVICE_ACCOUNT_TOKEN_ANNOTATION,
];
const LABEL = '[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?';
const QUALIFIED = new RegExp(`^${LABEL}/(?=.{1,253}$)${LABEL}(?:\\.${LABEL})*$`, 'u');
const MAX_CONNECTIONS = 16;

/** An annotation of ours that we do not know, or cannot read, is a mistake that must not go unseen. */
export function wishOf(annotations: Readonly<Record<string, unknown>>): WishOrProblems {
  const ours = Object.keys(annotations).filter((key) => key.startsWith(PREFIX));
  const problems = ours
    .filter((key) => !KNOWN.includes(key))
    .map((key) => `annotation ${key}: there is no such annotation; known are ${KNOWN.join(', ')}`);
  const redirect = oneOf(annotations, REDIRECT_ANNOTATION, ['true', 'false'], problems);
  const keep = oneOf(annotations, SERVICE_ACCOUNT_TOKEN_ANNOTATION, ['keep'], problems);
  const named = annotations[CONNECTIONS_ANNOTATION];
  if (named === undefined) {
    if (redirect === 'true')
      problems.push(`annotation ${REDIRECT_ANNOTATION} needs ${CONNECTIONS_ANNOTATION}`);
    return problems.length > 0 ? { kind: 'malformed', problems } : { kind: 'none' };
  }
  const connections = namesIn(named, problems);
  if (problems.length > 0) return { kind: 'malformed', problems };
  return {
    kind: 'wish',
    wish: { connections, redirect: redirect === 'true', keepToken: keep === 'keep' },
  };
}

function namesIn(named: unknown, problems: string[]): readonly string[] {
  const wrong = (what: string) => {
    problems.push(
      `annotation ${CONNECTIONS_ANNOTATION}: ${what}; write namespace/name, separated by commas, for example "production-access/orders-db"`,
    );
    return [];
  };
  if (typeof named !== 'string' || named.trim() === '') return wrong('it names no connection');
  const names = named.split(',').map((name) => name.trim());
  if (names.length > MAX_CONNECTIONS) return wrong(`more than ${MAX_CONNECTIONS} connections`);
  for (const name of names)
    if (!QUALIFIED.test(name)) wrong(`${JSON.stringify(name.slice(0, 320))} is no namespace/name`);
  if (new Set(names).size < names.length) wrong('a connection is named twice');
  return names;
}

function oneOf(
  annotations: Readonly<Record<string, unknown>>,
  key: string,
  values: readonly string[],
  problems: string[],
): string | undefined {
  const value = annotations[key];
  if (value === undefined) return undefined;
  if (typeof value === 'string' && values.includes(value)) return value;
  problems.push(`annotation ${key} must be ${values.map((each) => JSON.stringify(each)).join(' or ')}`);
  return undefined;
}
