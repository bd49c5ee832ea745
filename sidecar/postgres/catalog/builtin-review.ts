/**
 * What a person decided about PostgreSQL's own functions, by name. `generate-builtins.ts` joins it with a live
 * server's pg_proc into `builtin-data.ts`. All overloads of a name share one verdict: that of the most dangerous one.
 *
 * Without a verdict here: immutable functions only compute, stable ones read, volatile ones are opaque. Functions that
 * take or give `internal`, `cstring`, triggers or handlers, and all written in C outside the server, are always opaque.
 * Source for what each does: PostgreSQL's manual, chapter "Functions and Operators", and the catalogs' descriptions.
 */
import type { Effect } from '../../operation.ts';

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Runs text that it is given, reads relations that it is given by name, or calls a type's code by the type's name. */
export const OPAQUE = words(`
  query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema
  table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema
  schema_to_xml_and_xmlschema database_to_xml database_to_xmlschema database_to_xml_and_xmlschema
  ts_stat ts_rewrite currtid2 pg_input_is_valid pg_input_error_info
  fmgr_internal_validator fmgr_c_validator fmgr_sql_validator pg_isolation_test_session_is_blocked
`);

/** Opaque by how their names begin. */
export const OPAQUE_PREFIXES = ['binary_upgrade_', 'pg_event_trigger_'] as const;

/** Volatile or stable, and yet a function of their arguments, the clock, a random source and settings alone. */
const COMPUTES = words(`
  age aclexplode anytextcat textanycat array_sample array_shuffle array_to_json array_to_string
  clock_timestamp concat concat_ws convert convert_from convert_to date date_add date_part date_subtract date_trunc
  date_eq_timestamptz date_ge_timestamptz date_gt_timestamptz date_le_timestamptz date_lt_timestamptz
  date_ne_timestamptz date_cmp_timestamptz enum_first enum_last enum_range extract format gen_random_uuid
  generate_series in_range interval_pl_timestamptz json_agg json_agg_strict json_build_array json_build_object
  json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict json_populate_record
  json_populate_recordset json_to_record json_to_recordset json_to_tsvector jsonb_agg jsonb_agg_strict
  jsonb_build_array jsonb_build_object jsonb_path_exists_tz jsonb_path_match_tz jsonb_path_query_array_tz
  jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record jsonb_populate_record_valid
  jsonb_populate_recordset jsonb_to_record jsonb_to_recordset jsonb_to_tsvector length make_timestamptz money now
  numeric overlaps phraseto_tsquery plainto_tsquery quote_literal quote_nullable random random_normal
  row_to_json statement_timestamp time timeofday timestamp timestamptz timetz timezone to_char to_date to_json
  to_jsonb to_number to_timestamp to_tsquery to_tsvector transaction_timestamp ts_headline ts_match_tq ts_match_tt
  ts_parse ts_token_type uuidv4 uuidv7 websearch_to_tsquery xml xml_is_well_formed
  timestamp_cmp_timestamptz timestamp_eq_timestamptz timestamp_ge_timestamptz timestamp_gt_timestamptz
  timestamp_le_timestamptz timestamp_lt_timestamptz timestamp_ne_timestamptz timestamptz_cmp_date
  timestamptz_cmp_timestamp timestamptz_eq_date timestamptz_eq_timestamp timestamptz_ge_date
  timestamptz_ge_timestamp timestamptz_gt_date timestamptz_gt_timestamp timestamptz_le_date
  timestamptz_le_timestamp timestamptz_lt_date timestamptz_lt_timestamp timestamptz_mi_interval timestamptz_ne_date
  timestamptz_ne_timestamp timestamptz_pl_interval
`);

