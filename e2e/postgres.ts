/** A real PostgreSQL for tests and bench: the demo's. */
export {
  embeddedBinaries,
  freePort,
  serverUser,
  startPostgres,
  type Postgres as TestPostgres,
  type PostgresOptions as TestPostgresOptions,
} from '../cli/demo/postgres.ts';
