import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';

import { command } from '../disks/command.ts';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import { undoAtExit } from '../disks/undo.ts';
import { findFreePorts } from './free-ports.ts';
import { killOne, killTree, processTree } from './process-tree.ts';

export interface SshServerOptions {
  /** The user for whom the client's key is accepted; root by default. */
  readonly user?: string;
  /** Confine the user to SFTP in this directory (`ChrootDirectory`, `ForceCommand internal-sftp`). */
  readonly jail?: string;
  /** Arguments of `internal-sftp`, such as `-P fsync` for a server that lacks a request. */
  readonly sftpArguments?: string;
  /** Additional lines of sshd_config(5), which take precedence. */
  readonly config?: readonly string[];
  /** The port; a free one by default. */
  readonly port?: number;
  /** The address that it listens on; 127.0.0.1 by default. */
  readonly host?: string;
  /** The network namespace that it runs in; see ip-netns(8). */
  readonly namespace?: string;
  /** The arguments that come before its command, to run it in other namespaces. */
  readonly enter?: readonly string[];
  /** The server whose keys and files are used, for a server that comes back; new ones by default. */
  readonly like?: SshServer;
}

/** A real sshd on 127.0.0.1, and the files that a client needs for it. */
export interface SshServer extends AsyncDisposable {
  readonly port: number;
  readonly user: string;
  /** The directory of this server's files. */
  readonly directory: string;
  /** The server's private host key (ed25519); `.pub` beside it. */
  readonly hostKeyFile: string;
  /** A private key that it accepts, without a passphrase; `.pub` beside it. */
  readonly identityFile: string;
  readonly authorizedKeysFile: string;
  /** The server's host key, for `[127.0.0.1]:PORT`. */
  readonly knownHostsFile: string;
  /** An ssh_config(5) with these files for 127.0.0.1, without the machine's. */
  readonly configFile: string;
  /** The server's log so far. */
  log(): string;
  /** `ssh://USER@127.0.0.1:PORT/DIRECTORY?config=FILE` with further options. */
  address(directory: string, options?: Readonly<Record<string, string>>): string;
  /** The number of processes that serve sessions now. */
  sessions(): Promise<number>;
  /** Ends the server and every session with SIGKILL. */
  kill(): Promise<void>;
  /** Ends every session with SIGKILL, but not the server. */
  killSessions(): Promise<void>;
  /** Stops the server and every session with SIGSTOP. */
  freeze(): Promise<void>;
}

