import { hostname } from 'node:os';
import process from 'node:process';
import { makeDirectoryDurably, openStateDirectory, TOOL } from '@gantry/core';
import { identifyProcess } from '@gantry/transport';
import type { InstanceOfRun, PolicyRun, RunProblem, RunSelection, StoreOfRun } from './form.ts';
import { forgetOldRuns, policyRunsDirectory, writePolicyRun } from './store.ts';

/** How often the record is written while nothing ends the run, ms: that is what a killed run can lack. */
const SAVE_INTERVAL_MS = 5000;

/** The record of a run that is under way: changed in memory, and written to the state directory now and then, and at the end. */
export class RunLog {
  readonly #directory: string;
  readonly #warn: (message: string) => void;
  #run: PolicyRun;
  #savedAt = -Infinity;
  #saving: Promise<void> = Promise.resolve();
  #hasWarned = false;

  private constructor(directory: string, run: PolicyRun, warn: (message: string) => void) {
    this.#directory = directory;
    this.#run = run;
    this.#warn = warn;
  }

  /** @throws GantryError `STATE_UNUSABLE` */
  static async open(policy: string, { stateDirectory, warn, selection }: RunLogOptions): Promise<RunLog> {
    const { path } = await openStateDirectory(stateDirectory);
    const directory = policyRunsDirectory(path, policy);
    await makeDirectoryDurably(directory, 0o700);
    const us = (await identifyProcess(process.pid)) ?? { pid: process.pid, startTime: 0, bootId: '' };
    const run: PolicyRun = {
      format: 'gantry-policy-run',
      version: 1,
      policy,
      host: hostname(),
      tool: TOOL,
      process: us,
      started: new Date().toISOString(),
      outcome: 'running',
      ...(selection === undefined ? {} : { selection }),
      instances: [],
      stores: [],
      problems: [],
      warnings: [],
    };
    const log = new RunLog(directory, run, warn);
    await log.#save();
    await forgetOldRuns(directory);
    return log;
  }

  get run(): PolicyRun {
    return this.#run;
  }

  /** Changes the record, and writes it if it was not written for a while. */
  async change(change: (run: PolicyRun) => Partial<PolicyRun>): Promise<void> {
    this.#run = { ...this.#run, ...change(this.#run) };
    if (performance.now() - this.#savedAt >= SAVE_INTERVAL_MS) await this.#save();
  }

  async problem(problem: RunProblem): Promise<void> {
    await this.change(({ problems }) => ({ problems: [...problems, problem] }));
  }

  async instance(name: string, fields: Partial<InstanceOfRun>): Promise<void> {
    await this.change(({ instances }) => ({ instances: instances.map((each) => (each.name === name ? { ...each, ...fields } : each)) }));
  }

  async store(store: string, role: StoreOfRun['role'], fields: Partial<StoreOfRun>): Promise<void> {
    await this.change(({ stores }) => {
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
    this.#savedAt = performance.now();
    this.#saving = this.#write(this.#saving);
    await this.#saving;
  }

  async #write(before: Promise<void>): Promise<void> {
    await before;
    try {
      await writePolicyRun(this.#directory, this.#run);
    } catch (error) {
      if (!this.#hasWarned) this.#warn(`cannot write the record of the run: ${error instanceof Error ? error.message : String(error)}`);
      this.#hasWarned = true;
    }
  }
}

interface RunLogOptions {
  readonly stateDirectory?: string | undefined;
  readonly warn: (message: string) => void;
  /** If it is known before the sources were asked. */
  readonly selection?: RunSelection | undefined;
}
