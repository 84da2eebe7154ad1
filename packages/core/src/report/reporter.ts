import type { DiskPhase, EventListener, GantryEvent, OperationName } from './events.ts';

/** What every operation takes. */
export interface OperationOptions {
  /** Ends the operation in good order: it then rejects with the signal's reason, when everything is let go. */
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: EventListener | undefined;
  /** Where OS definitions are looked for; Ganeti's own directories where absent. */
  readonly osSearchPath?: readonly string[] | undefined;
  /** Where locks and the journal are kept; see `stateDirectoryPath`. */
  readonly stateDirectory?: string | undefined;
  /** Scripts get `DEBUG_LEVEL=1`. */
  readonly debug?: boolean | undefined;
  /** Accepts a variant that the definition does not list. */
  readonly forceVariant?: boolean | undefined;
}

/** Disks under way at once, where nothing else is asked for. */
export const DEFAULT_PARALLEL_DISKS = 4;

/** How often one disk's progress is told, ms. */
const PROGRESS_INTERVAL_MS = 100;

/** Ways to tell the listener of one operation what happens, with the operation's name filled in. */
export interface Reporter {
  readonly operation: OperationName;
  readonly emit: EventListener;
  readonly stage: (message: string) => void;
  readonly warn: (message: string, disk?: number) => void;
  readonly disk: (disk: number, phase: DiskPhase, expectedBytes?: number) => void;
  /** A teller of one disk's progress that leaves out what comes too fast; `last` is always told. */
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
      let toldAt = -Infinity;
      return (plainBytes, storedBytes, last = false) => {
        const now = performance.now();
        if (!last && now - toldAt < PROGRESS_INTERVAL_MS) return;
        toldAt = now;
        const expectedBytes = expected();
        emit({ type: 'progress', operation, disk, plainBytes, storedBytes, ...(expectedBytes === undefined ? {} : { expectedBytes }) });
      };
    },
  };
}

/** Tells the phases of one disk around the work on it. */
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
