import { z } from 'zod';

import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { Undo } from '../runs/undo.ts';
import { endCommandOfKilledRun, processGroupSchema, runCommand } from '../system/run-command.ts';
import { expandAll } from './command.ts';
import type { HeldRecords } from './held-records.ts';
import type { SnapshotContext } from './provider.ts';
import type { SnapshotConfig } from './snapshot-config.ts';

/*
 * Pauses an instance for the last round of a live move, with the user's own commands. That it must go on if the move fails is written to
 * the journal before it is paused. From the moment at which the peer may commit, the journal says that nobody may let it go on: two
 * copies would run.
 */

const recordSchema = z.object({
  instance: z.string(),
  resume: z.tuple([z.string()], z.string()).readonly(),
  /** Timeout of `resume`, seconds. */
  timeout: z.number(),
  /** Present while the command that pauses may run. */
  pausing: processGroupSchema.optional(),
  /** The move may be committed. */
  undecided: z.object({ moveId: z.string(), peer: z.string() }).optional(),
});

type PauseRecord = z.infer<typeof recordSchema>;

export const pauseUndo: Undo = {
  kind: 'pause',
  describe(record) {
    const { instance, resume, undecided } = recordSchema.parse(record);
    if (undecided === undefined) return `instance ${instance} paused, resumed by ${resume.join(' ')}`;
    const { moveId, peer } = undecided;
    const ask = `ask ${peer} with gantry receive --outcome ${moveId}`;
    return `the note that instance ${instance} is paused because its move may be committed (${ask}; if it was not: ${resume.join(' ')})`;
  },
  async undo(record, _run, signal) {
    const { resume, timeout, pausing, undecided } = recordSchema.parse(record);
    if (undecided !== undefined) return true;
    // It could still pause the instance after that, and for ever.
    if (pausing !== undefined) await endCommandOfKilledRun(pausing);
    await runCommand(resume, { timeoutS: timeout, signal });
    return true;
  },
};

/** A pause of an instance by commands; everything is in the journal. */
export class Pause {
  readonly #held: HeldRecords;
  readonly #record: PauseRecord;
  readonly #pause: Parameters<typeof runCommand>[0];
  readonly #timeoutS: number;

  /** @throws GantryError `USAGE` for a configuration without such commands */
  constructor(config: SnapshotConfig, { instanceName, runId }: Pick<SnapshotContext, 'instanceName' | 'runId'>, held: HeldRecords) {
    const { pause, resume, timeouts } = config;
    if (pause === undefined || resume === undefined)
      throw new GantryError('USAGE', {
        message: 'the snapshot configuration has no commands pause and resume',
        hint: 'Add both: for example [virsh, suspend, "{instance}"] and [virsh, resume, "{instance}"].',
      });
    const values = { instance: instanceName, run: runId };
    this.#held = held;
    this.#pause = expandAll(pause, values);
    this.#timeoutS = timeouts.pause;
    this.#record = { instance: instanceName, resume: expandAll(resume, values), timeout: timeouts.resume };
  }

  /** @throws GantryError `SNAPSHOT_FAILED`; the signal's reason. In both cases it may be paused. */
  async begin(signal: AbortSignal): Promise<void> {
    await this.#remember({});
    try {
      await runCommand(this.#pause, { timeoutS: this.#timeoutS, signal, started: (pausing) => this.#remember({ pausing }) });
      await this.#remember({});
    } catch (error) {
      signal.throwIfAborted();
      throw new GantryError('SNAPSHOT_FAILED', {
        message: `cannot pause instance ${this.#record.instance} for the last round: ${errorText(error)}`,
        hint: 'Run the command pause of the snapshot configuration by hand to see why it fails.',
        cause: error,
      });
    }
  }

  /** To be called before the peer may commit: from now on a killed run does not let the instance go on. */
  async mayBeCommitted(undecided: { readonly moveId: string; readonly peer: string }): Promise<void> {
    await this.#remember({ undecided });
  }

  /** Lets the instance go on. Where that fails, it is tried again by the next run. */
  async resume(): Promise<void> {
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
