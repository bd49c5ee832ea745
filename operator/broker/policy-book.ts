/** The policies of a connection. One that cannot be read or compiled is a problem of the connection, never merely absent. */
import { parsePolicy, type AccessPolicy } from '../../crds/policy.ts';
import { formatPath } from '../../crds/schema/path.ts';
import { compilePolicies } from '../../sidecar/policy/compile.ts';
import { describeProblem } from '../../sidecar/policy/problem.ts';
import type { Key, KubeObject, Store } from '../kube/kube.ts';
import { items } from '../kube/field.ts';
import { manifestOf, type Manifest } from './manifest.ts';

export type Policies =
  | {
      readonly kind: 'good';
      readonly manifests: readonly Manifest[];
      readonly policies: readonly AccessPolicy[];
    }
  | { readonly kind: 'broken'; readonly message: string };

type Checked =
  | { readonly kind: 'good'; readonly manifest: Manifest; readonly policy: AccessPolicy }
  | { readonly kind: 'broken'; readonly message: string };

export class PolicyBook {
  readonly #store: Store;
  /** By the stored object, of which each version is another. */
  readonly #checked = new WeakMap<KubeObject, Checked>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** All policies in its namespace that name the connection, by name. */
  of({ namespace, name }: Key): Policies {
    const objects = this.#store.list(namespace).filter((object) => mayName(object, name));
    const checked = objects.toSorted(byName).map((object) => this.#check(object));
    const broken = checked.flatMap((each) => (each.kind === 'broken' ? [each.message] : []));
    if (broken.length > 0) return { kind: 'broken', message: broken.join('; ').slice(0, 2048) };
    const good = checked.flatMap((each) => (each.kind === 'good' ? [each] : []));
    return {
      kind: 'good',
      manifests: good.map(({ manifest }) => manifest),
      policies: good.map(({ policy }) => policy),
    };
  }

  #check(object: KubeObject): Checked {
    const known = this.#checked.get(object);
    if (known !== undefined) return known;
    const checked = check(object);
    this.#checked.set(object, checked);
    return checked;
  }
}

/** Of one whose list of connections cannot be read, all are meant. */
function mayName(object: KubeObject, connection: string): boolean {
  const named = items(object, ['spec', 'connections']);
  return named.includes(connection) || named.length === 0 || named.some((name) => typeof name !== 'string');
}

function byName(a: KubeObject, b: KubeObject): number {
  return a.metadata.name < b.metadata.name ? -1 : 1;
}

function check(object: KubeObject): Checked {
  const { namespace, name } = object.metadata;
  const manifest = manifestOf(object);
  const parsed = parsePolicy(manifest);
  if (parsed.kind === 'invalid') {
    const [first] = parsed.errors;
    const what = first === undefined ? '' : `: ${formatPath(first.path)}: ${first.message}`;
    return { kind: 'broken', message: `policy ${namespace}/${name} is not valid${what}` };
  }
  const compiled = compilePolicies([{ namespace, name, spec: parsed.value.spec }]);
  if (compiled.kind === 'compiled') return { kind: 'good', manifest, policy: parsed.value };
  const [first] = compiled.problems;
  return {
    kind: 'broken',
    message: first === undefined ? `policy ${namespace}/${name} is not valid` : describeProblem(first),
  };
}
