/** A real PostgreSQL for tests and bench: the demo's. */
export {
  embeddedBinaries,
  freePort,
  serverUser,
  startPostgres,
  type Postgres as TestPostgres,
} from '../cli/demo/postgres.ts';
