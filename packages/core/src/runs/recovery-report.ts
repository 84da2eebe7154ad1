import { errorText } from '../report/error-text.ts';
import type { RunHeader, RunRecord } from './run-record.ts';
import type { Undo } from './undo.ts';

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
  readonly #undos: readonly Undo[];
  readonly #report: ((message: string) => void) | undefined;

  constructor(undos: readonly Undo[], report: ((message: string) => void) | undefined) {
    this.#undos = undos;
    this.#report = report;
  }

  say(message: string): void {
    this.#report?.(message);
  }

  found(header: RunHeader, record: RunRecord): void {
    this.#add(header, record, 'found', `${describeOwner(header)} left ${this.#describe(record)}`);
  }

  cleared(header: RunHeader, record: RunRecord): void {
    this.#add(header, record, 'cleared', `cleared ${this.#describe(record)}, which ${describeOwner(header)} left`);
  }

  kept(header: RunHeader, record: RunRecord, reason: string): void {
    this.#add(header, record, 'kept', `${this.#describe(record)}, which ${describeOwner(header)} left, could not be cleared: ${reason}`);
  }

  #describe(record: RunRecord): string {
    const undo = this.#undos.find(({ kind }) => kind === record.kind);
    try {
      return undo === undefined ? `something of the kind "${record.kind}"` : undo.describe(record);
    } catch (error) {
      return `something of the kind "${record.kind}" that cannot be read (${errorText(error)})`;
    }
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
