import { writeFile } from 'node:fs/promises';
import { generateX25519Identity, Identities } from '@gantry/age';
import { writeOsDefinition } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { alterStore } from '@gantry/transport';
import { expect } from 'vitest';
import { SUMS_FILE } from '../../src/exports/layout.ts';
import { removeExport } from '../../src/exports/remove-export.ts';
import { addKeys } from '../../src/operations/add-keys.ts';
import { checkKeys } from '../../src/operations/check-keys.ts';
import { cleanUp } from '../../src/operations/clean.ts';
import { consolidateExport } from '../../src/operations/consolidate.ts';
import { copyFromStore } from '../../src/operations/copy.ts';
import { diffExports } from '../../src/operations/diff.ts';
import type { ExportRequest, ExportResult } from '../../src/operations/export.ts';
import type { ImportRequest } from '../../src/operations/import.ts';
import { mirrorStore } from '../../src/operations/mirror.ts';
import { pruneStore } from '../../src/operations/prune.ts';
import { tagExport } from '../../src/operations/tag.ts';
import { undelete } from '../../src/operations/undelete.ts';
import { verifyStore } from '../../src/operations/verify-store.ts';
import { DISK_BYTES } from '../operation-bench.ts';
import { Killed } from '../histories.ts';
import { faultedStore } from './faulted-store.ts';
import type { FaultPoint } from './faults.ts';
import { Faults } from './faults.ts';
import { endProcesses } from './next-command.ts';
import type { Place } from './place.ts';
import type { World } from './world.ts';
import { digestsOf, opened, pathsOf } from './world.ts';

/** What an operation gets. */
export interface Parts {
  readonly world: World;
  readonly store: Store;
  readonly other: Store;
  /** The exports of the first store, oldest first. The third is sealed. */
  readonly references: readonly [string, string, string, string];
  readonly stateDirectory: string;
  /** Of this attempt. */
  readonly faults: Faults;
  readonly signal: AbortSignal;
}

export interface Operation {
  readonly name: string;
  /** How many disks; 1 where absent. */
  readonly disks?: number;
  /** It makes calls side by side, also with one disk. */
  readonly isSideBySide?: boolean;
  /** Makes of the two places what the operation is for. */
  readonly prepare?: (parts: Parts, places: World['places']) => Promise<void>;
  /** Of the exports in the first store, oldest first: those that stay after any fault. All of them where absent. */
  readonly staying?: (references: readonly string[]) => readonly string[];
  /** Nothing need hold what the newest export of the first store holds. */
  readonly removesNewest?: boolean;
  /** No export of the second store need stay. */
  readonly emptiesOther?: boolean;
  /** What it left outside of the stores, once that is cleared: nothing, if all is well. */
  readonly left?: (world: World) => Promise<readonly string[]>;
  /** Every fault that there can be, where the medium does not say it. */
  readonly points?: readonly FaultPoint[];
  /** It may find nothing to do when it has succeeded, and its answer was lost. */
  readonly once?: boolean;
  readonly run: (parts: Parts) => Promise<unknown>;
}

const otherRecipients = await Identities.parse(await generateX25519Identity()).recipients();

