import { makeTemporaryDirectory } from '@gantry/testkit';

import type { Disk } from '../../src/instances/model.ts';
import type { SnapshotMode } from '../../src/snapshots/registry.ts';
import type { SnapshotRequest } from '../../src/snapshots/provider.ts';
import type { SnapshotSet, SnapshotSetOptions } from '../../src/snapshots/snapshot-set.ts';
import { takeSnapshotSet } from '../../src/snapshots/snapshot-set.ts';
import type { Run } from '../../src/runs/journal.ts';
import { openRun } from '../../src/runs/journal.ts';
import type { StateDirectory } from '../../src/runs/state-directory.ts';
import { openStateDirectory } from '../../src/runs/state-directory.ts';

/** A run of an export of the instance web1 with a state directory of its own, and the warnings that it gave. */
export interface Workbench extends AsyncDisposable {
  readonly run: Run;
  readonly stateDirectory: StateDirectory;
  readonly warnings: string[];
  /** A path in a temporary directory. */
  file(...names: readonly string[]): string;
  /** Takes snapshots of disks that are given by their paths, or whole. */
  take(mode: SnapshotMode, disks: readonly (string | Disk)[], more?: Partial<SnapshotSetOptions>): Promise<SnapshotSet>;
}

export async function openWorkbench(): Promise<Workbench> {
  await using stack = new AsyncDisposableStack();
  const scratch = stack.use(await makeTemporaryDirectory());
  const stateDirectory = await openStateDirectory(scratch.file('state'));
  const run = stack.use(await openRun({ stateDirectory, operation: 'export', instance: 'web1' }));
  const warnings: string[] = [];
  const owned = stack.move();
  return {
    run,
    stateDirectory,
    warnings,
    file: (...names) => scratch.file(...names),
    take: (mode, disks, more = {}) =>
      takeSnapshotSet({
        mode,
        instanceName: 'web1',
        requests: disks.map(requestOf),
        run,
        warn: (message, disk) => warnings.push(disk === undefined ? message : `disk ${disk}: ${message}`),
        signal: new AbortController().signal,
        ...more,
      }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function requestOf(disk: string | Disk, index: number): SnapshotRequest {
  return { index, disk: typeof disk === 'string' ? { path: disk, access: 'rw' } : disk };
}
