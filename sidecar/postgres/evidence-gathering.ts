/** All evidence for one held statement: its plan, and the locks at stake. What cannot be had is said to be missing. */
import type { ApprovalEvidence } from '../../crds/approval.ts';
import type { MaskRules } from '../mask/mask.ts';
import type { CatalogQuery } from './catalog/relation.ts';
import { explain } from './evidence.ts';
import { type Lock, heldLocks, statementLocks } from './locks.ts';
import type { StatementOperation } from './statement-operation.ts';

export interface EvidenceSource {
  /** A side connection for nothing else, started with `EVIDENCE_SETTINGS`. */
  readonly explain: CatalogQuery;
  readonly query: CatalogQuery;
  /** The session's own backend. */
  readonly processId: number;
  readonly role: string;
  readonly searchPath: readonly string[];
  readonly masks: MaskRules;
  readonly inTransaction: boolean;
}

/** Never rejects: an approver decides with less then, and is told so. */
export async function gatherEvidence(
  operation: StatementOperation,
  source: EvidenceSource,
): Promise<ApprovalEvidence> {
  const { statement, parameters, parameterTypes } = operation;
  const values = parameters.map((value, index) => ({ value, type: parameterTypes[index] ?? 0 }));
  const plan = await explain(statement, values, source, source.explain);
  const held = source.inTransaction ? await locksOf(source) : [];
  const locks = [...held, ...statementLocks(statement)].map((lock) => ({ ...lock }));
  const shown = locks.length > 0 ? { locks } : {};
  return plan.kind === 'none'
    ? { ...shown, unavailable: plan.reason }
    : { ...shown, plan: plan.text, estimatedRows: plan.estimatedRows };
}

async function locksOf(source: EvidenceSource): Promise<readonly Lock[]> {
  try {
    return await heldLocks(source.processId, source.query);
  } catch {
    return [
      {
        relation: 'what the open transaction has touched (it could not be read)',
        mode: 'unknown',
        held: true,
      },
    ];
  }
}
