/** Events of the configuration stream, as their kinds have them: what the schema cannot say is checked here. */
import type { ApprovalOutcome } from '../approval/gateway.ts';
import type { Identity } from '../operation.ts';
import { BrokerRequestError } from './broker-error.ts';
import { type BrokerEvent, parseBrokerEvent } from './protocol.ts';

export interface ConfigurationEvent {
  readonly kind: 'configuration';
  readonly revision: string;
  readonly identity: Identity;
  readonly manifests: readonly Readonly<Record<string, unknown>>[];
  readonly unusable: NonNullable<BrokerEvent['unusable']>;
  /** By connection: changes when its credentials do. */
  readonly credentials: ReadonlyMap<string, string>;
}

export interface DecisionEvent {
  readonly kind: 'decision';
  readonly approval: string;
  /** Undefined from a broker that does not say. */
  readonly connection: string | undefined;
  readonly outcome: Exclude<ApprovalOutcome, { kind: 'void' }>;
}

export interface RevokedEvent {
  readonly kind: 'revoked';
  readonly connection: string;
  readonly reason: string;
}

export type StreamEvent = ConfigurationEvent | DecisionEvent | RevokedEvent | { readonly kind: 'ping' };

/** One line of the stream. Throws a `BrokerRequestError` with code `protocol`. */
export function readEvent(line: string): StreamEvent {
  const parsed = parseBrokerEvent(jsonOf(line));
  if (parsed.kind === 'invalid') {
    const [first] = parsed.errors;
    throw wrong(`${first?.path.join('.') ?? ''} ${first?.message ?? ''}`);
  }
  const event = parsed.value;
  switch (event.kind) {
    case 'configuration':
      return configurationOf(event);
    case 'decision':
      return {
        kind: 'decision',
        approval: needed(event.approval, 'approval'),
        connection: event.connection,
        outcome: outcomeOf(needed(event.outcome, 'outcome')),
      };
    case 'revoked':
      return {
        kind: 'revoked',
        connection: needed(event.connection, 'connection'),
        reason: event.reason ?? 'no reason was given',
      };
    case 'ping':
      return { kind: 'ping' };
  }
}

function configurationOf(event: BrokerEvent): ConfigurationEvent {
  const versions = Object.entries(event.credentials ?? {}).map(([connection, version]): [string, string] => {
    if (typeof version !== 'string') throw wrong('credentials must be texts');
    return [connection, version];
  });
  return {
    kind: 'configuration',
    revision: needed(event.revision, 'revision'),
    identity: Object.freeze(needed(event.identity, 'identity')),
    manifests: needed(event.manifests, 'manifests'),
    unusable: event.unusable ?? [],
    credentials: new Map(versions),
  };
}

function outcomeOf(outcome: NonNullable<BrokerEvent['outcome']>): DecisionEvent['outcome'] {
  const { kind, by = [], reason = '' } = outcome;
  if (kind === 'expired') return { kind, after: outcome.after ?? 0 };
  const at = needed(outcome.at, 'outcome.at');
  const [first] = by;
  if (first === undefined) throw wrong('outcome.by is required');
  switch (kind) {
    case 'approved':
      return { kind, by, at, reason };
    case 'denied':
      return { kind, by: first, at, reason };
    case 'modified':
      return { kind, text: needed(outcome.text, 'outcome.text'), by, at, reason };
  }
}

function needed<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw wrong(`${name} is required`);
  return value;
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw wrong('it is not JSON');
  }
}

function wrong(what: string): BrokerRequestError {
  return new BrokerRequestError('protocol', `an event of the broker cannot be read: ${what}`);
}
