/**
 * Says of each policy whether it is in force: its condition `Ready`.
 *
 * | AccessPolicy                                       | Ready   | reason                  |
 * |----------------------------------------------------|---------|-------------------------|
 * | gone, or being deleted                             | -       | -                       |
 * | a mask is not one                                  | False   | MaskUnsupported         |
 * | cannot be parsed otherwise                         | False   | InternalError           |
 * | an expression does not parse or type-check         | False   | ExpressionInvalid       |
 * | an expression may cost too much                    | False   | ExpressionTooExpensive  |
 * | compiles, but names a connection that is not there | False   | ConnectionNotFound      |
 * | compiles                                           | True    | Compiled                |
 *
 * A policy that is not valid stops its connections (the broker asks `broker/policy-book.ts`): less is never decided by fewer policies.
 */
import type { AccessPolicy, PolicyReason } from '../../crds/policy.ts';
import type { FieldError } from '../../crds/schema/failure.ts';
import { formatPath } from '../../crds/schema/path.ts';
import { compilePolicies } from '../../sidecar/policy/compile.ts';
import type { PolicyProblem } from '../../sidecar/policy/problem.ts';
import { describeInPolicy } from '../admission/objects.ts';
import { type Key, type Kube, POLICIES, type Store } from '../kube/kube.ts';
import { readPolicy } from '../kube/read.ts';
import type { Finding } from './condition.ts';
import { type Controller, own } from './controller.ts';
import { report } from './report.ts';

type PolicyKube = Pick<Kube, 'stores' | 'patch' | 'event'>;
type PolicyFinding = Finding<'Ready', PolicyReason>;

export function policyController(kube: PolicyKube): Controller {
  const { policies, connections } = kube.stores;
  return {
    name: 'policy',
    sources: [
      own(policies),
      // Only that it comes or goes matters.
      {
        store: connections,
        keys: (key, object, old) => (object && old ? [] : policiesOf(policies, key)),
      },
    ],
    reconcile: async (key) => {
      const object = policies.get(key.namespace, key.name);
      if (!object || object.metadata.deletionTimestamp !== undefined) return undefined;
      const parsed = readPolicy(object);
      const finding = parsed.kind === 'parsed' ? judge(kube, parsed.value) : misshapen(parsed.errors);
      await report(kube, { resource: POLICIES, object, findings: [finding] });
      return undefined;
    },
  };
}

/** The policies that name the connection. */
function policiesOf(policies: Store, { namespace, name }: Key): readonly Key[] {
  return policies.list(namespace).flatMap((object) => {
    const parsed = readPolicy(object);
    const names = parsed.kind === 'parsed' && parsed.value.spec.connections.includes(name);
    return names ? [{ namespace, name: object.metadata.name }] : [];
  });
}

function judge({ stores }: PolicyKube, { metadata, spec }: AccessPolicy): PolicyFinding {
  const { name, namespace = '' } = metadata;
  const compiled = compilePolicies([{ namespace, name, spec }]);
  if (compiled.kind === 'refused')
    return notReady(reasonOf(compiled.problems), compiled.problems.map(describeInPolicy));
  const missing = spec.connections.filter((each) => !stores.connections.get(namespace, each));
  if (missing.length > 0) {
    const others = missing.length < spec.connections.length ? '; it is in force for the others' : '';
    return notReady('ConnectionNotFound', [`there is no connection ${missing.join(', ')}${others}`]);
  }
  const message = `${spec.rules.length} rules and ${spec.masks.length} masks for ${spec.connections.length} connections`;
  return { type: 'Ready', status: 'True', reason: 'Compiled', message };
}

function reasonOf(problems: readonly PolicyProblem[]): PolicyReason {
  if (problems.some(({ at }) => at[1] === 'masks')) return 'MaskUnsupported';
  return problems.every(({ expensive }) => expensive) ? 'ExpressionTooExpensive' : 'ExpressionInvalid';
}

/** What the API server's own check of the schema let through. */
function misshapen(errors: readonly FieldError[]): PolicyFinding {
  const masks = errors.some(({ path }) => path[0] === 'spec' && path[1] === 'masks');
  const messages = errors.map(({ path, message }) => `${formatPath(path)}: ${message}`);
  return notReady(masks ? 'MaskUnsupported' : 'InternalError', messages);
}

function notReady(reason: PolicyReason, messages: readonly string[]): PolicyFinding {
  return { type: 'Ready', status: 'False', reason, message: messages.join('\n') };
}
