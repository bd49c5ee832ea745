/**
 * Client programs that some tests run unchanged: installed from Debian's or Ubuntu's packages where that is possible without
 * asking (as root, with apt-get). Elsewhere the tests that need them are skipped, with the reason.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { userInfo } from 'node:os';
import { clusterPackages, isInstalled } from './cluster/packages.ts';

const WANTED: readonly { readonly program: string; readonly package: string }[] = [
  { program: 'psql', package: 'postgresql-client' },
  { program: 'pgbench', package: 'postgresql-contrib' },
  { program: 'pgbouncer', package: 'pgbouncer' },
  { program: 'openssl', package: 'openssl' },
];

function onPath(program: string): boolean {
  if (spawnSync('sh', ['-c', `command -v ${program}`]).status === 0) return true;
  const folders = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
  return folders.some((version) => existsSync(`/usr/lib/postgresql/${version}/bin/${program}`));
}

const missing = [
  ...WANTED.filter(({ program }) => !onPath(program)),
  ...clusterPackages.filter((each) => !isInstalled(each)),
];
if (missing.length > 0) {
  const packages = [...new Set(missing.map((each) => each.package))];
  if (userInfo().uid !== 0 || !onPath('apt-get')) {
    console.log(
      `not installed: ${missing.map(({ program }) => program).join(', ')}; tests that need them are skipped`,
    );
    console.log(`to have them: sudo apt-get install ${packages.join(' ')}`);
  } else {
    console.log(`installing ${packages.join(', ')}`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    execFileSync('apt-get', ['update', '-qq'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
}
