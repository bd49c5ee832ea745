/** WITH: common table expressions, recursive ones and such that change data included. */
import type { CommonTableExpr, SelectStmt, WithClause } from '@pgsql/types';
import { unknown } from './expression.ts';
import { dataModification } from './modify.ts';
import { strings, tagOf } from './node.ts';
import { type CommonTable, type Scope, childScope } from './scope.ts';
import { NO_RESULT, type Result, bothSides, select } from './select.ts';
import { type Output, firstFlow } from './value.ts';
import type { Walk } from './walk.ts';

export function commonTables(walk: Walk, clause: WithClause, scope: Scope): void {
  const tables = new Map<string, Expression>();
  const parent = scope.ctes;
  if (clause.recursive === true) scope.ctes = { tables, parent };
  const expressions: Expression[] = [];
  for (const node of clause.ctes ?? []) {
    if (!('CommonTableExpr' in node)) {
      unknown(walk, tagOf(node));
      continue;
    }
    // Without RECURSIVE each sees only those before it.
    const ctes = clause.recursive === true ? scope.ctes : { tables: new Map(tables), parent };
    const own = childScope(scope.parent, ctes);
    const expression = new Expression(walk, node.CommonTableExpr, own, clause.recursive === true);
    tables.set(expression.name, expression);
    expressions.push(expression);
  }
  scope.ctes = { tables, parent };
  for (const expression of expressions) expression.outputs();
}

/** Protected data can only spread: as many rounds as there are columns are always enough. */
const MAX_ROUNDS = 100;

class Expression implements CommonTable {
  readonly name: string;
  readonly #walk: Walk;
  readonly #node: CommonTableExpr;
  readonly #scope: Scope;
  readonly #mayRecur: boolean;
  #result: Result | undefined;
  #busy = false;
  #recursive = false;

  constructor(walk: Walk, node: CommonTableExpr, scope: Scope, mayRecur: boolean) {
    this.#mayRecur = mayRecur;
    this.name = node.ctename ?? '';
    this.#walk = walk;
    this.#node = node;
    this.#scope = scope;
  }

  outputs(): Result {
    if (this.#result !== undefined) {
      this.#recursive ||= this.#busy;
      return this.#result;
    }
    if (this.#busy) {
      // A reference to itself outside the recursive arm of a UNION: PostgreSQL refuses it.
      this.#recursive = true;
      return { columns: [], open: true };
    }
    this.#busy = true;
    this.#result = this.#searched(this.#named(this.#analyse()));
    this.#busy = false;
    return this.#result;
  }

  #analyse(): Result {
    const { ctequery } = this.#node;
    if (ctequery === undefined) return NO_RESULT;
    if (!('SelectStmt' in ctequery)) return dataModification(this.#walk, ctequery, this.#scope);
    const statement = ctequery.SelectStmt;
    const recursive = this.#mayRecur && statement.op === 'SETOP_UNION';
    return recursive ? this.#union(statement) : select(this.#walk, statement, this.#scope);
  }

  /** The first arm tells the columns, the second may refer to them. */
  #union(statement: SelectStmt): Result {
    if (statement.larg === undefined || statement.withClause !== undefined) {
      return select(this.#walk, statement, this.#scope);
    }
    const first = select(this.#walk, statement.larg, this.#scope);
    this.#result = this.#named(first);
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const known: Result = this.#result;
      const result: Result = select(this.#walk, statement, this.#scope);
      if (!this.#recursive) return result;
      const next = this.#named(bothSides(this.#walk, known, result));
      if (sameFlows(next.columns, known.columns)) return result;
      this.#result = next;
    }
    this.#walk.lost(`the recursive query ${this.name} could not be followed`);
    return this.#result;
  }

  #named(result: Result): Result {
    const names = strings(this.#node.aliascolnames);
    const columns: Output[] = result.columns.map((column, index) => ({
      ...column,
      name: names[index] ?? column.name,
    }));
    return { ...result, columns, single: false };
  }

  /** SEARCH and CYCLE compare the columns that they name, and add columns of their own. */
  #searched(result: Result): Result {
    const { search_clause: search, cycle_clause: cycle } = this.#node;
    if (search === undefined && cycle === undefined) return result;
    const columns = [...result.columns];
    const compared = new Set([...strings(search?.search_col_list), ...strings(cycle?.cycle_col_list)]);
    const flow = firstFlow(columns.filter(({ name }) => compared.has(name)));
    if (flow) this.#walk.refuseFlow(flow, 'SEARCH or CYCLE');
    for (const name of [search?.search_seq_column, cycle?.cycle_mark_column, cycle?.cycle_path_column]) {
      if (name !== undefined) columns.push({ name, flow: null, type: 0, total: true });
    }
    return { ...result, columns };
  }
}

function sameFlows(a: readonly Output[], b: readonly Output[]): boolean {
  const mask = ({ flow }: Output) => JSON.stringify(flow?.mask ?? null);
  return (
    a.length === b.length &&
    a.every((output, index) => b[index] !== undefined && mask(output) === mask(b[index]))
  );
}
