import type { DiskPhase, EventListener, GantryEvent, OperationName } from './events.ts';

/** Options of every operation. */
export interface OperationOptions {
  /** Cancels the operation; it rejects with the signal's reason after cleanup. */
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: EventListener | undefined;
  /** Directories that are searched for OS definitions; Ganeti's own when absent. */
  readonly osSearchPath?: readonly string[] | undefined;
  /** Where locks and the journal are kept; see `stateDirectoryPath`. */
  readonly stateDirectory?: string | undefined;
  /** Scripts get `DEBUG_LEVEL=1`. */
  readonly debug?: boolean | undefined;
  /** Accepts a variant that the definition does not list. */
  readonly forceVariant?: boolean | undefined;
}

/** How many disks are processed at once by default. */
export const DEFAULT_PARALLEL_DISKS = 4;

/** How often the progress of one disk is reported, ms. */
const PROGRESS_INTERVAL_MS = 100;

/** Reports what happens to the listener of one operation; the operation's name is filled in. */
export interface Reporter {
  readonly operation: OperationName;
  readonly emit: EventListener;
  readonly stage: (message: string) => void;
  readonly warn: (message: string, disk?: number) => void;
  readonly disk: (disk: number, phase: DiskPhase, expectedBytes?: number) => void;
  /** Reports one disk's progress, leaving out what comes too fast; a report with `last` is never left out. */
  readonly progressOf: (
    disk: number,
    expectedBytes: () => number | undefined,
  ) => (plainBytes: number, storedBytes: number, last?: boolean) => void;
  /** All warnings so far, for the result. */
  readonly warnings: readonly string[];
}

export function createReporter(operation: OperationName, onEvent: EventListener | undefined): Reporter {
  const warnings: string[] = [];
  const emit = (event: GantryEvent): void => onEvent?.(event);
  return {
    operation,
    emit,
    warnings,
    stage: (message) => emit({ type: 'stage', operation, message }),
    warn: (message, disk) => {
      warnings.push(disk === undefined ? message : `disk ${disk}: ${message}`);
      emit({ type: 'warning', operation, message, ...(disk === undefined ? {} : { disk }) });
    },
    disk: (disk, phase, expectedBytes) =>
      emit({ type: 'disk', operation, disk, phase, ...(expectedBytes === undefined ? {} : { expectedBytes }) }),
    progressOf: (disk, expected) => {
      let reportedAt = -Infinity;
      return (plainBytes, storedBytes, last = false) => {
        const now = performance.now();
        if (!last && now - reportedAt < PROGRESS_INTERVAL_MS) return;
        reportedAt = now;
        const expectedBytes = expected();
        emit({ type: 'progress', operation, disk, plainBytes, storedBytes, ...(expectedBytes === undefined ? {} : { expectedBytes }) });
      };
    },
  };
}

/** Runs the work on one disk, and reports its phases. */
export async function reportPhases<T>(reporter: Reporter, disk: number, work: () => Promise<T>): Promise<T> {
  reporter.disk(disk, 'running');
  try {
    const result = await work();
    reporter.disk(disk, 'done');
    return result;
  } catch (error) {
    reporter.disk(disk, 'failed');
    throw error;
  }
}
