/** Builds what test clusters are made of, where it is not cached, so that no test waits for it: `make test` runs this first. */
import { clusterUnavailable } from './availability.ts';
import { program } from './binaries.ts';
import { controlPlaneUnavailable } from './control-plane.ts';

for (const unavailable of [await controlPlaneUnavailable(), await clusterUnavailable()])
  if (unavailable !== undefined) console.error(`${unavailable}; tests that need it are skipped`);
try {
  await program('helm');
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}; tests that need it are skipped`);
}
