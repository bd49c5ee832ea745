/** A server's plan (EXPLAIN in JSON) as an approver reads it. */
import { escapeLine } from '../approval/display.ts';

export interface Plan {
  /** Rows that the plan expects to be changed, or given when nothing is. */
  readonly estimatedRows: number;
  /** In the planner's own unit. */
  readonly totalCost: number;
  /** The tree, a node a line, children indented; escaped for display. Conditions and values are left out. */
  readonly text: string;
  /** What is scanned or changed, `schema.table`, sorted. */
  readonly tables: readonly string[];
}

interface PlanNode {
  readonly type: string;
  readonly operation: string;
  readonly relation: string;
  readonly index: string;
  readonly rows: number;
  readonly cost: number;
  readonly children: readonly PlanNode[];
}

const MAX_NODES = 500;
const MAX_DEPTH = 100;

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  // An object that is no array has string keys and unknown values.
  return value as Readonly<Record<string, unknown>>;
}

const text = (value: unknown) => (typeof value === 'string' ? value : '');

/** JSON has no infinity, but a number too large for one. */
const quantity = (value: unknown) =>
  typeof value === 'number' && value >= 0 ? Math.min(Math.round(value), Number.MAX_SAFE_INTEGER) : 0;

function readNode(value: unknown, depth: number, budget: { nodes: number }): PlanNode | undefined {
  const fields = record(value);
  budget.nodes -= 1;
  if (
    fields === undefined ||
    typeof fields['Node Type'] !== 'string' ||
    depth > MAX_DEPTH ||
    budget.nodes < 0
  ) {
    return undefined;
  }
  const children: PlanNode[] = [];
  const plans: unknown = fields['Plans'] ?? [];
  if (!Array.isArray(plans)) return undefined;
  for (const plan of plans) {
    const child = readNode(plan, depth + 1, budget);
    if (child === undefined) return undefined;
    children.push(child);
  }
  const relation = text(fields['Relation Name']);
  const schema = text(fields['Schema']);
  return {
    type: fields['Node Type'],
    operation: text(fields['Operation']),
    relation: schema === '' || relation === '' ? relation : `${schema}.${relation}`,
    index: text(fields['Index Name']),
    rows: quantity(fields['Plan Rows']),
    cost: quantity(fields['Total Cost']),
    children,
  };
}

function lines(node: PlanNode, depth: number, out: string[]): void {
  const name = node.type === 'ModifyTable' && node.operation !== '' ? node.operation : node.type;
  const on = node.relation === '' ? '' : ` on ${escapeLine(node.relation)}`;
  const using = node.index === '' ? '' : ` using ${escapeLine(node.index)}`;
  out.push(`${'  '.repeat(depth)}${name}${on}${using} (rows ${node.rows}, cost ${node.cost})`);
  for (const child of node.children) lines(child, depth + 1, out);
}

function each(node: PlanNode, visit: (node: PlanNode) => void): void {
  visit(node);
  for (const child of node.children) each(child, visit);
}

/** A change without RETURNING gives no rows: what goes into it counts. */
function touchedRows(root: PlanNode): number {
  const changes: PlanNode[] = [];
  each(root, (node) => {
    if (node.type === 'ModifyTable') changes.push(node);
  });
  if (changes.length === 0) return root.rows;
  const rows = changes.flatMap(({ children }) => children).reduce((sum, child) => sum + child.rows, 0);
  return Math.min(rows, Number.MAX_SAFE_INTEGER);
}

/** `undefined` for what is no plan, or one too big to be shown whole. */
export function readPlan(json: string): Plan | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return undefined;
  }
  const first: unknown = Array.isArray(parsed) ? parsed[0] : undefined;
  const root = readNode(record(first)?.['Plan'], 0, { nodes: MAX_NODES });
  if (root === undefined) return undefined;
  const out: string[] = [];
  lines(root, 0, out);
  const tables = new Set<string>();
  each(root, ({ relation }) => {
    if (relation !== '') tables.add(relation);
  });
  return {
    estimatedRows: touchedRows(root),
    totalCost: root.cost,
    text: out.join('\n'),
    tables: [...tables].sort(),
  };
}
