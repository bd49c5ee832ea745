/**
 * Takes secrets out of statements before they are written: passwords of roles, options of user mappings and servers,
 * connection strings of subscriptions and dblink, settings named like secrets, keys given to pgcrypto, and literals
 * that look like connection strings with a password. Works on tokens by PostgreSQL's lexical rules; where a statement
 * of these kinds has a shape that is not known, all of its literals go.
 */
import { secretsOf } from './redact-statement.ts';
import { lex } from './sql-lexer.ts';
import type { Token } from './sql-token.ts';

export const REDACTED = '[redacted]';

/** What a text must have for it to be looked at closely: nearly all statements have none of these. */
const CANDIDATE =
  /pass(?:word|wd|phrase)|secret|token|credential|api_?key|private_?key|\b(?:user|group|role)\s+mapping|\bmapping\b|subscription|\bserver\b|\bwrapper\b|foreign|dblink|crypt|pgp_|hmac|:\/\/|u&["']/i;

const MAX_DEPTH = 4;

export interface Redacted {
  readonly text: string;
  /** Something was taken out; then parameters must not be written either. */
  readonly secret: boolean;
}

/**
 * `everyLiteral`: the caller knows that the statement leads to a function that takes connection strings, without its
 * text saying so (EXECUTE of a prepared statement, a view).
 */
export function redactSecrets(text: string, everyLiteral = false): Redacted {
  return redact(text, everyLiteral, 0);
}

function redact(text: string, everyLiteral: boolean, depth: number): Redacted {
  if (!everyLiteral && !CANDIDATE.test(text)) return { text, secret: false };
  // Bodies within bodies within bodies: nobody writes that but to be looked at slowly.
  if (depth > MAX_DEPTH) return { text: REDACTED, secret: true };
  let tokens: readonly Token[];
  try {
    tokens = lex(text);
  } catch {
    // What cannot be scanned cannot be redacted in part.
    return { text: `[redacted: ${text.length} characters that cannot be read as SQL]`, secret: true };
  }
  let secret = false;
  const replaced = new Map<Token, string>();
  for (const statement of statementsOf(tokens)) {
    // Bodies of functions and of DO are looked into as statements of their own.
    const found = secretsOf(statement, (body) => redact(body, false, depth + 1));
    const everything = everyLiteral || found.everything;
    for (const token of statement)
      if (everything && token.kind === 'literal') replaced.set(token, `'${REDACTED}'`);
    for (const [token, by] of found.tokens)
      if (!everything || by === null) replaced.set(token, by ?? `'${REDACTED}'`);
    secret ||= everything || found.parameters || found.tokens.size > 0;
  }
  return { text: replaced.size === 0 ? text : rewrite(text, tokens, replaced), secret };
}

function statementsOf(tokens: readonly Token[]): readonly (readonly Token[])[] {
  const statements: Token[][] = [];
  let current: Token[] = [];
  for (const token of tokens) {
    if (token.text === ';') {
      statements.push(current);
      current = [];
    } else if (token.kind !== 'comment') {
      current.push(token);
    }
  }
  statements.push(current);
  return statements;
}

function rewrite(text: string, tokens: readonly Token[], replaced: ReadonlyMap<Token, string>): string {
  let result = '';
  let from = 0;
  for (const token of tokens) {
    const by = replaced.get(token);
    if (by === undefined) continue;
    result += text.slice(from, token.start) + by;
    from = token.end;
  }
  return result + text.slice(from);
}
