/** What the parts of a test cluster's node are configured with. */
import { join } from 'node:path';
import type { Node } from './node.ts';

export const pauseImageName = 'sidewarden.test/pause:1';
export const containerdSocket = '/run/containerd/containerd.sock';

/** containerd 1.6 or newer. */
export function containerdConfig(folder: string): string {
  return `
version = 2
root = "${folder}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "${containerdSocket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${folder}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImageName}"
  # Without it runc may not lower the score, and fails with "can't get final child's PID".
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`;
}

/** A routed pair of devices for each pod: with a bridge, answers of a Service in the same subnet would miss their translation. */
export function networkConfig({ podRange }: Node): string {
  return JSON.stringify({
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      {
        type: 'ptp',
        ipMasq: false,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: podRange }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
  });
}

export function kubeletConfig(folder: string, node: Node, ca: string): string {
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    authentication: { x509: { clientCAFile: ca }, anonymous: { enabled: false } },
    clusterDNS: [node.address],
    clusterDomain: 'cluster.local',
    resolvConf: join(folder, 'resolv.conf'),
    cgroupDriver: 'cgroupfs',
    cgroupRoot: node.cgroup,
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: [],
    volumePluginDir: join(folder, 'volume-plugins'),
    // Neither a full disk of this machine nor its age must evict a test's pods or collect its images.
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      'memory.available': '0%',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
      'imagefs.inodesFree': '0%',
    },
    // The default of five pods a second is felt by tests.
    kubeAPIQPS: 200,
    kubeAPIBurst: 400,
    logging: { verbosity: 2 },
  });
}

export function proxyConfig({ podRange }: Node, kubeconfig: string): string {
  return JSON.stringify({
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    clusterCIDR: podRange,
    clientConnection: { kubeconfig },
    // The limits of connection tracking are this machine's, which tests leave alone.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    iptables: { minSyncPeriod: '100ms', syncPeriod: '30s' },
  });
}

export function corefile({ address }: Node, kubeconfig: string): string {
  return `
.:53 {
  bind ${address} 127.0.0.1
  ready 127.0.0.1:8181
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig ${kubeconfig}
    pods insecure
    ttl 1
  }
}
`;
}
