/** What the suite's Kubernetes is made of. A change here makes a new folder in the cache, and a build. */
export const versions = {
  /** The last line of Kubernetes whose kubelet takes containerd 1.x, which is what Debian 12 has. */
  kubernetes: 'v1.35.4',
  /** The staging modules of that release. */
  staging: 'v0.35.4',
  coredns: 'v1.15.0',
  versitygw: 'v1.8.0',
  helm: 'v3.22.0',
} as const;

/** Packages of Debian or Ubuntu, with a program by which to tell that one is there; `make packages` installs them. */
export const clusterPackages: readonly { readonly program: string; readonly package: string }[] = [
  { program: 'etcd', package: 'etcd-server' },
  { program: 'containerd', package: 'containerd' },
  { program: 'runc', package: 'runc' },
  { program: '/usr/lib/cni/ptp', package: 'containernetworking-plugins' },
  { program: 'iptables', package: 'iptables' },
  { program: 'conntrack', package: 'conntrack' },
];
