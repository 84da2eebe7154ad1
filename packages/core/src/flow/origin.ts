import { setTimeout as sleep } from 'node:timers/promises';
import { describeFrom } from '../instances/instance-source.ts';
import { managerOf } from '../instances/instance-manager.ts';
import type { InstanceManager, InstanceSource, NativeFile } from '../instances/inventory.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { Session } from './session.ts';
import type { OriginRecord } from './notices.ts';

/** Where a moved instance is described, and what is to become of it there. */
export interface OriginOptions {
  /** The caller disposes it. */
  readonly source: InstanceSource;
  /** What `describe` of the source finds it by. */
  readonly name: string;
  /** Shuts the guest down before its disks are read. If the move fails, it is started again. */
  readonly stop?: boolean | undefined;
  /** Seconds that the guest has to shut down; default 120. */
  readonly stopTimeout?: number | undefined;
  /** Makes the source forget the instance once the peer has committed. Its disks stay. */
  readonly undefine?: boolean | undefined;
}

const DEFAULT_STOP_TIMEOUT_SECONDS = 120;

/** How long what is done after a failure, a signal or the commit may take, ms. */
const AFTERWARDS_MS = 60_000;

/** How often it is looked whether a guest that was asked to shut down has done it, ms. */
const LOOK_MS = 1000;

/** What was done to a moved instance where it is described. */
export interface OriginOutcome {
  readonly source: string;
  /** Shut down by this move. */
  readonly stopped: boolean;
  readonly undefined: boolean;
}

/** The moved instance in the source that describes it: stopped, started again after a failure, removed after the commit. */
export class Origin {
  readonly #options: OriginOptions;
  readonly #manager: InstanceManager | undefined;
  readonly #session: Session;
  readonly #moveId: string;
  /** Whether it was asked to stop, and whether it certainly ran until then. */
  #stopped = false;
  #ran = false;
  #isDown = false;
  #note: number | undefined;

  /** @throws GantryError `INVENTORY_READ_ONLY` where something is asked for that the source cannot do */
  constructor(options: OriginOptions, session: Session, moveId: string) {
    this.#options = options;
    this.#manager = options.stop === true || options.undefine === true ? managerOf(options.source) : undefined;
    this.#session = session;
    this.#moveId = moveId;
  }

