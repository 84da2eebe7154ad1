import type { Store } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeRandomFile, makeTemporaryDirectory, writeOsDefinition } from '@gantry/testkit';
import type { Instance } from '../src/instances/model.ts';
import type { ExportRequest, ExportResult } from '../src/operations/export.ts';
import { exportInstance } from '../src/operations/export.ts';
import type { ImportRequest, ImportResult } from '../src/operations/import.ts';
import { importInstance } from '../src/operations/import.ts';
import { sampleInstance } from './sample-instance.ts';

/** Exports and imports of core, with real scripts and disks, and a store in memory unless another is given. */
export interface OperationBench extends AsyncDisposable {
  readonly directory: TemporaryDirectory;
  readonly store: Store;
  readonly instance: Instance;
  readonly exportDisks: (request?: Partial<ExportRequest>) => Promise<ExportResult>;
  readonly importDisks: (reference: string, request?: Partial<ImportRequest>) => Promise<ImportResult>;
}

export interface OperationBenchOptions {
  /** Disks of 64 KiB of random bytes; 1 where absent. */
  readonly disks?: number;
  /** Bodies of `/bin/sh` scripts; the built-in `raw` where both are absent. */
  readonly scripts?: { readonly export?: string; readonly import?: string };
  readonly store?: Store;
}

export const DISK_BYTES: number = 64 * 1024;

const CAT = { export: 'cat "$EXPORT_DEVICE"', import: 'cat >"$IMPORT_DEVICE"' };

export async function makeOperationBench({
  disks = 1,
  scripts,
  store = new MemoryStore(),
}: OperationBenchOptions): Promise<OperationBench> {
  const directory = await makeTemporaryDirectory();
  const paths = Array.from({ length: disks }, (_, index) => directory.file(`disk${index}.img`));
  for (const [index, path] of paths.entries()) await makeRandomFile(path, DISK_BYTES, `disk ${index}`);
  if (scripts !== undefined) {
    const files = Object.entries({ ...CAT, ...scripts }).map(([name, body]) => [name, `#!/bin/sh\n${body}\n`]);
    await writeOsDefinition(directory.file('os'), 'mine', { files: Object.fromEntries(files) });
  }
  const instance = sampleInstance({ os: scripts === undefined ? 'raw' : 'mine', disks: paths.map((path) => ({ path, access: 'rw' })) });
  const common = { instance, store, stateDirectory: directory.file('state'), osSearchPath: [directory.file('os')] };
  return {
    directory,
    store,
    instance,
    exportDisks: (request) => exportInstance({ ...common, snapshot: 'none', createStore: true, ...request }),
    importDisks: (reference, request) => importInstance({ ...common, export: reference, ...request }),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}
