/** `make cluster`: a whole cluster to try things in by hand, until Ctrl-C. */
import { clusterUnavailable } from './availability.ts';
import { startCluster } from './cluster.ts';
import { agentImage, operatorImage, postgresImage, sidecarImage, storeImage } from './images.ts';

const unavailable = await clusterUnavailable();
if (unavailable !== undefined) {
  console.error(unavailable);
  process.exit(1);
}
const began = performance.now();
const ended = new Promise<void>((done) => {
  process.once('SIGINT', done);
  process.once('SIGTERM', done);
});
const cluster = await startCluster({
  images: await Promise.all([
    agentImage(),
    postgresImage(),
    storeImage(),
    operatorImage('0.1.0'),
    sidecarImage('0.1.0'),
  ]),
});
const images = await cluster.containers.ctr(['images', 'list', '-q']);
console.log(`ready after ${((performance.now() - began) / 1000).toFixed(1)} s, with these images:`);
console.log(images.replaceAll(/^sha256:.*\n/gm, '').replaceAll(/^/gm, '  '));
console.log(`export KUBECONFIG=${cluster.kubeconfig}`);
console.log(`logs: ${cluster.folder}/*.log    ends with Ctrl-C`);
const alive = setInterval(() => undefined, 60_000);
await ended;
clearInterval(alive);
await cluster.stop();
