/**
 * The cluster of the story: one for all tests of a process, started by the first that asks and stopped after the last. It is
 * heavy, so tests that need it stand in one file, `e2e/story/story.test.ts`, or are imported by it.
 */
import { after } from 'node:test';
import { clusterUnavailable } from './availability.ts';
import { type Cluster, type OwnCluster, startCluster } from './cluster.ts';
import { givenCluster, givenKubeconfig } from './given-cluster.ts';
import { agentImage, operatorImage, postgresImage, sidecarImage, storeImage } from './images.ts';

export interface SharedCluster {
  readonly cluster: Cluster;
  /** The same one where the suite started it: only then can its parts be killed. */
  readonly own: OwnCluster | undefined;
}

/** Tag of the images `sidewarden-operator` and `sidewarden-sidecar` in it. */
export const sharedTag = 'e2e';

let started: Promise<SharedCluster> | undefined;

/** The reason why there can be none here, for `skip`. */
export async function sharedClusterUnavailable(): Promise<string | undefined> {
  return givenKubeconfig() === undefined ? clusterUnavailable() : undefined;
}

export function sharedCluster(): Promise<SharedCluster> {
  started ??= start();
  return started;
}

async function start(): Promise<SharedCluster> {
  const images = await Promise.all([
    agentImage(),
    postgresImage(),
    storeImage(),
    operatorImage(sharedTag),
    sidecarImage(sharedTag),
  ]);
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
