import { errorText } from '../report/error-text.ts';
import type { RunHeader, RunRecord } from './run-record.ts';
import type { Remedy } from './undo.ts';
import { isUndo } from './undo.ts';

/** `found`: only listed. `kept`: could not be cleared; the next run tries again. `noted`: it cannot be cleared by Gantry, and was said. */
export type LeftoverOutcome = 'found' | 'cleared' | 'kept' | 'noted';

/** One thing that a dead run left. */
export interface Leftover {
  readonly runId: string;
  readonly operation: string;
  readonly instance: string;
  /** When the run started, ISO 8601. */
  readonly started: string;
  readonly record: RunRecord;
  readonly outcome: LeftoverOutcome;
  /** What it is and who left it, for a human; for `kept`, also why. */
  readonly what: string;
  /** The same with what was done, as a sentence. */
  readonly message: string;
}

export interface RecoveryReport {
  readonly leftovers: readonly Leftover[];
  /** Paths of journals that cannot be read: set aside for a human, never acted upon. */
  readonly damaged: readonly string[];
}

/** Collects what a recovery finds and does, and reports each thing to a listener as it happens. */
export class RecoveryLog implements RecoveryReport {
  readonly leftovers: Leftover[] = [];
  readonly damaged: string[] = [];
  readonly #undos: readonly Remedy[];
  readonly #report: ((message: string) => void) | undefined;

  constructor(undos: readonly Remedy[], report: ((message: string) => void) | undefined) {
    this.#undos = undos;
    this.#report = report;
  }

  say(message: string): void {
    this.#report?.(message);
  }

  found(header: RunHeader, record: RunRecord): void {
    const what = this.#describeLeft(header, record);
    const message = this.#isNotice(record) ? what : `${describeOwner(header)} left ${this.#describe(record)}`;
    this.#add(header, record, { outcome: 'found', what, message });
  }

  /** @param isLast whether it is not said again */
  noted(header: RunHeader, record: RunRecord, isLast: boolean): void {
    const what = this.#describeLeft(header, record);
    this.#add(header, record, { outcome: 'noted', what, message: isLast ? what : `${what}; gantry clean ends this notice` });
  }

  cleared(header: RunHeader, record: RunRecord): void {
    const what = this.#describeLeft(header, record);
    this.#add(header, record, { outcome: 'cleared', what, message: `cleared ${what}` });
  }

  kept(header: RunHeader, record: RunRecord, reason: string): void {
    const what = `${this.#describeLeft(header, record)}, could not be cleared: ${reason}`;
    this.#add(header, record, { outcome: 'kept', what, message: what });
  }

  #describeLeft(header: RunHeader, record: RunRecord): string {
    if (this.#isNotice(record)) return `${this.#describe(record)} (noted by ${describeOwner(header)})`;
    return `${this.#describe(record)}, which ${describeOwner(header)} left`;
  }

  #isNotice(record: RunRecord): boolean {
    const remedy = this.#undos.find(({ kind }) => kind === record.kind);
    return remedy !== undefined && !isUndo(remedy);
  }

  #describe(record: RunRecord): string {
    const undo = this.#undos.find(({ kind }) => kind === record.kind);
    try {
      return undo === undefined ? `something of the kind "${record.kind}"` : undo.describe(record);
    } catch (error) {
      return `something of the kind "${record.kind}" that cannot be read (${errorText(error)})`;
    }
  }

  #add(header: RunHeader, record: RunRecord, result: Pick<Leftover, 'outcome' | 'what' | 'message'>): void {
    const { runId, operation, instance, started } = header;
    this.leftovers.push({ runId, operation, instance, started, record, ...result });
    this.say(result.message);
  }
}

function describeOwner({ operation, instance, pid, started }: RunHeader): string {
  return `the interrupted ${operation} of instance ${instance} (process ${pid}, started ${started})`;
}
