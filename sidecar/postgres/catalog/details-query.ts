/** The text that reads relations whole, and the one that says whether they have changed. */
import { FIRST_USER_OID, oidArray, textLiteral } from './literal.ts';
import { CONVERTED } from './type-code.ts';

/** Oids of system catalogs, fixed by PostgreSQL's bootstrap. */
const CLASS = 1259;
const REWRITE = 2618;
const ATTRDEF = 2604;
const CONSTRAINT = 2606;
const PROC = 1255;
const OPERATOR = 2617;

/** Short for the qualified operators: no search_path can give them another meaning. */
const EQ = 'OPERATOR(pg_catalog.=)';
const NE = 'OPERATOR(pg_catalog.<>)';
const GT = 'OPERATOR(pg_catalog.>)';
const GE = 'OPERATOR(pg_catalog.>=)';
const TEXT = 'pg_catalog.text';
const CHAR = 'pg_catalog."char"';

/**
 * The seeds and what they imply: ancestors of a partition or child, all descendants of a parent, and what a view is
 * made of, with theirs. Ancestors met on the way do not bring in their other children, nor descendants other parents.
 */
function closure(oids: Iterable<number>): string {
  return `wanted(oid, direction) AS (
  SELECT seed, 0 FROM pg_catalog.unnest(${oidArray(oids)}) AS seed
  UNION
  SELECT next.oid, next.direction FROM wanted w CROSS JOIN LATERAL (
    SELECT i.inhparent, 1 FROM pg_catalog.pg_inherits i WHERE i.inhrelid ${EQ} w.oid AND w.direction ${NE} 2
    UNION ALL
    SELECT i.inhrelid, 2 FROM pg_catalog.pg_inherits i WHERE i.inhparent ${EQ} w.oid AND w.direction ${NE} 1
    UNION ALL
    SELECT d.refobjid, 0 FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_depend d ON d.classid ${EQ} ${REWRITE}::pg_catalog.oid AND d.objid ${EQ} r.oid
    WHERE r.ev_class ${EQ} w.oid AND r.ev_type ${EQ} '1'::${CHAR} AND d.refclassid ${EQ} ${CLASS}::pg_catalog.oid
  ) AS next(oid, direction)
)`;
}

/** Of relation `c`: equal as long as nothing that `Relation` tells has changed. Costs some 30 µs a relation. */
const VERSION = `pg_catalog.concat_ws(' ', c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relrowsecurity,
  (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(':', a.attnum, a.xmin), ',' ORDER BY a.attnum))
   FROM pg_catalog.pg_attribute a WHERE a.attrelid ${EQ} c.oid AND a.attnum ${GT} 0::pg_catalog.int2),
  (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(':', i.inhparent, i.xmin), ',' ORDER BY i.inhparent))
   FROM pg_catalog.pg_inherits i WHERE i.inhrelid ${EQ} c.oid),
  (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(':', i.inhrelid, i.xmin), ',' ORDER BY i.inhrelid))
   FROM pg_catalog.pg_inherits i WHERE i.inhparent ${EQ} c.oid),
  (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(':', r.oid, r.xmin), ',' ORDER BY r.oid))
   FROM pg_catalog.pg_rewrite r WHERE r.ev_class ${EQ} c.oid),
  (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(':', t.oid, t.xmin), ',' ORDER BY t.oid))
   FROM pg_catalog.pg_trigger t WHERE t.tgrelid ${EQ} c.oid),
  (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(':', k.oid, k.xmin), ',' ORDER BY k.oid))
   FROM pg_catalog.pg_constraint k WHERE k.conrelid ${EQ} c.oid),
  (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(':', x.indexrelid, x.indisunique), ',' ORDER BY x.indexrelid))
   FROM pg_catalog.pg_index x WHERE x.indrelid ${EQ} c.oid),
  (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(':', k.oid, k.xmin), ',' ORDER BY k.oid))
   FROM pg_catalog.pg_cast k WHERE k.oid ${GE} ${FIRST_USER_OID}::pg_catalog.oid),
  pointing.version)`;

/** Foreign keys that point at wanted relations, in one pass: pg_constraint has no index on confrelid. */
const POINTING = `pointing AS MATERIALIZED (
  SELECT k.confrelid AS oid,
    pg_catalog.json_agg(pg_catalog.json_build_array(k.conrelid::pg_catalog.int8, k.conkey, k.confkey, k.confdeltype, k.confupdtype)
      ORDER BY k.oid)::${TEXT} AS keys,
    pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(':', k.oid, k.xmin), ',' ORDER BY k.oid)) AS version
  FROM pg_catalog.pg_constraint k
  JOIN (SELECT DISTINCT w.oid FROM wanted w) AS w ON w.oid ${EQ} k.confrelid
  WHERE k.contype ${EQ} 'f'::${CHAR} GROUP BY k.confrelid
)`;

