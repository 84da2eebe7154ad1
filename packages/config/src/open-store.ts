import { asOpenError } from '@gantry/core';
import type { Rate, Store } from '@gantry/transport';
import { withLimit, withLog, withRetry } from '@gantry/transport';
import { showUrl } from './addresses/address.ts';
import { parseStoreAddress } from './addresses/store-address.ts';
import type { OpenContext } from './context.ts';
import { openStoreLog } from './store-log.ts';
import { loadTransport } from './transports.ts';

export interface OpenStoreOptions {
  /** Limits the rate of everything that the store reads and writes. */
  readonly bytesPerSecond?: Rate | undefined;
  /** `read` where nothing will be written; `write` where absent. */
  readonly access?: 'read' | 'write' | undefined;
}

/**
 * Opens the store that the user named, of any transport, wrapped in what every store gets: retries (unless its transport has its own), a
 * limit of the rate, and a log of its calls.
 *
 * @throws GantryError `STORE_ADDRESS`, and what the transport fails with
 */
export async function openStore(
  address: string,
  { signal, env, cwd, warn, mayAsk }: OpenContext,
  { bytesPerSecond, access }: OpenStoreOptions = {},
): Promise<Store> {
  const url = parseStoreAddress(address, cwd);
  const transport = await loadTransport(url);
  const log = openStoreLog({ env, cwd, warn });
  try {
    const opened = await transport.open(url, { signal, env, cwd, warn, access, mayAsk });
    const patient = transport.retries === true ? opened : withRetry(opened);
    const limited = bytesPerSecond === undefined ? patient : withLimit(patient, { bytesPerSecond });
    return log === undefined ? limited : withLog(limited, log);
  } catch (error) {
    signal.throwIfAborted();
    throw asOpenError(error, showUrl(url));
  }
}
