import type { Instance } from '../instances/model.ts';
import type { Reporter } from '../report/reporter.ts';
import { undoHandlers } from './undo-handlers.ts';
import type { Run } from '../runs/journal.ts';
import { openRun } from '../runs/journal.ts';
import { lockDisk, lockInstance } from '../runs/locks.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';

/** What a run locks. */
export interface RunRequest {
  readonly instance: Instance;
  /** Indexes of the disks to lock; each is locked by its identity, not by its path. */
  readonly disks: readonly number[];
  /** `shared`: other runs may read the disks too. */
  readonly diskLock: 'shared' | 'exclusive';
  readonly stateDirectory: string | undefined;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/**
 * Starts a run: takes the locks, clears what dead runs left on this machine, opens the journal. Disposing the run closes the journal and
 * releases the locks.
 *
 * @throws GantryError `BUSY`, `STATE_UNUSABLE`
 */
export async function beginRun({ instance, disks, diskLock, reporter, signal, ...request }: RunRequest): Promise<Run> {
  const stateDirectory = await openStateDirectory(request.stateDirectory);
  const owner = { stateDirectory, operation: reporter.operation, instance: instance.name, signal };
  await using held = new AsyncDisposableStack();
  held.use(await lockInstance(owner));
  for (const index of disks) {
    const disk = instance.disks[index];
    if (disk !== undefined) held.use(await lockDisk(owner, index, disk, diskLock));
  }
  await recoverDeadRuns({ stateDirectory, undos: undoHandlers(), signal, report: (message) => reporter.warn(message) });
  const run = held.use(await openRun({ stateDirectory, operation: reporter.operation, instance: instance.name }));
  const all = held.move();
  return {
    id: run.id,
    remember: (record, inPlaceOf) => run.remember(record, inPlaceOf),
    forget: (id) => run.forget(id),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
