/** Shapes of PostgreSQL's own types, by their oids, which never change (its `pg_type.dat`). */
import type { TypeLookup, TypeShape } from './type-shape.ts';

const shapes = new Map<number, TypeShape>();

/** Base types as `oid:array oid` pairs. */
function add(shape: TypeShape, list: string, delimiter = ','): void {
  for (const entry of list.split(' ')) {
    const [oid = 0, array = 0] = entry.split(':').map(Number);
    shapes.set(oid, shape);
    if (array !== 0) shapes.set(array, { kind: 'array', element: oid, delimiter });
  }
}

// text varchar name xml refcursor cstring unknown
add({ kind: 'text', padded: false }, '25:1009 1043:1015 19:1003 142:143 1790:2201 2275:1263 705');
add({ kind: 'text', padded: true }, '1042:1014');
add({ kind: 'json', version: false }, '114:199');
add({ kind: 'json', version: true }, '3802:3807');
// "char" tsvector tsquery jsonpath aclitem
add({ kind: 'carrier' }, '18:1002 3614:3643 3615:3645 4072:4073 1033:1034');
add({ kind: 'bytea' }, '17:1001');
add({ kind: 'number', of: 'int8' }, '20:1016');
add({ kind: 'number', of: 'float8' }, '701:1022');
add({ kind: 'number', of: 'numeric' }, '1700:1231');
add({ kind: 'inet' }, '650:651 869:1041');
// bool date time timestamp timestamptz timetz interval
add({ kind: 'plain' }, '16:1000 1082:1182 1083:1183 1114:1115 1184:1185 1266:1270 1186:1187');
// int2 int4 float4 money, oid and its kin, xid cid tid xid8, uuid, macaddr macaddr8, pg_lsn and snapshots, bit varbit, void
add(
  { kind: 'plain' },
  '21:1005 23:1007 700:1021 790:791 26:1028 24:1008 2202:2207 2203:2208 2204:2209 2205:2210 2206:2211',
);
add(
  { kind: 'plain' },
  '3734:3735 3769:3770 4089:4090 4096:4097 4191:4192 28:1011 29:1012 27:1010 5069:271 2950:2951',
);
add({ kind: 'plain' }, '829:1040 774:775 3220:3221 2970:2949 5038:5039 1560:1561 1562:1563 2278');
// int2vector oidvector; point lseg path polygon line circle; box
add({ kind: 'plain' }, '22:1006 30:1013 600:1017 601:1018 602:1019 604:1027 628:629 718:719');
add({ kind: 'plain' }, '603:1020', ';');
add({ kind: 'record' }, '2249:2287');
add({ kind: 'range', subtype: 23 }, '3904:3905');
add({ kind: 'range', subtype: 1700 }, '3906:3907');
add({ kind: 'range', subtype: 1114 }, '3908:3909');
add({ kind: 'range', subtype: 1184 }, '3910:3911');
add({ kind: 'range', subtype: 1082 }, '3912:3913');
add({ kind: 'range', subtype: 20 }, '3926:3927');
add({ kind: 'multirange', subtype: 23 }, '4451:6150');
add({ kind: 'multirange', subtype: 1700 }, '4532:6151');
add({ kind: 'multirange', subtype: 1114 }, '4533:6152');
add({ kind: 'multirange', subtype: 1184 }, '4534:6153');
add({ kind: 'multirange', subtype: 1082 }, '4535:6155');
add({ kind: 'multirange', subtype: 20 }, '4536:6157');

export const builtinTypes: TypeLookup = (oid) => shapes.get(oid);
