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
