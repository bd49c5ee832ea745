/** Oids of PostgreSQL's own types that DDL of a test names. */
import type { TypeName } from '@pgsql/types';
import { strings } from './ddl-name.ts';

/** Name, oid, oid of its array: pg_type.dat. */
const BUILT_IN: readonly (readonly [name: string, oid: number, array: number])[] = [
  ['bool', 16, 1000],
  ['bytea', 17, 1001],
  ['char', 18, 1002],
  ['name', 19, 1003],
  ['int8', 20, 1016],
  ['int2', 21, 1005],
  ['int4', 23, 1007],
  ['text', 25, 1009],
  ['oid', 26, 1028],
  ['json', 114, 199],
  ['xml', 142, 143],
  ['point', 600, 1017],
  ['float4', 700, 1021],
  ['float8', 701, 1022],
  ['money', 790, 791],
  ['macaddr', 829, 1040],
  ['inet', 869, 1041],
  ['cidr', 650, 651],
  ['bpchar', 1042, 1014],
  ['varchar', 1043, 1015],
  ['date', 1082, 1182],
  ['time', 1083, 1183],
  ['timestamp', 1114, 1115],
  ['timestamptz', 1184, 1185],
  ['interval', 1186, 1187],
  ['timetz', 1266, 1270],
  ['bit', 1560, 1561],
  ['varbit', 1562, 1563],
  ['numeric', 1700, 1231],
  ['uuid', 2950, 2951],
  ['tsvector', 3614, 3643],
  ['jsonb', 3802, 3807],
  ['int4range', 3904, 3905],
  ['numrange', 3906, 3907],
  ['tsrange', 3908, 3909],
  ['tstzrange', 3910, 3911],
  ['daterange', 3912, 3913],
  ['int8range', 3926, 3927],
];
const OIDS = new Map(BUILT_IN.map(([name, oid, array]) => [name, { oid, array }]));
/** serial and its kin are no types: PostgreSQL writes integers for them. */
const SERIALS = new Map([
  ['serial', 'int4'],
  ['serial4', 'int4'],
  ['bigserial', 'int8'],
  ['serial8', 'int8'],
  ['smallserial', 'int2'],
  ['serial2', 'int2'],
]);

export const TEXT_OID = 25;

/** The oid of a type, or what is wrong with it. `userType` knows the types that the DDL makes. */
export function typeOid(
  type: TypeName | undefined,
  userType: (schema: string | null, name: string) => number | undefined,
): number | string {
  const parts = strings(type?.names);
  const name = parts.at(-1) ?? '';
  const schema = parts.length > 1 ? (parts[0] ?? null) : null;
  const isArray = (type?.arrayBounds ?? []).length > 0;
  const found = schema === null || schema === 'pg_catalog' ? OIDS.get(SERIALS.get(name) ?? name) : undefined;
  if (found !== undefined) return isArray ? found.array : found.oid;
  const own = userType(schema, name);
  if (own === undefined) return `the type ${parts.join('.')} is not known`;
  return isArray ? `an array of ${parts.join('.')} is not understood` : own;
}
