import type { Access } from './access.ts';
import { until } from './component.ts';

/** Waits until the API server serves all custom kinds that were applied. kubectl itself gives up at once on one whose status is still empty. */
export async function kindsServed({ kubectl }: Pick<Access, 'kubectl'>): Promise<void> {
  await until('the kinds are served', () => kubectl(['wait', '--for=condition=Established', 'crd', '--all']));
}
