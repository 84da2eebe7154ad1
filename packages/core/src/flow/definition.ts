import { managerOf } from '../instances/instance-manager.ts';
import type { DefineRequest, InstanceManager, InstanceSource } from '../instances/inventory.ts';
import type { Reporter } from '../report/reporter.ts';
import { terminalSafe } from '../report/terminal-text.ts';
import type { Run } from '../runs/journal.ts';
import type { DefinitionRecord } from './notices.ts';
import { errorText } from '../report/error-text.ts';

/** What is asked for after the disks of an instance are complete. */
export interface DefineOptions {
  /** Where the instance becomes known. The caller disposes it. */
  readonly source: InstanceSource;
  /** Starts it there. */
  readonly start?: boolean | undefined;
  /** Gives it a new UUID and new MAC addresses, because the original may go on. */
  readonly newIdentity?: boolean | undefined;
}

/** What became of {@link DefineOptions}. */
export interface DefinedInstance {
  /** Address of the source. */
  readonly source: string;
  /** What the source calls it. */
  readonly name: string;
  readonly started: boolean;
}

/** How long removing a definition again may take, after a failure or a signal, ms. */
const TAKE_BACK_MS = 60_000;

/** What the steps of a definition take from the session. */
export interface DefinitionContext {
  readonly run: Run;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** An instance on its way into a source. A journal says what a killed run may have left there. */
export class Definition {
  readonly source: string;
  readonly start: boolean;
  /** The move that brings its disks. */
  readonly #moveId: string | undefined;
  readonly #manager: InstanceManager;
  #request: DefineRequest;
  #name: string | undefined;
  #note: number | undefined;

  /** @throws GantryError `INVENTORY_READ_ONLY` */
  constructor({ source, start, newIdentity }: DefineOptions, subject: Pick<DefineRequest, 'instance' | 'native'>, moveId?: string) {
    this.source = source.address;
    this.start = start === true;
    this.#moveId = moveId;
    this.#manager = managerOf(source);
    this.#request = { ...subject, newIdentity: newIdentity === true };
  }

  /** What the source calls the instance, or will probably call it. */
  get name(): string {
    return terminalSafe(this.#name ?? this.#request.instance.name);
  }

  /** A later state of what the source of the original says. */
  set native(files: DefineRequest['native']) {
    this.#request = { ...this.#request, native: files };
  }

  /** Says before anything is written why the instance could not be defined. @throws GantryError `INSTANCE_EXISTS`, `INVENTORY_*` */
  async check(signal: AbortSignal): Promise<void> {
    await this.#manager.checkDefine(this.#request, { signal });
  }

  /** @throws GantryError `INSTANCE_EXISTS`, `INVENTORY_*`, `STATE_UNUSABLE`; the reason of the signal */
  async define({ run, reporter, signal }: DefinitionContext): Promise<void> {
    await this.#remember(run, 'define');
    reporter.stage(`defining ${this.name} in ${this.source}`);
    try {
      this.#name = await this.#manager.define(this.#request, { signal });
    } catch (error) {
      await this.settle(run);
      throw error;
    }
  }

  /** @throws GantryError `INVENTORY_*`, `STATE_UNUSABLE`; the reason of the signal */
  async startGuest({ run, reporter, signal }: DefinitionContext): Promise<void> {
    await this.#remember(run, 'start');
    reporter.stage(`starting ${this.name} in ${this.source}`);
    try {
      await this.#manager.start(this.#name ?? this.#request.instance.name, { signal });
    } finally {
      await this.settle(run);
    }
  }

  /** Removes a definition whose move is not committed. Never rejects. */
  async takeBack({ run, reporter }: Omit<DefinitionContext, 'signal'>): Promise<void> {
    if (this.#name === undefined) return;
    try {
      await this.#manager.undefine(this.#name, { takesBack: true, signal: AbortSignal.timeout(TAKE_BACK_MS) });
      await this.settle(run);
    } catch (error) {
      const why = errorText(error);
      reporter.warn(`${this.name} stays defined in ${this.source} although its move was not committed: remove it there (${why})`);
    }
  }

  outcome(started: boolean): DefinedInstance {
    return { source: this.source, name: this.name, started };
  }

  /** Nothing is left to say should this run be killed. Never rejects. */
  async settle(run: Run): Promise<void> {
    // Where the journal cannot be written, a later run says too much.
    if (this.#note !== undefined) await run.forget(this.#note).catch(() => undefined);
    this.#note = undefined;
  }

  async #remember(run: Run, step: DefinitionRecord['step']): Promise<void> {
    const moveId = this.#moveId === undefined ? {} : { moveId: this.#moveId };
    const record: DefinitionRecord = { kind: 'definition', source: this.source, name: this.name, step, ...moveId };
    this.#note = await run.remember(record, this.#note);
  }
}