  /**
   * Refuses what would have to fail after the move, or would let the guest run twice.
   *
   * @throws GantryError `USAGE`, `INSTANCE_*`, `INVENTORY_*`
   */
  async check({ startsThere }: { readonly startsThere: boolean }): Promise<void> {
    const { stop, undefine } = this.#options;
    if (stop === true || (undefine !== true && !startsThere)) return;
    const { state } = (await this.#describe()).run;
    if (state === 'stopped') return;
    if (state === 'unknown' && undefine !== true) {
      this.#session.reporter.warn(`it is not known whether ${this.#label} runs: it must be stopped when it is started on the peer`);
      return;
    }
    const [what, why] =
      undefine === true ? ['removed here', 'removing it here'] : ['started on the peer', 'starting it on the peer with the same identity'];
    throw new GantryError('USAGE', {
      message: `${this.#label} ${state === 'running' ? 'runs' : 'may run'}, and is to be ${what}: ${why} needs it to be stopped`,
      hint: 'Add --stop-source, which shuts it down before its disks are read, or shut it down yourself.',
    });
  }

  /** @throws GantryError `INVENTORY_*`, `STATE_UNUSABLE`; the reason of the signal */
  async stop(): Promise<void> {
    if (this.#options.stop !== true) return;
    const { reporter, signal } = this.#session;
    const seconds = this.#stopSeconds;
    const { state } = (await this.#describe()).run;
    if (state === 'stopped') {
      this.#isDown = true;
      return;
    }
    await this.#remember('stop');
    this.#ran = state === 'running';
    this.#stopped = true;
    reporter.stage(`shutting ${this.#label} down (within ${seconds} s)`);
    await this.#manager?.stop(this.#name, { timeoutMs: 1000 * seconds, signal });
    const { state: after } = (await this.#describe()).run;
    if (after !== 'stopped') {
      const what = after === 'running' ? 'still runs' : 'may still run';
      throw new GantryError('INVENTORY_FAILED', { message: `${this.#label} ${what}, although it was shut down` });
    }
    this.#isDown = true;
  }

  /** Whether {@link stop} was asked for and the guest is down: then there is no guest that could hold its disks still. */
  get isDown(): boolean {
    return this.#isDown;
  }

  /** The source's own description of it, as it is now. */
  async native(): Promise<readonly NativeFile[]> {
    return (await this.#describe()).native;
  }

  /** To be called before the peer is asked to commit: from then on a killed run cannot know whether it has. */
  async beforeCommit(): Promise<void> {
    if (this.#manager !== undefined) await this.#remember('commit');
  }

  /** The move has failed, or only the peer knows: then the instance stays stopped. Never rejects. */
  async afterFailure({ undecided }: { readonly undecided: boolean }): Promise<void> {
    const { reporter } = this.#session;
    if (this.#stopped && undecided) reporter.warn(`${this.#label} stays stopped: the peer may have it`);
    else if (this.#stopped && !this.#ran) reporter.warn(`${this.#label} was shut down for the move: if it ran before, start it there`);
    else if (this.#stopped) {
      if (!(await this.#hasShutDown())) {
        // What was noted stays in the journal: so the next run says it, too.
        reporter.warn(`${this.#label} was asked to shut down for the move and may still do so: start it then`);
        return;
      }
      reporter.stage(`starting ${this.#label} again, since the move failed`);
      try {
        await this.#manager?.start(this.#name, { signal: AbortSignal.timeout(AFTERWARDS_MS) });
      } catch (error) {
        reporter.warn(`${this.#label} was stopped for the move and could not be started again (${errorText(error)}): start it there`);
      }
    }
    await this.#settle();
  }

  /**
   * The peer has committed. Never rejects.
   *
   * @param isThere whether all that was asked for on the peer after the commit was done
   */
  async afterCommit({ isThere }: { readonly isThere: boolean }): Promise<OriginOutcome> {
    const outcome = { source: this.#options.source.address, stopped: this.#stopped };
    const isUndefined = this.#options.undefine === true && (await this.#undefine(isThere));
    await this.#settle();
    return { ...outcome, undefined: isUndefined };
  }

  async #undefine(isThere: boolean): Promise<boolean> {
    const { reporter } = this.#session;
    try {
      if (!isThere) throw new Error('it could not be started on the peer');
      await this.#remember('undefine');
      await this.#manager?.undefine(this.#name, { signal: AbortSignal.timeout(AFTERWARDS_MS) });
      return true;
    } catch (error) {
      reporter.warn(
        `the move is committed, but ${this.#label} was not removed there (${errorText(error)}): remove it, and do not start it`,
      );
      return false;
    }
  }

  /**
   * A guest that was asked to shut down may do so although nobody waits for it any more, and one that still runs cannot be started. Waits
   * as long as the stop may take, at most {@link AFTERWARDS_MS}. Never rejects.
   */
  async #hasShutDown(): Promise<boolean> {
    if (this.#isDown) return true;
    this.#session.reporter.stage(`waiting until ${this.#label} has shut down, to start it again`);
    const signal = AbortSignal.timeout(Math.min(AFTERWARDS_MS, 1000 * this.#stopSeconds));
    while (!signal.aborted) {
      const described = await this.#describe(signal).catch(() => undefined);
      if (described?.run.state === 'stopped') return true;
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
    return false;
  }

  async #describe(signal: AbortSignal = this.#session.signal): ReturnType<typeof describeFrom> {
    return await describeFrom(this.#options.source, this.#options.name, { signal });
  }

  async #remember(step: OriginRecord['step']): Promise<void> {
    const record: OriginRecord = { kind: 'origin', source: this.#options.source.address, name: this.#name, moveId: this.#moveId, step };
    this.#note = await this.#session.run.remember(record, this.#note);
  }

  async #settle(): Promise<void> {
    // Where the journal cannot be written, a later run says too much.
    if (this.#note !== undefined) await this.#session.run.forget(this.#note).catch(() => undefined);
    this.#note = undefined;
  }

  get #stopSeconds(): number {
    return this.#options.stopTimeout ?? DEFAULT_STOP_TIMEOUT_SECONDS;
  }

  get #name(): string {
    return this.#session.instance.name;
  }

  get #label(): string {
    return `${this.#name} of ${this.#options.source.address}`;
  }
}
