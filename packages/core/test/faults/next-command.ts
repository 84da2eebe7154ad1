import { expect } from 'vitest';
import { CLAIM_FILE } from '../../src/exports/layout.ts';
import { findUnfinished } from '../../src/exports/unfinished.ts';
import { cleanUp } from '../../src/operations/clean.ts';
import { get, put } from '../sample-export.ts';
import type { Place } from './place.ts';

/** As when the processes that worked on a place have ended: it no longer says that they are alive. */
export async function endProcesses(place: Place): Promise<void> {
  await place.end();
  await using store = await place.open();
  for (const key of (await place.contents()).keys()) {
    if (!key.endsWith(`/${CLAIM_FILE}`)) continue;
    const claim = await get(store, key);
    await put(store, key, claim.replace(/"startTime":\s*\d+/, '"startTime": 1'));
  }
}

/** `gantry clean` names and clears what is left, and then nothing is. */
export async function expectCleared(place: Place, stateDirectory: string): Promise<void> {
  await using store = await place.open();
  const exports = place.knowsOwners ? [] : (await findUnfinished(store)).map(({ name }) => name);
  for (const thing of await cleanUp({ store, stateDirectory, exports }))
    expect(thing, 'what clean clears').toMatchObject({ outcome: 'cleared' });
  expect(await cleanUp({ store, stateDirectory, dryRun: true }), 'what is left').toEqual([]);
}
