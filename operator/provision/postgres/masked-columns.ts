/** Which columns the masks of a connection's policies protect. */
import { parseColumnName } from '../../../crds/column.ts';
import type { ProtectedConnection } from '../../../crds/connection.ts';
import type { AccessPolicy } from '../../../crds/policy.ts';
import type { Mask } from '../../../sidecar/mask/mask.ts';
import { unionOfMasks } from '../../../sidecar/policy/masks.ts';
import { ProvisionError } from '../provision-error.ts';

export interface MaskedColumn {
  readonly schema: string;
  readonly table: string;
  readonly column: string;
  readonly mask: Mask;
}

/** Of the policies that are for this connection, whoever they are for; masks that are only observed hide nothing on the wire either. */
export function maskedColumns(
  connection: ProtectedConnection,
  policies: readonly AccessPolicy[],
): readonly MaskedColumn[] {
  const { name, namespace } = connection.metadata;
  const masks = policies
    .filter((policy) => policy.metadata.namespace === namespace)
    .filter((policy) => policy.spec.mode === 'Enforce' && policy.spec.connections.includes(name))
    .flatMap((policy) => policy.spec.masks);
  // The strongest of those on one column, as the sidecar has it; each named by what it was written as.
  const strongest = new Map(unionOfMasks(masks).columns.map(({ column, mask }) => [column, mask]));
  const found = new Map<string, MaskedColumn>();
  for (const written of masks.flatMap((mask) => mask.columns ?? [])) {
    const named = parseColumnName(written);
    const key = named === null ? '' : `${named.schema}.${named.table}.${named.column}`;
    const mask = strongest.get(key);
    if (named === null || mask === undefined)
      throw new ProvisionError('invalid', `a mask names ${JSON.stringify(written)}, which is no column`);
    found.set(key, { ...named, mask });
  }
  return [...found.values()];
}
