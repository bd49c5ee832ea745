/** What a broker tells a sidecar, for tests: the usual manifests, without credentials, as one run gets them. */
import type { BrokerEvent } from '../sidecar/broker/protocol.ts';
import { connectionManifests, type ManifestOptions } from './manifests.ts';

export const runIdentity = {
  issuer: 'https://kubernetes.default.svc',
  subject: 'system:serviceaccount:agents:runner',
  username: 'system:serviceaccount:agents:runner',
  groups: ['ai-agents', 'system:serviceaccounts'],
  claims: {},
  serviceAccount: 'agents/runner',
  pod: 'agents/job-1',
} as const;

let revisions = 0;

/** A configuration with the connections that the options describe; a source `serviceAccount` where none is given. */
export function runConfiguration(
  options: readonly ManifestOptions[],
  more: Partial<BrokerEvent> = {},
): BrokerEvent {
  const manifests = options.flatMap((option) =>
    connectionManifests({
      ...option,
      connection: { identity: { sources: [{ serviceAccount: {} }] }, ...option.connection },
    }).filter(({ kind }) => kind !== 'Secret'),
  );
  const names = options.map(({ name = 'orders-db' }) => `production-access/${name}`);
  return {
    kind: 'configuration',
    revision: `revision-${++revisions}`,
    identity: runIdentity,
    manifests,
    unusable: [],
    credentials: Object.fromEntries(names.map((name) => [name, 'version-1'])),
    ...more,
  };
}
