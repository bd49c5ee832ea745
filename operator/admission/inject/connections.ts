/** The connections that a pod names, each checked: there, allowed here, and usable beside the others. */
import { targetPort, type ProtectedConnectionSpec } from '../../../crds/connection.ts';
import { HEALTH_PORT } from '../../../sidecar/injected.ts';
import { selects } from '../../broker/label-selector.ts';
import type { Wish } from './annotations.ts';
import type { InjectContext } from './context.ts';

export interface Placed {
  /** `namespace/name`. */
  readonly id: string;
  /** Part of the names of its environment variables. */
  readonly variable: string;
  /** Where the agent connects to; a loopback address. */
  readonly address: string;
  readonly port: number;
  readonly target: { readonly host: string; readonly port: number; readonly database: string };
  /** Whether the sidecar's listener speaks TLS. */
  readonly tls: boolean;
  /** Whether the sidecar checks the target's certificate, so that names need not be trusted. */
  readonly verified: boolean;
}

/** All that is wrong goes to `problems`. */
export function place(wish: Wish, context: InjectContext, problems: string[]): readonly Placed[] {
  const placed = wish.connections.flatMap((id) => placeOne(id, wish, context, problems));
  checkTogether(placed, wish, problems);
  return named(placed, problems);
}

function placeOne(id: string, wish: Wish, context: InjectContext, problems: string[]): readonly Placed[] {
  const [namespace = '', name = ''] = id.split('/');
  const wrong = (what: string) => {
    problems.push(`connection ${id}: ${what}`);
    return [];
  };
  const found = context.connection(namespace, name);
  // Whoever may make pods must not learn by this what connections other namespaces have.
  const unusable =
    'there is no such connection, or it does not allow this namespace: ask its owners, who name namespaces in spec.allowedNamespaces';
  if (found.kind === 'missing') return wrong(unusable);
  if (found.kind === 'invalid') return wrong(`it is not valid: ${found.message}`);
  const { spec } = found;
  if (!selects(spec.allowedNamespaces, context.namespaceLabels)) return wrong(unusable);
  if (spec.protocol !== 'postgres') return wrong(`its protocol, ${spec.protocol}, is not spoken yet`);
  // The broker says the same: better now than when the agent connects.
  if (spec.identity.sources.every((source) => source.oidc !== undefined)) {
    return wrong('it has no identity source that a pod has: add serviceAccount to spec.identity.sources');
  }
  const { listen, target } = spec;
  if (!isLoopback(listen.address)) {
    return wrong(
      `it listens on ${listen.address}, where other pods could use it; in pods listen.address must be loopback`,
    );
  }
  if (listen.port === HEALTH_PORT)
    return wrong(`its listen.port ${HEALTH_PORT} is the sidecar's own; choose another`);
  if (wish.redirect && listen.address !== '127.0.0.1' && listen.address !== '::1') {
    return wrong('for the redirect listen.address must be 127.0.0.1');
  }
  const { database = '' } = target;
  const base = {
    id,
    variable: '',
    address: listen.address,
    port: listen.port,
    tls: listen.tls !== undefined,
  };
  return [
    { ...base, target: { host: target.host, port: targetPort(spec), database }, verified: isVerified(spec) },
  ];
}

function isVerified({ target }: ProtectedConnectionSpec): boolean {
  return target.tls.mode === 'verify-full' || target.tls.mode === 'verify-ca';
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^127(\.\d{1,3}){3}$/u.test(address);
}

function checkTogether(placed: readonly Placed[], wish: Wish, problems: string[]): void {
  placed.forEach((each, index) => {
    for (const other of placed.slice(0, index)) {
      if (each.port === other.port) {
        problems.push(
          `connections ${other.id} and ${each.id} both have listen.port ${each.port}: give one of them another, or use them in different pods`,
        );
      }
      if (wish.redirect && sameTarget(each, other)) {
        problems.push(
          `connections ${other.id} and ${each.id} have the same target: the redirect cannot tell them apart`,
        );
      }
    }
  });
}

function sameTarget(a: Placed, b: Placed): boolean {
  return a.target.host === b.target.host && a.target.port === b.target.port;
}

/** By name alone where that is enough, else with the namespace. */
function named(placed: readonly Placed[], problems: string[]): readonly Placed[] {
  const short = (each: Placed) => variable(each.id.slice(each.id.indexOf('/') + 1));
  const result = placed.map((each) => {
    const alone = placed.filter((other) => short(other) === short(each)).length === 1;
    return { ...each, variable: alone ? short(each) : variable(each.id) };
  });
  const names = result.map((each) => each.variable);
  if (new Set(names).size < names.length) {
    problems.push(
      'the names of two connections make the same environment variables: use them in different pods',
    );
  }
  return result;
}

function variable(name: string): string {
  return name.toUpperCase().replaceAll(/[^A-Z0-9]/gu, '_');
}
