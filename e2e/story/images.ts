/** What the pages of the documentation call `postgres:18`: server and client programs, as the image of that name has them. */
import { globSync } from 'node:fs';
import { findProgram, librariesOf } from '../cluster/programs-of-machine.ts';
import { agentImage, postgresImage } from '../cluster/images.ts';
import type { Image, ImageEntry } from '../cluster/image.ts';

export async function databaseImage(): Promise<Image> {
  const server = await postgresImage();
  const agent = await agentImage();
  const clients = ['psql', 'pg_isready', 'pg_dump'].map(clientProgram);
  const known = new Set(server.entries.map(({ path }) => path));
  return {
    ...server,
    name: 'docker.io/library/postgres:18',
    entries: [
      ...server.entries.filter(({ path }) => path !== '/start'),
      ...agent.entries.filter(({ path }) => !known.has(path) && path !== '/usr/bin/psql'),
      { kind: 'file', path: '/start', content: START, mode: 0o755 },
      ...clients.map(([name, from]): ImageEntry => ({
        kind: 'copy',
        path: `/usr/local/bin/${name}`,
        from,
        mode: 0o755,
      })),
      ...(await librariesOf(clients.map(([, from]) => from))),
    ],
    env: { PATH: '/usr/local/bin:/usr/local/pgsql/bin:/usr/bin' },
  };
}

/** Debian's own are scripts that look for the real ones. */
function clientProgram(name: string): readonly [string, string] {
  const [newest] = globSync(`/usr/lib/postgresql/*/bin/${name}`).sort().reverse();
  return [name, newest ?? findProgram(name)];
}

/** Environment: POSTGRES_PASSWORD, and POSTGRES_DB. */
const START = `#!/usr/bin/bash
set -e
if [ ! -s /data/pg/PG_VERSION ]; then
  umask 077
  printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
  initdb -D /data/pg -U postgres -E UTF8 --locale=C -A trust --pwfile=/tmp/password -N > /tmp/initdb.log
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> /data/pg/pg_hba.conf
  echo "create database \\"$POSTGRES_DB\\"" | postgres --single -D /data/pg postgres > /dev/null
fi
exec postgres -D /data/pg -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
`;
