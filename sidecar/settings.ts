/** The settings of a sidecar: from its container's environment (injection sets it), parsed strictly. */
import { isIP } from 'node:net';
import {
  HEALTH_PORT,
  INJECTED_ENVIRONMENT,
  SPOOL_FOLDER,
  TOKEN_FILE_NAME,
  TOKEN_FOLDER,
} from './injected.ts';

export interface Settings {
  readonly broker: { readonly url: URL; readonly ca: string; readonly tokenFile: string };
  /** Folder for recordings, their key, and counts. */
  readonly state: string;
  /** Bytes of recordings that may wait there for the store. */
  readonly spoolBytes: number;
  readonly health: { readonly address: string; readonly port: number };
  readonly redirect: boolean;
  /** Milliseconds from SIGTERM to the end: what is under way may end, and what was recorded is handed over. */
  readonly grace: number;
  readonly logLevel: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'silent'];

/** Settings, or all that is wrong with the environment, in words. */
export function settingsFrom(env: Environment): Settings | readonly string[] {
  const wrong: string[] = [];
  const names = INJECTED_ENVIRONMENT;
  const read = <T>(name: string, fallback: string, parse: (text: string) => T | string): T | undefined => {
    const result = parse(env[name] || fallback);
    if (typeof result !== 'string') return result;
    wrong.push(`${name} ${result}`);
    return undefined;
  };
  const url = read(names.brokerUrl, '', brokerUrl);
  const ca = read(names.brokerCa, '', certificates);
  const tokenFile = read(names.tokenFile, `${TOKEN_FOLDER}/${TOKEN_FILE_NAME}`, path);
  const state = read(names.spool, SPOOL_FOLDER, path);
  const spoolBytes = read(names.spoolBytes, '268435456', whole(1_048_576, Number.MAX_SAFE_INTEGER));
  const address = read(names.podAddress, '0.0.0.0', ipAddress);
  const port = read(names.healthPort, String(HEALTH_PORT), whole(0, 65_535));
  const redirect = read(names.redirect, 'false', flag);
  const seconds = read(names.grace, '25', whole(1, 86_400));
  const logLevel = read('SIDEWARDEN_LOG_LEVEL', 'info', level);
  if (
    !url ||
    !ca ||
    !tokenFile ||
    !state ||
    !spoolBytes ||
    !address ||
    !port ||
    !redirect ||
    !seconds ||
    !logLevel
  )
    return wrong;
  return {
    broker: { url: url.value, ca: ca.value, tokenFile: tokenFile.value },
    state: state.value,
    spoolBytes: spoolBytes.value,
    health: { address: address.value, port: port.value },
    redirect: redirect.value,
    grace: seconds.value * 1000,
    logLevel: logLevel.value,
  };
}

/** What a setting was parsed to; a text is a complaint. */
interface Read<T> {
  readonly value: T;
}

function brokerUrl(text: string): Read<URL> | string {
  if (text === '') return 'is not set';
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url?.protocol !== 'https:' ||
    url.username !== '' ||
    url.pathname !== '/' ||
    url.search !== '' ||
    url.hash !== ''
  )
    return 'must be https://HOST:PORT';
  return { value: url };
}

function certificates(text: string): Read<string> | string {
  if (text === '') return 'is not set';
  return text.includes('-----BEGIN CERTIFICATE-----') ? { value: text } : 'must be certificates in PEM form';
}

function path(text: string): Read<string> | string {
  return text.startsWith('/') && !text.includes('\0') ? { value: text } : 'must be an absolute path';
}

function ipAddress(text: string): Read<string> | string {
  return isIP(text) === 0 ? 'must be an IP address' : { value: text };
}

function flag(text: string): Read<boolean> | string {
  return text === 'true' || text === 'false' ? { value: text === 'true' } : 'must be true or false';
}

function level(text: string): Read<string> | string {
  return LEVELS.includes(text) ? { value: text } : `must be one of ${LEVELS.join(', ')}`;
}

function whole(minimum: number, maximum: number): (text: string) => Read<number> | string {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= minimum && value <= maximum ? { value } : `must be ${minimum} to ${maximum}`;
  };
}
