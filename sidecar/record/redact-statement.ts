/** Where the secrets of one statement are, by the words around them. */
import { literalContent, nameOf, type Token } from './sql-token.ts';

export interface SecretsFound {
  /** Tokens to replace; null by the usual placeholder. */
  readonly tokens: ReadonlyMap<Token, string | null>;
  /** The shape is not known: every literal is to go. */
  readonly everything: boolean;
  /** A parameter stands where a secret does. */
  readonly parameters: boolean;
}

type RedactInner = (text: string) => { readonly text: string; readonly secret: boolean };

class Finder {
  readonly tokens = new Map<Token, string | null>();
  everything = false;
  parameters = false;
  #budget = 5_000_000;

  /** Marks what may be a secret value; what can be none is left. */
  take(token: Token | undefined): void {
    if (token?.kind === 'literal') this.tokens.set(token, null);
    if (token?.kind === 'parameter') this.parameters = true;
  }

  takeAll(tokens: readonly Token[]): void {
    for (const token of tokens) this.take(token);
  }

  /** False when looking has cost too much: a text made to be slow to look at loses all of its literals instead. */
  spend(steps: number): boolean {
    this.#budget -= steps;
    if (this.#budget < 0) this.everything = true;
    return this.#budget >= 0;
  }
}

/** Options of servers and foreign tables that say where things are and no secret. */
const PLAIN_OPTIONS = new Set([
  'host',
  'hostaddr',
  'port',
  'dbname',
  'user',
  'username',
  'schema_name',
  'table_name',
  'column_name',
  'fetch_size',
  'batch_size',
  'extensions',
  'updatable',
  'truncatable',
  'use_remote_estimate',
  'fdw_startup_cost',
  'fdw_tuple_cost',
  'analyze_sampling',
  'async_capable',
  'keep_connections',
  'parallel_commit',
  'parallel_abort',
  'sslmode',
  'connect_timeout',
  'application_name',
  'client_encoding',
  'filename',
  'format',
  'header',
  'delimiter',
  'quote',
  'escape',
  'null',
  'encoding',
]);

const SECRET_NAME = /pass(?:word|wd|phrase)|secret|token|credential|api_?key|private_?key/i;
const PLAIN_NAME = /^(?:password_encryption|vault_token_role)$/i;
const KEYED_FUNCTION = /^(?:crypt|hmac|pgp_(?:sym|pub)_\w+|(?:en|de)crypt(?:_iv)?)$/i;
const CONNECTION_STRING =
  /pass(?:word|wd|phrase)\s*=|secret\s*=|token\s*=|:\/\/[^\s/@:]{0,256}:[^\s@]{0,256}@|authorization:/i;

/** A connection string or URL with a password in it. */
export function holdsCredentials(text: string): boolean {
  return CONNECTION_STRING.test(text);
}

export function secretsOf(statement: readonly Token[], redactInner: RedactInner): SecretsFound {
  const finder = new Finder();
  findByCommand(statement, finder);
  findCalls(statement, finder);
  findInLiterals(statement, finder, redactInner);
  return finder;
}

function findByCommand(statement: readonly Token[], finder: Finder): void {
  const isSubscription = statement.some((token) => token.kind === 'word' && token.text === 'subscription');
  // Also inside CREATE SCHEMA, EXPLAIN or PREPARE: wherever the words stand.
  statement.forEach((token, index) => {
    if (token.kind !== 'word') return;
    if (token.text === 'password') findPassword(statement, index, finder);
    if (token.text === 'options') findOptions(statement, index, finder);
    if (token.text === 'connection' && isSubscription) findNext(statement, index, finder);
    if (token.text === 'set') findSetting(statement, index, finder);
  });
}

/** `PASSWORD 'x'`, `PASSWORD NULL`, or a name of someone's column. */
function findPassword(statement: readonly Token[], index: number, finder: Finder): void {
  const next = statement[index + 1];
  const command = statement.slice(0, 3).map((token) => token.text);
  const ofRole =
    (command[0] === 'create' || command[0] === 'alter') &&
    ['role', 'user', 'group'].includes(command[1] ?? '');
  if (next?.kind === 'literal') takeRun(statement, index + 1, finder);
  else if (ofRole && next?.text !== 'null') finder.everything = true;
}

/** Two literals in a row are no valid SQL, and yet recorded: with the refusal. */
function takeRun(statement: readonly Token[], from: number, finder: Finder): void {
  for (let index = from; statement[index]?.kind === 'literal'; index++) finder.take(statement[index]);
}

function findNext(statement: readonly Token[], index: number, finder: Finder): void {
  const next = statement[index + 1];
  if (next?.kind === 'literal') takeRun(statement, index + 1, finder);
  else finder.everything = true;
}

/** `OPTIONS ( [ADD|SET|DROP] name 'value', … )` */
function findOptions(statement: readonly Token[], index: number, finder: Finder): void {
  if (statement[index + 1]?.text !== '(') return;
  for (const entry of argumentsOf(statement, index + 1, finder)) {
    const value = entry.at(-1);
    const name = entry.at(-2);
    if (value?.kind !== 'literal') continue;
    if (name === undefined || !PLAIN_OPTIONS.has(nameOf(name).toLowerCase()) || isEscaped(name))
      finder.take(value);
  }
}

/** `SET [SESSION|LOCAL] name {=|TO} value`, also of ALTER ROLE, DATABASE, SYSTEM and FUNCTION. */
function findSetting(statement: readonly Token[], index: number, finder: Finder): void {
  const rest = statement.slice(index + 1, index + 10);
  const sign = rest.findIndex((token) => token.text === '=' || token.text === 'to');
  if (sign < 1) return;
  const names = rest.slice(0, sign).filter((token) => token.kind === 'word' || token.kind === 'identifier');
  const secret = names.some(
    (name) => (SECRET_NAME.test(nameOf(name)) && !PLAIN_NAME.test(nameOf(name))) || isEscaped(name),
  );
  if (!secret) return;
  // An UPDATE's SET goes on to other columns; its values are data, and taking them out all is the safe side.
  if (!finder.spend(statement.length - index)) return;
  const value = statement.slice(index + 1 + sign + 1);
  finder.takeAll(value);
  const first = value[0];
  const isCommand = ['set', 'alter'].includes(statement[0]?.text ?? '');
  if (isCommand && first?.kind !== 'literal' && first?.text !== 'default') {
    for (const token of value) finder.tokens.set(token, null);
  }
}

function findCalls(statement: readonly Token[], finder: Finder): void {
  statement.forEach((token, index) => {
    if (token.kind !== 'word' && token.kind !== 'identifier') return;
    if (isEscaped(token)) finder.everything = true;
    if (statement[index + 1]?.text !== '(') return;
    const name = nameOf(token);
    const parts = (): readonly (readonly Token[])[] => argumentsOf(statement, index + 1, finder);
    if (/dblink/i.test(name)) findConnectionArguments(name, parts(), finder);
    else if (KEYED_FUNCTION.test(name)) finder.takeAll(parts().flat());
    else if (name.toLowerCase() === 'set_config') findSetConfig(parts(), finder);
  });
}

/** A plain name names an open connection; everything else in that place may be a connection string. */
function findConnectionArguments(name: string, parts: readonly (readonly Token[])[], finder: Finder): void {
  const suspects = /connect/i.test(name) ? parts : parts.slice(0, 1);
  for (const token of suspects.flat()) {
    if (token.kind === 'literal' && /^\w*$/.test(literalContent(token).content) && !/^[eu]/i.test(token.text))
      continue;
    finder.take(token);
  }
}

function findSetConfig(parts: readonly (readonly Token[])[], finder: Finder): void {
  const [name, value] = parts;
  const only =
    name?.length === 1 && name[0]?.kind === 'literal' ? literalContent(name[0]).content : undefined;
  if (only !== undefined && (!SECRET_NAME.test(only) || PLAIN_NAME.test(only))) return;
  finder.takeAll(value ?? []);
}

function findInLiterals(statement: readonly Token[], finder: Finder, redactInner: RedactInner): void {
  for (const token of statement) {
    if (token.kind !== 'literal') continue;
    const { content, dollar } = literalContent(token);
    if (dollar !== null) {
      const inner = redactInner(content);
      if (inner.secret) finder.tokens.set(token, `${dollar}${inner.text}${dollar}`);
    } else if (CONNECTION_STRING.test(content)) {
      finder.take(token);
    } else if (/\b(?:alter|create)\s+(?:role|user|group|server|subscription)\b/i.test(content)) {
      // SQL that is put together at run time: the secret may be any of the other pieces.
      finder.everything = true;
    }
  }
}

/** The comma-separated parts between the parenthesis at `open` and its end. */
function argumentsOf(
  statement: readonly Token[],
  open: number,
  finder: Finder,
): readonly (readonly Token[])[] {
  const parts: Token[][] = [[]];
  let depth = 0;
  for (let index = open; index < statement.length; index++) {
    const token = statement[index];
    if (token === undefined || !finder.spend(1)) break;
    if (token.text === ')' && --depth === 0) break;
    if (token.text === '(' && ++depth === 1) continue;
    if (token.text === ',' && depth === 1) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts;
}

/** `U&"\0064blink"`: a name that its text does not show. */
function isEscaped(token: Token): boolean {
  return token.kind === 'identifier' && /^u&/i.test(token.text);
}
