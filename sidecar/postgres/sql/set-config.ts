/** `SELECT set_config('name', 'value', false)`, as pg_dump sends it: a SET by function. */
import type { Node, SelectStmt } from '@pgsql/types';
import { isAdministrative, planningUnderMasks } from './administrative-settings.ts';
import type { Meaning } from './meaning.ts';
import { constantText, qualifiedName, strings } from './node.ts';
import type { SessionEffect } from './statement.ts';
import type { Walk } from './walk.ts';

/** Settings that a function changes are read again after it; only the plain form is known beforehand. */
export function settingByFunction(walk: Walk, statement: SelectStmt): Partial<Meaning> {
  if (walk.settings.length === 0) return {};
  const effect = walk.settings.length === 1 ? settingOf(walk, statement, walk.settings[0] ?? []) : null;
  if (effect === null) {
    walk.opaque('a setting by function');
    return { changesSettings: true, changesCatalog: true };
  }
  if (effect.kind === 'set') {
    if (isAdministrative(effect.name)) walk.effect('administer');
    planningUnderMasks(walk, effect.name);
  }
  return { changesSettings: true, session: effect };
}

function settingOf(walk: Walk, statement: SelectStmt, nodes: readonly Node[]): SessionEffect | null {
  const { whereClause: where, fromClause: from, ...rest } = statement;
  if (!isPlain(rest)) return null;
  if (where === undefined && from === undefined) return readArguments(nodes);
  const existing = from !== undefined && where !== undefined ? existingSetting(walk, from, where) : null;
  return existing === null ? null : byName(existing, nodes);
}

function isPlain(statement: SelectStmt): boolean {
  const [only, ...others] = statement.targetList ?? [];
  if (only === undefined || others.length > 0 || !('ResTarget' in only)) return false;
  const call = only.ResTarget.val;
  const more = statement.havingClause ?? statement.groupClause ?? statement.withClause;
  const limited = statement.limitCount ?? statement.limitOffset;
  return limited === undefined && more === undefined && call !== undefined && 'FuncCall' in call;
}

/**
 * `SELECT set_config(name, 'value', false) FROM pg_settings WHERE name = 'setting'`, as pg_dump sets what a server may
 * not know yet. The setting's name, or null.
 */
function existingSetting(walk: Walk, from: readonly Node[], where: Node): string | null {
  const [source] = from;
  if (from.length !== 1 || source === undefined || !('RangeVar' in source)) return null;
  if (walk.tables.size !== 1 || !walk.tables.has('pg_catalog.pg_settings') || !('A_Expr' in where))
    return null;
  const { kind, name, lexpr, rexpr } = where.A_Expr;
  const equal = kind === 'AEXPR_OP' && name?.length === 1 && qualifiedName(name).name === '=';
  if (!equal || lexpr === undefined || rexpr === undefined || !isName(lexpr)) return null;
  return constantText(rexpr);
}

function isName(node: Node): boolean {
  return 'ColumnRef' in node && strings(node.ColumnRef.fields).join('.') === 'name';
}

function byName(setting: string, [name, value, local]: readonly Node[]): SessionEffect | null {
  if (name === undefined || value === undefined || local === undefined || !isName(name)) return null;
  return readArguments([{ A_Const: { sval: { sval: setting } } }, value, local]);
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
