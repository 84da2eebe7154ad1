import process from 'node:process';
import { GantryError, asOpenError, asPeerError } from '@gantry/core';
import type { PeerChannel, Store, Transport } from '@gantry/transport';
import { withLimit, withLog, withRetry } from '@gantry/transport';
import { parseStoreAddress } from './store-address.ts';
import { openStoreLog } from './store-log.ts';

/** The transports of Gantry by scheme. Any other scheme is served by the package `gantry-transport-SCHEME`, installed beside this command. */
const OWN_TRANSPORTS: Readonly<Record<string, () => Promise<{ readonly default: Transport }>>> = {
  file: () => import('@gantry/transport-file'),
  s3: () => import('@gantry/transport-s3'),
  ssh: () => import('@gantry/transport-ssh'),
};

export interface OpenStoreContext {
  readonly signal: AbortSignal;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly warn: (message: string) => void;
}

export interface OpenStoreOptions {
  /** Maximum bytes per second of everything the store reads and writes. */
  readonly bytesPerSecond?: number | undefined;
  /** `read` if nothing will be written; `write` by default. */
  readonly access?: 'read' | 'write' | undefined;
}

/**
 * Opens the store that the user named, through any transport, with the wrappers that every store gets: retries of temporary failures
 * (unless its transport retries them), a rate limit, and a log of its calls.
 *
 * @throws GantryError `STORE_ADDRESS`, and the transport's errors
 */
export async function openStore(
  address: string,
  { signal, env, cwd, warn }: OpenStoreContext,
  { bytesPerSecond, access }: OpenStoreOptions = {},
): Promise<Store> {
  const url = parseStoreAddress(address, cwd);
  const transport = await loadTransport(url.protocol.slice(0, -1));
  const log = openStoreLog({ env, cwd, warn });
  try {
    const opened = await transport.open(url, { signal, env, cwd, warn, access });
    const retrying = transport.retries === true ? opened : withRetry(opened);
    const limited = bytesPerSecond === undefined ? retrying : withLimit(retrying, { bytesPerSecond });
    return log === undefined ? limited : withLog(limited, log);
  } catch (error) {
    signal.throwIfAborted();
    throw asOpenError(error, url.href);
  }
}

/** Runs `gantry receive` on the peer that the user named. @throws GantryError `STORE_ADDRESS`, `PEER_*` */
export async function openPeer(
  address: string,
  { signal, env, cwd, warn }: OpenStoreContext,
  program: string | undefined,
): Promise<PeerChannel> {
  const url = parseStoreAddress(address, cwd);
  const scheme = url.protocol.slice(0, -1);
  const transport = await loadTransport(scheme);
  if (transport.openPeer === undefined) {
    throw new GantryError('STORE_ADDRESS', {
      message: `${address} is not a peer: ${scheme}:// cannot run a program on another machine`,
      hint: 'Name a peer as ssh://user@host:port, or export to the store and import on the peer.',
    });
  }
  try {
    return await transport.openPeer(url, { signal, env, cwd, warn, program });
  } catch (error) {
    signal.throwIfAborted();
    throw asPeerError(error, url.host);
  }
}

async function loadTransport(scheme: string): Promise<Transport> {
  const own = OWN_TRANSPORTS[scheme];
  if (own !== undefined) return (await own()).default;
  const packageName = `gantry-transport-${scheme}`;
  let loaded: unknown;
  try {
    loaded = await import(packageName);
  } catch (cause) {
    throw new GantryError('STORE_ADDRESS', {
      message: `no transport for ${scheme}:// is installed`,
      hint: `Gantry has transports for ${Object.keys(OWN_TRANSPORTS).join(', ')}; others are packages such as ${packageName}, installed beside gantry (which runs from ${process.argv[1] ?? 'here'}).`,
      cause,
    });
  }
  if (isTransportModule(loaded) && loaded.default.schemes.includes(scheme)) return loaded.default;
  throw new GantryError('STORE_ADDRESS', {
    message: `the package ${packageName} is not a transport for ${scheme}://`,
    hint: 'Its default export must have `schemes` and `open`.',
  });
}

function isTransportModule(value: unknown): value is { readonly default: Transport } {
  if (typeof value !== 'object' || value === null || !('default' in value)) return false;
  const transport = value.default;
  if (typeof transport !== 'object' || transport === null || !('schemes' in transport) || !('open' in transport)) return false;
  return Array.isArray(transport.schemes) && typeof transport.open === 'function';
}
