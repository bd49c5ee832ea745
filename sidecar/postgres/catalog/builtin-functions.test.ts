import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { startPostgres, type TestPostgres } from '../../../e2e/postgres.ts';
import { builtinFunction, SCALAR_TYPES, totalOperator } from './builtin-functions.ts';
import { BUILTINS_QUERY, generateBuiltins } from './generate-builtins.ts';
import { GROWING, TOTAL, TOTAL_ON_SCALARS } from './total-functions.ts';
import { valueCarryingFunction, valueCarryingRelation } from './value-carrying.ts';

const asText = { getTypeParser: () => (value: string) => value };

describe('built-in functions', () => {
  let server: TestPostgres;
  let client: pg.Client;
  const rows = async (text: string) => {
    const result = await client.query({ text, rowMode: 'array', types: asText });
    // pg gives arrays of text under this row mode and parser.
    return result.rows as unknown as (string | null)[][];
  };
  before(async () => {
    server = await startPostgres();
    client = new pg.Client({ ...server, database: 'postgres' });
    await client.connect();
  });
  after(async () => {
    await client.end();
    await server.stop();
  });

  it('are as a live server has them (UPDATE_GENERATED=1 writes the file anew)', async () => {
    const file = new URL('builtin-data.ts', import.meta.url);
    const text = generateBuiltins(await rows(BUILTINS_QUERY));
    if (process.env['UPDATE_GENERATED'] === '1') await writeFile(file, text);
    assert.equal(await readFile(file, 'utf8'), text);
  });

  it('total operators exist, and do not fail on odd values', async () => {
    const operators = await rows(
      `SELECT DISTINCT oprname, oprleft, oprright FROM pg_operator WHERE oprnamespace = 11 AND oprleft <> 0`,
    );
    const found = operators.filter(([name, left, right]) =>
      totalOperator(name ?? '', Number(left), Number(right)),
    );
    assert.ok(found.length > 100, String(found.length));
  });

  it('total functions of text do not fail on odd values', async () => {
    const odd = `(VALUES (''), (NULL), ('ß'), (E'\\\\'), (''''), ('{'), ('NaN'), (repeat('ﷺ', 5000))) AS odd(v)`;
    const names = [...TOTAL].filter(
      (name) => !/^(array_.*|cardinality|row_to_json|bool_.*|every|isfinite)$/.test(name),
    );
    for (const name of names) {
      const [row] = await rows(
        `SELECT min(pronargs), bool_or(prokind = 'w') FROM pg_proc WHERE pronamespace = 11 AND proname = '${name}'
           AND proargtypes::oid[] <@ '{25,23,2276,2283,5077,2249}'::oid[]`,
      );
      assert.ok(row, name);
      const extra: Record<string, string> = {
        left: ', -2147483648',
        right: ', -2147483648',
        translate: ", '4', 'x'",
        starts_with: ', v',
        concat_ws: ', v',
        textcat: ', v',
        string_agg: ', v',
        json_typeof: '',
        sign: '',
        to_hex: '',
      };
      const value = /^json_typeof|^jsonb_typeof/.test(name)
        ? `to_json(v)::${name.slice(0, name.indexOf('_'))}`
        : /^sha/.test(name)
          ? `convert_to(v, 'UTF8')`
          : /^sign|^to_hex/.test(name)
            ? 'length(v)'
            : 'v';
      const window = row[1] === 't' ? ' OVER ()' : '';
      const call =
        name === 'row_number' ? 'row_number() OVER ()' : `${name}(${value}${extra[name] ?? ''})${window}`;
      await assert.doesNotReject(rows(`SELECT ${call} FROM ${odd}`), name);
    }
  });
});

