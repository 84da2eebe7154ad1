import { describeUsers, findDiskWriters } from '../disks/disk-users.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { HeldRecords } from '../snapshots/held-records.ts';
import { Pause, pauseUndo } from '../snapshots/pause.ts';
import { pauseByCommands, pauseByControl } from '../snapshots/pause-ways.ts';
import type { Stillness } from './live-request.ts';
import type { Origin } from './origin.ts';
import type { Session } from './session.ts';
import type { SnapshotChoice } from './take-snapshots.ts';

/**
 * The instance of a live move, which must not write during the last round and after it. Disposing lets it go on, unless the move was
 * committed, or may have been.
 */
export class QuietSource implements AsyncDisposable {
  readonly #session: Session;
  readonly #stillness: Stillness;
  readonly #origin: Origin | undefined;
  readonly #pause: Pause | undefined;
  #heldAt: number | undefined;
  #isSettled = false;

  /** @throws GantryError `USAGE` if it is to be paused, and there is no way to do it */
  constructor(session: Session, stillness: Stillness, { snapshotConfig, guest }: SnapshotChoice, origin: Origin | undefined) {
    const { run, instance, reporter } = session;
    this.#session = session;
    this.#stillness = stillness;
    this.#origin = origin;
    if (stillness.kind !== 'paused') return;
    const values = { instance: instance.name, run: run.id };
    const byCommands = snapshotConfig === undefined ? undefined : pauseByCommands(snapshotConfig, values);
    const way = byCommands ?? (guest === undefined ? undefined : pauseByControl(guest));
    if (way === undefined) throw cannotPause(instance.name);
    this.#pause = new Pause(instance.name, way, new HeldRecords(run, { instance: instance.name }, [pauseUndo], reporter.warn));
  }

  /** How long the instance has been still for us, ms; undefined where it was before, or is not. */
  get downtimeMs(): number | undefined {
    return this.#heldAt === undefined || this.#stillness.kind === 'stopped' ? undefined : Math.round(performance.now() - this.#heldAt);
  }

  /** @throws GantryError `SNAPSHOT_FAILED`, `BUSY`, `CONFIRM_NEEDED`; the signal's reason */
  async hold(): Promise<void> {
    const { instance, reporter, signal } = this.#session;
    const stillness = this.#stillness;
    if (stillness.kind === 'paused') reporter.stage(`pausing ${instance.name}`);
    this.#heldAt = performance.now();
    if (stillness.kind === 'paused') await this.#pause?.begin(signal);
    if (stillness.kind === 'shutdown') await this.#origin?.stop();
    if (stillness.kind === 'ask') {
      if (!(await stillness.ask(signal))) throw notStopped(instance.name);
      this.#heldAt = performance.now();
    }
    // A paused guest has its disks open.
    if (stillness.kind !== 'paused') await this.#assertNotWritten();
  }

  /** To be called before the peer may commit. */
  async mayBeCommitted(move: { readonly moveId: string; readonly peer: string }): Promise<void> {
    await this.#pause?.mayBeCommitted(move);
  }

  /** The move is committed, or it cannot be known whether it is: the instance stays as it is. Never rejects. */
  async settle(outcome: 'committed' | 'undecided'): Promise<void> {
    this.#isSettled = true;
    const { instance, reporter } = this.#session;
    try {
      await this.#pause?.leave();
    } catch (error) {
      reporter.warn(
        `it stays noted that the move of ${instance.name} may be committed (${errorText(error)}): gantry clean removes the note`,
      );
    }
    if (outcome === 'undecided' && this.#heldAt !== undefined && this.#stillness.kind !== 'shutdown')
      reporter.warn(`${instance.name} stays ${this.#pause === undefined ? 'stopped' : 'paused'} here, since the peer may have it now`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#heldAt === undefined || this.#isSettled) return;
    const { instance, reporter } = this.#session;
    await this.#pause?.resume();
    if (this.#stillness.kind === 'ask') reporter.warn(`${instance.name} can be started again here`);
  }

  async #assertNotWritten(): Promise<void> {
    const { disks, instance, signal } = this.#session;
    for (const disk of disks) {
      const path = instance.disks[disk]?.path;
      const { users } = path === undefined ? { users: [] } : await findDiskWriters(path, signal);
      if (path === undefined || users.length === 0) continue;
      throw new GantryError('BUSY', {
        message: `disk ${disk} (${path}) is not still in the last round: ${describeUsers(users)}`,
        hint: `Stop ${instance.name}, or give the commands pause and resume in --snapshot-config.`,
        disk,
      });
    }
  }
}

function cannotPause(name: string): GantryError {
  return new GantryError('USAGE', {
    message: `there is no way to pause ${name} for the last round`,
    hint: 'Give the commands pause and resume in --snapshot-config.',
  });
}

function notStopped(name: string): GantryError {
  return new GantryError('CONFIRM_NEEDED', { message: `the last round was not sent: that ${name} is stopped was not confirmed` });
}
