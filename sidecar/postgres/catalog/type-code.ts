/** Texts that find out whether using a type runs functions that are not PostgreSQL's own. */
import { FIRST_USER_OID } from './literal.ts';

const EQ = 'OPERATOR(pg_catalog.=)';
const OID = 'pg_catalog.oid';
const CHAR = 'pg_catalog."char"';
const CONSTRAINT = 2606;
const PROC = 1255;
const TYPE = 1247;
const OPERATOR = 2617;

/** Of function `p` in language `l`: anything but C that an extension brought and that is not volatile. */
const UNTRUSTED = `(p.provolatile ${EQ} 'v'::${CHAR}
    OR l.lanname OPERATOR(pg_catalog.<>) ALL (ARRAY['c', 'internal']::pg_catalog.name[]))`;

const CASTS = `SELECT FROM pg_catalog.pg_cast k
    JOIN pg_catalog.pg_proc p ON p.oid ${EQ} k.castfunc JOIN pg_catalog.pg_language l ON l.oid ${EQ} p.prolang
    WHERE k.oid OPERATOR(pg_catalog.>=) ${FIRST_USER_OID}::${OID} AND ${UNTRUSTED}`;

const CHECKS = `SELECT FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_depend d ON d.classid ${EQ} ${CONSTRAINT}::${OID} AND d.objid ${EQ} k.oid
    LEFT JOIN pg_catalog.pg_operator o ON d.refclassid ${EQ} ${OPERATOR}::${OID} AND o.oid ${EQ} d.refobjid
    JOIN pg_catalog.pg_proc p ON p.oid ${EQ}
      (CASE WHEN d.refclassid ${EQ} ${PROC}::${OID} THEN d.refobjid ELSE o.oprcode::${OID} END)
    JOIN pg_catalog.pg_language l ON l.oid ${EQ} p.prolang
    WHERE k.contypid OPERATOR(pg_catalog.<>) 0::${OID} AND ${UNTRUSTED}`;

const isUsers = (type: string) => `${type} OPERATOR(pg_catalog.>=) ${FIRST_USER_OID}::${OID}`;

/** Of type `t`: it is made of other types of users, which are not looked into. No recursion: its mere plan would be compiled (JIT). */
const COMPOUND = `(${isUsers('t.typbasetype')} OR ${isUsers('t.typelem')}
    OR t.typtype ${EQ} ANY (ARRAY['r', 'm']::${CHAR}[])
    OR EXISTS (SELECT FROM pg_catalog.pg_attribute m WHERE m.attrelid ${EQ} t.typrelid
      AND m.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND ${isUsers('m.atttypid')}))`;

/** Of the function or type `oid` of catalog `classid`: an extension brought it. */
function fromExtension(classid: number, oid: string): string {
  return `EXISTS (SELECT FROM pg_catalog.pg_depend m WHERE m.classid ${EQ} ${classid}::${OID} AND m.objid ${EQ} ${oid}
    AND m.deptype ${EQ} 'e'::${CHAR})`;
}

/** Of type `t`: its input is C that somebody wrote, and no extension brought. */
const OWN_INPUT = `(${isUsers('t.typinput::pg_catalog.oid')} AND NOT ${fromExtension(TYPE, 't.oid')})`;

/**
 * Of function `p` in language `l`: it only computes. C that an extension brought and calls immutable (stable ones may run
 * texts that they are given: crosstab, xpath_table), aggregates of such, and what citext has in SQL.
 */
export const COMPUTES = `(p.provolatile ${EQ} 'i'::${CHAR} AND ${fromExtension(PROC, 'p.oid')} AND (CASE
    WHEN p.prokind ${EQ} 'a'::${CHAR} THEN NOT EXISTS (
      SELECT FROM pg_catalog.pg_aggregate g
      JOIN pg_catalog.pg_proc f ON f.oid ${EQ} ANY (ARRAY[g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn,
        g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn]::pg_catalog.oid[])
      JOIN pg_catalog.pg_language s ON s.oid ${EQ} f.prolang
      WHERE g.aggfnoid::${OID} ${EQ} p.oid AND (f.provolatile OPERATOR(pg_catalog.<>) 'i'::${CHAR}
        OR s.lanname OPERATOR(pg_catalog.<>) ALL (ARRAY['c', 'internal']::pg_catalog.name[])))
    WHEN l.lanname ${EQ} 'c'::pg_catalog.name THEN true
    ELSE l.lanname ${EQ} 'sql'::pg_catalog.name AND EXISTS (SELECT FROM pg_catalog.pg_depend m
      JOIN pg_catalog.pg_extension x ON m.refobjid ${EQ} x.oid AND x.extname ${EQ} 'citext'::pg_catalog.name
      WHERE m.classid ${EQ} ${PROC}::${OID} AND m.objid ${EQ} p.oid AND m.deptype ${EQ} 'e'::${CHAR}) END))`;

/**
 * A common table `converted` of one row: the types whose values may be converted by others' functions, without a word when
 * a cast is implicit. Where there is such a cast at all, types made of others count too.
 */
export const CONVERTED = `converted(types) AS MATERIALIZED (
  SELECT pg_catalog.array_agg(t.oid) FROM pg_catalog.pg_type t
  WHERE EXISTS (${CASTS}) AND ${isUsers('t.oid')}
  AND (${COMPOUND} OR EXISTS (${CASTS} AND (k.castsource ${EQ} t.oid OR k.casttarget ${EQ} t.oid))))`;

/** Of type `t`: making a value of it may run others' functions: casts, and the checks of domains. */
export const MADE_BY_CODE = `(${OWN_INPUT}
  OR (EXISTS (${CASTS}) OR EXISTS (${CHECKS})) AND (${COMPOUND}
    OR EXISTS (${CASTS} AND (k.castsource ${EQ} t.oid OR k.casttarget ${EQ} t.oid))
    OR EXISTS (${CHECKS} AND k.contypid ${EQ} t.oid)))`;
