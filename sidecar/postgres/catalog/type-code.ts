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

/** The types that a type of users is made of: base of a domain, elements, attributes, subtypes of ranges. Itself first. */
function parts(type: string): string {
  return `WITH RECURSIVE parts(oid) AS (
    SELECT ${type}::${OID}
    UNION
    SELECT next.oid FROM parts CROSS JOIN LATERAL (
      SELECT t.typbasetype FROM pg_catalog.pg_type t WHERE t.oid ${EQ} parts.oid
      UNION ALL SELECT t.typelem FROM pg_catalog.pg_type t WHERE t.oid ${EQ} parts.oid
      UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid ${EQ} parts.oid OR r.rngmultitypid ${EQ} parts.oid
      UNION ALL SELECT m.atttypid FROM pg_catalog.pg_type t
        JOIN pg_catalog.pg_attribute m ON m.attrelid ${EQ} t.typrelid
        WHERE t.oid ${EQ} parts.oid AND t.typrelid OPERATOR(pg_catalog.<>) 0::${OID}
        AND m.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT m.attisdropped
    ) AS next(oid) WHERE next.oid OPERATOR(pg_catalog.>=) ${FIRST_USER_OID}::${OID})`;
}

const CASTS = `SELECT FROM parts
    JOIN pg_catalog.pg_cast k ON (k.castsource ${EQ} parts.oid OR k.casttarget ${EQ} parts.oid)
    JOIN pg_catalog.pg_proc p ON p.oid ${EQ} k.castfunc JOIN pg_catalog.pg_language l ON l.oid ${EQ} p.prolang
    WHERE ${UNTRUSTED}`;

/** Of the function or type `oid` of catalog `classid`: an extension brought it. */
function fromExtension(classid: number, oid: string): string {
  return `EXISTS (SELECT FROM pg_catalog.pg_depend m WHERE m.classid ${EQ} ${classid}::${OID} AND m.objid ${EQ} ${oid}
    AND m.deptype ${EQ} 'e'::${CHAR})`;
}

/** The types whose input is C that somebody wrote, and no extension brought. */
const OWN_INPUT = `SELECT FROM parts JOIN pg_catalog.pg_type t ON t.oid ${EQ} parts.oid
    WHERE t.typinput::${OID} OPERATOR(pg_catalog.>=) ${FIRST_USER_OID}::${OID} AND NOT ${fromExtension(TYPE, 't.oid')}`;

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

/** A value of the type may be converted by others' functions, even without a word: casts can be implicit. */
export function convertedByCode(type: string): string {
  return `EXISTS (${parts(type)} ${CASTS})`;
}

/** Making a value of the type may run others' functions: casts, and the checks of domains. */
export function madeByCode(type: string): string {
  return `EXISTS (${parts(type)} ${CASTS} UNION ALL ${OWN_INPUT} UNION ALL SELECT FROM parts
    JOIN pg_catalog.pg_constraint k ON k.contypid ${EQ} parts.oid
    JOIN pg_catalog.pg_depend d ON d.classid ${EQ} ${CONSTRAINT}::${OID} AND d.objid ${EQ} k.oid
    LEFT JOIN pg_catalog.pg_operator o ON d.refclassid ${EQ} ${OPERATOR}::${OID} AND o.oid ${EQ} d.refobjid
    JOIN pg_catalog.pg_proc p ON p.oid ${EQ}
      (CASE WHEN d.refclassid ${EQ} ${PROC}::${OID} THEN d.refobjid ELSE o.oprcode::${OID} END)
    JOIN pg_catalog.pg_language l ON l.oid ${EQ} p.prolang
    WHERE ${UNTRUSTED})`;
}
