/** The manifests that most tests need: one connection to a test server, its Secret, and one policy. */
import { stringify } from 'yaml';

export interface ManifestRule {
  readonly name: string;
  readonly when: string;
  readonly action: 'Allow' | 'Deny' | 'Hold';
  readonly message?: string;
  readonly hint?: string;
  readonly hold?: {
    readonly approvers: { readonly users?: readonly string[]; readonly groups?: readonly string[] };
    /** As `15m`. */
    readonly timeout?: string;
    readonly inTransaction?: 'Wait' | 'Refuse' | 'Auto';
  };
}

export interface ManifestOptions {
  /** Where the server is, and the credential of the Secret when no other is given; a `TestPostgres` will do. */
  readonly postgres: {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly password: string;
  };
  /** Name of the connection; `orders-db` when not given. */
  readonly name?: string;
  /** Where it listens on loopback. */
  readonly port: number;
  /** `postgres` when not given. */
  readonly database?: string;
  /** Credential of the Secret, when it is not the server's administrator. */
  readonly user?: string;
  readonly password?: string;
  readonly rules?: readonly ManifestRule[];
  /** Entries of the policy's `masks`, as in the kind. */
  readonly masks?: readonly Readonly<Record<string, unknown>>[];
  /** `Allow` when no rules are given, `Deny` otherwise. */
  readonly default?: 'Allow' | 'Deny';
  readonly mode?: 'Enforce' | 'Observe';
  readonly durability?: 'strict' | 'batched';
  /** Who clients on loopback are; `agent` of `ai-agents` when not given. */
  readonly subject?: string;
  readonly groups?: readonly string[];
  /** Merged over the connection's `spec`. */
  readonly connection?: Readonly<Record<string, unknown>>;
  /** Merged over the policy's `spec`. */
  readonly policy?: Readonly<Record<string, unknown>>;
}

type Manifest = Readonly<Record<string, unknown>>;

const apiVersion = 'sidewarden.dev/v1alpha1';
const namespace = 'production-access';

function connection(name: string, options: ManifestOptions): Manifest {
  const { postgres } = options;
  const loopback = { subject: options.subject ?? 'agent', groups: options.groups ?? ['ai-agents'] };
  const target = { host: postgres.host, port: postgres.port, database: options.database ?? 'postgres' };
  return {
    apiVersion,
    kind: 'ProtectedConnection',
    metadata: { name, namespace },
    spec: {
      protocol: 'postgres',
      target: { ...target, tls: { mode: 'disable' } },
      credentials: { secretRef: { name: `${name}-admin` } },
      identity: { sources: [{ loopback }] },
      recording: { durability: options.durability ?? 'batched' },
      listen: { port: options.port },
      ...options.connection,
    },
  };
}

function policy(name: string, options: ManifestOptions): Manifest {
  const rules = options.rules ?? [];
  return {
    apiVersion,
    kind: 'AccessPolicy',
    metadata: { name: `${name}-policy`, namespace },
    spec: {
      connections: [name],
      subjects: [{ groups: options.groups ?? ['ai-agents'] }],
      mode: options.mode ?? 'Enforce',
      default: options.default ?? (rules.length === 0 ? 'Allow' : 'Deny'),
      ...(rules.length === 0 ? {} : { rules }),
      ...(options.masks === undefined ? {} : { masks: options.masks }),
      ...options.policy,
    },
  };
}

/** Connection, Secret and policy of one connection, as plain data. */
export function connectionManifests(options: ManifestOptions): readonly Manifest[] {
  const name = options.name ?? 'orders-db';
  const { postgres } = options;
  const stringData = {
    username: options.user ?? postgres.user,
    password: options.password ?? postgres.password,
  };
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `${name}-admin`, namespace },
    stringData,
  };
  return [connection(name, options), secret, policy(name, options)];
}

/** YAML documents for `serve`; several options make several connections. Recordings go to the state folder. */
export function usualManifests(...options: readonly ManifestOptions[]): string {
  const manifests = options.flatMap(connectionManifests);
  return manifests.map((manifest) => stringify(manifest)).join('---\n');
}
