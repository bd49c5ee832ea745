/** From the start of a sidecar's process to its readiness, which is what the startup probe asks for. */
import { type Figure, percentile } from './figure.ts';
import { LEDGER } from './manifests.ts';
import { endRun, removeRun, startRun } from './run.ts';
import { startSidecar } from './sidecar.ts';
import type { Stage } from './stage.ts';

export async function beginning(
  stage: Stage,
  { times }: { readonly times: number },
): Promise<readonly Figure[]> {
  const operator = await stage.startOperator();
  const took: number[] = [];
  for (let time = 0; time < times; time += 1) {
    const run = await startRun(stage, `begin-${time}`, LEDGER);
    const sidecar = await startSidecar(stage, run);
    took.push(sidecar.readyIn);
    await endRun(stage, run);
    await sidecar.stop();
    await removeRun(stage, run);
  }
  await operator.stop();
  const name = `sidecar, process start to ready, ${times} times`;
  return [
    { measure: `${name}: median`, unit: 'ms', value: percentile(took, 0.5) },
    { measure: `${name}: slowest`, unit: 'ms', value: Math.max(...took), goal: 1000 },
  ];
}
