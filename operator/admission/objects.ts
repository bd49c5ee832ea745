/**
 * What is wrong with a connection or a policy beyond what their schemas say, found in the object alone: so that `kubectl apply` says
 * it, with the place. What depends on other objects is a warning at most, since those may be applied later.
 */
import { type ProtectedConnection, parseConnection } from '../../crds/connection.ts';
import { type AccessPolicy, parsePolicy } from '../../crds/policy.ts';
import type { Parsed } from '../../crds/schema/failure.ts';
import { formatPath } from '../../crds/schema/path.ts';
import { compilePolicies } from '../../sidecar/policy/compile.ts';
import { type PolicyProblem, messageOf } from '../../sidecar/policy/problem.ts';
import { referencesOf } from '../broker/references.ts';
import { isJson } from '../kube/object.ts';

export interface ObjectCheck {
  /** Why it is refused, each with its place; none when it is not. */
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
}

/** Whether a connection of this name is known. */
export type KnowsConnection = (namespace: string, name: string) => boolean;

const NOTHING: ObjectCheck = { errors: [], warnings: [] };

/** Of an object as it would be stored; of other kinds, and of what is being deleted, nothing is wrong. */
export function checkObject(kind: string, object: unknown, knows: KnowsConnection = () => true): ObjectCheck {
  if (isDeleted(object)) return NOTHING;
  switch (kind) {
    case 'AccessPolicy':
      return checkPolicy(object, knows);
    case 'ProtectedConnection':
      return checkConnection(object);
    default:
      return NOTHING;
  }
}

export function checkPolicy(object: unknown, knows: KnowsConnection): ObjectCheck {
  const parsed = parsePolicy(named(object));
  if (parsed.kind === 'invalid') return invalid(parsed);
  const { metadata, spec } = parsed.value;
  const { name, namespace = '' } = metadata;
  const compiled = compilePolicies([{ namespace, name, spec }]);
  return {
    errors: compiled.kind === 'refused' ? compiled.problems.map(describeInPolicy) : [],
    warnings: policyWarnings(parsed.value, (connection) => knows(namespace, connection)),
  };
}

/** A problem where the policy is known: `spec.rules[2].when (rule reads, line 1, column 5): …`. */
export function describeInPolicy(problem: PolicyProblem): string {
  const rule = problem.rule === '' ? '' : `rule ${problem.rule}, `;
  return `${problem.path} (${rule}line ${problem.line}, column ${problem.column}): ${messageOf(problem)}`;
}

function policyWarnings({ spec }: AccessPolicy, knows: (connection: string) => boolean): readonly string[] {
  const warnings = spec.connections.flatMap((connection, index) =>
    knows(connection) ? [] : [`spec.connections[${index}]: there is no connection ${connection} yet`],
  );
  if (spec.mode === 'Observe')
    warnings.push('spec.mode: Observe lets everything through and only says what would have happened');
  return warnings;
}

export function checkConnection(object: unknown): ObjectCheck {
  const parsed = parseConnection(named(object));
  if (parsed.kind === 'invalid') return invalid(parsed);
  const references = referencesOf(parsed.value);
  const errors = typeof references === 'string' ? [`spec.credentials.secretRef: ${references}`] : [];
  return {
    errors: [...errors, ...sourceErrors(parsed.value)],
    warnings: connectionWarnings(parsed.value),
  };
}

function sourceErrors({ spec: { identity } }: ProtectedConnection): readonly string[] {
  if (identity.sources.some(({ serviceAccount }) => serviceAccount)) return [];
  return ['spec.identity.sources: none of them counts in a pod; add serviceAccount'];
}

function connectionWarnings({ spec }: ProtectedConnection): readonly string[] {
  const { protocol, target, allowedNamespaces, recording } = spec;
  const warnings: string[] = [];
  if (protocol !== 'postgres') warnings.push(`spec.protocol: ${protocol} is not served yet; postgres is`);
  if (target.tls.mode === 'disable')
    warnings.push('spec.target.tls.mode: disable lets credentials and data cross the network in clear');
  if (target.tls.mode === 'require')
    warnings.push("spec.target.tls.mode: require does not check the target's certificate");
  if (target.tls.caFrom && !target.tls.mode.startsWith('verify-'))
    warnings.push(`spec.target.tls.caFrom: is not used when the mode is ${target.tls.mode}`);
  if (allowedNamespaces === undefined)
    warnings.push('spec.allowedNamespaces: is not set, so no pod may use this connection');
  if (!recording.configMapRef)
    warnings.push('spec.recording.configMapRef: is not set, so that recordings go with the pod');
  return warnings;
}

function invalid(parsed: Extract<Parsed<unknown>, { kind: 'invalid' }>): ObjectCheck {
  return {
    errors: parsed.errors.map(({ path, message }) => `${formatPath(path)}: ${message}`),
    warnings: [],
  };
}

/** What asks for a generated name has none yet. */
function named(object: unknown): unknown {
  if (!isJson(object) || !isJson(object['metadata']) || object['metadata']['name'] !== undefined)
    return object;
  if (typeof object['metadata']['generateName'] !== 'string') return object;
  return { ...object, metadata: { ...object['metadata'], name: 'generated' } };
}

/** Such an object can only lose its finalizers; nothing may keep it. */
function isDeleted(object: unknown): boolean {
  return (
    isJson(object) && isJson(object['metadata']) && object['metadata']['deletionTimestamp'] !== undefined
  );
}
