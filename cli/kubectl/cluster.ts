/** The cluster as the plugin sees it: one kubeconfig context, by whose rights everything is done. */
import {
  ApiException,
  AuthenticationV1Api,
  CustomObjectsApi,
  KubeConfig,
  setHeaderOptions,
  V1SelfSubjectReview,
  Watch,
} from '@kubernetes/client-node';
import { GROUP, VERSION } from '../../crds/schema/kind.ts';
import { CommandError, reasonOf } from '../approvals-folder.ts';

/** As kubectl's own. */
export interface ClusterOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
}

export type Plural = 'approvals' | 'sessions';

export interface Listed {
  readonly items: readonly unknown[];
  readonly resourceVersion: string;
}

export type Patched = { readonly kind: 'patched'; readonly object: unknown } | { readonly kind: 'conflict' };

export interface Changed {
  readonly type: string;
  readonly object: unknown;
}

/** All reject with a `CommandError`. */
export interface Cluster {
  /** Undefined: all of them. */
  readonly namespace: string | undefined;
  list(plural: Plural): Promise<Listed>;
  get(plural: Plural, namespace: string, name: string): Promise<unknown>;
  patch(plural: Plural, namespace: string, name: string, body: object): Promise<Patched>;
  /** Calls with each change after the version; resolves when the API server ends it. */
  watch(plural: Plural, resourceVersion: string, onChange: (changed: Changed) => void): Promise<void>;
  /** Who the API server says that this is; undefined when it does not. */
  whoAmI(): Promise<string | undefined>;
}

const LIMIT = 500;

export function connect(options: ClusterOptions): Cluster {
  const config = load(options);
  const api = config.makeApiClient(CustomObjectsApi);
  const place = { group: GROUP, version: VERSION };
  const current = config.getContextObject(config.getCurrentContext())?.namespace;
  const namespace =
    options.allNamespaces === true
      ? undefined
      : (options.namespace ?? (current === '' ? undefined : current) ?? 'default');
  const page = (plural: Plural, token: string) => {
    const more = { limit: LIMIT, ...(token === '' ? {} : { _continue: token }) };
    return namespace === undefined
      ? api.listCustomObjectForAllNamespaces({ ...place, resourcePlural: plural, ...more })
      : api.listNamespacedCustomObject({ ...place, plural, namespace, ...more });
  };
  return {
    namespace,
    list: (plural) => asked(() => pages((token) => page(plural, token))),
    get: (plural, space, name) =>
      asked(() => api.getNamespacedCustomObject({ ...place, plural, namespace: space, name })),
    patch: (plural, space, name, body) =>
      asked(async () => {
        const header = setHeaderOptions('Content-Type', 'application/merge-patch+json');
        try {
          const target = {
            ...place,
            plural,
            namespace: space,
            name,
            body,
            fieldManager: 'kubectl-sidewarden',
          };
          const object: unknown = await api.patchNamespacedCustomObject(target, header);
          return { kind: 'patched', object };
        } catch (error) {
          if (error instanceof ApiException && error.code === 409) return { kind: 'conflict' };
          throw error;
        }
      }),
    watch: (plural, resourceVersion, onChange) =>
      watch(config, pathOf(plural, namespace), resourceVersion, onChange),
    whoAmI: async () => {
      try {
        const body = Object.assign(new V1SelfSubjectReview(), {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'SelfSubjectReview',
        });
        const review = await config.makeApiClient(AuthenticationV1Api).createSelfSubjectReview({ body });
        return review.status?.userInfo?.username;
      } catch {
        return undefined;
      }
    },
  };
}

function load({ kubeconfig, context }: ClusterOptions): KubeConfig {
  const config = new KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? `: ${String(error.code)}` : '';
    throw new CommandError(2, `the kubeconfig ${kubeconfig ?? ''} cannot be read${code}`);
  }
  if (context !== undefined) {
    if (config.getContextObject(context) === null)
      throw new CommandError(2, `the kubeconfig has no context ${context}`);
    config.setCurrentContext(context);
  }
  if (config.getCurrentCluster() === null) throw new CommandError(2, 'the kubeconfig names no cluster');
  return config;
}

async function pages(page: (token: string) => Promise<unknown>): Promise<Listed> {
  const items: unknown[] = [];
  for (let token = ''; ;) {
    // Whatever a server answers; only these fields are looked at.
    const answer = (await page(token)) as {
      readonly items?: readonly unknown[];
      readonly metadata?: { readonly continue?: string; readonly resourceVersion?: string };
    };
    items.push(...(answer.items ?? []));
    token = answer.metadata?.continue ?? '';
    if (token === '') return { items, resourceVersion: answer.metadata?.resourceVersion ?? '' };
  }
}

function pathOf(plural: Plural, namespace: string | undefined): string {
  const place = namespace === undefined ? '' : `namespaces/${encodeURIComponent(namespace)}/`;
  return `/apis/${GROUP}/${VERSION}/${place}${plural}`;
}

function watch(
  config: KubeConfig,
  path: string,
  resourceVersion: string,
  onChange: (changed: Changed) => void,
): Promise<void> {
  return new Promise((done, fail) => {
    const query = { resourceVersion, timeoutSeconds: 240 };
    const change = (type: string, object: unknown) => onChange({ type, object });
    new Watch(config)
      .watch(path, query, change, () => done())
      .catch((error: unknown) => fail(failure(error)));
  });
}

async function asked<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw failure(error);
  }
}

/** 1: the API server said no, or is not there; 4: not found. */
function failure(error: unknown): CommandError {
  if (!(error instanceof ApiException))
    return new CommandError(1, `the API server cannot be reached: ${reasonOf(error)}`);
  const said = messageOf(error.body) ?? `the API server answered ${error.code}`;
  return new CommandError(error.code === 404 ? 4 : 1, said);
}

/** Of a `Status`, as an object or as the text of one. */
function messageOf(body: unknown): string | undefined {
  if (typeof body === 'string') {
    try {
      return messageOf(JSON.parse(body));
    } catch {
      return undefined;
    }
  }
  if (typeof body !== 'object' || body === null || !('message' in body)) return undefined;
  return typeof body.message === 'string' ? body.message : undefined;
}
