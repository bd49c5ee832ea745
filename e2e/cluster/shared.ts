/**
 * The cluster of the stories: one for all tests of a process, started by the first that asks and stopped after the last. A whole
 * cluster is heavy, and each test file is a process: what needs one stands in one file of `e2e/story/`, or is imported by it.
 */
import { after } from 'node:test';
import { clusterUnavailable } from './availability.ts';
import { type Cluster, type OwnCluster, startCluster } from './cluster.ts';
import { givenCluster, givenKubeconfig } from './given-cluster.ts';
import type { Image } from './image.ts';

export interface SharedCluster {
  readonly cluster: Cluster;
  /** The same one where the suite started it: only then can its parts be killed. */
  readonly own: OwnCluster | undefined;
}

let started: Promise<SharedCluster> | undefined;

/** The reason why there can be none here, for `skip`. */
export async function sharedClusterUnavailable(): Promise<string | undefined> {
  return givenKubeconfig() === undefined ? clusterUnavailable() : undefined;
}

/** The images count for the first call only. */
export function sharedCluster(images: readonly Image[]): Promise<SharedCluster> {
  started ??= start(images);
  return started;
}

async function start(images: readonly Image[]): Promise<SharedCluster> {
  const kubeconfig = givenKubeconfig();
  if (kubeconfig === undefined) {
    const own = await startCluster({ images });
    return { cluster: own, own };
  }
  const cluster = await givenCluster(kubeconfig);
  for (const image of images) await cluster.addImage(image);
  return { cluster, own: undefined };
}

after(async () => {
  const shared = await started?.catch(() => undefined);
  await shared?.cluster.stop();
});
