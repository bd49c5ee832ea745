/** From manifests to what an adapter works with: references followed, secrets read, policies compiled. All that is wrong at once. */
import { createHash } from 'node:crypto';
import {
  type ProtectedConnection,
  type IdentitySource as SourceSpec,
  targetPort,
} from '../crds/connection.ts';
import type { ConfigMap, Secret } from '../crds/core.ts';
import { milliseconds } from '../crds/schema/duration.ts';
import { formatPath } from '../crds/schema/path.ts';
import type { IdentitySource } from './identity/identity.ts';
import type { ManifestError } from './manifests/location.ts';
import type { Loaded, Manifests } from './manifests/manifests.ts';
import type { ConnectionFacts, Identity } from './operation.ts';
import { type PolicySource, compilePolicies } from './policy/compile.ts';
import type { PolicySet } from './policy/policy-set.ts';
import { messageOf } from './policy/problem.ts';
import type { PolicyDigest } from './record/event.ts';

/** One connection, ready to be listened for. Holds secrets: it is never logged. */
export interface ConnectionConfig {
  readonly facts: ConnectionFacts;
  readonly target: {
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
    readonly password: string;
    readonly tls: {
      readonly mode: 'disable' | 'require' | 'verify-ca' | 'verify-full';
      readonly ca: string | undefined;
      readonly serverName: string | undefined;
    };
  };
  readonly sources: readonly IdentitySource[];
  readonly listen: {
    readonly address: string;
    readonly port: number;
    readonly tls: { readonly certificate: string; readonly key: string } | undefined;
  };
  readonly recording: {
    readonly durability: 'strict' | 'batched';
    readonly budget: { readonly rows: number; readonly bytes: number };
  };
  readonly limits: {
    readonly messageBytes: number;
    readonly pendingApprovals: number;
    /** Milliseconds; undefined for ever. */
    readonly idleTimeout: number | undefined;
    readonly policyMaxAge: number;
  };
}

export interface Configuration {
  readonly connections: readonly ConnectionConfig[];
  readonly policies: PolicySet;
  readonly digests: readonly PolicyDigest[];
  /** What a person should know and nothing fails for. */
  readonly warnings: readonly string[];
}

export type Configured =
  | { readonly kind: 'configured'; readonly configuration: Configuration }
  | { readonly kind: 'invalid'; readonly errors: readonly ManifestError[] };

export function configure(manifests: Manifests): Configured {
  const errors: ManifestError[] = [];
  const warnings: string[] = [];
  const connections: ConnectionConfig[] = [];
  for (const loaded of manifests.connections.values()) {
    const found = new Connection(loaded, manifests);
    const config = found.config();
    errors.push(...found.errors);
    warnings.push(...found.warnings);
    if (config) connections.push(config);
  }
  const policies = [...manifests.policies.values()];
  const sources = policies.map(({ namespace, name, object }): PolicySource => ({
    namespace,
    name,
    spec: object.spec,
  }));
  const compiled = compilePolicies(sources);
  if (compiled.kind === 'refused') {
    for (const problem of compiled.problems) {
      const place = manifests.policies.get(problem.policy)?.locate(problem.at, problem.offset);
      if (place)
        errors.push({ ...place, path: problem.path, message: `rule ${problem.rule}: ${messageOf(problem)}` });
    }
    return { kind: 'invalid', errors };
  }
  if (errors.length > 0) return { kind: 'invalid', errors };
  return {
    kind: 'configured',
    configuration: { connections, policies: compiled.policies, digests: sources.map(digestOf), warnings },
  };
}

function digestOf({ namespace, name, spec }: PolicySource): PolicyDigest {
  return {
    name: `${namespace}/${name}`,
    digest: createHash('sha256').update(JSON.stringify(spec)).digest('base64url'),
  };
}

/** Follows the references of one connection. */
class Connection {
  readonly errors: ManifestError[] = [];
  readonly warnings: string[] = [];
  readonly #loaded: Loaded<ProtectedConnection>;
  readonly #manifests: Manifests;

  constructor(loaded: Loaded<ProtectedConnection>, manifests: Manifests) {
    this.#loaded = loaded;
    this.#manifests = manifests;
  }

