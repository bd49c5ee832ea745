/** Settings that act on the server rather than on the session: PostgreSQL lets superusers alone change them. */
import type { Walk } from './walk.ts';

/**
 * Those of context `superuser` in PostgreSQL 18's pg_settings, less what only words or counts: they switch triggers and
 * foreign keys off, let catalogs be changed, load code, hide statements from the server's log.
 */
const ADMINISTRATIVE: ReadonlySet<string> = new Set(
  `allow_in_place_tablespaces allow_system_table_mods backtrace_functions commit_delay compute_query_id deadlock_timeout
  debug_discard_caches dynamic_library_path event_triggers extension_control_path ignore_checksum_failure
  ignore_system_indexes jit_dump_bitcode lo_compat_privileges local_preload_libraries log_duration log_error_verbosity
  log_executor_stats log_lock_failures log_lock_waits log_min_duration_sample log_min_duration_statement
  log_min_error_statement log_min_messages log_parameter_max_length log_parser_stats log_planner_stats
  log_replication_commands log_statement log_statement_sample_rate log_statement_stats log_temp_files
  log_transaction_sample_rate max_stack_depth session_preload_libraries session_replication_role temp_file_limit
  track_activities wal_compression wal_consistency_checking wal_init_zero wal_recycle zero_damaged_pages`.split(
    /\s+/,
  ),
);

/** `name` in lower case. */
export const isAdministrative = (name: string): boolean => ADMINISTRATIVE.has(name);

/**
 * By these a client chooses the index that rows are read by, and so their order: that of a protected column, when nothing
 * sorts them.
 */
const PLANNING =
  /^enable_|^(?!jit_).*_cost$|^(?:cursor_tuple_fraction|effective_cache_size|debug_parallel_query)$/;

export function planningUnderMasks(walk: Walk, name: string): void {
  if (walk.masked && PLANNING.test(name))
    walk.refuse(
      `the setting ${name} could put rows in the order of a protected column`,
      'leave the choice of plans to the server',
    );
}
