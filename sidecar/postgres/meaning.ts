/** Whether two analyses say the same of what would run. */
import { isDeepStrictEqual } from 'node:util';
import type { Analysed } from './names.ts';
import type { Statement } from './sql/statement.ts';

export function sameMeaning(one: Analysed['analysis'], other: Analysed['analysis']): boolean {
  if (one === other) return true;
  if (one.kind !== 'parsed' || other.kind !== 'parsed') return isDeepStrictEqual(one, other);
  return isDeepStrictEqual(one.statements.map(bare), other.statements.map(bare));
}

/** Whether they name the same things, whatever is masked of them: the server need not parse anew. */
export function samePlan(one: Statement | undefined, other: Statement | undefined): boolean {
  return (
    one === other || (one !== undefined && other !== undefined && isDeepStrictEqual(named(one), named(other)))
  );
}

function named(statement: Statement): object {
  return { ...bare(statement), masks: undefined, nearProtected: undefined };
}

/** Without blanks around it, and without the statement that its analysis was taken over from. */
function bare(statement: Statement): object {
  const { facts, session } = statement;
  return {
    ...statement,
    facts: { ...facts, text: facts.text.trim(), shape: undefined },
    session: session.kind === 'prepare' ? { ...session, statement: bare(session.statement) } : session,
  };
}
