import { readFile } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import SSHConfig from 'ssh-config';
import type { SshAddress } from '../address.ts';
import { PeerError } from '../engine/peer-error.ts';

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
}

type Values = Readonly<Record<string, string | readonly string[]>>;

const SYSTEM_CONFIG = '/etc/ssh/ssh_config';
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
    jumps: (first(values['proxyjump']) ?? 'none')
      .split(',')
      .map((jump) => jump.trim())
      .filter(isNotNone),
  };
}

function homeOf({ env }: LocalSurroundings): string {
  return env['HOME'] ?? homedir();
}

/** The first value of a name wins, and those of the user's file come before the system's (ssh_config(5)). */
async function computeValues({ host, user, configFile }: PeerQuestion, local: LocalSurroundings): Promise<Values> {
  const texts = await readConfigs(configFile, local);
  const merged: Record<string, string | string[]> = {};
  for (const text of texts) {
    warnOfIncludes(text, local);
    // Commands of "Match exec" are not run: an address must not run anything here.
    const values = SSHConfig.parse(text).compute(
      { Host: host, ...(user === undefined ? {} : { User: user }) },
      { ignoreCase: true, matchExec: false },
    );
    for (const [name, value] of Object.entries(values)) {
      const before = merged[name];
      if (before === undefined) merged[name] = value;
      else if (Array.isArray(before) && Array.isArray(value) && name === 'identityfile') before.push(...value);
    }
  }
  return merged;
}

async function readConfigs(configFile: string | undefined, local: LocalSurroundings): Promise<readonly string[]> {
  if (configFile === 'none') return [];
  if (configFile !== undefined) {
    const path = resolve(local.cwd, configFile);
    try {
      return [await readFile(path, 'utf8')];
    } catch (cause) {
      throw new PeerError('invalid-address', {
        message: `the configuration ${path} cannot be read`,
        hint: 'Check ?config= in the address.',
        cause,
      });
    }
  }
  const paths = [join(homeOf(local), '.ssh', 'config'), SYSTEM_CONFIG];
  return Promise.all(paths.map((path) => readFile(path, 'utf8').catch(() => '')));
}

function warnOfIncludes(text: string, { warn }: LocalSurroundings): void {
  const included = /^\s*include\s+(?!\/etc\/ssh\/ssh_config\.d\/\*\.conf)(\S+)/im.exec(text)?.[1];
  if (included !== undefined) warn(`the ssh2 engine does not read the files that the ssh configuration includes (${included})`);
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
