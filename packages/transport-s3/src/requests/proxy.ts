import { BlockList, isIP } from 'node:net';

import { StoreError } from '@gantry/transport';

import type { Environment } from '../address/environment.ts';
import { variable } from '../address/environment.ts';
import { invalidAddress } from '../address/invalid-address.ts';

/** A proxy between this machine and the service. */
export interface Proxy {
  /** May contain a user and a password. */
  readonly url: URL;
  /** The variable that names it. */
  readonly source: string;
}

/**
 * The proxy for requests to `target`, as curl and Go read the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` (in lower case
 * first), except for hosts that `NO_PROXY` lists, and never for this machine itself.
 *
 * @throws StoreError `invalid-address`, `unsupported` for a proxy that is not an HTTP proxy
 */
export function findProxy(target: URL, env: Environment): Proxy | undefined {
  const scheme = target.protocol === 'http:' ? 'http' : 'https';
  const names = [`${scheme}_proxy`, `${scheme.toUpperCase()}_PROXY`, 'all_proxy', 'ALL_PROXY'];
  const source = names.find((name) => variable(env, name) !== undefined);
  if (source === undefined || isExcluded(target, variable(env, 'no_proxy') ?? variable(env, 'NO_PROXY') ?? '')) return undefined;
  return { url: parseProxy(variable(env, source) ?? '', source), source };
}

function parseProxy(text: string, source: string): URL {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url === null || url.hostname === '')
    throw invalidAddress(`${source} is not a valid URL`, 'Write, for example, http://proxy.example.com:3128');
  if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  throw new StoreError('unsupported', {
    message: `cannot use the ${url.protocol.slice(0, -1)} proxy of ${source}: Gantry supports http:// and https:// proxies`,
    hint: 'Set an HTTP proxy, or add the host of the service to NO_PROXY.',
  });
}

/** Whether requests bypass the proxy: the host or its domain is listed, its address is in a listed network, or it is this machine. */
function isExcluded(target: URL, list: string): boolean {
  const host = target.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = target.port === '' ? (target.protocol === 'http:' ? '80' : '443') : target.port;
  if (host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host)) return true;
  return list.split(/[\s,]+/).some((entry) => entry !== '' && matches(entry.toLowerCase(), host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const network = /^([\da-f.:]+)\/(\d{1,3})$/.exec(entry);
  if (network !== null) return isInNetwork(host, network[1] ?? '', Number(network[2]));
  const [, name = entry, listedPort = port] = /^([^:]+|\[.*\]):(\d+)$/.exec(entry) ?? [];
  const bare = name.replace(/^\[|\]$/g, '');
  const domain = bare.replace(/^\*?\./, '');
  return listedPort === port && (host === bare || host === domain || (isIP(host) === 0 && host.endsWith(`.${domain}`)));
}

function isInNetwork(host: string, network: string, bits: number): boolean {
  const family = isIP(host);
  if (family === 0 || isIP(network) !== family || bits > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, bits, family === 4 ? 'ipv4' : 'ipv6');
  return list.check(host, family === 4 ? 'ipv4' : 'ipv6');
}
