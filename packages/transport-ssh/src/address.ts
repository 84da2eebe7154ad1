import { StoreError } from '@gantry/transport';

/** How host keys that are not known are treated. */
export type HostKeyPolicy = 'strict' | 'accept-new';

/** What the user's address says; what it does not say is undefined, and comes from `~/.ssh/config` or has a default. */
export interface SshAddress {
  /** The address again, as a user may give it. */
  readonly href: string;
  /** The same without its options: what messages show. */
  readonly shown: string;
  /** A name, an address, or an alias of `~/.ssh/config`. IPv6 without brackets. */
  readonly host: string;
  readonly user: string | undefined;
  readonly port: number | undefined;
  /** Absolute, or starting with `~/`: below the account's home. Empty for a peer as a whole. */
  readonly directory: string;
  readonly engine: 'openssh' | 'ssh2' | undefined;
  readonly hostKeys: HostKeyPolicy;
  /** The file read instead of `~/.ssh/config`; `none`: no file. */
  readonly configFile: string | undefined;
  readonly identityFiles: readonly string[];
  readonly knownHostsFiles: readonly string[];
  /** The most connections (SFTP sessions) at once. */
  readonly connections: number | undefined;
  readonly connectTimeoutMs: number;
  readonly stallTimeoutMs: number;
  /** 0: none. */
  readonly keepAliveMs: number;
}

/** Letters, digits, dots, dashes and colons (IPv6, perhaps with the interface: `fe80::1%eth0`); nothing that could be taken for an option. */
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

const MAX_CONNECTIONS = 16;
const MAX_SECONDS = 86_400;
const DEFAULT_CONNECT_SECONDS = 20;
const DEFAULT_STALL_SECONDS = 60;
const DEFAULT_KEEP_ALIVE_SECONDS = 15;

/**
 * Reads `ssh://[user@]host[:port]/directory[?option=value…]`.
 *
 * @throws StoreError `invalid-address`
 */
export function parseAddress(url: URL): SshAddress {
  return parse(url, parseDirectory);
}

/**
 * Reads `ssh://[user@]host[:port][?option=value…]`: a peer, and nothing on it.
 *
 * @throws StoreError `invalid-address`
 */
export function parsePeerAddress(url: URL): SshAddress {
  return parse(url, ({ pathname, hash }) => {
    if (hash === '' && (pathname === '' || pathname === '/')) return '';
    throw invalid(
      `ssh://${url.host}`,
      'a peer has no directory',
      'Write ssh://user@host:port; the instance file there is named by itself.',
    );
  });
}

function parse(url: URL, directoryOf: (url: URL) => string): SshAddress {
  if (url.password !== '')
    throw invalid(`ssh://${url.host}`, 'it has a password in it', 'Use a key or an agent: passwords in addresses end up in logs.');
  const query = new Query(url);
  const host = parseHost(url);
  // A URL holds an address with its interface only as %XX.
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
  const host = decode(url, url.hostname.replace(/^\[(.*)\]$/, '$1'));
  if (HOST.test(host)) return host;
  throw invalid(url.href, host === '' ? 'it names no host' : 'its host is not valid');
}

function parseUser(url: URL): string | undefined {
  if (url.username === '') return undefined;
  const user = decode(url, url.username);
  if (USER.test(user)) return user;
  throw invalid(url.href, 'its user is not valid');
}

function parseDirectory(url: URL): string {
  const path = decode(url, url.pathname);
  if (url.hash !== '') throw invalid(url.href, 'it has a # in it', 'Write # in a directory as %23.');
  if (/\p{Cc}/u.test(path) || path.split('/').includes('..')) throw invalid(url.href, 'its directory is not valid');
  const trimmed = path.replaceAll(/\/+/g, '/').replace(/(?<=.)\/$/, '');
  if (trimmed === '') throw invalid(url.href, 'it names no directory');
  return trimmed === '/~' || trimmed.startsWith('/~/') ? trimmed.slice(1) : trimmed;
}

function decode(url: URL, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(url.href, 'a % in it is not followed by two hexadecimal digits of valid UTF-8');
  }
}

/** The options behind the `?`, checked. */
class Query {
  readonly #url: URL;

  constructor(url: URL) {
    this.#url = url;
    for (const name of url.searchParams.keys()) {
      if (!OPTIONS.has(name))
        throw invalid(url.href, `there is no option ${JSON.stringify(name)}`, `There are: ${[...OPTIONS].join(', ')}.`);
    }
  }

  all(name: string): readonly string[] {
    const values = this.#url.searchParams.getAll(name);
    if (values.some((value) => value === '' || /\p{Cc}/u.test(value)))
      throw invalid(this.#url.href, `its option ${name} has no valid value`);
    return values;
  }

  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.all(name).at(-1);
    const chosen = choices.find((choice) => choice === value);
    if (value === undefined || chosen !== undefined) return chosen;
    throw invalid(this.#url.href, `its option ${name} is neither ${choices.join(' nor ')}`);
  }

  integer(name: string, least: number, most: number): number | undefined {
    const text = this.all(name).at(-1);
    if (text === undefined) return undefined;
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw invalid(this.#url.href, `its option ${name} is no whole number from ${least} to ${most}`);
  }
}

function invalid(address: string, why: string, hint = 'Write ssh://user@host:port/directory.'): StoreError {
  return new StoreError('invalid-address', { message: `${address} is no address of a store on a peer: ${why}`, hint });
}
