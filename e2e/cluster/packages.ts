/** Packages of Debian or Ubuntu that test clusters need; `make packages` installs them. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { toolEnvironment } from './binaries.ts';

interface Package {
  /** By which to tell that it is there. */
  readonly program: string;
  readonly package: string;
}

export const clusterPackages: readonly Package[] = [
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

export function isInstalled({ program }: Package): boolean {
  const folders = toolEnvironment.PATH.split(delimiter);
  return [program, ...folders.map((folder) => join(folder, program))].some((file) => existsSync(file));
}

export function missingPackages(): string[] {
  return clusterPackages.filter((each) => !isInstalled(each)).map((each) => each.package);
}
