/**
 * How the agent's programs find the sidecar: environment variables in each of its containers. What a container sets itself is kept
 * when it does no harm, and refused when it would lead elsewhere; nothing is overwritten without a word.
 */
import { objects, string, type Json } from '../json.ts';
import type { Placed } from './connections.ts';

/** PostgreSQL's programs need some user name; the sidecar takes any. */
const USER = 'agent';

interface Variable {
  readonly name: string;
  readonly value: string;
  /** What else the container may have set: undefined is a value that cannot be known. */
  readonly accepts?: (value: string | undefined) => boolean;
}

/** Variables of libpq that would win over PGHOST, and so lead past the sidecar. */
const ELSEWHERE = ['PGHOSTADDR', 'PGSERVICE', 'PGSERVICEFILE'];

/** The container with what it lacked; what is wrong goes to `problems`, what is worth knowing to `warnings`. */
export function withEnvironment(
  container: Json,
  placed: readonly Placed[],
  redirect: boolean,
  problems: string[],
  warnings: string[],
): Json {
  const name = string(container['name']);
  const wanted = variables(placed, redirect);
  const env = objects(container['env']);
  const only = placed.length === 1 ? placed[0] : undefined;
  const missing = wanted.filter((variable) => !isSet(env, variable, name, problems));
  if (only !== undefined && !redirect) checkElsewhere(env, name, only, problems);
  if (only !== undefined && objects(container['envFrom']).length > 0) {
    const ours = wanted.map((variable) => variable.name).filter((each) => each.startsWith('PG'));
    warnings.push(
      `container ${name} takes variables from envFrom: ${ours.join(', ')} of sidewarden win over those in it`,
    );
  }
  if (missing.length === 0) return container;
  const added = missing.map((variable) => ({ name: variable.name, value: variable.value }));
  // In front, so that the container's own variables can refer to them.
  return { ...container, env: [...added, ...env] };
}

function isSet(env: readonly Json[], variable: Variable, container: string, problems: string[]): boolean {
  // Of several with one name the last counts.
  const own = env.filter((each) => each['name'] === variable.name).at(-1);
  if (own === undefined) return false;
  const value = own['valueFrom'] === undefined ? string(own['value']) : undefined;
  if (value === variable.value || variable.accepts?.(value) === true) return true;
  const what =
    value === undefined ? 'takes it from elsewhere' : `sets it to ${JSON.stringify(value.slice(0, 256))}`;
  problems.push(
    `container ${container}: ${variable.name} must be ${JSON.stringify(variable.value)} to reach the sidecar, and the container ${what}: leave it out`,
  );
  return true;
}

function checkElsewhere(env: readonly Json[], container: string, only: Placed, problems: string[]): void {
  for (const each of env) {
    const name = string(each['name']);
    if (!ELSEWHERE.includes(name)) continue;
    if (name === 'PGHOSTADDR' && each['value'] === only.address) continue;
    problems.push(`container ${container}: ${name} would lead past the sidecar: leave it out`);
  }
}

function variables(placed: readonly Placed[], redirect: boolean): readonly Variable[] {
  const each = placed.flatMap((connection): readonly Variable[] => {
    const prefix = `SIDEWARDEN_${connection.variable}`;
    return [
      { name: `${prefix}_HOST`, value: connection.address },
      { name: `${prefix}_PORT`, value: String(connection.port) },
      { name: `${prefix}_URL`, value: url(connection) },
    ];
  });
  const only = placed.length === 1 ? placed[0] : undefined;
  return only === undefined ? each : [...each, ...libpq(only, redirect)];
}

/** With a redirect the target's own host and port lead to the sidecar too. */
function libpq(connection: Placed, redirect: boolean): readonly Variable[] {
  const { address, port, target, tls } = connection;
  const modes = tls ? ['require', 'prefer', 'allow'] : ['disable', 'prefer', 'allow'];
  return [
    { name: 'PGHOST', value: address, accepts: (value) => redirect && value === target.host },
    { name: 'PGPORT', value: String(port), accepts: (value) => redirect && value === String(target.port) },
    { name: 'PGDATABASE', value: target.database },
    { name: 'PGUSER', value: USER, accepts: () => true },
    {
      name: 'PGSSLMODE',
      value: tls ? 'require' : 'disable',
      accepts: (value) => value !== undefined && modes.includes(value),
    },
  ];
}

function url({ address, port, target, tls }: Placed): string {
  const host = address.includes(':') ? `[${address}]` : address;
  const mode = tls ? 'require' : 'disable';
  return `postgresql://${USER}@${host}:${port}/${encodeURIComponent(target.database)}?sslmode=${mode}`;
}
