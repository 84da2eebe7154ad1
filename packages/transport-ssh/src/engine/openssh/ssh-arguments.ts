import type { SshAddress } from '../../address.ts';
import type { ChannelRequest } from '../channel.ts';

/** How many unanswered keep-alive messages end a connection. */
const KEEP_ALIVE_TRIES = 3;

/** The arguments of `ssh` that say which peer, without what to do there. */
export function peerArguments(address: SshAddress): readonly string[] {
  return [
    ...(address.configFile === undefined ? [] : ['-F', address.configFile]),
    ...(address.port === undefined ? [] : ['-p', String(address.port)]),
    ...(address.user === undefined ? [] : ['-l', address.user]),
    // Not -i: with that, ssh takes its default keys in place of a file that is not there.
    ...address.identityFiles.flatMap((file) => ['-o', `IdentityFile=${quote(file)}`]),
    ...(address.identityFiles.length > 0 ? ['-o', 'IdentitiesOnly=yes'] : []),
    ...(address.knownHostsFiles.length > 0 ? ['-o', `UserKnownHostsFile=${address.knownHostsFiles.map(quote).join(' ')}`] : []),
  ];
}

/** What the arguments of one connection depend on besides the address. */
export interface ConnectionChoices {
  /** Whether a passphrase can be asked for, through a helper; else nothing is asked. */
  readonly mayAsk: boolean;
  /** Ciphers in the order of preference; undefined for ssh's own. */
  readonly ciphers: string | undefined;
}

/** The whole command line of one connection, `ssh` itself left out (ssh(1), ssh_config(5)). */
export function sshArguments(address: SshAddress, request: ChannelRequest, { mayAsk, ciphers }: ConnectionChoices): readonly string[] {
  const options: Readonly<Record<string, string>> = {
    // With a helper the passphrase of a key alone may be asked for: every other question is switched off.
    BatchMode: mayAsk ? 'no' : 'yes',
    // The helper would say the same again.
    NumberOfPasswordPrompts: '1',
    PasswordAuthentication: 'no',
    KbdInteractiveAuthentication: 'no',
    StrictHostKeyChecking: address.hostKeys === 'accept-new' ? 'accept-new' : 'yes',
    ConnectTimeout: String(address.connectTimeoutMs / 1000),
    ServerAliveInterval: String(address.keepAliveMs / 1000),
    ServerAliveCountMax: String(KEEP_ALIVE_TRIES),
    // Data comes compressed; a shared connection would share its window and its fate.
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
    // Tells which key the host showed, and why it was refused.
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

/** As the configuration's own syntax wants a path with spaces, quotation marks or backslashes. */
function quote(path: string): string {
  return /[\s"'\\#]/.test(path) ? `"${path.replaceAll(/["\\]/g, '\\$&')}"` : path;
}
