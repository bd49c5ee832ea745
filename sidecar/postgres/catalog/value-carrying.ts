/**
 * Catalog relations and functions through which values of user data, other sessions' statements or secrets come out:
 * channels that are closed for sessions with masks.
 */
const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

const RELATIONS = words(`
  pg_statistic pg_statistic_ext_data pg_stats pg_stats_ext pg_stats_ext_exprs pg_largeobject
  pg_stat_activity pg_prepared_statements pg_prepared_xacts pg_cursors
  pg_authid pg_shadow pg_user_mapping pg_user_mappings pg_subscription
  pg_file_settings pg_hba_file_rules pg_ident_file_mappings
  pg_stat_wal pg_stat_io pg_stat_database pg_buffercache
`);

/** Counters of blocks, rows and dead rows: by them values tell their lengths. */
const COUNTERS = /^(pg_stat|pg_statio|pg_stat_xact)_(all|sys|user)_(tables|indexes|sequences)$/;

/** Of extensions, in whatever schema they were put. */
const ANYWHERE = words('pg_stat_statements pg_stat_monitor pg_qualstats');

const INFORMATION_SCHEMA = words('user_mapping_options _pg_user_mappings');

const FUNCTIONS = words(`
  pg_stat_get_activity pg_stat_get_backend_activity pg_mcv_list_items pg_mcv_list_send
  pg_prepared_statement pg_prepared_xact pg_cursor lo_get loread lo_open lo_export
  pg_show_all_file_settings pg_hba_file_rules pg_ident_file_mappings
  pg_logical_slot_get_changes pg_logical_slot_get_binary_changes pg_logical_slot_peek_changes
  pg_logical_slot_peek_binary_changes
  pg_relation_size pg_table_size pg_indexes_size pg_total_relation_size pg_database_size pg_tablespace_size
  pg_current_wal_lsn pg_current_wal_insert_lsn pg_current_wal_flush_lsn pg_last_wal_receive_lsn pg_last_wal_replay_lsn
  pg_switch_wal pg_create_restore_point pg_logical_emit_message
`);

/** What the counters are read by. */
const COUNTING =
  /^pg_stat_get_(xact_)?(numscans|tuples_|live_tuples|dead_tuples|mod_since|ins_since|blocks_|db_|io$|wal$|backend_io|backend_wal)/;

/** By the resolved schema and name. Every toast table carries values; the progress views do not. */
export function valueCarryingRelation(schema: string, name: string): boolean {
  if (schema === 'pg_toast' || schema.startsWith('pg_toast_temp_')) return true;
  if (ANYWHERE.has(name)) return true;
  if (schema === 'information_schema') return INFORMATION_SCHEMA.has(name);
  return schema === 'pg_catalog' && (RELATIONS.has(name) || COUNTERS.test(name));
}

/** Functions of pg_catalog that give what those relations show, by name. */
export function valueCarryingFunction(name: string): boolean {
  return FUNCTIONS.has(name) || COUNTING.test(name);
}