export const OPERATIONS: readonly Operation[] = [
  { name: 'export', run: (parts) => exportNow(parts) },
  { name: 'incremental export', run: (parts) => exportNow(parts, { incremental: true }) },
  { name: 'incremental export of several disks', disks: 3, run: (parts) => exportNow(parts, { incremental: true }) },
  { name: 'export of several disks', disks: 3, run: (parts) => exportNow(parts) },
  // ssh-keygen works beside the calls of the store.
  { name: 'signed export', isSideBySide: true, run: (parts) => exportNow(parts, { incremental: true, signKey: parts.world.signKey }) },
  { name: 'sealed export', run: (parts) => exportNow(parts, { incremental: true, recipients: parts.world.recipients }) },
  { name: 'export into two stores', isSideBySide: true, run: (parts) => exportNow(parts, { alsoInto: [parts.other], incremental: true }) },
  {
    name: 'export that goes on',
    disks: 3,
    prepare: (parts, [place]) => cutOff(parts, place),
    run: (parts) => exportNow(parts, { incremental: true, fullEvery: 1 }),
  },
  {
    name: 'export that goes on after a kill',
    disks: 3,
    prepare: (parts, [place]) => killedExport(parts, place, { incremental: true, fullEvery: 1 }),
    run: (parts) => exportNow(parts, { incremental: true, fullEvery: 1 }),
  },
  { name: 'import', run: (parts) => importAway(parts, parts.references[3]) },
  { name: 'import of several disks', disks: 3, run: (parts) => importAway(parts, parts.references[3]) },
  { name: 'import of a sealed export', run: (parts) => importAway(parts, parts.references[2]) },
  { name: 'import that goes on', run: (parts) => importAway(parts, parts.references[3], { resume: true }) },
  { name: 'import after a check', run: (parts) => importAway(parts, parts.references[1], { checkFirst: true }) },
  {
    name: 'copy',
    run: ({ store, other, references, signal }) => copyFromStore({ source: store, target: other, export: references[3], signal }),
  },
  {
    name: 'copy of a sealed export',
    run: ({ store, other, references, signal }) => copyFromStore({ source: store, target: other, export: references[2], signal }),
  },
  { name: 'mirror', run: ({ store, other, signal }) => mirrorStore({ source: store, target: other, signal }) },
  {
    name: 'mirror of several disks',
    disks: 3,
    run: ({ store, other, signal }) => mirrorStore({ source: store, target: other, signal }),
  },
  {
    name: 'consolidate',
    once: true,
    staying: (references) => references.slice(0, -1),
    run: ({ store, references, signal }) => consolidateExport({ store, export: references[3], signal }),
  },
  {
    name: 'prune',
    staying: (references) => references.slice(-2),
    run: ({ store, signal }) => pruneStore({ store, policy: { last: 2 }, signal }),
  },
  {
    name: 'second prune',
    staying: (references) => references.slice(-1),
    prepare: ({ store }) => pruneStore({ store, policy: { last: 2 } }).then(() => undefined),
    run: ({ store, signal }) => pruneStore({ store, policy: { last: 1 }, signal }),
  },
  {
    name: 'remove',
    once: true,
    staying: (references) => references.slice(1),
    run: ({ store, references, signal }) => removeExport(store, references[0], { signal }),
  },
  {
    name: 'remove of what a claim keeps',
    once: true,
    removesNewest: true,
    staying: (references) => references.slice(0, -1),
    prepare: (parts, [place]) => killedExport(parts, place, { incremental: true }),
    run: ({ store, references, signal }) => removeExport(store, references[3], { signal }),
  },
  {
    name: 'undelete',
    once: true,
    staying: (references) => references.filter((_, index) => index !== 1),
    prepare: ({ store, references }) => removeExport(store, references[1]).then(() => undefined),
    run: ({ store, references, signal }) => undelete({ store, export: references[1], signal }),
  },
  { name: 'tag', run: ({ store, references, signal }) => tagExport({ store, export: references[0], add: ['kept'], signal }) },
  {
    name: 'keys add',
    run: ({ store, references, signal }) => addKeys({ store, exports: [references[2]], recipients: otherRecipients, signal }),
  },
  { name: 'keys check', run: ({ store, signal }) => checkKeys({ store, signal }) },
  {
    name: 'diff',
    run: ({ store, references, signal }) => diffExports({ store, first: references[0], second: references[2], signal }),
  },
  {
    name: 'clean',
    prepare: (parts, [place]) => killedExport(parts, place),
    run: ({ store, stateDirectory, signal }) => cleanUp({ store, stateDirectory, signal }),
  },
  { name: 'verify', run: ({ store, stateDirectory, signal }) => verifyStore({ store, depth: 'frames', stateDirectory, signal }) },
];

export function exportNow(
  { world: { bench }, store, stateDirectory, signal }: Parts,
  request: Partial<ExportRequest> = {},
): Promise<ExportResult> {
  return bench.exportDisks({ store, stateDirectory, signal, ...request });
}

/** The disks of another, into which disks are imported or moved. */
export function targetPaths({ world: { bench } }: Parts): readonly string[] {
  return pathsOf(bench).map((_, index) => bench.directory.file(`target${index}.img`));
}

/** Imports into disks of another, whose content is some other. @param mayDiffer what is imported may be something else */
export async function importAway(
  parts: Parts,
  reference: string,
  request: Partial<ImportRequest> = {},
  { mayDiffer = false }: { readonly mayDiffer?: boolean } = {},
): Promise<void> {
  const { bench, disks } = parts.world;
  const { store, stateDirectory, signal } = parts;
  const paths = targetPaths(parts);
  for (const path of paths) await writeFile(path, Buffer.alloc(DISK_BYTES, 'x'));
  const instance = { ...bench.instance, disks: paths.map((path) => ({ path, access: 'rw' as const })) };
  await bench.importDisks(reference, { store, instance, yes: true, stateDirectory, signal, ...request });
  if (!mayDiffer) expect(await digestsOf(paths), 'an import that succeeds').toEqual(disks.get(reference));
}

/** An incremental export whose last disk fails, so that the packs of the others stay. */
async function cutOff(parts: Parts, place: Place): Promise<void> {
  const { directory, instance } = parts.world.bench;
  const script = '#!/bin/sh\nif [ "$EXPORT_INDEX" = 2 ]; then exit 3; fi; cat "$EXPORT_DEVICE"\n';
  await writeOsDefinition(directory.file('os'), 'cut-off', { files: { export: script } });
  const request = { instance: { ...instance, os: 'cut-off' }, incremental: true, fullEvery: 1, parallel: 1 };
  await expect(exportNow(parts, request)).rejects.toMatchObject({ code: 'SCRIPT_FAILED' });
  expect([...(await place.contents()).keys()].filter((key) => key.endsWith('/cut-off.json'))).toHaveLength(1);
}

/** An export that is killed when all its dumps are there. In stores of every medium: by the calls of the contract. */
async function killedExport(parts: Parts, place: Place, request: Partial<ExportRequest> = {}): Promise<void> {
  const faults = new Faults();
  await using store = await place.open();
  const killing = alterStore(store, {
    begin: (key, options) => {
      if (key.endsWith(`/${SUMS_FILE}`)) faults.kill();
      return faults.wasKilled ? Promise.reject(new Killed()) : store.begin(key, options);
    },
  });
  const { signal } = new AbortController();
  await expect(exportNow({ ...parts, store: opened(faultedStore(killing, faults)), signal }, request)).rejects.toBeDefined();
  expect(faults.wasKilled, 'it was killed').toBe(true);
  await endProcesses(place);
}
