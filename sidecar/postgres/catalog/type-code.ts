/** Texts that find out whether using a type runs functions that are not PostgreSQL's own. */
import { FIRST_USER_OID } from './literal.ts';

const EQ = 'OPERATOR(pg_catalog.=)';
const OID = 'pg_catalog.oid';
const CHAR = 'pg_catalog."char"';
const CONSTRAINT = 2606;
const PROC = 1255;
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

/** A value of the type may be converted by others' functions, even without a word: casts can be implicit. */
export function convertedByCode(type: string): string {
  return `EXISTS (${parts(type)} ${CASTS})`;
}

/** Making a value of the type may run others' functions: casts, and the checks of domains. */
export function madeByCode(type: string): string {
  return `EXISTS (${parts(type)} ${CASTS} UNION ALL SELECT FROM parts
    JOIN pg_catalog.pg_constraint k ON k.contypid ${EQ} parts.oid
    JOIN pg_catalog.pg_depend d ON d.classid ${EQ} ${CONSTRAINT}::${OID} AND d.objid ${EQ} k.oid
    LEFT JOIN pg_catalog.pg_operator o ON d.refclassid ${EQ} ${OPERATOR}::${OID} AND o.oid ${EQ} d.refobjid
    JOIN pg_catalog.pg_proc p ON p.oid ${EQ}
      (CASE WHEN d.refclassid ${EQ} ${PROC}::${OID} THEN d.refobjid ELSE o.oprcode::${OID} END)
    JOIN pg_catalog.pg_language l ON l.oid ${EQ} p.prolang
    WHERE ${UNTRUSTED})`;
}
