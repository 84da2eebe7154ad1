import { chmod, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { GIB } from './data-sets.ts';
import { quote } from './contestant.ts';

/** Rows of pgbench: 100,000 for each, some 15 MiB. */
const SCALE = 60;
const TRANSACTIONS_A_DAY = 6000;
const LOG_BYTES_A_DAY = 13 * 1024 * 1024;
const PACKAGES_A_DAY = 3;

/** A disk with a file system, in which a system and a database of PostgreSQL are. */
export interface PostgresDisk {
  readonly path: string;
  /** What happens to it in a day: transactions at random places, a growing log, three packages. The file system is not mounted after it. */
  day(number: number): Promise<void>;
}

/**
 * Makes the disk at `path`, which needs root, a loop device and Debian's postgresql.
 *
 * @param directory for the mount and packages
 */
export async function makePostgresDisk(path: string, directory: string): Promise<PostgresDisk> {
  const [version = ''] = await readdir('/usr/lib/postgresql');
  const programs = `/usr/lib/postgresql/${version}/bin`;
  const packages = await fetchPackages(join(directory, 'packages'));
  const mount = join(directory, 'mnt');
  await mkdir(mount);
  // The database runs as another user.
  await chmod(directory, 0o711);
  const bash = async (script: string): Promise<void> => {
    const mounted = `set -eu; mount -o loop ${quote(path)} ${quote(mount)}; trap "cd /; umount '${mount}'" EXIT; cd ${quote(mount)}`;
    const database = `as() { setpriv --reuid postgres --regid postgres --clear-groups "$@" >&2; }
      pg() { as ${programs}/pg_ctl -s -w -D pg -o "-k /tmp -c listen_addresses= -c port=5999" -l pg/log "$@"; }`;
    await execa('bash', ['-c', `${mounted}\n${database}\n${script}`], { stdin: 'ignore' });
  };
  await execa('truncate', ['-s', String(4 * GIB), path]);
  await execa('mkfs.ext4', ['-q', '-F', path]);
  await bash(`mkdir usr pg var && cp -a /usr/bin /usr/sbin usr/ && (tar -C / --exclude 'usr/lib/debug' -cf - usr/lib || :) | head -c ${GIB} >usr/lib.tar
    chown postgres pg && chmod 700 pg && as ${programs}/initdb -D pg --no-instructions
    pg start && as ${programs}/pgbench -q -h /tmp -p 5999 -i -s ${SCALE} postgres && pg stop`);
  return {
    path,
    async day(number) {
      const today = packages.slice(number * PACKAGES_A_DAY, (number + 1) * PACKAGES_A_DAY);
      const unpack = today.map((file) => `dpkg-deb -x ${quote(file)} .`).join('; ');
      await bash(`pg start && as ${programs}/pgbench -n -h /tmp -p 5999 -c 2 -t ${TRANSACTIONS_A_DAY / 2} --random-seed=${number} postgres && pg stop
        for ((n = 0; n < ${LOG_BYTES_A_DAY} / 130; n++)); do
          printf '2026-11-%02d %s host%d daemon[%d]: request %d of client 192.0.2.%d took %d ms, status %d\\n' $((${number} % 28 + 1)) "$n" $((n % 7)) $((n % 977)) $((n * 7919)) $((n % 251)) $((RANDOM % 900)) $((RANDOM % 5 * 100))
        done >>var/log
        ${unpack}`);
    },
  };
}

/** Enough packages for a month, by their names, so that every run gets the same. */
async function fetchPackages(directory: string): Promise<readonly string[]> {
  await mkdir(directory);
  const script = `apt-cache pkgnames python3- | LC_ALL=C sort | awk 'NR % 40 == 0' | head -n 100 | xargs apt-get -o APT::Sandbox::User=root -qq download`;
  await execa('bash', ['-c', script], { cwd: directory, stdin: 'ignore' });
  return (await readdir(directory)).toSorted().map((name) => join(directory, name));
}
