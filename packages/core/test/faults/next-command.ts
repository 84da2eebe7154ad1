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

/** `gantry clean` clears what is left, or names it with the command that clears it, and then nothing is left. */
export async function expectCleared(place: Place, stateDirectory: string): Promise<void> {
  await using store = await place.open();
  const kept = (await cleanUp({ store, stateDirectory })).filter(({ outcome }) => outcome !== 'cleared');
  for (const { what } of kept) expect(what, 'what is kept').toContain('remove it with: gantry clean');
  const exports = (await findUnfinished(store)).map(({ name }) => name);
  expect(exports, 'unfinished').toHaveLength(kept.length);
  for (const thing of await cleanUp({ store, stateDirectory, exports })) expect(thing).toMatchObject({ outcome: 'cleared' });
  expect(await cleanUp({ store, stateDirectory, dryRun: true }), 'what is left').toEqual([]);
}
