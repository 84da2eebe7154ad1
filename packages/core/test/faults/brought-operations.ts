import { expect } from 'vitest';
import { readManifest } from '../../src/exports/examine.ts';
import { exportPrefix, parseExportReference } from '../../src/exports/export-id.ts';
import { packsOfOthers } from '../../src/exports/export-objects.ts';
import { REMOVED_FILE } from '../../src/exports/layout.ts';
import { listExports } from '../../src/exports/list-exports.ts';
import { removeExport } from '../../src/exports/remove-export.ts';
import { copyFromStore } from '../../src/operations/copy.ts';
import { mirrorStore } from '../../src/operations/mirror.ts';
import { pruneStore } from '../../src/operations/prune.ts';
import { exportsIn } from './invariants.ts';
import type { Operation, Parts } from './operations.ts';
import { exportNow } from './operations.ts';
import type { Place } from './place.ts';
import type { World } from './world.ts';

/*
 * Sealed exports that refer to packs of earlier ones: copies and mirrors bring these along (docs/decisions/0157).
 */

export const BROUGHT_OPERATIONS: readonly Operation[] = [
  { name: 'copy that brings packs', prepare: sealAgain, run: copyNewest },
  { name: 'copy that brings packs of several disks', disks: 3, prepare: sealAgain, run: copyNewest },
  {
    name: 'copy of an export whose packs were brought',
    prepare: bringPacks,
    run: ({ store, other, references, signal }) => copyFromStore({ source: store, target: other, export: references[2], signal }),
  },
  {
    name: 'copy of what was brought',
    prepare: async (parts, places) => {
      await bringPacks(parts, places);
      for (const reference of parts.references) await removeExport(parts.store, reference);
      await removeExport(parts.store, await newestOf(places[0]));
    },
    run: (parts) => copyNewest({ ...parts, store: parts.other, other: parts.store }),
  },
  {
    name: 'mirror of a removed base',
    prepare: async (parts) => {
      await sealAgain(parts);
      await removeExport(parts.store, parts.references[2]);
    },
    staying: (references) => references.filter((_, index) => index !== 2),
    run: ({ store, other, signal }) => mirrorStore({ source: store, target: other, signal }),
  },
  {
    name: 'remove of what needs brought packs',
    emptiesOther: true,
    prepare: bringPacks,
    run: async ({ other, signal }) => {
      const found = await Array.fromAsync(listExports(other, { signal }));
      for (const { reference } of found) await removeExport(other, reference, { signal });
    },
  },
  {
    name: 'prune of brought packs',
    prepare: async (parts, places) => {
      await bringPacks(parts, places);
      await removeExport(parts.other, await newestOf(places[1]));
      await pruneStore({ store: parts.other, policy: {} });
    },
    run: ({ other, signal }) => pruneStore({ store: other, policy: {}, signal }),
  },
];

/** A sealed export that refers to packs of the other sealed one. */
async function sealAgain(parts: Parts): Promise<void> {
  const { reference } = await exportNow(parts, { incremental: true, recipients: parts.world.recipients });
  const { instance, id = '' } = parseExportReference(reference);
  expect(packsOfOthers(await readManifest(parts.store, { instance, id }, {})), 'packs of others').not.toEqual([]);
}

/** Copies a sealed export, so that packs of an earlier one come along. */
async function bringPacks(parts: Parts, places: World['places']): Promise<void> {
  await sealAgain(parts);
  await copyNewest(parts);
  const { instance, id = '' } = parseExportReference(parts.references[2]);
  expect([...(await places[1].contents()).keys()]).toContain(`${exportPrefix(instance, id)}${REMOVED_FILE}`);
}

function copyNewest({ store, other, references, signal }: Parts): Promise<unknown> {
  const { instance } = parseExportReference(references[0]);
  return copyFromStore({ source: store, target: other, export: instance, signal });
}

async function newestOf(place: Place): Promise<string> {
  return exportsIn(await place.contents()).at(-1) ?? '';
}