  config(): ConnectionConfig | undefined {
    const { spec, metadata } = this.#loaded.object;
    const { namespace, name } = this.#loaded;
    if (spec.protocol !== 'postgres')
      this.#error(['spec', 'protocol'], `${spec.protocol} is not served yet; postgres is`);
    if (spec.role.provision) {
      this.#error(
        ['spec', 'role', 'provision'],
        'a role for each session needs the operator; without a cluster the credentials are used as they are',
      );
    }
    if (spec.recording.configMapRef)
      this.warnings.push(`${namespace}/${name}: without a cluster, recordings are kept in the state folder`);
    const credentials = ['spec', 'credentials', 'secretRef'];
    const user = this.#secret(spec.credentials.secretRef.name, 'username', credentials);
    const password = this.#secret(spec.credentials.secretRef.name, 'password', credentials);
    const ca = this.#ca();
    const sources = spec.identity.sources.flatMap((source, index) =>
      this.#source(source, ['spec', 'identity', 'sources', index]),
    );
    if (sources.some(({ kind }) => kind === 'loopback') && sources.some(({ kind }) => kind === 'token')) {
      this.#error(
        ['spec', 'identity', 'sources'],
        'loopback stands alone: where a token is taken, being local is not enough',
      );
    }
    const listenTls = this.#listenTls();
    if (this.errors.length > 0) return undefined;
    const database = spec.target.database ?? '';
    return {
      facts: { name, namespace, protocol: spec.protocol, database, labels: metadata.labels ?? {} },
      target: {
        host: spec.target.host,
        port: targetPort(spec),
        database,
        user,
        password,
        tls: { mode: spec.target.tls.mode, ca, serverName: spec.target.tls.serverName },
      },
      sources,
      listen: { address: spec.listen.address, port: spec.listen.port, tls: listenTls },
      recording: { durability: spec.recording.durability, budget: spec.recording.rowBudget },
      limits: {
        messageBytes: spec.limits.maxMessageBytes,
        pendingApprovals: spec.limits.maxPendingApprovals,
        idleTimeout:
          spec.limits.idleTimeout === undefined ? undefined : milliseconds(spec.limits.idleTimeout),
        policyMaxAge: milliseconds(spec.limits.policyMaxAge),
      },
    };
  }

  #error(at: readonly (string | number)[], message: string): void {
    this.errors.push({ ...this.#loaded.locate(at), path: formatPath(at), message });
  }

  #secret(name: string, key: string, at: readonly (string | number)[]): string {
    const secret: Loaded<Secret> | undefined = this.#manifests.secrets.get(
      `${this.#loaded.namespace}/${name}`,
    );
    const value = secret?.object.data.get(key);
    if (value === undefined) {
      this.#error(at, `the Secret ${name} has no key ${key}`);
      return '';
    }
    const text = Buffer.from(value).toString('utf8');
    if (text.includes('\0')) this.#error(at, `the key ${key} of the Secret ${name} holds a zero byte`);
    return text;
  }

  #ca(): string | undefined {
    const from = this.#loaded.object.spec.target.tls.caFrom;
    const at = ['spec', 'target', 'tls', 'caFrom'];
    if (from?.secretKeyRef) return this.#secret(from.secretKeyRef.name, from.secretKeyRef.key, at);
    if (!from?.configMapKeyRef) return undefined;
    const { name, key } = from.configMapKeyRef;
    const map: Loaded<ConfigMap> | undefined = this.#manifests.configMaps.get(
      `${this.#loaded.namespace}/${name}`,
    );
    const value = map?.object.data.get(key);
    if (value === undefined) this.#error(at, `the ConfigMap ${name} has no key ${key}`);
    return value;
  }

  #listenTls(): { certificate: string; key: string } | undefined {
    const tls = this.#loaded.object.spec.listen.tls;
    if (!tls) return undefined;
    const at = ['spec', 'listen', 'tls', 'secretRef'];
    return {
      certificate: this.#secret(tls.secretRef.name, 'tls.crt', at),
      key: this.#secret(tls.secretRef.name, 'tls.key', at),
    };
  }

  #source(source: SourceSpec, at: readonly (string | number)[]): readonly IdentitySource[] {
    const { namespace, name } = this.#loaded;
    if (source.token) {
      const { secretKeyRef } = source.token;
      const token = this.#secret(secretKeyRef.name, secretKeyRef.key, at);
      if (token !== '' && token.length < MIN_TOKEN)
        this.#error(at, `a token of fewer than ${MIN_TOKEN} characters can be guessed`);
      return [{ kind: 'token', token, identity: identityOf('sidewarden:token', source.token) }];
    }
    if (source.loopback)
      return [{ kind: 'loopback', identity: identityOf('sidewarden:loopback', source.loopback) }];
    this.warnings.push(
      `${namespace}/${name}: identity source ${source.oidc ? 'oidc' : 'serviceAccount'} needs the operator; nobody signs in by it here`,
    );
    return [];
  }
}

const MIN_TOKEN = 16;

function identityOf(
  issuer: string,
  source: {
    readonly subject: string;
    readonly username?: string | undefined;
    readonly groups: readonly string[];
  },
): Identity {
  const { subject, username, groups } = source;
  return Object.freeze({
    issuer,
    subject,
    username: username ?? subject,
    groups,
    claims: {},
    serviceAccount: '',
    pod: '',
  });
}
