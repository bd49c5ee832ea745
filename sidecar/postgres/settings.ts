/** Settings that change how SQL is read are pinned; those a client may bring along when it starts are listed. */

/** Lower-case names of start-up parameters that are passed on to the server. All else is refused, by name. */
const ALLOWED = new Set([
  'application_name',
  'datestyle',
  'intervalstyle',
  'timezone',
  'extra_float_digits',
  'bytea_output',
  'search_path',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'transaction_timeout',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'default_transaction_deferrable',
  'client_min_messages',
  'geqo',
  'jit',
  'work_mem',
  'plan_cache_mode',
]);

/** What the server is always started with, and must stay at: other values change where strings end. */
export const PINNED: ReadonlyMap<string, string> = new Map([
  ['client_encoding', 'UTF8'],
  ['standard_conforming_strings', 'on'],
]);

const UTF8_NAMES = new Set(['utf8', 'utf-8', 'unicode', '"utf8"', "'utf8'", "'utf-8'"]);

export type StartParameters =
  | { readonly kind: 'taken'; readonly parameters: ReadonlyMap<string, string> }
  | { readonly kind: 'refused'; readonly message: string; readonly hint: string };

/** Sorts a client's start-up parameters into those for the server; `user` and `database` are the caller's matter. */
export function startParameters(given: ReadonlyMap<string, string>): StartParameters {
  const taken = new Map<string, string>(PINNED);
  const flat = new Map<string, string>();
  for (const [name, value] of given) {
    if (name === 'user' || name === 'database' || name.startsWith('_pq_.')) continue;
    if (name === 'options') {
      const options = parseOptions(value);
      if (!options) return refused('options', 'only "-c name=value" is taken there');
      for (const [option, setting] of options) flat.set(option.toLowerCase(), setting);
    } else {
      flat.set(name.toLowerCase(), value);
    }
  }
  for (const [name, value] of flat) {
    if (name === 'client_encoding') {
      if (!UTF8_NAMES.has(value.toLowerCase()))
        return refused(name, 'only UTF8 is spoken here; set the client to UTF8');
      continue;
    }
    if (name === 'replication' && ['false', 'off', 'no', '0'].includes(value)) continue;
    if (name === 'standard_conforming_strings' && value === 'on') continue;
    if (!ALLOWED.has(name)) return refused(name, `taken are: ${[...ALLOWED].join(', ')}`);
    taken.set(name, value);
  }
  return { kind: 'taken', parameters: taken };
}

function refused(name: string, hint: string): StartParameters {
  return {
    kind: 'refused',
    message: `the start-up parameter "${name.slice(0, 64)}" is not taken as it was given`,
    hint,
  };
}

/** `-c name=value`, `-cname=value` and `--name=value`, blanks escaped by a backslash (as libpq's PGOPTIONS). */
function parseOptions(text: string): readonly (readonly [string, string])[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index);
    if (character === '\\') word = (word ?? '') + text.charAt(++index);
    else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + character;
  }
  if (word !== undefined) words.push(word);
  const settings: [string, string][] = [];
  for (let index = 0; index < words.length; index++) {
    let setting = words[index] ?? '';
    if (setting === '-c') setting = words[++index] ?? '';
    else if (setting.startsWith('-c') || setting.startsWith('--')) setting = setting.slice(2);
    else return undefined;
    const equals = setting.indexOf('=');
    if (equals < 1) return undefined;
    settings.push([setting.slice(0, equals).replaceAll('-', '_'), setting.slice(equals + 1)]);
  }
  return settings;
}

/** Whether a SET of this name to this value (null: its default) would change how text is read. */
export function changesReading(name: string, value: readonly string[] | null): boolean {
  const only = value?.[0]?.toLowerCase() ?? '';
  switch (name.toLowerCase()) {
    case 'client_encoding':
    case 'names':
      return !UTF8_NAMES.has(only);
    case 'standard_conforming_strings':
      return !['on', 'true', 'yes', '1', 't', 'y'].includes(only);
    default:
      return false;
  }
}
