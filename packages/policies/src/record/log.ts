import { makeDirectoryDurably, openStateDirectory, errorText } from '@gantry/core';
import type { InstanceOfRun, PolicyRun, RunProblem, RunSelection, StoreOfRun } from './form.ts';
import { newRun } from './new-run.ts';
import { forgetOldRuns, policyRunsDirectory, writePolicyRun } from './store.ts';

/** How long a change that does not say how far the run is may wait to be written, ms: that is what a killed run can lack. */
const SAVE_INTERVAL_MS = 5000;

/**
 * The record of a run that is under way: changed in memory, and written to the state directory when its instances are known, when the state
 * of one changes, soon after anything else, and at the end.
 */
export class RunLog {
  /** Absent: it is not written. */
  readonly #directory: string | undefined;
  readonly #warn: (message: string) => void;
  #run: PolicyRun;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();
  /** The save that has not started, and so will have all changes until then. */
  #next: Promise<void> | undefined;
  #hasWarned = false;

  private constructor(directory: string | undefined, run: PolicyRun, warn: (message: string) => void) {
    this.#directory = directory;
    this.#run = run;
    this.#warn = warn;
  }

  /** A record that cannot be written is a warning. @throws GantryError `STATE_UNUSABLE` */
  static async open(policy: string, { stateDirectory, warn, selection }: RunLogOptions): Promise<RunLog> {
    const { path } = await openStateDirectory(stateDirectory);
    const directory = policyRunsDirectory(path, policy);
    const run = await newRun(policy, selection);
    const log = new RunLog(directory, run, warn);
    await makeDirectoryDurably(directory, 0o700).catch((error: unknown) => log.#warnOnce(error));
    await log.#save();
    await forgetOldRuns(directory);
    return log;
  }

  /** One that is kept in memory alone: its caller has the run when it has ended. */
  static async unwritten(policy: string, { warn, selection }: Omit<RunLogOptions, 'stateDirectory'>): Promise<RunLog> {
    return new RunLog(undefined, await newRun(policy, selection), warn);
  }

  get run(): PolicyRun {
    return this.#run;
  }

  /** Changes the record, which is written within {@link SAVE_INTERVAL_MS}. */
  change(change: (run: PolicyRun) => Partial<PolicyRun>): void {
    this.#run = { ...this.#run, ...change(this.#run) };
    this.#timer ??= setTimeout(() => void this.#save(), SAVE_INTERVAL_MS).unref();
  }

  /** Changes which instances the record has, and writes it. */
  async select(
    fields: Pick<PolicyRun, 'selection' | 'instances'>,
    { problems, warnings }: Pick<PolicyRun, 'problems' | 'warnings'>,
  ): Promise<void> {
    this.change((run) => ({ ...fields, problems: [...run.problems, ...problems], warnings: [...run.warnings, ...warnings] }));
    await this.#save();
  }

  problem(problem: RunProblem): void {
    this.change(({ problems }) => ({ problems: [...problems, problem] }));
  }

  /** Changes the state of an instance, and writes the record. */
  async instance(name: string, fields: Partial<InstanceOfRun> & Pick<InstanceOfRun, 'state'>): Promise<void> {
    this.change(({ instances }) => ({ instances: instances.map((each) => (each.name === name ? { ...each, ...fields } : each)) }));
    await this.#save();
  }

  store(store: string, role: StoreOfRun['role'], fields: Partial<StoreOfRun>): void {
    this.change(({ stores }) => {
      const known = stores.find((each) => each.store === store && each.role === role);
      const changed = { ...(known ?? { store, role }), ...fields };
      return { stores: known === undefined ? [...stores, changed] : stores.map((each) => (each === known ? changed : each)) };
    });
  }

  /** Writes how the run ended. */
  async end(fields: Pick<PolicyRun, 'outcome' | 'exitCode'>): Promise<PolicyRun> {
    this.#run = { ...this.#run, ...fields, ended: new Date().toISOString() };
    await this.#save();
    return this.#run;
  }

  /** A record that cannot be written does not end the run. */
  async #save(): Promise<void> {
    this.#next ??= this.#write(this.#saving);
    this.#saving = this.#next;
    await this.#saving;
  }

  async #write(before: Promise<void>): Promise<void> {
    await before;
    this.#next = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#directory === undefined) return;
    try {
      await writePolicyRun(this.#directory, this.#run);
    } catch (error) {
      this.#warnOnce(error);
    }
  }

  #warnOnce(error: unknown): void {
    if (!this.#hasWarned) this.#warn(`cannot write the record of the run: ${errorText(error)}`);
    this.#hasWarned = true;
  }
}

interface RunLogOptions {
  readonly stateDirectory?: string | undefined;
  readonly warn: (message: string) => void;
  /** If it is known before the sources were asked. */
  readonly selection?: RunSelection | undefined;
}
