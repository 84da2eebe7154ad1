import { homedir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import SSHConfig from 'ssh-config';
import type { SshAddress } from '../address.ts';
import { PeerError } from '../engine/peer-error.ts';
import { readConfig } from './read-config.ts';

/** Where this side's settings come from. */
export interface LocalSurroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly warn: (message: string) => void;
}

/** How a peer is reached: the address, filled up from ssh_config(5) files, then with ssh's own defaults. */
export interface PeerSettings {
  readonly hostName: string;
  readonly port: number;
  readonly user: string;
  readonly hostKeyAlias: string | undefined;
  /** Absolute, in the order in which they are tried; some may not be there. */
  readonly identityFiles: readonly string[];
  /** Whether the user named the identities, rather than that they are ssh's default names. */
  readonly identitiesNamed: boolean;
  readonly identitiesOnly: boolean;
  readonly agentSocket: string | undefined;
  readonly userKnownHostsFiles: readonly string[];
  readonly globalKnownHostsFiles: readonly string[];
  /** `[user@]host[:port]` of each host on the way, the nearest first. */
  readonly jumps: readonly string[];
  /** A command line for the user's shell that carries the connection, its tokens expanded. Never beside `jumps`. */
  readonly proxyCommand: string | undefined;
}

type Values = Readonly<Record<string, string | readonly string[]>>;

/** A name that no configuration has. */
const MARK = 'gantrymark';
/** The library would run `nslookup` for it. */
const UNSUPPORTED = /^\s*canonicalizehostname\b.*$/gim;
const DEFAULT_IDENTITIES = ['id_ed25519', 'id_ecdsa', 'id_rsa'];
const DEFAULT_KNOWN_HOSTS = ['known_hosts', 'known_hosts2'];
const GLOBAL_KNOWN_HOSTS = ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'];

/** What the address asks of a peer, and what it leaves to the configuration. */
export type PeerQuestion = Pick<SshAddress, 'host' | 'user' | 'port' | 'configFile' | 'identityFiles' | 'knownHostsFiles'>;

/** Reads the configuration for one peer. @throws PeerError `invalid-address` when a file that the user named cannot be read */
export async function readPeerSettings(question: PeerQuestion, local: LocalSurroundings): Promise<PeerSettings> {
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

/** Of ProxyJump and ProxyCommand the one that comes first holds. @throws PeerError `unsupported` */
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
      message: 'the ssh2 engine cannot take a descriptor of a ProxyCommand (ProxyUseFdpass)',
      hint: 'Use ?engine=openssh.',
    });
  return { jumps: [], proxyCommand: value.replaceAll(/%(.)/g, (whole, token: string) => (token === '%' ? '%' : (tokens[token] ?? whole))) };
}

function homeOf({ env }: LocalSurroundings): string {
  return env['HOME'] ?? homedir();
}

/** The first value of a name wins, and those of the user's file come before the system's (ssh_config(5)). */
async function computeValues({ host, user, configFile }: PeerQuestion, local: LocalSurroundings): Promise<Values> {
  const compute = (text: string): Values => {
    const asked = { Host: host, ...(user === undefined ? {} : { User: user }) };
    // Commands of "Match exec" are not run.
    return SSHConfig.parse(text.replaceAll(UNSUPPORTED, '')).compute(asked, { ignoreCase: true, matchExec: false });
  };
  const applies = (before: string, header: string): boolean => MARK in compute(`${before}\n${header}\n  ${MARK} yes\n`);
  const text = await readConfig({ configFile, cwd: local.cwd, home: homeOf(local) }, applies);
  warnOfUnsupported(text, local);
  return compute(text);
}

function warnOfUnsupported(text: string, { warn }: LocalSurroundings): void {
  if (/^\s*match\s[^#\n]*\bexec\b/im.test(text)) warn('the ssh2 engine does not run the commands of Match exec in the ssh configuration');
  if (/^\s*canonicalizehostname\s+(?!no\b)/im.test(text))
    warn('the ssh2 engine does not read CanonicalizeHostname of the ssh configuration');
}

function parsePort(text: string | undefined): number {
  const port = Number(text ?? 22);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new PeerError('invalid-address', {
    message: `the ssh configuration has the port ${JSON.stringify(text)}`,
    hint: 'Correct its Port line.',
  });
}

function agentSocket(configured: string | undefined, { env }: LocalSurroundings, expand: (path: string) => string): string | undefined {
  if (configured === 'none') return undefined;
  if (configured === undefined || configured === 'SSH_AUTH_SOCK') return env['SSH_AUTH_SOCK'] || undefined;
  return configured.startsWith('$') ? env[configured.slice(1)] : expand(configured);
}

function globalFiles(configured: readonly string[]): readonly string[] {
  return configured.length > 0 ? configured : GLOBAL_KNOWN_HOSTS;
}

/** `~` and the tokens of ssh_config(5) that make sense in a path. */
function expandPath(path: string, { home, cwd, ...tokens }: { home: string; cwd: string; h: string; p: string; r: string }): string {
  const values: Readonly<Record<string, string>> = { ...tokens, d: home, u: userInfo().username, '%': '%' };
  const expanded = path.replaceAll(/%(.)/g, (whole, token: string) => values[token] ?? whole);
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
