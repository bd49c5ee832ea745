/** The documentation's pages for a cluster, followed from the first to the last as a reader would. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { root } from '../bundle.ts';
import { program } from '../cluster/binaries.ts';
import { readPage } from '../docs-page.ts';
import { newClusterGuest } from '../docs-run.ts';
import type { Stage } from './stage.ts';

export const CLUSTER_PAGES = [
  'install',
  'first-connection',
  'approving',
  'recordings',
  'operating',
  'runners',
].map((name) => `docs/kubernetes/${name}.md`);

/** Reports each block that is not run, with its reason. */
export async function followPages(
  t: Pick<TestContext, 'diagnostic'>,
  stage: Stage,
  pages: readonly string[],
): Promise<void> {
  const path = [dirname(await program('kubectl')), dirname(await program('helm'))];
  const guest = await newClusterGuest({ KUBECONFIG: stage.cluster.kubeconfig }, path);
  try {
    for (const page of pages) {
      const blocks = readPage(await readFile(join(root, page), 'utf8'));
      for (const block of blocks) {
        if (block.kind === 'not-run') t.diagnostic(`${page}:${block.line} is not run: ${block.why}`);
        else await guest.run(block);
      }
      t.diagnostic(`${page}: followed`);
    }
  } finally {
    await guest.close();
  }
}
