/** Names in PostgreSQL's syntax trees. */
import type { Node, RangeVar } from '@pgsql/types';

/** The strings of a list of nodes, others left out. */
export function strings(nodes: readonly Node[] | undefined): readonly string[] {
  return (nodes ?? []).flatMap((node) => ('String' in node ? [node.String.sval ?? ''] : []));
}

export interface QualifiedName {
  readonly schema: string;
  readonly name: string;
}

/** Without a schema a thing is made in `public`. */
export function relationName(relation: RangeVar | undefined): QualifiedName {
  return { schema: relation?.schemaname ?? 'public', name: relation?.relname ?? '' };
}

export function qualifiedName(nodes: readonly Node[] | undefined): QualifiedName {
  const parts = strings(nodes);
  return { schema: parts.length > 1 ? (parts[0] ?? '') : 'public', name: parts.at(-1) ?? '' };
}
