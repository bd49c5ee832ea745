/** The whole story on a real cluster: what the pages tell, and what they do not show. */
import { after, before, test } from 'node:test';
import { clusterUnavailable } from '../cluster/availability.ts';
import { followPages } from './pages.ts';
import { startStage, type Stage } from './stage.ts';

const skip = (await clusterUnavailable()) ?? false;
let stage: Stage;

before(async () => {
  if (skip === false) stage = await startStage();
});
after(async () => {
  if (skip === false) await stage.stop();
});

test('the pages for a cluster, followed in their order', { skip }, async (t) => {
  await followPages(t, stage, ['docs/kubernetes/install.md', 'docs/kubernetes/first-connection.md']);
});