const COLUMNS = `(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum, a.attname, a.atttypid::pg_catalog.int8, a.attgenerated,
    a.atttypid ${EQ} ANY ((SELECT converted.types FROM converted)::pg_catalog.oid[]))
    ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
  WHERE a.attrelid ${EQ} c.oid AND a.attnum ${GT} 0::pg_catalog.int2 AND NOT a.attisdropped)`;

/** What generated columns are made of: the column itself depends on it up to 14, its expression from 15 on. */
const GENERATED = `(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum, d.refobjsubid))
  FROM pg_catalog.pg_attribute a
  LEFT JOIN pg_catalog.pg_attrdef e ON e.adrelid ${EQ} a.attrelid AND e.adnum ${EQ} a.attnum
  JOIN pg_catalog.pg_depend d ON
    (d.classid ${EQ} ${CLASS}::pg_catalog.oid AND d.objid ${EQ} a.attrelid AND d.objsubid ${EQ} a.attnum::pg_catalog.int4)
    OR (d.classid ${EQ} ${ATTRDEF}::pg_catalog.oid AND d.objid ${EQ} e.oid)
  WHERE a.attrelid ${EQ} c.oid AND a.attnum ${GT} 0::pg_catalog.int2 AND a.attgenerated ${NE} ''::${CHAR}
  AND d.refclassid ${EQ} ${CLASS}::pg_catalog.oid AND d.refobjid ${EQ} a.attrelid
  AND d.refobjsubid ${NE} a.attnum::pg_catalog.int4)`;

/** A constraint's kind is its letter in pg_constraint. */
const CONSTRAINTS = `(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(k.contype, k.conname, k.conkey,
    k.confrelid::pg_catalog.int8, k.confkey) ORDER BY k.oid) FROM pg_catalog.pg_constraint k
  WHERE k.conrelid ${EQ} c.oid AND k.contype ${EQ} ANY (ARRAY['p', 'u', 'c', 'f', 'x']::${CHAR}[]))`;

/** Whether an expression takes the row as a whole, of which pg_depend knows nothing. */
function wholeRow(expression: string): string {
  return `pg_catalog.strpos(coalesce(${expression}::${TEXT}, ''), ':varattno 0 ') ${GT} 0`;
}

/**
 * Indexes without a constraint that are unique or computed; 0 among their columns stands for the whole row. One that is only
 * computed is like a check: of a row itself it may fail, and says nothing of others.
 */
const INDEXES = `(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
    CASE WHEN x.indexprs IS NULL AND x.indpred IS NULL THEN 'u' WHEN x.indisunique THEN 'i' ELSE 'c' END, ic.relname,
    CASE WHEN ${wholeRow('x.indexprs')} OR ${wholeRow('x.indpred')} THEN pg_catalog.json_build_array(0)
    ELSE (SELECT pg_catalog.json_agg(DISTINCT d.refobjsubid) FROM pg_catalog.pg_depend d
     WHERE d.classid ${EQ} ${CLASS}::pg_catalog.oid AND d.objid ${EQ} x.indexrelid
     AND d.refclassid ${EQ} ${CLASS}::pg_catalog.oid AND d.refobjid ${EQ} c.oid
     AND d.refobjsubid ${GT} 0) END, 0, NULL) ORDER BY x.indexrelid)
  FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class ic ON ic.oid ${EQ} x.indexrelid
  WHERE x.indrelid ${EQ} c.oid AND (x.indisunique OR x.indexprs IS NOT NULL OR x.indpred IS NOT NULL)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid ${EQ} c.oid AND k.conindid ${EQ} x.indexrelid
    AND k.contype ${EQ} ANY (ARRAY['p', 'u', 'x']::${CHAR}[])))`;

/** Union of the tgtype bits of triggers that can fire, the system's own for constraints left out. */
const TRIGGERS = `(SELECT pg_catalog.bit_or(t.tgtype) FROM pg_catalog.pg_trigger t
  WHERE t.tgrelid ${EQ} c.oid AND t.tgenabled ${NE} 'D'::${CHAR}
  AND (NOT t.tgisinternal OR t.tgfoid ${GE} 16384::pg_catalog.oid))`;

/** Columns of the partition key, those within expressions too: on these the table depends itself. */
const PARTITION_KEY = `(SELECT pg_catalog.json_agg(DISTINCT key.number) FROM pg_catalog.pg_partitioned_table p
  CROSS JOIN LATERAL (
    SELECT k::pg_catalog.int4 FROM pg_catalog.unnest(p.partattrs::pg_catalog.int2[]) AS k
    UNION ALL
    SELECT d.refobjsubid FROM pg_catalog.pg_depend d
    WHERE d.classid ${EQ} ${CLASS}::pg_catalog.oid AND d.objid ${EQ} c.oid AND d.objsubid ${EQ} 0
    AND d.refclassid ${EQ} ${CLASS}::pg_catalog.oid AND d.refobjid ${EQ} c.oid) AS key(number)
  WHERE p.partrelid ${EQ} c.oid AND key.number ${GT} 0)`;

const OID = 'pg_catalog.oid';