describe('effects by name', () => {
  const cases: Record<string, string | undefined> = {
    lower: '',
    now: '',
    random: '',
    count: '',
    json_agg: '',
    format: '',
    generate_series: '',
    concat: '',
    current_setting: 'read',
    pg_get_viewdef: 'read',
    has_table_privilege: 'read',
    currval: 'read',
    lo_get: 'read',
    txid_current: 'read',
    pg_size_pretty: '',
    pg_relation_size: 'read',
    obj_description: 'read',
    lastval: 'read',
    set_config: 'session',
    pg_sleep: 'session',
    pg_advisory_lock: 'session',
    pg_notify: 'session',
    pg_export_snapshot: 'session',
    pg_try_advisory_xact_lock_shared: 'session',
    setseed: 'session',
    nextval: 'write',
    setval: 'write',
    lo_put: 'write',
    lo_create: 'write',
    lowrite: 'write',
    lo_unlink: 'delete',
    lo_import: 'administer',
    lo_export: 'administer',
    pg_read_file: 'administer',
    pg_ls_dir: 'administer',
    pg_stat_file: 'administer',
    pg_terminate_backend: 'administer',
    pg_cancel_backend: 'administer',
    pg_reload_conf: 'administer',
    pg_switch_wal: 'administer',
    pg_promote: 'administer',
    pg_backup_start: 'administer',
    pg_drop_replication_slot: 'administer',
    pg_create_restore_point: 'administer',
    pg_stat_reset: 'administer',
    pg_logical_slot_get_changes: 'administer',
    pg_logical_emit_message: 'administer',
    pg_rotate_logfile: 'administer',
    query_to_xml: undefined,
    table_to_xml: undefined,
    schema_to_xml: undefined,
    database_to_xml: undefined,
    cursor_to_xml: undefined,
    ts_stat: undefined,
    ts_rewrite: undefined,
    dblink: undefined,
    dblink_exec: undefined,
    textin: undefined,
    record_in: undefined,
    domain_in: undefined,
    array_in: undefined,
    int4recv: undefined,
    RI_FKey_check_ins: undefined,
    suppress_redundant_updates_trigger: undefined,
    plpgsql_inline_handler: undefined,
    binary_upgrade_set_next_pg_authid_oid: undefined,
    pg_input_is_valid: undefined,
    currtid2: undefined,
    plpgsql_validator: undefined,
    no_such_function: undefined,
    constructor: undefined,
    '': undefined,
    LOWER: undefined,
    'lower ': undefined,
  };
  for (const [name, effects] of Object.entries(cases)) {
    it(`${name} is ${effects ?? 'opaque'}`, () =>
      assert.equal(builtinFunction(name)?.effects.join(' '), effects));
  }

  it('volatile functions are listed one by one', () => {
    for (const name of ['pg_file_write', 'pg_read_file_v2', 'pg_stat_get_anything']) {
      assert.equal(builtinFunction(name), undefined);
    }
  });

  it('every total name is a listed function without effects that matter', () => {
    for (const name of [...TOTAL, ...GROWING, ...TOTAL_ON_SCALARS.keys()]) {
      const entry = builtinFunction(name);
      assert.ok(entry && entry.effects.every((effect) => effect === 'read'), name);
      assert.notEqual(entry.volatility, 'volatile', name);
    }
  });

  it('what can fail on a value is not total', () => {
    const partial =
      'substr substring split_part repeat lpad to_char date_trunc json_build_object to_number sum avg sqrt log ln div power chr regexp_replace json_object_agg replace bit_length strpos extract to_date pg_sleep';
    for (const name of partial.split(' ')) {
      assert.equal(builtinFunction(name)?.total, false, name);
      assert.equal(builtinFunction(name)?.totalOnScalars, 0, name);
    }
    assert.equal(builtinFunction('max')?.total, false);
    assert.equal(builtinFunction('max')?.totalOnScalars, 1);
    assert.equal(builtinFunction('concat')?.grows, true);
    assert.equal(builtinFunction('lower')?.grows, false);
  });

  it('operators', () => {
    assert.ok(
      totalOperator('||', 25, 1043) && totalOperator('=', 2950, 2950) && totalOperator('->>', 3802, 25),
    );
    assert.ok(
      !totalOperator('||', 1007, 23) && !totalOperator('/', 23, 23) && !totalOperator('->>', 114, 25),
    );
    assert.ok(!totalOperator('=', 2249, 2249) && !totalOperator('~', 25, 25) && !SCALAR_TYPES.has(114));
  });
});

describe('channels of values', () => {
  it('relations', () => {
    for (const [schema, name] of [
      ['pg_catalog', 'pg_stats'],
      ['pg_catalog', 'pg_statistic'],
      ['pg_catalog', 'pg_stat_activity'],
      ['pg_toast', 'pg_toast_1'],
      ['public', 'pg_stat_statements'],
      ['pg_catalog', 'pg_authid'],
      ['information_schema', 'user_mapping_options'],
      ['pg_toast_temp_3', 'x'],
      ['pg_catalog', 'pg_largeobject'],
      ['pg_catalog', 'pg_stats_ext_exprs'],
    ] as const)
      assert.ok(valueCarryingRelation(schema, name), name);
    for (const [schema, name] of [
      ['pg_catalog', 'pg_class'],
      ['public', 'pg_stats'],
      ['information_schema', 'columns'],
      ['pg_catalog', 'pg_tables'],
      ['pg_catalog', 'pg_stat_progress_vacuum'],
    ] as const)
      assert.ok(!valueCarryingRelation(schema, name), name);
  });
  it('functions', () => {
    assert.ok(valueCarryingFunction('pg_stat_get_activity') && !valueCarryingFunction('lower'));
  });
});
