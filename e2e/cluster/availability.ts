/** Whether a whole cluster can run here. */
import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';
import { program, toolEnvironment } from './binaries.ts';
import { missingPackages } from './packages.ts';

const run = promisify(execFile);

/** The reason why not, for `skip`; builds the programs when they are not cached. */
export async function clusterUnavailable(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'a test cluster starts on Linux only';
  if (userInfo().uid !== 0) return 'a test cluster needs root, for namespaces, mounts and cgroups';
  const missing = missingPackages();
  if (missing.length > 0) return `a test cluster needs ${missing.join(', ')}: make packages`;
  try {
    // What a container without the rights of this machine's root cannot do.
    const tried =
      'mount -t tmpfs tmpfs /run && ip link add try0 type veth peer name try1 && iptables -t nat -L -n';
    await run('unshare', ['--mount', '--net', '--pid', '--fork', 'sh', '-ec', tried], {
      env: toolEnvironment,
    });
    for (const name of needed) await program(name);
    return undefined;
  } catch (error) {
    return `a test cluster cannot run here: ${error instanceof Error ? error.message.trim() : String(error)}`;
  }
}

const needed = [
  'etcd',
  'kube-apiserver',
  'kubectl',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'containerd',
  'ctr',
  'coredns',
  'versitygw',
  'pause',
] as const;
