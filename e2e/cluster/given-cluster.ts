/**
 * A cluster that the user named, e.g. one of kind: E2E_KUBECONFIG is its administrator's kubeconfig; E2E_LOAD_IMAGE is a command
 * that takes an image's archive to its nodes, e.g. `kind load image-archive`, and gets the archive's path as last argument.
 */
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { KubeConfig } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { kubectlBy, type KubectlOptions, runKubectl } from './access.ts';
import type { Subject } from './certificates.ts';
import type { Cluster } from './cluster.ts';
import { writeImage } from './image.ts';
import { makeStateFolder } from './state-folder.ts';

const run = promisify(execFile);

export function givenKubeconfig(): string | undefined {
  return process.env['E2E_KUBECONFIG'];
}

/** Users are impersonated: only the cluster itself could sign certificates for them. */
export async function givenCluster(kubeconfig: string): Promise<Cluster> {
  const folder = await makeStateFolder('sidewarden-given-cluster');
  const client = new KubeConfig();
  client.loadFromFile(kubeconfig);
  const cluster = client.getCurrentCluster();
  if (!cluster) throw new Error(`${kubeconfig} has no current context`);
  let users = 0;
  const kubeconfigFor = async (subject: Subject) => {
    users += 1;
    const file = join(folder, `user-${users}.kubeconfig`);
    await writeFile(file, impersonating(await readFile(kubeconfig, 'utf8'), subject), { mode: 0o600 });
    return file;
  };
  const outcome = async (args: readonly string[], { as, ...rest }: KubectlOptions = {}) =>
    runKubectl(as ? await kubeconfigFor(as) : kubeconfig, folder, args, rest);
  return {
    folder,
    url: cluster.server,
    ca: Buffer.from(cluster.caData ?? '', 'base64').toString(),
    kubeconfig,
    client,
    kubeconfigFor,
    clientFor: async (subject) => {
      const config = new KubeConfig();
      config.loadFromFile(await kubeconfigFor(subject));
      return config;
    },
    ...kubectlBy(outcome),
    addImage: async (image) => {
      const [command = '', ...args] = (process.env['E2E_LOAD_IMAGE'] ?? '').split(' ').filter(Boolean);
      if (command === '') throw new Error('E2E_KUBECONFIG is set, but E2E_LOAD_IMAGE is not');
      const file = join(folder, 'image.tar');
      await writeImage(image, file);
      await run(command, [...args, file]);
      await rm(file);
    },
    stop: () => rm(folder, { recursive: true, force: true }),
  };
}

function impersonating(text: string, { user, groups = [] }: Subject): string {
  // The shape of every kubeconfig, which the client library has read already.
  const config = parse(text) as { users: { user: Record<string, unknown> }[] };
  const users = config.users.map((each) => ({
    ...each,
    user: { ...each.user, as: user, 'as-groups': [...groups, 'system:authenticated'] },
  }));
  return JSON.stringify({ ...config, users });
}
