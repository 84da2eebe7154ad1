import type { JobLogEntry } from '../jobs/job.ts';
import { shownText } from '../shown-text.ts';

/** What Ganeti said of a disk in the log of a job. */
export type DiskOutcome = { readonly state: 'finished' } | { readonly state: 'failed'; readonly why: string };

const OUTCOME = /^Disk (\d+) (?:(finished) (?:receiving|sending) data$|failed to (?:receive|send) data: ([^]*))/;
const WARNING = /WARNING: ([^]*)/;
/** Said of disks that failed, each of which has a line of its own. */
const SOME_FAILED = /^Some disks for instance /;

/** Reads the log of a remote import or export: what became of each disk, and warnings. */
export class DiskLog {
  readonly #outcomes: readonly PromiseWithResolvers<DiskOutcome>[];
  readonly #known = new Map<number, DiskOutcome>();
  readonly #warn: (message: string) => void;

  constructor(disks: number, warn: (message: string) => void) {
    this.#outcomes = Array.from({ length: disks }, () => Promise.withResolvers<DiskOutcome>());
    this.#warn = warn;
  }

  add({ type, message }: JobLogEntry): void {
    if (type !== 'message' || typeof message !== 'string') return;
    const [matched, disk, finished, why = ''] = OUTCOME.exec(message) ?? [];
    if (matched !== undefined) {
      const outcome: DiskOutcome = finished === undefined ? { state: 'failed', why: shownText(why) } : { state: 'finished' };
      this.#known.set(Number(disk), outcome);
      this.#outcomes[Number(disk)]?.resolve(outcome);
      return;
    }
    const warning = WARNING.exec(message)?.[1];
    if (warning !== undefined && !SOME_FAILED.test(warning)) this.#warn(`Ganeti: ${shownText(warning)}`);
  }

  /** Resolves when Ganeti says so. */
  async outcome(disk: number): Promise<DiskOutcome> {
    return await (this.#outcomes[disk]?.promise ?? Promise.reject(new RangeError(`there is no disk ${disk}`)));
  }

  /** The first disk of which it was not said that it finished, with what was said. */
  firstUnfinished(): { readonly disk: number; readonly why: string } | undefined {
    for (const disk of this.#outcomes.keys()) {
      const outcome = this.#known.get(disk);
      if (outcome?.state === 'finished') continue;
      return { disk, why: outcome === undefined ? 'Ganeti did not say what became of it' : outcome.why };
    }
    return undefined;
  }
}
