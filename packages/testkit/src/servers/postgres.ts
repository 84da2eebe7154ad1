import { chown, glob } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { command } from '../disks/command.ts';
import { keptDirectory } from '../disks/kept-directory.ts';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import type { Daemon } from './daemon.ts';
import { startDaemon } from './daemon.ts';
import { findFreePorts } from './free-ports.ts';
import { endTree } from './process-tree.ts';

/** A PostgreSQL server of Debian on 127.0.0.1, which asks nobody for a password. */
export interface PostgresServer extends AsyncDisposable {
  readonly port: number;
  /** The process that has all others of the server. */
  readonly pid: () => number;
  /** The address for a role; `owner` is its superuser. */
  url(role: string): string;
  /** Ends the server with SIGKILL, as a power cut would: what it had committed stays. */
  kill(): Promise<void>;
  /** Starts it again on its port, after {@link kill}. */
  restart(): Promise<void>;
}

export interface PostgresOptions {
  /** How many at once; 50 by default. */
  readonly connections?: number;
}

/** Starts a server with an empty database. Needs root, and Debian's postgresql. */
export async function startPostgres({ connections = 50 }: PostgresOptions = {}): Promise<PostgresServer> {
  await using scope = new AsyncDisposableStack();
  const home = scope.use(await makeTemporaryDirectory());
  const [programs] = (await Array.fromAsync(glob('/usr/lib/postgresql/*/bin'))).toSorted().toReversed();
  if (programs === undefined) throw new Error('PostgreSQL is not installed: apt-get install postgresql-15');
  const [, uid = '', gid = ''] = /^[^:]*:[^:]*:(\d+):(\d+):/.exec(await command('getent', 'passwd', 'postgres')) ?? [];
  await chown(home.path, Number(uid), Number(gid));
  const port = await findFreePorts(1);
  const data = home.file('data');
  // It refuses to run as root.
  const user = ['--reuid', uid, '--regid', gid, '--clear-groups'];
  await command('cp', '--archive', await emptyCluster(programs, user), data);
  const start = async (): Promise<Daemon> =>
    await startDaemon({
      file: 'setpriv',
      // A change of the user takes the death signal away.
      args: [
        ...user,
        '--pdeathsig',
        'KILL',
        `${programs}/postgres`,
        '-D',
        data,
        ...settings({ port, connections, socketDirectory: home.path }),
      ],
      log: home.file('log'),
      isReady: () => accepts(programs, port),
    });
  let server = await start();
  const stop = async (): Promise<void> => {
    // Also ends the connections that are open; one that was killed has ended already.
    await command('setpriv', ...user, `${programs}/pg_ctl`, 'stop', '--mode', 'immediate', '--pgdata', data).catch(() => undefined);
    await server[Symbol.asyncDispose]();
  };
  scope.defer(stop);
  const owned = scope.move();
  return {
    port,
    pid: () => server.pid,
    url: (role) => `postgres://${encodeURIComponent(role)}@127.0.0.1:${port}/postgres`,
    kill: async () => {
      // A process of the server may answer once more after the one that started it is gone.
      await endTree(server.pid);
      await server.kill();
    },
    restart: async () => {
      server = await start();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What initdb makes, which takes it a second of the processor: it is the same each time. */
async function emptyCluster(programs: string, user: readonly string[]): Promise<string> {
  const make = async (path: string): Promise<void> => {
    await command('install', '--directory', '--mode=700', '--owner=postgres', '--group=postgres', path);
    await command('setpriv', ...user, `${programs}/initdb`, '--no-sync', '--auth', 'trust', '--username', 'owner', '--pgdata', path);
  };
  return await keptDirectory({ kind: 'postgres', version: basename(dirname(programs)), make });
}

interface Settings {
  readonly port: number;
  readonly connections: number;
  readonly socketDirectory: string;
}

function settings({ port, connections, socketDirectory }: Settings): readonly string[] {
  const values = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: socketDirectory,
    shared_buffers: '16MB',
    // A test ends with its processes: nothing has to survive a power cut of the host.
    fsync: 'off',
    max_connections: String(connections),
  };
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Whether the server takes connections: after a kill it recovers first. */
async function accepts(programs: string, port: number): Promise<boolean> {
  return await command(`${programs}/pg_isready`, '--host', '127.0.0.1', '--port', String(port)).then(
    () => true,
    () => false,
  );
}
