/** The operator's settings: from the environment (the chart sets it), parsed strictly. */
import { isIP } from 'node:net';
import { bytesOf } from './admission/inject/quantity.ts';

export interface Settings {
  /** Where the operator itself runs: its Secrets, its Lease. */
  readonly namespace: string;
  /** This replica; the name of its pod. */
  readonly replica: string;
  /** The Service that webhooks and sidecars reach the operator by. */
  readonly service: string;
  /** The operator's own user name: the only one that may make Approvals and Sessions. */
  readonly username: string;
  readonly sidecar: {
    readonly image: string;
    readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never';
    /** As in a container's `resources`. */
    readonly resources: Readonly<Record<string, unknown>>;
    /** A Kubernetes quantity: how much of recordings waits on the pod's disk while the store is away. */
    readonly spoolLimit: string;
  };
  readonly address: string;
  readonly ports: { readonly admission: number; readonly broker: number; readonly http: number };
  /** A folder that cert-manager's Secret is mounted at; undefined: the operator makes its own certificates. */
  readonly certificates: string | undefined;
  /** Folder and cap in bytes for recordings that sidecars handed over. */
  readonly spool: { readonly folder: string; readonly limit: number };
  /** Names of the two webhook configurations, whose CA bundle the operator keeps right. */
  readonly webhooks: string;
  /** Milliseconds that ended Sessions and Approvals are kept. */
  readonly endedTtl: number;
  readonly logLevel: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Settings, or all that is wrong with the environment, in words. */
export function settingsFrom(env: Environment): Settings | readonly string[] {
  const wrong: string[] = [];
  const take = (name: string, fallback?: string): string => {
    const value = env[name] ?? fallback;
    if (value === undefined || value === '') wrong.push(`${name} is not set`);
    return value ?? '';
  };
  const whole = (name: string, fallback: string, minimum: number, maximum: number): number => {
    const text = take(name, fallback);
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= minimum && value <= maximum)) wrong.push(`${name} must be ${minimum} to ${maximum}`);
    return value;
  };
  const port = (name: string, fallback: string): number => whole(name, fallback, 0, 65_535);
  const namespace = take('SIDEWARDEN_NAMESPACE');
  const address = take('SIDEWARDEN_ADDRESS', '0.0.0.0');
  if (isIP(address) === 0) wrong.push('SIDEWARDEN_ADDRESS must be an IP address');
  const folder = env['SIDEWARDEN_CERTIFICATES'] ?? '';
  const settings: Settings = {
    namespace,
    replica: take('SIDEWARDEN_REPLICA'),
    service: take('SIDEWARDEN_SERVICE', 'sidewarden'),
    username: take('SIDEWARDEN_USERNAME', `system:serviceaccount:${namespace}:sidewarden`),
    sidecar: {
      image: take('SIDEWARDEN_SIDECAR_IMAGE'),
      pullPolicy: pullPolicy(take('SIDEWARDEN_SIDECAR_PULL_POLICY', 'IfNotPresent'), wrong),
      resources: resources(take('SIDEWARDEN_SIDECAR_RESOURCES', '{}'), wrong),
      spoolLimit: spoolLimit(take('SIDEWARDEN_SIDECAR_SPOOL_LIMIT', '1Gi'), wrong),
    },
    address,
    ports: {
      admission: port('SIDEWARDEN_ADMISSION_PORT', '9443'),
      broker: port('SIDEWARDEN_BROKER_PORT', '8443'),
      http: port('SIDEWARDEN_HTTP_PORT', '8080'),
    },
    certificates: folder === '' ? undefined : folder,
    spool: {
      folder: take('SIDEWARDEN_SPOOL', '/var/lib/sidewarden'),
      limit: whole('SIDEWARDEN_SPOOL_BYTES', '1073741824', 0, Number.MAX_SAFE_INTEGER),
    },
    webhooks: take('SIDEWARDEN_WEBHOOKS', 'sidewarden'),
    endedTtl: whole('SIDEWARDEN_ENDED_TTL_SECONDS', '86400', 0, 31_536_000) * 1000,
    logLevel: take('SIDEWARDEN_LOG_LEVEL', 'info'),
  };
  return wrong.length > 0 ? wrong : settings;
}

/** Less would not hold the recordings of one busy minute. */
const MIN_SPOOL = 16 * 1024 * 1024;

function spoolLimit(text: string, wrong: string[]): string {
  if ((bytesOf(text) ?? 0) < MIN_SPOOL)
    wrong.push('SIDEWARDEN_SIDECAR_SPOOL_LIMIT must be a quantity of at least 16Mi');
  return text;
}

function pullPolicy(text: string, wrong: string[]): Settings['sidecar']['pullPolicy'] {
  if (text === 'Always' || text === 'IfNotPresent' || text === 'Never') return text;
  wrong.push('SIDEWARDEN_SIDECAR_PULL_POLICY must be Always, IfNotPresent or Never');
  return 'IfNotPresent';
}

function resources(text: string, wrong: string[]): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // Said below.
  }
  wrong.push('SIDEWARDEN_SIDECAR_RESOURCES must be a JSON object');
  return {};
}
