import process from 'node:process';
import { GantryError, asOpenError, asPeerError } from '@gantry/core';
import type { PeerChannel, Store, Transport } from '@gantry/transport';
import { withLimit, withLog, withRetry } from '@gantry/transport';
import { parseStoreAddress } from './store-address.ts';
import { openStoreLog } from './store-log.ts';

/** Which package serves which scheme. Any other scheme is looked for as `gantry-transport-SCHEME`, installed beside this command. */
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
  /** The most bytes a second, of everything that the store reads and writes. */
  readonly bytesPerSecond?: number | undefined;
  /** `read` where nothing will be begun; `write` where absent. */
  readonly access?: 'read' | 'write' | undefined;
}

/**
 * Opens the store that the user named, of whatever transport, wrapped in all that stores get: tries again what may pass (where its
 * transport does not), a limit of the rate, and a log of its calls.
 *
 * @throws GantryError `STORE_ADDRESS` and what the transport says
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
    const patient = transport.retries === true ? opened : withRetry(opened);
    const limited = bytesPerSecond === undefined ? patient : withLimit(patient, { bytesPerSecond });
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
      hint: `Gantry itself knows ${Object.keys(OWN_TRANSPORTS).join(', ')}; others come from packages such as ${packageName}, installed beside gantry (which runs from ${process.argv[1] ?? 'here'}).`,
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
