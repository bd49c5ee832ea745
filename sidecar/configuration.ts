/** From manifests to what an adapter works with: references followed, secrets read, policies compiled. All that is wrong at once. */
import { createHash } from 'node:crypto';
import type { LookupFunction } from 'node:net';
import {
  type ProtectedConnection,
  type IdentitySource as SourceSpec,
  targetPort,
} from '../crds/connection.ts';
import type { ConfigMap, Secret } from '../crds/core.ts';
import { milliseconds } from '../crds/schema/duration.ts';
import { formatPath } from '../crds/schema/path.ts';
import { type CredentialSource, FixedCredentials } from './credentials.ts';
import type { IdentitySource } from './identity/identity.ts';
import type { ManifestError } from './manifests/location.ts';
import type { Loaded, Manifests } from './manifests/manifests.ts';
import type { ConnectionFacts, Identity } from './operation.ts';
import { type PolicySource, compilePolicies } from './policy/compile.ts';
import type { PolicySet } from './policy/policy-set.ts';
import { type PolicyProblem, messageOf } from './policy/problem.ts';
import type { PolicyDigest } from './record/event.ts';

/** Where the program runs: what a connection's credentials are, and who its clients are, depends on that. */
export type Place =
  | { readonly kind: 'standalone' }
  | {
      readonly kind: 'pod';
      /** Of the run: of everything in the pod. */
      readonly identity: Identity;
      /** By `namespace/name`; the same object each time for the same connection. */
      readonly credentials: (connection: string) => CredentialSource;
      /** By `namespace/name`, likewise: how targets are found whose certificate is not checked. Agents may write the pod's /etc/hosts. */
      readonly lookup: (connection: string) => LookupFunction;
      /** Connections to the target's own address arrive here, by IPv6 at `::1`. */
      readonly redirect: boolean;
    };

/** One connection, ready to be listened for. Holds secrets: it is never logged. */
export interface ConnectionConfig {
  readonly facts: ConnectionFacts;
  readonly target: {
    readonly host: string;
    readonly port: number;
    /** The system's way when undefined. */
    readonly lookup: LookupFunction | undefined;
    readonly database: string;
    readonly credentials: CredentialSource;
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
    /** Listened for too, where there is such an address. */
    readonly also: string | undefined;
    readonly tls: { readonly certificate: string; readonly key: string } | undefined;
  };
  /** `role.maskedViews` of a provisioned role. */
  readonly maskedViews: boolean;
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
  /** Not served now, while others are. Without a cluster there is none: there a configuration is whole or refused. */
  readonly unusable: readonly UnusableConnection[];
}

export interface UnusableConnection {
  /** `namespace/name`. */
  readonly connection: string;
  /** For people: the client is told. */
  readonly message: string;
  /** Where clients would come; undefined when that is not known. */
  readonly listen: { readonly address: string; readonly port: number } | undefined;
}

export type Configured =
  | { readonly kind: 'configured'; readonly configuration: Configuration }
  | { readonly kind: 'invalid'; readonly errors: readonly ManifestError[] };

/** Without a cluster: all or nothing. */
export function configure(manifests: Manifests): Configured {
  const errors: ManifestError[] = [];
  const warnings: string[] = [];
  const connections: ConnectionConfig[] = [];
  for (const loaded of manifests.connections.values()) {
    const found = configureConnection(loaded, manifests, { kind: 'standalone' });
    errors.push(...found.errors);
    warnings.push(...found.warnings);
    if (found.config) connections.push(found.config);
  }
  const compiled = compileManifests(manifests);
  if (compiled.kind === 'refused') {
    for (const problem of compiled.problems) {
      const place = manifests.policies.get(problem.policy)?.locate(problem.at, problem.offset);
      if (place)
        errors.push({ ...place, path: problem.path, message: `rule ${problem.rule}: ${messageOf(problem)}` });
    }
    return { kind: 'invalid', errors };
  }
  if (errors.length > 0) return { kind: 'invalid', errors };
  const { policies, digests } = compiled;
  return {
    kind: 'configured',
    configuration: { connections, policies, digests, warnings, unusable: [] },
  };
}

export interface ConfiguredConnection {
  /** Undefined when there are errors. */
  readonly config: ConnectionConfig | undefined;
  readonly errors: readonly ManifestError[];
  readonly warnings: readonly string[];
}

export function configureConnection(
  loaded: Loaded<ProtectedConnection>,
  manifests: Manifests,
  place: Place,
): ConfiguredConnection {
  const connection = new Connection(loaded, manifests, place);
  const config = connection.config();
  return { config, errors: connection.errors, warnings: connection.warnings };
}

