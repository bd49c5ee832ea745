/** The words of a denial: what was refused and what to do instead. Names of rules and tables, never a value. */
import type { ConnectionFacts, Identity, SqlStatementFacts } from '../operation.ts';
import type { CompiledRule } from './compile.ts';
import type { Tally } from './tally.ts';

export interface Words {
  readonly message: string;
  readonly hint: string;
}

const MAX_NAMES = 3;
const MAX_NAME_LENGTH = 140;
/** Controls, and characters that change the direction or the look of what follows. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

function printable(name: string): string {
  const cut = name.length > MAX_NAME_LENGTH ? `${name.slice(0, MAX_NAME_LENGTH)}…` : name;
  return cut.replace(UNPRINTABLE, escaped);
}

function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMES;
  const shown = names.slice(0, MAX_NAMES).map(printable).join(', ');
  return more > 0 ? `${shown} and ${more} more` : shown;
}

/** `DELETE on public.orders`. */
export function describeStatement(statement: SqlStatementFacts): string {
  const direct = statement.tables.filter((table) => !table.indirect).map((table) => table.name);
  const verb = printable(statement.verb);
  return direct.length === 0 ? verb : `${verb} on ${listed(direct)}`;
}

/** Whether a rule speaks of this verb or one of these effects by name. */
function speaksOf(rule: CompiledRule, statement: SqlStatementFacts): boolean {
  return [statement.verb, ...statement.effects].some(
    (word) => rule.when.includes(`"${word}"`) || rule.when.includes(`'${word}'`),
  );
}

function rulesNamed(rules: readonly CompiledRule[]): string {
  const names = [...new Set(rules.map((rule) => rule.ref.rule))];
  return `${names.length === 1 ? 'rule' : 'rules'} ${listed(names)}`;
}

/** What the rules that let through say of a statement of this kind. */
function alternatives(rules: readonly CompiledRule[], statement: SqlStatementFacts): string {
  const related = rules.filter((rule) => rule.action !== 'Deny' && speaksOf(rule, statement));
  const allows = related.filter((rule) => rule.action === 'Allow');
  const holds = related.filter((rule) => rule.action === 'Hold');
  const verb = printable(statement.verb);
  const allowed =
    allows.length === 0 ? `No rule allows ${verb}` : `${verb} is allowed as ${rulesNamed(allows)} says`;
  return holds.length === 0
    ? `${allowed}, and none asks for an approval of it: ask the platform team if it is needed.`
    : `${allowed}, or with an approval as ${rulesNamed(holds)} says: write the statement so that it applies.`;
}

export function deniedByRules(
  tally: Tally,
  rules: readonly CompiledRule[],
  statement: SqlStatementFacts,
): Words {
  const spoken = tally.denies.find((rule) => rule.message !== undefined) ?? tally.denies[0];
  if (spoken !== undefined) {
    return {
      message: spoken.message ?? `${describeStatement(statement)} is denied`,
      hint: spoken.hint ?? alternatives(rules, statement),
    };
  }
  const failed = tally.failures.map(
    ({ rule, reason }) => `${rule.ref.policy}, rule ${rule.ref.rule} (${reason})`,
  );
  return {
    message: `${describeStatement(statement)} is refused: a rule could not be evaluated`,
    hint: `Tell the platform team that this rule fails: policy ${failed[0] ?? ''}.`,
  };
}

export function deniedByDefault(rules: readonly CompiledRule[], statement: SqlStatementFacts): Words {
  return {
    message: `${describeStatement(statement)} is not allowed by any rule`,
    hint: alternatives(rules, statement),
  };
}

export function deniedWithoutPolicy(identity: Identity, connection: ConnectionFacts): Words {
  const name = `${connection.namespace}/${connection.name}`;
  return {
    message: `no policy lets ${printable(identity.username)} use connection ${name}`,
    hint: `Ask the platform team for an AccessPolicy in namespace ${connection.namespace} that names this connection and this user or one of its groups.`,
  };
}