/** PostgreSQL's own functions are in no dependency, so any that is found is another's. */
const RUNS_CODE = `(EXISTS (SELECT FROM (
    SELECT ${ATTRDEF}::${OID}, e.oid FROM pg_catalog.pg_attrdef e WHERE e.adrelid ${EQ} c.oid
    UNION ALL SELECT ${CONSTRAINT}::${OID}, k.oid FROM pg_catalog.pg_constraint k WHERE k.conrelid ${EQ} c.oid
    UNION ALL SELECT ${CLASS}::${OID}, x.indexrelid FROM pg_catalog.pg_index x WHERE x.indrelid ${EQ} c.oid
    UNION ALL SELECT ${CLASS}::${OID}, c.oid
    UNION ALL SELECT ${CONSTRAINT}::${OID}, k.oid FROM pg_catalog.pg_attribute a
      JOIN pg_catalog.pg_constraint k ON k.contypid ${EQ} a.atttypid
      WHERE a.attrelid ${EQ} c.oid AND a.attnum ${GT} 0::pg_catalog.int2 AND a.atttypid ${GE} 16384::${OID}
  ) AS own(classid, objid)
  JOIN pg_catalog.pg_depend d ON d.classid ${EQ} own.classid AND d.objid ${EQ} own.objid
  LEFT JOIN pg_catalog.pg_operator o ON d.refclassid ${EQ} ${OPERATOR}::${OID} AND o.oid ${EQ} d.refobjid
  JOIN pg_catalog.pg_proc p ON p.oid ${EQ}
    (CASE WHEN d.refclassid ${EQ} ${PROC}::${OID} THEN d.refobjid ELSE o.oprcode::${OID} END)
  JOIN pg_catalog.pg_language l ON l.oid ${EQ} p.prolang
  WHERE p.provolatile ${EQ} 'v'::${CHAR} OR l.lanname ${NE} ALL (ARRAY['c', 'internal']::pg_catalog.name[]))
  OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type t ON t.oid ${EQ} a.atttypid AND t.typtype ${EQ} 'd'::${CHAR}
    JOIN pg_catalog.pg_type b ON b.oid ${EQ} t.typbasetype AND b.typtype ${EQ} 'd'::${CHAR}
    WHERE a.attrelid ${EQ} c.oid AND a.attnum ${GT} 0::pg_catalog.int2 AND a.atttypid ${GE} 16384::${OID}))`;

/**
 * Three statements in one text: the view definitions are deparsed under an empty search_path, so that they name
 * everything in full, and the path that the connection had is put back. The setting is local, so it ends with the
 * transaction in any case, and leaves what SET has said in this transaction or before as it was.
 * Rows of the middle one begin with `relation`.
 */
export function detailsQuery(oids: Iterable<number>, searchPath: string): string {
  return `SELECT 'path', pg_catalog.set_config('search_path', '', true);
WITH RECURSIVE ${closure(oids)}, ${POINTING}, ${CONVERTED}
SELECT 'relation', c.oid, n.nspname, c.relname, c.relkind, c.relpersistence ${EQ} 't'::${CHAR},
  ${COLUMNS},
  ${GENERATED},
  (SELECT pg_catalog.json_agg(i.inhparent::pg_catalog.int8 ORDER BY i.inhseqno) FROM pg_catalog.pg_inherits i WHERE i.inhrelid ${EQ} c.oid),
  (SELECT pg_catalog.json_agg(i.inhrelid::pg_catalog.int8 ORDER BY i.inhrelid) FROM pg_catalog.pg_inherits i WHERE i.inhparent ${EQ} c.oid),
  CASE WHEN c.relkind ${EQ} ANY (ARRAY['v', 'm']::${CHAR}[]) THEN pg_catalog.pg_get_viewdef(c.oid) END,
  ${TRIGGERS},
  EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class ${EQ} c.oid AND
    (r.ev_type ${NE} '1'::${CHAR} OR r.rulename ${NE} '_RETURN'::pg_catalog.name)),
  c.relrowsecurity,
  ${CONSTRAINTS},
  ${INDEXES},
  pointing.keys,
  ${RUNS_CODE},
  ${PARTITION_KEY},
  ${VERSION}
FROM (SELECT DISTINCT w.oid FROM wanted w) AS w
JOIN pg_catalog.pg_class c ON c.oid ${EQ} w.oid
JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} c.relnamespace
LEFT JOIN pointing ON pointing.oid ${EQ} c.oid;
SELECT 'path', pg_catalog.set_config('search_path', ${textLiteral(searchPath)}, true)`;
}

/** Rows `oid, version` for those of the relations that still exist. */
export function versionsQuery(oids: Iterable<number>): string {
  return `WITH wanted(oid) AS (SELECT w FROM pg_catalog.unnest(${oidArray(oids)}) AS w), ${POINTING}
SELECT c.oid, ${VERSION}
FROM wanted w JOIN pg_catalog.pg_class c ON c.oid ${EQ} w.oid
JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} c.relnamespace
LEFT JOIN pointing ON pointing.oid ${EQ} c.oid`;
}
