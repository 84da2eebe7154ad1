import { GantryError, asPeerError } from '@gantry/core';
import type { PeerChannel } from '@gantry/transport';
import { parseStoreAddress } from './addresses/store-address.ts';
import type { OpenContext } from './context.ts';
import { loadTransport } from './transports.ts';

/**
 * Runs `gantry receive` on the peer that the user named.
 *
 * @param program how gantry is called there; `gantry` where undefined
 * @throws GantryError `STORE_ADDRESS`, `PEER_*`
 */
export async function openPeer(
  address: string,
  { signal, env, cwd, warn }: OpenContext,
  program: string | undefined,
): Promise<PeerChannel> {
  const url = parseStoreAddress(address, cwd);
  const transport = await loadTransport(url);
  if (transport.openPeer === undefined) {
    throw new GantryError('STORE_ADDRESS', {
      message: `${address} is not a peer: ${url.protocol}// cannot run a program on another machine`,
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
