import { createHash } from 'node:crypto';
import { chmod, chown, copyFile, glob, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { command } from '../disks/command.ts';
import { keptDirectory } from '../disks/kept-directory.ts';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import type { Certificate } from './certificate.ts';
import type { Daemon } from './daemon.ts';
import { startDaemon } from './daemon.ts';
import { findFreePorts } from './free-ports.ts';
import { endTree } from './process-tree.ts';
import type { NetworkNode } from './two-nodes.ts';

/** A PostgreSQL server of Debian on 127.0.0.1, which asks nobody for a password. */
export interface PostgresServer extends AsyncDisposable {
  readonly port: number;
  /** The process that has all others of the server. */
  readonly pid: () => number;
  /** The address for a role; `owner` is its superuser. */
  url(role: string): string;
  /** The address for a role through its socket, from any network of this host; not with TLS. */
  localUrl(role: string): string;
  /** Ends the server with SIGKILL, as a power cut would: what it had committed stays. */
  kill(): Promise<void>;
  /** Starts it again on its port, after {@link kill}. */
  restart(): Promise<void>;
}

export interface PostgresOptions {
  /** How many at once; 50 by default. */
  readonly connections?: number;
  /** It serves connections with TLS alone. */
  readonly tls?: PostgresTls;
  /** Where it runs and listens; on 127.0.0.1 of this host where absent. */
  readonly network?: Pick<NetworkNode, 'address' | 'enter'>;
}

export interface PostgresTls {
  /** Its own. */
  readonly certificate: Certificate;
  /** The file of who signs certificates of clients: roles but `owner` need one with their name. */
  readonly clientAuthority: string;
}

const HERE: Pick<NetworkNode, 'address' | 'enter'> = { address: '127.0.0.1', enter: [] };

const WITH_TLS = 'hostssl all owner all trust\nhostssl all all all cert\n';

/** Starts a server with an empty database. Needs root, and Debian's postgresql. */
export async function startPostgres({ connections = 50, tls, network = HERE }: PostgresOptions = {}): Promise<PostgresServer> {
  await using scope = new AsyncDisposableStack();
  const home = scope.use(await makeTemporaryDirectory());
  const [programs] = (await Array.fromAsync(glob('/usr/lib/postgresql/*/bin'))).toSorted().toReversed();
  if (programs === undefined) throw new Error('PostgreSQL is not installed: apt-get install postgresql-15');
  const [, uid = '', gid = ''] = /^[^:]*:[^:]*:(\d+):(\d+):/.exec(await command('getent', 'passwd', 'postgres')) ?? [];
  const give = (path: string): Promise<void> => chown(path, Number(uid), Number(gid));
  await give(home.path);
  const port = await findFreePorts(1);
  const data = home.file('data');
  // It refuses to run as root.
  const user = ['--reuid', uid, '--regid', gid, '--clear-groups'];
  await command('cp', '--archive', await emptyCluster(programs, user), data);
  await writeFile(join(data, 'pg_hba.conf'), tls === undefined ? 'local all all trust\nhost all all all trust\n' : WITH_TLS);
  if (tls !== undefined) await secure(data, tls, give);
  const [enter, ...entering] = [...network.enter, 'setpriv'];
  const start = async (): Promise<Daemon> =>
    await startDaemon({
      file: enter,
      // A change of the user takes the death signal away.
      args: [
        ...entering,
        ...user,
        '--pdeathsig',
        'KILL',
        `${programs}/postgres`,
        '-D',
        data,
        ...settings({ port, connections, socketDirectory: home.path, address: network.address, isSecure: tls !== undefined }),
      ],
      log: home.file('log'),
      isReady: () => accepts([...network.enter, `${programs}/pg_isready`, '--host', network.address, '--port', String(port)]),
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
    url: (role) => `postgres://${encodeURIComponent(role)}@${network.address}:${port}/postgres`,
    localUrl: (role) => `postgres://${encodeURIComponent(role)}@localhost:${port}/postgres?host=${encodeURIComponent(home.path)}`,
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

/** Not those of the user who makes the first one. */
const INITDB = ['--auth', 'trust', '--username', 'owner', '--locale', 'C.UTF-8', '--encoding', 'UTF8'];

/** What initdb makes, which takes it a second of the processor: it is the same each time, for one version of its package. */
async function emptyCluster(programs: string, user: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update([await command(`${programs}/postgres`, '--version'), ...INITDB].join('\n'));
  const version = `${basename(dirname(programs))}-${hash.digest('hex').slice(0, 16)}`;
  const make = async (path: string): Promise<void> => {
    await command('install', '--directory', '--mode=700', '--owner=postgres', '--group=postgres', path);
    await command('setpriv', ...user, `${programs}/initdb`, '--no-sync', ...INITDB, '--pgdata', path);
  };
  return await keptDirectory({ kind: 'postgres', version, make });
}

/** @param give has the server own a file */
async function secure(data: string, { certificate, clientAuthority }: PostgresTls, give: (path: string) => Promise<void>): Promise<void> {
  for (const [from, name] of [
    [certificate.certFile, 'server.crt'],
    [certificate.keyFile, 'server.key'],
    [clientAuthority, 'root.crt'],
  ] as const) {
    await copyFile(from, join(data, name));
    await give(join(data, name));
    await chmod(join(data, name), 0o600);
  }
}

interface Settings {
  readonly port: number;
  readonly connections: number;
  readonly socketDirectory: string;
  readonly address: string;
  readonly isSecure: boolean;
}

function settings({ port, connections, socketDirectory, address, isSecure }: Settings): readonly string[] {
  const values = {
    port: String(port),
    listen_addresses: address,
    unix_socket_directories: socketDirectory,
    shared_buffers: '16MB',
    // A test ends with its processes: nothing has to survive a power cut of the host.
    fsync: 'off',
    max_connections: String(connections),
    ...(isSecure && { ssl: 'on', ssl_ca_file: 'root.crt' }),
  };
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Whether the server takes connections: after a kill it recovers first. @param asks how it is asked */
async function accepts([file = '', ...args]: readonly string[]): Promise<boolean> {
  return await command(file, ...args).then(
    () => true,
    () => false,
  );
}
