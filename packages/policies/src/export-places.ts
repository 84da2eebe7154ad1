import { openStateDirectory, pause, tryExportPlace } from '@gantry/core';
import type { PolicyRunRequest } from './run-request.ts';

/** How often a run that waits looks for a free place, ms. */
const LOOK_INTERVAL_MS = 500;

/** Where the host has no limit. */
const UNLIMITED: AsyncDisposable = { [Symbol.asyncDispose]: () => Promise.resolve() };

/**
 * Waits until one of the exports of this host that `host.parallel` of gantry.yaml allows at once may be that of the instance. Who comes
 * first is not decided: each is asked again until its turn comes.
 *
 * @param mayBegin asked before each look
 * @returns what gives the place back; undefined if `mayBegin` said no
 * @throws GantryError `STATE_UNUSABLE`; the signal's reason
 */
export async function takeExportPlace(
  { configuration, stateDirectory, onEvent }: PolicyRunRequest,
  instance: string,
  { mayBegin, signal }: { readonly mayBegin: () => boolean; readonly signal: AbortSignal },
): Promise<AsyncDisposable | undefined> {
  const { parallel } = configuration.host;
  const owner = { stateDirectory: await openStateDirectory(stateDirectory), operation: 'run', instance, signal } as const;
  for (let looks = 0; mayBegin(); looks += 1) {
    const place = parallel === undefined ? UNLIMITED : await tryExportPlace(owner, parallel);
    if (place !== undefined) return place;
    const message = `waits: ${parallel} ${parallel === 1 ? 'export' : 'exports'} at once on this host (host.parallel)`;
    if (looks === 0) onEvent?.({ type: 'stage', operation: 'run', message, instance });
    await pause(LOOK_INTERVAL_MS, signal);
  }
  return undefined;
}