export type CompiledManifests =
  | { readonly kind: 'compiled'; readonly policies: PolicySet; readonly digests: readonly PolicyDigest[] }
  | { readonly kind: 'refused'; readonly problems: readonly PolicyProblem[] };

/** Compiles all policies, or none. */
export function compileManifests({ policies }: Pick<Manifests, 'policies'>): CompiledManifests {
  const sources = [...policies.values()].map(({ namespace, name, object }): PolicySource => ({
    namespace,
    name,
    spec: object.spec,
  }));
  const compiled = compilePolicies(sources);
  return compiled.kind === 'refused' ? compiled : { ...compiled, digests: sources.map(digestOf) };
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
  readonly #place: Place;

  constructor(loaded: Loaded<ProtectedConnection>, manifests: Manifests, place: Place) {
    this.#loaded = loaded;
    this.#manifests = manifests;
    this.#place = place;
  }

  config(): ConnectionConfig | undefined {
    const { spec, metadata } = this.#loaded.object;
    const { namespace, name } = this.#loaded;
    if (spec.protocol !== 'postgres')
      this.#error(['spec', 'protocol'], `${spec.protocol} is not served yet; postgres is`);
    if (this.#place.kind === 'standalone') this.#standalone();
    const credentials = this.#credentials();
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
    if (this.#place.kind === 'pod' && sources.length === 0)
      this.#error(['spec', 'identity', 'sources'], 'none of them counts in a pod; add serviceAccount');
    const listenTls = this.#listenTls();
    if (this.errors.length > 0) return undefined;
    const database = spec.target.database ?? '';
    return {
      facts: { name, namespace, protocol: spec.protocol, database, labels: metadata.labels ?? {} },
      target: {
        host: spec.target.host,
        port: targetPort(spec),
        lookup: this.#lookup(),
        database,
        credentials,
        tls: { mode: spec.target.tls.mode, ca, serverName: spec.target.tls.serverName },
      },
      sources,
      listen: {
        address: spec.listen.address,
        port: spec.listen.port,
        also: this.#place.kind === 'pod' && this.#place.redirect ? '::1' : undefined,
        tls: listenTls,
      },
      maskedViews: spec.role.provision && spec.role.maskedViews,
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

  #lookup(): LookupFunction | undefined {
    const { mode } = this.#loaded.object.spec.target.tls;
    if (this.#place.kind !== 'pod' || mode === 'verify-full' || mode === 'verify-ca') return undefined;
    return this.#place.lookup(`${this.#loaded.namespace}/${this.#loaded.name}`);
  }

  #standalone(): void {
    const { spec } = this.#loaded.object;
    const { namespace, name } = this.#loaded;
    if (spec.role.provision) {
      this.#error(
        ['spec', 'role', 'provision'],
        'a role for each session needs the operator; without a cluster the credentials are used as they are',
      );
    }
    if (spec.recording.configMapRef)
      this.warnings.push(`${namespace}/${name}: without a cluster, recordings are kept in the state folder`);
  }

  #credentials(): CredentialSource {
    const { namespace, name } = this.#loaded;
    if (this.#place.kind === 'pod') return this.#place.credentials(`${namespace}/${name}`);
    const secret = this.#loaded.object.spec.credentials.secretRef.name;
    const at = ['spec', 'credentials', 'secretRef'];
    return new FixedCredentials({
      user: this.#secret(secret, 'username', at),
      password: this.#secret(secret, 'password', at),
    });
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
    if (this.#place.kind === 'pod') return this.#podSource(source, this.#place.identity);
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
    if (source.oidc) {
      const { issuer, audience, claims = {}, usernameClaim = 'sub', groupsClaim = 'groups' } = source.oidc;
      return [{ kind: 'oidc', trust: { issuer, audience, claims, usernameClaim, groupsClaim } }];
    }
    this.warnings.push(
      `${namespace}/${name}: identity source serviceAccount needs the operator; nobody signs in by it here`,
    );
    return [];
  }

  /** What stands for a run without a cluster would let a pod be somebody that the API server does not know. */
  #podSource(source: SourceSpec, identity: Identity): readonly IdentitySource[] {
    if (source.serviceAccount) return [{ kind: 'pod', identity }];
    const { namespace, name } = this.#loaded;
    const kind = source.oidc ? 'oidc' : source.token ? 'token' : 'loopback';
    this.warnings.push(`${namespace}/${name}: identity source ${kind} does not count in a pod`);
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
