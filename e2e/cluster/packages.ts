/** Packages of Debian or Ubuntu that test clusters need; `make packages` installs them. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { toolEnvironment } from './binaries.ts';

/** Each with a program by which to tell that it is there. */
export const clusterPackages: readonly { readonly program: string; readonly package: string }[] = [
  { program: 'etcd', package: 'etcd-server' },
  { program: 'containerd', package: 'containerd' },
  { program: 'runc', package: 'runc' },
  { program: '/usr/lib/cni/ptp', package: 'containernetworking-plugins' },
  { program: 'iptables', package: 'iptables' },
  { program: 'conntrack', package: 'conntrack' },
  { program: 'ip', package: 'iproute2' },
  { program: 'openssl', package: 'openssl' },
  { program: 'curl', package: 'curl' },
];

export function missingPackages(): string[] {
  const folders = toolEnvironment.PATH.split(delimiter);
  return clusterPackages
    .filter(({ program }) => ![program, ...folders.map((folder) => join(folder, program))].some(existsSync))
    .map((each) => each.package);
}
