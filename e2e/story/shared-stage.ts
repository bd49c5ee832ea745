/** The stage on the cluster of the test process. */
import { sharedCluster } from '../cluster/shared.ts';
import { type Stage, stageOn, storyImages } from './stage.ts';

/**
 * It ends with the tests of the process. A cluster that E2E_KUBECONFIG names must let this machine reach its pods, and needs
 * E2E_LOAD_IMAGE to get the images.
 */
export async function startStage(): Promise<Stage> {
  const { cluster } = await sharedCluster(await storyImages());
  return stageOn(cluster);
}
