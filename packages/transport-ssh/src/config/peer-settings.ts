import { homedir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import SSHConfig from 'ssh-config';
import type { SshAddress } from '../address.ts';
import { PeerError } from '../engine/peer-error.ts';
import { shownText } from '../engine/shown-text.ts';
import { readConfig } from './read-config.ts';
import { failureText } from '@gantry/transport';

/** The environment of this side. */
export interface LocalContext {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly warn: (message: string) => void;
}

/** How a peer is reached: from the address, then from ssh_config(5) files, then from ssh's defaults. */
export interface PeerSettings {
  readonly hostName: string;
  readonly port: number;
  readonly user: string;
  readonly hostKeyAlias: string | undefined;
  /** Absolute, in the order in which they are tried; some may not exist. */
  readonly identityFiles: readonly string[];
  /** Whether the user named the identities; otherwise they are ssh's defaults. */
  readonly identitiesNamed: boolean;
  readonly identitiesOnly: boolean;
  readonly agentSocket: string | undefined;
  readonly userKnownHostsFiles: readonly string[];
  readonly globalKnownHostsFiles: readonly string[];
  /** `[user@]host[:port]` of each jump host, the nearest first. */
  readonly jumps: readonly string[];
  /** A command line for the user's shell that carries the connection, with its tokens expanded. Never together with `jumps`. */
  readonly proxyCommand: string | undefined;
}

type Values = Readonly<Record<string, string | readonly string[]>>;

/** A name that no configuration uses. */
const MARK = 'gantrymark';
/** The library would run `nslookup` for it. */
const UNSUPPORTED = /^\s*canonicalizehostname\b.*$/gim;
const DEFAULT_IDENTITIES = ['id_ed25519', 'id_ecdsa', 'id_rsa'];
const DEFAULT_KNOWN_HOSTS = ['known_hosts', 'known_hosts2'];
const GLOBAL_KNOWN_HOSTS = ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'];

/** The parts of the address that the configuration completes. */
export type PeerQuestion = Pick<SshAddress, 'host' | 'user' | 'port' | 'configFile' | 'identityFiles' | 'knownHostsFiles'>;

/** Reads the configuration for one peer. @throws PeerError `invalid-address` if a file that the user named cannot be read */
export async function readPeerSettings(question: PeerQuestion, local: LocalContext): Promise<PeerSettings> {
  const values = await computeValues(question, local);
  const home = homeOf(local);
  const user = question.user ?? first(values['user']) ?? userInfo().username;
  const port = question.port ?? parsePort(first(values['port']));
  const hostName = (first(values['hostname']) ?? question.host).replaceAll('%h', question.host).replaceAll('%%', '%');
  const expand = (path: string): string => expandPath(path, { home, cwd: local.cwd, h: hostName, p: String(port), r: user });
  const identities = [...question.identityFiles, ...list(values['identityfile'])];
  const knownHosts = question.knownHostsFiles.length > 0 ? question.knownHostsFiles : list(values['userknownhostsfile']);
  return {
    hostName,
    port,
    user,
    hostKeyAlias: first(values['hostkeyalias']),
    identityFiles:
      identities.length > 0 ? identities.filter(isNotNone).map(expand) : DEFAULT_IDENTITIES.map((name) => join(home, '.ssh', name)),
    identitiesNamed: identities.length > 0,
    identitiesOnly: question.identityFiles.length > 0 || first(values['identitiesonly'])?.toLowerCase() === 'yes',
    agentSocket: agentSocket(first(values['identityagent']), local, expand),
    userKnownHostsFiles:
      knownHosts.length > 0 ? knownHosts.filter(isNotNone).map(expand) : DEFAULT_KNOWN_HOSTS.map((name) => join(home, '.ssh', name)),
    globalKnownHostsFiles: globalFiles(list(values['globalknownhostsfile'])).filter(isNotNone).map(expand),
    ...proxyOf(values, { h: hostName, n: question.host, p: String(port), r: user }),
  };
}

/** Of ProxyJump and ProxyCommand the first one applies. @throws PeerError `unsupported` */
function proxyOf(values: Values, tokens: Readonly<Record<string, string>>): Pick<PeerSettings, 'jumps' | 'proxyCommand'> {
  const name = Object.keys(values).find((each) => each === 'proxyjump' || each === 'proxycommand');
  const value = first(values[name ?? '']) ?? 'none';
  if (name === 'proxyjump')
    return {
      jumps: value
        .split(',')
        .map((jump) => jump.trim())
        .filter(isNotNone),
      proxyCommand: undefined,
    };
  if (!isNotNone(value)) return { jumps: [], proxyCommand: undefined };
  if (first(values['proxyusefdpass'])?.toLowerCase() === 'yes')
    throw new PeerError('unsupported', {
      message: 'the ssh2 engine cannot receive a file descriptor from a ProxyCommand (ProxyUseFdpass)',
      hint: 'Use ?engine=openssh.',
    });
  return { jumps: [], proxyCommand: value.replaceAll(/%(.)/g, (match, token: string) => (token === '%' ? '%' : (tokens[token] ?? match))) };
}

function homeOf({ env }: LocalContext): string {
  return env['HOME'] ?? homedir();
}

/** The first value of a name wins, and the user's file comes before the system's (ssh_config(5)). */
async function computeValues({ host, user, configFile }: PeerQuestion, local: LocalContext): Promise<Values> {
  const compute = (text: string): Values => {
    const asked = { Host: host, ...(user === undefined ? {} : { User: user }) };
    // The commands of "Match exec" are not run.
    try {
      return SSHConfig.parse(text.replaceAll(UNSUPPORTED, '')).compute(asked, { ignoreCase: true, matchExec: false });
    } catch (error) {
      throw unreadable(error);
    }
  };
  const applies = (before: string, header: string): boolean => MARK in compute(`${before}\n${header}\n  ${MARK} yes\n`);
  const text = await readConfig({ configFile, cwd: local.cwd, home: homeOf(local) }, applies);
  warnOfUnsupported(text, local);
  return compute(text);
}

/** The library has no class of errors. */
function unreadable(error: unknown): PeerError {
  return new PeerError('invalid-address', {
    message: `the ssh configuration cannot be read: ${shownText(failureText(error))}`,
    hint: 'Correct it (ssh -G HOST says where ssh itself finds something wrong), or give another file with ?config=FILE.',
    cause: error,
  });
}

function warnOfUnsupported(text: string, { warn }: LocalContext): void {
  if (/^\s*match\s[^#\n]*\bexec\b/im.test(text)) warn('the ssh2 engine does not run the commands of Match exec in the ssh configuration');
  if (/^\s*canonicalizehostname\s+(?!no\b)/im.test(text))
    warn('the ssh2 engine does not read CanonicalizeHostname of the ssh configuration');
}

function parsePort(text: string | undefined): number {
  const port = Number(text ?? 22);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new PeerError('invalid-address', {
    message: `the ssh configuration has an invalid port: ${JSON.stringify(text)}`,
    hint: 'Correct its Port line.',
  });
}

function agentSocket(configured: string | undefined, { env }: LocalContext, expand: (path: string) => string): string | undefined {
  if (configured === 'none') return undefined;
  if (configured === undefined || configured === 'SSH_AUTH_SOCK') return env['SSH_AUTH_SOCK'] || undefined;
  return configured.startsWith('$') ? env[configured.slice(1)] : expand(configured);
}

function globalFiles(configured: readonly string[]): readonly string[] {
  return configured.length > 0 ? configured : GLOBAL_KNOWN_HOSTS;
}

/** Expands `~` and the tokens of ssh_config(5) that make sense in a path. */
function expandPath(path: string, { home, cwd, ...tokens }: { home: string; cwd: string; h: string; p: string; r: string }): string {
  const values: Readonly<Record<string, string>> = { ...tokens, d: home, u: userInfo().username, '%': '%' };
  const expanded = path.replaceAll(/%(.)/g, (match, token: string) => values[token] ?? match);
  return resolve(
    cwd,
    expanded.replace(/^~(?=\/|$)/, () => home),
  );
}

function isNotNone(text: string): boolean {
  return text !== '' && text.toLowerCase() !== 'none';
}

function first(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}

function list(value: string | readonly string[] | undefined): readonly string[] {
  return typeof value === 'string' ? value.split(/\s+/) : (value ?? []);
}
