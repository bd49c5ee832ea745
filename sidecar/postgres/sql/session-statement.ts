/** Statements that change only the session: transactions, settings, cursors, prepared statements, notifications. */
import type {
  DeclareCursorStmt,
  ExecuteStmt,
  FetchStmt,
  Node,
  TransactionStmt,
  VariableSetStmt,
} from '@pgsql/types';
import { isAdministrative, planningUnderMasks } from './administrative-settings.ts';
import { conditions } from './expression.ts';
import { constantText } from './node.ts';
import type { Meaning } from './meaning.ts';
import { effectBit } from './effect-set.ts';
import { childScope } from './scope.ts';
import type { SessionEffect, Statement } from './statement.ts';
import type { Walk } from './walk.ts';

const NO_SCOPE = childScope(null, null);

/** Null when the node is none of these. */
export function sessionStatement(walk: Walk, node: Node): Meaning | null {
  if ('TransactionStmt' in node) return transaction(walk, node.TransactionStmt);
  if ('VariableSetStmt' in node) return set(walk, node.VariableSetStmt);
  if ('VariableShowStmt' in node) return { verb: 'SHOW', ...effect(walk, 'read'), returnsRows: true };
  if ('ExecuteStmt' in node) return execute(walk, node.ExecuteStmt);
  if ('DeallocateStmt' in node) {
    const { name, isall } = node.DeallocateStmt;
    const all = isall === true || name === undefined;
    return {
      verb: all ? 'DEALLOCATE ALL' : 'DEALLOCATE',
      ...session(walk, { kind: 'deallocate', name: all ? null : name }),
    };
  }
  if ('FetchStmt' in node) return fetch(walk, node.FetchStmt);
  if ('ClosePortalStmt' in node) {
    const name = node.ClosePortalStmt.portalname ?? null;
    return {
      verb: name === null ? 'CLOSE CURSOR ALL' : 'CLOSE CURSOR',
      ...session(walk, { kind: 'close-cursor', name }),
    };
  }
  if ('ListenStmt' in node) {
    if (walk.masked)
      walk.refuse('LISTEN would let other sessions send values past the masks', 'poll the tables instead');
    return { verb: 'LISTEN', ...session(walk, { kind: 'listen' }) };
  }
  if ('UnlistenStmt' in node) return { verb: 'UNLISTEN', ...session(walk, { kind: 'unlisten' }) };
  if ('NotifyStmt' in node) return { verb: 'NOTIFY', ...session(walk, { kind: 'none' }) };
  if ('ConstraintsSetStmt' in node) return { verb: 'SET CONSTRAINTS', ...session(walk, { kind: 'none' }) };
  if ('DiscardStmt' in node) return discard(walk, node.DiscardStmt.target);
  return null;
}

function effect(walk: Walk, name: 'read' | 'session'): object {
  walk.effect(name);
  return {};
}

function session(walk: Walk, effect: SessionEffect): { session: SessionEffect } {
  walk.effect('session');
  return { session: effect };
}

function discard(walk: Walk, target: string | undefined): Meaning {
  const what =
    target === 'DISCARD_PLANS'
      ? 'PLANS'
      : target === 'DISCARD_SEQUENCES'
        ? 'SEQUENCES'
        : target === 'DISCARD_TEMP'
          ? 'TEMP'
          : 'ALL';
  const all = what === 'ALL';
  return {
    verb: `DISCARD ${what}`,
    ...session(walk, { kind: 'discard', what }),
    changesSettings: all,
    changesCatalog: all || what === 'TEMP',
  };
}

function transaction(walk: Walk, node: TransactionStmt): Meaning {
  const { chain = false, savepoint_name: name = '' } = node;
  walk.effect('session');
  switch (node.kind) {
    case 'TRANS_STMT_BEGIN':
      return { verb: 'BEGIN', session: { kind: 'begin' } };
    case 'TRANS_STMT_START':
      return { verb: 'START TRANSACTION', session: { kind: 'begin' } };
    case 'TRANS_STMT_COMMIT':
      return { verb: 'COMMIT', session: { kind: 'commit', chain } };
    case 'TRANS_STMT_ROLLBACK':
      return { verb: 'ROLLBACK', session: { kind: 'rollback', chain }, changesSettings: true };
    case 'TRANS_STMT_SAVEPOINT':
      return { verb: 'SAVEPOINT', session: { kind: 'savepoint', name } };
    case 'TRANS_STMT_RELEASE':
      return { verb: 'RELEASE', session: { kind: 'release', name } };
    case 'TRANS_STMT_ROLLBACK_TO':
      return { verb: 'ROLLBACK', session: { kind: 'rollback-to', name }, changesSettings: true };
    case 'TRANS_STMT_PREPARE':
      return { verb: 'PREPARE TRANSACTION', session: { kind: 'prepare-transaction' }, changesSettings: true };
    case 'TRANS_STMT_COMMIT_PREPARED':
    case 'TRANS_STMT_ROLLBACK_PREPARED':
      // What was prepared, by any session, is not known here.
      walk.opaque('a prepared transaction');
      return {
        verb: node.kind === 'TRANS_STMT_COMMIT_PREPARED' ? 'COMMIT PREPARED' : 'ROLLBACK PREPARED',
        changesCatalog: true,
      };
    case undefined:
    default:
      walk.opaque('a transaction command of an unknown kind');
      return { verb: 'TRANSACTION', changesSettings: true };
  }
}

