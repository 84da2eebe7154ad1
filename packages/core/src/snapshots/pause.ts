import { z } from 'zod';

import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { quoteWord } from '../report/quote-word.ts';
import type { Notice, Undo } from '../runs/undo.ts';
import { endCommandOfKilledRun, processGroupSchema } from '../system/run-command.ts';
import type { HeldRecords } from './held-records.ts';
import type { PauseWay } from './pause-ways.ts';
import { describeResume, resumeInstance, resumeSchema } from './pause-ways.ts';

/*
 * Pauses an instance for the last round of a live move, by the user's commands or the control
 * of its guest. That it must go on if the move fails is written to
 * the journal before it is paused. From the moment at which the peer may commit, the journal says that nobody may let it go on: two
 * copies would run.
 */

const recordSchema = z.object({
  instance: z.string(),
  resume: resumeSchema,
  /** Present while the command that pauses may run. */
  pausing: processGroupSchema.optional(),
});

type PauseRecord = z.infer<typeof recordSchema>;

const undecidedSchema = z.object({ instance: z.string(), resume: resumeSchema, moveId: z.string(), peer: z.string() });

export const pauseUndo: Undo = {
  kind: 'pause',
  describe(record) {
    const { instance, resume } = recordSchema.parse(record);
    return `instance ${instance} paused, resumed by ${describeResume(resume)}`;
  },
  async undo(record, _run, signal) {
    const { resume, pausing } = recordSchema.parse(record);
    // It could still pause the instance after that, and for ever.
    if (pausing !== undefined) await endCommandOfKilledRun(pausing);
    await resumeInstance(resume, signal);
    return true;
  },
};

/** A pause of an instance whose move may be committed: nobody lets it go on before the peer was asked. */
export const undecidedPauseNotice: Notice = {
  kind: 'undecided-pause',
  describe(record) {
    const { instance, resume, moveId, peer } = undecidedSchema.parse(record);
    const ask = `ask ${peer} with gantry receive --outcome ${quoteWord(moveId)}`;
    return `instance ${instance} is paused, because its move may be committed (${ask}; if it was not: ${describeResume(resume)})`;
  },
};

/** A pause of an instance; everything is in the journal. */
export class Pause {
  readonly #held: HeldRecords;
  readonly #way: PauseWay;
  readonly #record: PauseRecord;
  /** Whether it may be paused by us. */
  #hasBegun = false;

  constructor(instance: string, way: PauseWay, held: HeldRecords) {
    this.#held = held;
    this.#way = way;
    this.#record = { instance, resume: way.resume };
  }

  /** @throws GantryError `SNAPSHOT_FAILED`, `STATE_UNUSABLE`; the signal's reason. Then it may be paused. */
  async begin(signal: AbortSignal): Promise<void> {
    try {
      await this.#way.check(signal);
      this.#hasBegun = true;
      await this.#remember({});
      await this.#way.pause(signal, (pausing) => this.#remember({ pausing }));
      await this.#remember({});
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof GantryError) throw error;
      throw new GantryError('SNAPSHOT_FAILED', {
        message: `cannot pause instance ${this.#record.instance} for the last round: ${errorText(error)}`,
        hint: 'Pause it by hand in the same way to see why that fails.',
        cause: error,
      });
    }
  }

  /** To be called before the peer may commit: from now on a killed run does not let the instance go on. */
  async mayBeCommitted(undecided: { readonly moveId: string; readonly peer: string }): Promise<void> {
    await this.#held.remember(pauseUndo.kind, { kind: undecidedPauseNotice.kind, ...this.#record, ...undecided });
  }

  /** Lets the instance go on, if it was to be paused. Where that fails, it is tried again by the next run. */
  async resume(): Promise<void> {
    if (!this.#hasBegun) return;
    await this.#remember({});
    await this.#held.undo(pauseUndo.kind);
  }

  /** Leaves it paused for good. */
  async leave(): Promise<void> {
    await this.#held.forget(pauseUndo.kind);
  }

  async #remember(more: Partial<PauseRecord>): Promise<void> {
    await this.#held.remember(pauseUndo.kind, { kind: pauseUndo.kind, ...this.#record, ...more });
  }
}
