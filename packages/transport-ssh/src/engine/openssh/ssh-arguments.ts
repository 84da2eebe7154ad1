import type { SshAddress } from '../../address.ts';
import type { ChannelRequest } from '../channel.ts';

/** How many unanswered keep-alive messages end a connection. */
const KEEP_ALIVE_TRIES = 3;

/** How much later than the engine ssh itself gives up, seconds: what the engine says of a slow peer is more precise. */
const LATER_SECONDS = 5;

/** The arguments of `ssh` that identify the peer, without the command. */
export function peerArguments(address: SshAddress): readonly string[] {
  return [
    ...(address.configFile === undefined ? [] : ['-F', address.configFile]),
    ...(address.port === undefined ? [] : ['-p', String(address.port)]),
    ...(address.user === undefined ? [] : ['-l', address.user]),
    // Not -i: with -i, ssh uses its default keys if the file does not exist.
    ...address.identityFiles.flatMap((file) => ['-o', `IdentityFile=${quote(file)}`]),
    ...(address.identityFiles.length > 0 ? ['-o', 'IdentitiesOnly=yes'] : []),
    ...(address.knownHostsFiles.length > 0 ? ['-o', `UserKnownHostsFile=${address.knownHostsFiles.map(quote).join(' ')}`] : []),
  ];
}

/** Other choices that determine the arguments of a connection. */
export interface ConnectionChoices {
  /** Whether ssh may ask for a passphrase, through a helper; otherwise it may ask nothing. */
  readonly mayAsk: boolean;
  /** Ciphers in the order of preference; undefined for ssh's default. */
  readonly ciphers: string | undefined;
}

/** The complete arguments of `ssh` for one connection (ssh(1), ssh_config(5)). */
export function sshArguments(address: SshAddress, request: ChannelRequest, { mayAsk, ciphers }: ConnectionChoices): readonly string[] {
  const options: Readonly<Record<string, string>> = {
    // With a helper, ssh may ask only for the passphrase of a key: every other question is turned off.
    BatchMode: mayAsk ? 'no' : 'yes',
    // The helper would give the same answer again.
    NumberOfPasswordPrompts: '1',
    PasswordAuthentication: 'no',
    KbdInteractiveAuthentication: 'no',
    StrictHostKeyChecking: address.hostKeys === 'accept-new' ? 'accept-new' : 'yes',
    ConnectTimeout: String(address.connectTimeoutMs / 1000 + LATER_SECONDS),
    ServerAliveInterval: String(address.keepAliveMs / 1000),
    ServerAliveCountMax: String(KEEP_ALIVE_TRIES),
    // The data is compressed already; a shared connection would share its window and its failures.
    Compression: 'no',
    ControlMaster: 'no',
    ControlPath: 'none',
    ClearAllForwardings: 'yes',
    ForwardAgent: 'no',
    ForwardX11: 'no',
    PermitLocalCommand: 'no',
    RemoteCommand: 'none',
    RequestTTY: 'no',
    ForkAfterAuthentication: 'no',
    StdinNull: 'no',
    SessionType: 'subsystem' in request ? 'subsystem' : 'default',
    // Shows the host's key, and why keys were refused.
    LogLevel: 'DEBUG1',
    ...(ciphers === undefined ? {} : { Ciphers: ciphers }),
  };
  return [
    ...peerArguments(address),
    ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    '--',
    address.host,
    'subsystem' in request ? request.subsystem : request.command,
  ];
}

/** Quotes a path with spaces, quotation marks or backslashes for the configuration syntax. */
function quote(path: string): string {
  return /[\s"'\\#]/.test(path) ? `"${path.replaceAll(/["\\]/g, '\\$&')}"` : path;
}