function set(walk: Walk, node: VariableSetStmt): Meaning {
  walk.effect('session');
  const reset = node.kind === 'VAR_RESET' || node.kind === 'VAR_RESET_ALL';
  const verb = reset ? 'RESET' : 'SET';
  const local = node.is_local === true;
  const name = (node.name ?? '').toLowerCase();
  if (node.kind === 'VAR_RESET_ALL')
    return { verb, session: { kind: 'set', name: 'ALL', value: null, local }, changesSettings: true };
  // SET TRANSACTION and SET SESSION CHARACTERISTICS, by pairs.
  if (node.kind === 'VAR_SET_MULTI') return multi(walk, verb, node);
  if (node.kind === 'VAR_SET_CURRENT')
    return { verb, session: { kind: 'set', name, value: [], local }, changesSettings: true };
  const value = node.kind === 'VAR_SET_VALUE' ? values(walk, node.args ?? []) : null;
  if (name === 'role' || name === 'session_authorization') {
    const role = name === 'role' && value?.[0]?.toLowerCase() === 'none' ? null : (value?.[0] ?? null);
    return { verb, session: { kind: 'set-role', role, session: name !== 'role' }, changesSettings: true };
  }
  if (isAdministrative(name)) walk.effect('administer');
  if (value !== null) planningUnderMasks(walk, name);
  return { verb, session: { kind: 'set', name, value, local } };
}

function multi(walk: Walk, verb: string, node: VariableSetStmt): Meaning {
  const session = node.name === 'SESSION CHARACTERISTICS';
  const names: string[] = [];
  for (const arg of node.args ?? []) if ('DefElem' in arg) names.push(arg.DefElem.defname ?? '');
  if (names.includes('transaction_snapshot')) walk.effect('administer');
  if (!session) return { verb, session: { kind: 'none' } };
  return { verb, session: { kind: 'set', name: 'session characteristics', value: names, local: false } };
}

function values(walk: Walk, nodes: readonly Node[]): readonly string[] {
  return nodes.map((node) => {
    const literal = 'TypeCast' in node && node.TypeCast.arg ? node.TypeCast.arg : node;
    const text = constantText(literal);
    if (text === null) walk.opaque('a setting that is no constant');
    return text ?? '';
  });
}

function execute(walk: Walk, node: ExecuteStmt): Meaning {
  const statement = walk.names.preparedStatement(node.name ?? '');
  conditions(walk, node.params, NO_SCOPE, 'the parameters of EXECUTE');
  if (statement === undefined) {
    walk.opaque(`the prepared statement ${node.name ?? ''}`);
    return { verb: 'EXECUTE', returnsRows: true };
  }
  asPrepared(walk, statement);
  const masks = walk.refused ? undefined : statement.masks;
  return {
    // As PostgreSQL's own tag.
    verb: statement.facts.verb,
    ...(masks && { masks }),
    // A Parse message prepares anything, SET and DEALLOCATE among them.
    session: statement.session,
    returnsRows: statement.returnsRows,
    hasWhere: statement.facts.hasWhere,
    changesCatalog: statement.changesCatalog,
    changesSettings: statement.changesSettings,
  };
}

/** Takes over the facts of the statement that is executed. */
export function asPrepared(walk: Walk, { facts, nearProtected = false }: Statement): void {
  const { changed } = walk;
  // It is planned anew when it runs, under what earlier statements of the same text have left.
  if (changed.everything || changed.path || changed.names.size > 0)
    walk.opaque('a prepared statement after what may have changed its meaning');
  walk.runs(facts.verb);
  if (nearProtected) walk.touched ??= 'the tables of the prepared statement';
  for (const name of facts.effects) walk.effects |= effectBit(name);
  for (const { name, access, indirect } of facts.tables)
    for (const one of access) walk.table(name, one, indirect);
  for (const { table, name, access } of facts.columns)
    for (const one of access) walk.column(table, name, one);
  for (const { name, volatility } of facts.functions) walk.function(name, volatility);
}

function fetch(walk: Walk, node: FetchStmt): Meaning {
  const verb = node.ismove === true ? 'MOVE' : 'FETCH';
  const cursor = walk.names.cursor(node.portalname ?? '');
  walk.effect(node.ismove === true ? 'session' : 'read');
  if (cursor === undefined) walk.opaque(`the cursor ${node.portalname ?? ''}`);
  const rows = node.ismove !== true;
  return { verb, returnsRows: rows, ...(cursor && rows && { masks: cursor.masks }) };
}

/** Bits of `CURSOR_OPT_*` in PostgreSQL's parsenodes.h. */
const CURSOR_HOLD = 0x20;

export const holds = (node: DeclareCursorStmt): boolean => ((node.options ?? 0) & CURSOR_HOLD) !== 0;
