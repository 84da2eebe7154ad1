import { StoreError } from '@gantry/transport';

/** How unknown host keys are treated. */
export type HostKeyPolicy = 'strict' | 'accept-new';

/** The parsed address; parts that it lacks are undefined, and come from `~/.ssh/config` or have a default. */
export interface SshAddress {
  /** The address in the form that a user can give again. */
  readonly href: string;
  /** The same without its options, for messages. */
  readonly shown: string;
  /** A name, an address, or an alias of `~/.ssh/config`. IPv6 without brackets. */
  readonly host: string;
  readonly user: string | undefined;
  readonly port: number | undefined;
  /** Absolute, or starting with `~/` for one below the account's home. Empty for a peer without a directory. */
  readonly directory: string;
  readonly engine: 'openssh' | 'ssh2' | undefined;
  readonly hostKeys: HostKeyPolicy;
  /** The file to read instead of `~/.ssh/config`; `none` for no file. */
  readonly configFile: string | undefined;
  readonly identityFiles: readonly string[];
  readonly knownHostsFiles: readonly string[];
  /** Maximum number of connections (SFTP sessions) at a time. */
  readonly connections: number | undefined;
  readonly connectTimeoutMs: number;
  readonly stallTimeoutMs: number;
  /** 0 for none. */
  readonly keepAliveMs: number;
}

/** Letters, digits, dots, dashes and colons (IPv6, optionally with an interface: `fe80::1%eth0`); nothing that looks like an option. */
const HOST = /^(?:[A-Za-z0-9_:][A-Za-z0-9_.:-]*|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*%[A-Za-z0-9_.-]+)$/;
const USER = /^[A-Za-z0-9_][A-Za-z0-9_.@+$-]*$/;

const OPTIONS: ReadonlySet<string> = new Set([
  'engine',
  'hostKeys',
  'config',
  'identity',
  'knownHosts',
  'connections',
  'connectTimeout',
  'stallTimeout',
  'keepAlive',
]);

/** More of a part of an address than that says no more, characters. */
const MAX_QUOTED_LENGTH = 200;

const MAX_CONNECTIONS = 16;
const MAX_SECONDS = 86_400;
const DEFAULT_CONNECT_SECONDS = 20;
const DEFAULT_STALL_SECONDS = 60;
const DEFAULT_KEEP_ALIVE_SECONDS = 15;

/**
 * Parses `ssh://[user@]host[:port]/directory[?option=value…]`.
 *
 * @throws StoreError `invalid-address`
 */
export function parseAddress(url: URL): SshAddress {
  return parse(url, parseDirectory);
}

/**
 * Parses `ssh://[user@]host[:port][?option=value…]`: a peer without a directory.
 *
 * @throws StoreError `invalid-address`
 */
export function parsePeerAddress(url: URL): SshAddress {
  return parse(url, ({ pathname, hash }) => {
    if (hash === '' && (pathname === '' || pathname === '/')) return '';
    throw invalid('a peer has no directory', 'Write ssh://user@host:port, and give the instance file there with --to.');
  });
}

function parse(url: URL, directoryOf: (url: URL) => string): SshAddress {
  if (url.password !== '') throw invalid('it contains a password', 'Use a key or an agent: passwords in addresses end up in logs.');
  const query = new Query(url);
  const host = parseHost(url);
  // A URL can hold an address with its interface only when escaped as %XX.
  const shownHost = host.includes('%') ? `[${host}]${url.port === '' ? '' : `:${url.port}`}` : url.host;
  return {
    href: url.href.replace(url.host, () => shownHost),
    shown: `ssh://${url.username === '' ? '' : `${url.username}@`}${shownHost}${url.pathname}`,
    host,
    user: parseUser(url),
    port: url.port === '' ? undefined : Number(url.port),
    directory: directoryOf(url),
    engine: query.choice('engine', ['openssh', 'ssh2']),
    hostKeys: query.choice('hostKeys', ['strict', 'accept-new']) ?? 'strict',
    configFile: query.all('config').at(-1),
    identityFiles: query.all('identity'),
    knownHostsFiles: query.all('knownHosts'),
    connections: query.integer('connections', 1, MAX_CONNECTIONS),
    connectTimeoutMs: 1000 * (query.integer('connectTimeout', 1, MAX_SECONDS) ?? DEFAULT_CONNECT_SECONDS),
    stallTimeoutMs: 1000 * (query.integer('stallTimeout', 1, MAX_SECONDS) ?? DEFAULT_STALL_SECONDS),
    keepAliveMs: 1000 * (query.integer('keepAlive', 0, MAX_SECONDS) ?? DEFAULT_KEEP_ALIVE_SECONDS),
  };
}

function parseHost(url: URL): string {
  const host = decode(url.hostname.replace(/^\[(.*)\]$/, '$1'));
  if (HOST.test(host)) return host;
  throw invalid(host === '' ? 'it has no host' : `${quoted(host)} is not a valid host`);
}

function parseUser(url: URL): string | undefined {
  if (url.username === '') return undefined;
  const user = decode(url.username);
  if (USER.test(user)) return user;
  throw invalid(`${quoted(user)} is not a valid user`);
}

function parseDirectory(url: URL): string {
  const path = decode(url.pathname);
  if (url.hash !== '') throw invalid('it contains a #', 'Write # in a directory as %23.');
  if (/\p{Cc}/u.test(path) || path.split('/').includes('..')) throw invalid(`${quoted(path)} is not a valid directory`);
  const trimmed = path.replaceAll(/\/+/g, '/').replace(/(?<=.)\/$/, '');
  if (trimmed === '') throw invalid('it has no directory');
  return trimmed === '/~' || trimmed.startsWith('/~/') ? trimmed.slice(1) : trimmed;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('a % in it is not followed by two hexadecimal digits of valid UTF-8');
  }
}

/** The options after the `?`, checked. */
class Query {
  readonly #url: URL;

  constructor(url: URL) {
    this.#url = url;
    for (const name of url.searchParams.keys()) {
      if (!OPTIONS.has(name)) throw invalid(`unknown option ${quoted(name)}`, `The options are: ${[...OPTIONS].join(', ')}.`);
    }
  }

  all(name: string): readonly string[] {
    const values = this.#url.searchParams.getAll(name);
    if (values.some((value) => value === '' || /\p{Cc}/u.test(value))) throw invalid(`its option ${name} has no valid value`);
    return values;
  }

  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.all(name).at(-1);
    const chosen = choices.find((choice) => choice === value);
    if (value === undefined || chosen !== undefined) return chosen;
    throw invalid(`its option ${name} must be ${choices.join(' or ')}`);
  }

  integer(name: string, min: number, max: number): number | undefined {
    const text = this.all(name).at(-1);
    if (text === undefined) return undefined;
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw invalid(`its option ${name} must be a whole number from ${min} to ${max}`);
  }
}

/** A part of an address as a message shows it: only its start if it is long. */
function quoted(part: string): string {
  return JSON.stringify(part.length > MAX_QUOTED_LENGTH ? `${part.slice(0, MAX_QUOTED_LENGTH)}…` : part);
}

/** The address itself is not in the message: the caller names it, and it could contain a password. */
function invalid(why: string, hint = 'Write ssh://user@host:port/directory.'): StoreError {
  return new StoreError('invalid-address', { message: `invalid address: ${why}`, hint });
}
