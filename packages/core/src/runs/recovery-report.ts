import type { PendingRecord, RunHeader, RunRecord } from './run-record.ts';

/** `found`: only looked at. `kept`: could not be cleared now; the next run tries again. */
export type LeftoverOutcome = 'found' | 'cleared' | 'kept';

/** One thing that a dead run left. */
export interface Leftover {
  readonly runId: string;
  readonly operation: string;
  readonly instance: string;
  /** When the run began, ISO 8601. */
  readonly started: string;
  readonly record: RunRecord;
  readonly outcome: LeftoverOutcome;
  /** All of this as a sentence for a human. */
  readonly message: string;
}

export interface RecoveryReport {
  readonly leftovers: readonly Leftover[];
  /** Journals that cannot be read, by their paths: set aside for a human, never acted upon. */
  readonly damaged: readonly string[];
}

/** Gathers what a recovery finds and does, and tells a listener of each thing as it happens. */
export class RecoveryLog implements RecoveryReport {
  readonly leftovers: Leftover[] = [];
  readonly damaged: string[] = [];
  readonly #report: ((message: string) => void) | undefined;

  constructor(report: ((message: string) => void) | undefined) {
    this.#report = report;
  }

  say(message: string): void {
    this.#report?.(message);
  }

  found(header: RunHeader, record: RunRecord): void {
    this.#add(header, record, 'found', `${describeOwner(header)} left ${describeRecord(record)}`);
  }

  cleared(header: RunHeader, record: RunRecord): void {
    this.#add(header, record, 'cleared', `cleared ${describeRecord(record)}, which ${describeOwner(header)} left`);
  }

  kept(header: RunHeader, record: RunRecord, reason: string): void {
    this.#add(header, record, 'kept', `${describeRecord(record)}, which ${describeOwner(header)} left, could not be cleared: ${reason}`);
  }

  #add(header: RunHeader, record: RunRecord, outcome: LeftoverOutcome, message: string): void {
    const { runId, operation, instance, started } = header;
    this.leftovers.push({ runId, operation, instance, started, record, outcome, message });
    this.say(message);
  }
}

function describeOwner({ operation, instance, pid, started }: RunHeader): string {
  return `the ${operation} of instance ${instance} that did not end in good order (process ${pid}, begun ${started})`;
}

function describeRecord(record: RunRecord): string {
  if (record.kind === 'script') return `the process group ${record.pgid} of the ${record.operation} script ${record.script}`;
  return record.kind === 'snapshot' ? record.record.description : describePending(record);
}

function describePending({ exportId, storeAddress }: PendingRecord): string {
  return `${exportId === undefined ? 'an unfinished object' : `the unfinished export ${exportId}`} in ${storeAddress}`;
}
