/** `SELECT set_config('name', 'value', false)`, as pg_dump sends it: a SET by function. */
import type { Node, SelectStmt } from '@pgsql/types';
import type { Meaning } from './meaning.ts';
import { constantText } from './node.ts';
import type { SessionEffect } from './statement.ts';
import type { Walk } from './walk.ts';

/** Settings that a function changes are read again after it; only the plain form is known beforehand. */
export function settingByFunction(walk: Walk, statement: SelectStmt): Partial<Meaning> {
  if (walk.settings.length === 0) return {};
  const effect =
    walk.settings.length === 1 && isPlain(statement) ? readArguments(walk.settings[0] ?? []) : null;
  if (effect === null) {
    walk.opaque('a setting by function');
    return { changesSettings: true, changesCatalog: true };
  }
  return { changesSettings: true, session: effect };
}

function isPlain(statement: SelectStmt): boolean {
  const [only, ...others] = statement.targetList ?? [];
  if (only === undefined || others.length > 0 || !('ResTarget' in only)) return false;
  const call = only.ResTarget.val;
  const conditional =
    statement.whereClause ?? statement.fromClause ?? statement.limitCount ?? statement.limitOffset;
  const more = statement.havingClause ?? statement.groupClause ?? statement.withClause;
  return conditional === undefined && more === undefined && call !== undefined && 'FuncCall' in call;
}

function readArguments(nodes: readonly Node[]): SessionEffect | null {
  const [name, value, local] = nodes.map(literal);
  if (nodes.length !== 3 || typeof name !== 'string' || typeof value !== 'string') return null;
  const isLocal = local === 'true' || local === 't' || local === 'on' || local === '1';
  if (!isLocal && local !== 'false' && local !== 'f' && local !== 'off' && local !== '0') return null;
  const lower = name.toLowerCase();
  if (lower === 'role' || lower === 'session_authorization') {
    return { kind: 'set-role', role: value === 'none' ? null : value, session: lower !== 'role' };
  }
  return { kind: 'set', name: lower, value: [value], local: isLocal };
}

/** A literal, cast or not. */
function literal(node: Node): string | null {
  return 'TypeCast' in node && node.TypeCast.arg ? literal(node.TypeCast.arg) : constantText(node);
}