/** Read the server's state and change nothing: the volatile ones, and immutable ones that look things up after all. */
const READS = words(`
  amvalidate currval lastval current_query pg_available_wal_summaries pg_blocking_pids pg_collation_actual_version
  pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system pg_current_wal_flush_lsn
  pg_current_wal_insert_lsn pg_current_wal_lsn pg_current_xact_id pg_database_collation_actual_version
  pg_database_size pg_get_aios pg_get_backend_memory_contexts pg_get_loaded_modules pg_get_multixact_members
  pg_get_sequence_data pg_get_shmem_allocations pg_get_shmem_allocations_numa pg_get_wait_events
  pg_get_wal_replay_pause_state pg_get_wal_resource_managers pg_get_wal_summarizer_state pg_indexes_size
  pg_is_in_recovery pg_is_wal_replay_paused pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn
  pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status pg_notification_queue_usage
  pg_partition_ancestors pg_partition_tree pg_partition_root pg_prepared_xact pg_relation_size
  pg_replication_origin_progress pg_replication_origin_session_is_setup pg_replication_origin_session_progress
  pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_show_replication_origin_status pg_stat_have_stats
  pg_table_size pg_tablespace_size pg_total_relation_size pg_visible_in_snapshot pg_walfile_name
  pg_walfile_name_offset pg_wal_summary_contents pg_xact_commit_timestamp pg_xact_commit_timestamp_origin
  pg_xact_status satisfies_hash_partition txid_current txid_status txid_visible_in_snapshot
`);

/** Change this session alone, or block it: settings, locks of its own, notifications, waiting. */
const SESSION = words(`
  set_config setseed pg_notify pg_sleep pg_sleep_for pg_sleep_until pg_export_snapshot pg_stat_clear_snapshot
  pg_stat_force_next_flush pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all
  pg_advisory_unlock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock
  pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
`);

/** Change data: sequences, large objects. Those that write a large object may also read it back in the same call. */
const WRITES = words(`
  nextval setval lo_creat lo_create lo_from_bytea lo_open lo_put lo_truncate lo_truncate64 lowrite
`);

const LARGE_OBJECT_READS = words('lo_close lo_get lo_lseek lo_lseek64 lo_tell lo_tell64 loread');

/** Work on the server itself: files, other backends, WAL, replication, statistics, indexes behind the back of DML. */
const ADMINISTERS = words(`
  lo_import lo_export pg_read_file pg_read_binary_file pg_stat_file pg_ls_archive_statusdir pg_ls_dir pg_ls_logdir
  pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir pg_ls_tmpdir pg_ls_waldir
  pg_current_logfile pg_hba_file_rules pg_ident_file_mappings pg_show_all_file_settings pg_config
  pg_terminate_backend pg_cancel_backend pg_log_backend_memory_contexts pg_reload_conf pg_rotate_logfile pg_promote
  pg_switch_wal pg_create_restore_point pg_wal_replay_pause pg_wal_replay_resume pg_backup_start pg_backup_stop
  pg_copy_logical_replication_slot pg_copy_physical_replication_slot pg_create_logical_replication_slot
  pg_create_physical_replication_slot pg_drop_replication_slot pg_replication_slot_advance
  pg_sync_replication_slots pg_log_standby_snapshot pg_logical_emit_message pg_logical_slot_get_binary_changes
  pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes pg_logical_slot_peek_changes
  pg_replication_origin_advance pg_replication_origin_create pg_replication_origin_drop
  pg_replication_origin_session_reset pg_replication_origin_session_setup pg_replication_origin_xact_reset
  pg_replication_origin_xact_setup pg_stat_reset pg_stat_reset_backend_stats pg_stat_reset_replication_slot
  pg_stat_reset_shared pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters
  pg_stat_reset_slru pg_stat_reset_subscription_stats pg_clear_attribute_stats pg_clear_relation_stats
  pg_restore_attribute_stats pg_restore_relation_stats brin_desummarize_range brin_summarize_new_values
  brin_summarize_range gin_clean_pending_list pg_import_system_collations pg_nextoid pg_stop_making_pinned_objects
  pg_extension_config_dump
`);

/** Verdicts by name. */
export const REVIEWED: readonly { readonly effects: readonly Effect[]; readonly names: readonly string[] }[] =
  [
    { effects: [], names: COMPUTES },
    { effects: ['read'], names: READS },
    { effects: ['read'], names: LARGE_OBJECT_READS },
    { effects: ['session'], names: SESSION },
    { effects: ['write'], names: WRITES },
    { effects: ['delete'], names: ['lo_unlink'] },
    { effects: ['administer'], names: ADMINISTERS },
  ];

/** Counters of the statistics views: all of them only read. */
export const READ_PREFIXES = ['pg_stat_get_'] as const;