/** Starts a server. Needs root, openssh-server and openssh-client. */
export async function startSshServer(options: SshServerOptions = {}): Promise<SshServer> {
  await using scope = new AsyncDisposableStack();
  const files = options.like ?? scope.use(await makeFiles());
  const port = options.port ?? (await findFreePorts(1));
  const user = options.user ?? 'root';
  const host = options.host ?? '127.0.0.1';
  const { directory, hostKeyFile, identityFile, authorizedKeysFile } = files;
  const file = (name: string): string => `${directory}/${name}-${port}`;
  const [sshdConfig, knownHostsFile, configFile] = [file('sshd_config'), file('known_hosts'), file('ssh_config')];
  await writeFile(sshdConfig, serverConfig({ ...options, user, port, host }, { hostKeyFile, authorizedKeysFile }));
  await writeFile(knownHostsFile, `[${host}]:${port} ${await readFile(`${hostKeyFile}.pub`, 'utf8')}`);
  await writeFile(configFile, clientConfig(host, identityFile, knownHostsFile));
  const running = scope.use(await run(sshdConfig, options));
  const owned = scope.move();
  return {
    port,
    user,
    directory,
    hostKeyFile,
    identityFile,
    authorizedKeysFile,
    knownHostsFile,
    configFile,
    log: running.log,
    address: (path, more = {}) => `ssh://${user}@${host}:${port}${path}?${new URLSearchParams({ config: configFile, ...more }).toString()}`,
    sessions: running.sessions,
    kill: running.kill,
    killSessions: running.killSessions,
    freeze: running.freeze,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Files extends AsyncDisposable {
  readonly directory: string;
  readonly hostKeyFile: string;
  readonly identityFile: string;
  readonly authorizedKeysFile: string;
}

async function makeFiles(): Promise<Files> {
  const temporary = await makeTemporaryDirectory('gantry-sshd-');
  const [hostKeyFile, identityFile, authorizedKeysFile] = [
    temporary.file('host-key'),
    temporary.file('identity'),
    temporary.file('authorized_keys'),
  ];
  for (const file of [hostKeyFile, identityFile]) await makeSshKey(file);
  await writeFile(authorizedKeysFile, await readFile(`${identityFile}.pub`));
  // sshd reads authorized_keys as the user who logs in.
  await command('chmod', '755', temporary.path);
  return {
    directory: temporary.path,
    hostKeyFile,
    identityFile,
    authorizedKeysFile,
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
}

/** A new key pair, `FILE` and `FILE.pub`. */
export async function makeSshKey(
  file: string,
  { type = 'ed25519', passphrase = '' }: { readonly type?: string; readonly passphrase?: string } = {},
): Promise<void> {
  await command('ssh-keygen', '-q', '-t', type, '-N', passphrase, '-C', 'test', '-f', file);
}

function serverConfig(
  {
    user,
    port,
    host,
    jail,
    sftpArguments = '',
    config = [],
  }: SshServerOptions & { readonly user: string; readonly port: number; readonly host: string },
  { hostKeyFile, authorizedKeysFile }: Pick<Files, 'hostKeyFile' | 'authorizedKeysFile'>,
): string {
  const lines = [
    // The first of several lines applies.
    ...config,
    `Port ${port}`,
    `ListenAddress ${host}`,
    `HostKey ${hostKeyFile}`,
    'PidFile none',
    `AuthorizedKeysFile ${authorizedKeysFile}`,
    'StrictModes no',
    'PermitRootLogin prohibit-password',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'UsePAM no',
    'PrintMotd no',
    'LogLevel VERBOSE',
    'MaxStartups 200',
    'MaxSessions 50',
    // As a login shell, bash reads its .bashrc for every command that sshd runs, unless SHLVL shows another shell above: that file may do
    // a lot, and be interrupted when a test kills the session.
    'SetEnv SHLVL=1',
    ...(config.some((line) => line.startsWith('Subsystem ')) ? [] : [`Subsystem sftp internal-sftp ${sftpArguments}`]),
  ];
  if (jail !== undefined)
    lines.push(`Match User ${user}`, `ChrootDirectory ${jail}`, `ForceCommand internal-sftp ${sftpArguments}`, 'AllowTcpForwarding no');
  return `${lines.join('\n')}\n`;
}

function clientConfig(host: string, identityFile: string, knownHostsFile: string): string {
  return [
    `Host ${host}`,
    `IdentityFile ${identityFile}`,
    'IdentitiesOnly yes',
    `UserKnownHostsFile ${knownHostsFile}`,
    'GlobalKnownHostsFile none',
    '',
  ].join('\n');
}

interface Running extends AsyncDisposable {
  readonly log: () => string;
  readonly sessions: () => Promise<number>;
  readonly kill: () => Promise<void>;
  readonly killSessions: () => Promise<void>;
  readonly freeze: () => Promise<void>;
}

async function run(configFile: string, { namespace, enter = [] }: SshServerOptions): Promise<Running> {
  // Debian's service makes this directory when it starts.
  await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  // setpriv makes the kernel kill it when this process is killed (PR_SET_PDEATHSIG, prctl(2)).
  const sshd = ['setpriv', '--pdeathsig', 'KILL', '/usr/sbin/sshd', '-D', '-e', '-f', configFile];
  const [program = '', ...args] = [...enter, ...(namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace]), ...sshd];
  const server = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(server, 'exit');
  const { pid } = server;
  if (pid === undefined) throw new Error('sshd did not start: is openssh-server installed?');
  const forget = undoAtExit(() => server.kill('SIGKILL'));
  let log = '';
  const lines = createInterface({ input: server.stderr });
  const listening = Promise.withResolvers<void>();
  lines.on('line', (line) => {
    log = `${log}${line}\n`.slice(-256 * 1024);
    if (line.startsWith('Server listening')) listening.resolve();
  });
  void exited.then(() => listening.reject(new Error(`sshd ended:\n${log}`)));
  const kill = async (): Promise<void> => {
    await killTree(pid);
    await exited;
    forget();
  };
  await listening.promise;
  return {
    log: () => log,
    sessions: async () => (await processTree(pid)).length - 1,
    kill,
    killSessions: async () => {
      const [, ...sessions] = await processTree(pid);
      for (const session of sessions) killOne(session);
    },
    freeze: async () => {
      for (const each of await processTree(pid)) killOne(each, 'SIGSTOP');
    },
    [Symbol.asyncDispose]: kill,
  };
}
