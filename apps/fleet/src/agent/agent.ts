import process from 'node:process';
import { asFirstError, GantryError, pause } from '@gantry/core';
import type { Attempt, FleetQueue } from '../queue/fleet-queue.ts';
import { LEASE_SECONDS } from '../queue/fleet-queue.ts';
import type { JobData } from '../queue/form.ts';
import type { ExportProcess } from './export-process.ts';
import { adoptExport, endExport, readEnd, readLastLine, startExport } from './export-process.ts';
import type { Ledger, LedgerEntry } from './ledger.ts';
import type { Verdict } from './verdict.ts';
import { notStarted, verdictOf } from './verdict.ts';

export interface AgentOptions {
  readonly node: string;
  /** How many exports at once. */
  readonly parallel: number;
  readonly ledger: Ledger;
  /** Opens the queue; called again after it could not be reached at first. */
  readonly openQueue: () => Promise<FleetQueue>;
  /** The program and its first arguments that `run POLICY --instance NAME …` follows: gantry. */
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly note: (message: string) => void;
  /** Ends the agent, and leaves its exports to the next one. */
  readonly signal: AbortSignal;
  /** How often it looks for work, ms; an export that ends has it look at once. */
  readonly pollMs: number;
}

/** How soon a job looks again whether a store that has a limit takes its export. */
const FULL_DELAY_SECONDS = 30;
/** A lease is renewed three times before it ends. */
const RENEW_MS = (LEASE_SECONDS * 1000) / 4;

/**
 * Runs the exports of one node: takes the jobs of its queue, starts `gantry run` for each, renews their leases, and reports how they ended. It
 * can be killed at any time: its ledger says what it had.
 */
export class Agent {
  readonly #options: AgentOptions;
  /** Exports that run, by the ids of their jobs. */
  readonly #running = new Map<string, ExportProcess>();
  #queue: FleetQueue | undefined;
  /** By a clock that nobody sets. */
  #renewedAt = -Infinity;
  /** What the queue fails with at the moment; shown once. */
  #trouble: string | undefined;
  /** Aborted to look for work at once. */
  #wake = new AbortController();

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** Works until the signal is aborted. @throws what is not a failure of the queue */
  async run(): Promise<void> {
    const { signal, pollMs } = this.#options;
    for (const entry of this.#options.ledger.entries) if (entry.verdict === undefined) this.#watch(entry);
    while (!signal.aborted) {
      await this.#turn();
      const waitMs = this.#running.size > 0 ? Math.min(pollMs, RENEW_MS) : pollMs;
      // Agents that were started together do not ask together for ever.
      await pause(waitMs * (0.9 + Math.random() / 5), AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined);
      if (this.#wake.signal.aborted) this.#wake = new AbortController();
    }
  }

  async #turn(): Promise<void> {
    const { note, openQueue } = this.#options;
    try {
      this.#queue ??= await openQueue();
      await this.#deliver(this.#queue);
      await this.#renew(this.#queue);
      await this.#take(this.#queue);
      if (this.#trouble !== undefined) note('the queue of the fleet can be reached again');
      this.#trouble = undefined;
    } catch (error) {
      const first = asFirstError(error);
      if (!(first instanceof GantryError) || !first.code.startsWith('QUEUE_')) throw error;
      if (first.message !== this.#trouble) note(`${first.message} [${first.code}]: exports that run go on, and results wait`);
      this.#trouble = first.message;
    }
  }

  /** Reports exports that have ended. */
  async #deliver(queue: FleetQueue): Promise<void> {
    for (const entry of this.#options.ledger.entries) {
      const { verdict } = entry;
      if (verdict === undefined) continue;
      for (const token of entry.tokens ?? []) await queue.tokens((tokens) => tokens.release(token));
      if (await report(queue, entry, verdict)) {
        this.#options.note(`${describe(entry.data)}: ${verdict.output.outcome ?? verdict.next}${reasonOf(verdict)}`);
        await this.#options.ledger.remove(entry.id);
      } else if (verdict.next !== 'complete' || !(await this.#comesAgain(queue, entry))) await this.#options.ledger.remove(entry.id);
    }
  }

  /** Whether a job, the lease of which has ended, is handed out again: then its next attempt gets the result that is there. */
  async #comesAgain(queue: FleetQueue, entry: LedgerEntry): Promise<boolean> {
    const state = await queue.stateOf(entry);
    return state === 'created' || state === 'retry' || state === 'active';
  }

  /** Renews leases; ends exports whose jobs were cancelled. One whose lease was lost goes on, and its job finds it when it comes again. */
  async #renew(queue: FleetQueue): Promise<void> {
    if (performance.now() - this.#renewedAt < Math.min(RENEW_MS, this.#options.pollMs) / 2) return;
    for (const [id, { identity }] of this.#running) {
      const entry = this.#options.ledger.get(id);
      for (const token of entry?.tokens ?? []) await queue.tokens((tokens) => tokens.renew(token));
      if (entry === undefined || (await queue.renew(entry)) || (await queue.stateOf(entry)) !== 'cancelled') continue;
      if (entry.cancelled !== true) {
        this.#options.note(`${describe(entry.data)}: it was cancelled, and is asked to end`);
        await this.#options.ledger.write({ ...entry, cancelled: true });
      }
      await endExport(identity);
    }
    this.#renewedAt = performance.now();
  }

  async #take(queue: FleetQueue): Promise<void> {
    const { node, parallel, signal } = this.#options;
    const free = parallel - this.#running.size;
    if (free <= 0 || signal.aborted || (await queue.paused()).some((name) => name === '*' || name === node)) return;
    for (const attempt of await queue.take(node, free)) await this.#begin(queue, attempt);
  }

  /** Starts the export of an attempt, unless that of an earlier attempt still runs, or has a result. */
  async #begin(queue: FleetQueue, attempt: Attempt): Promise<void> {
    const { ledger, command, env, note } = this.#options;
    const known = ledger.get(attempt.id);
    const { id, node, retryCount, data } = attempt;
    if (known !== undefined && (known.verdict !== undefined || this.#running.has(id))) {
      note(`${describe(data)}: an earlier attempt of it ${known.verdict === undefined ? 'still runs' : 'has ended'}, and counts`);
      await ledger.write({ ...known, retryCount });
      this.#wake.abort();
      return;
    }
    if (data.window !== undefined && new Date() >= new Date(data.window.end)) {
      await queue.complete(attempt, { outcome: 'left', message: 'the window had ended' });
      return;
    }
    const taken = await queue.tokens((tokens) => tokens.take(data.stores ?? []));
    if ('full' in taken) {
      const output = { code: 'BUSY', message: `${taken.full} takes no more exports at once` };
      await queue.giveBack(attempt, { output, delaySeconds: FULL_DELAY_SECONDS, costsAttempt: false });
      return;
    }
    const entry: LedgerEntry = { version: 1, id, node, retryCount, data, tokens: taken.tokens };
    await ledger.write(entry);
    try {
      const started = await startExport({ command: [...command, ...argumentsOf(data)], env, ...ledger.outputs(id) });
      await ledger.write({ ...entry, process: started.identity });
      note(`${describe(data)}: started, process ${started.identity.pid}`);
      this.#follow(entry, started);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      await ledger.write({ ...entry, verdict: notStarted(`cannot start ${command[0] ?? 'gantry'}: ${reason}`) });
    }
  }

  /** Follows an export that an earlier agent started. One that was not started yet, or is not known, has ended without a result. */
  #watch(entry: LedgerEntry): void {
    const { signal } = this.#options;
    if (entry.process === undefined)
      this.#follow(entry, { identity: { pid: process.pid, startTime: 0, bootId: '' }, ended: Promise.resolve() });
    else this.#follow(entry, adoptExport(entry.process, signal));
  }

  #follow({ id }: LedgerEntry, started: ExportProcess): void {
    this.#running.set(id, started);
    void this.#end(id, started);
  }

  async #end(id: string, { ended }: ExportProcess): Promise<void> {
    const { ledger, signal, note } = this.#options;
    try {
      await ended;
      const entry = ledger.get(id);
      if (entry !== undefined) {
        const { out, err } = ledger.outputs(id);
        const [line, errors] = [await readLastLine(out), await readEnd(err)];
        await ledger.write({ ...entry, verdict: verdictOf(line, entry.data, new Date(), errors) });
      }
      this.#running.delete(id);
    } catch (error) {
      if (!signal.aborted)
        note(`cannot record how the export of job ${id} ended: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.#wake.abort();
  }
}

async function report(queue: FleetQueue, entry: LedgerEntry, verdict: Verdict): Promise<boolean> {
  switch (verdict.next) {
    case 'complete':
      return await queue.complete(entry, verdict.output);
    case 'reject':
      return await queue.reject(entry, verdict.output);
    case 'retry':
      return await queue.giveBack(entry, verdict);
  }
}

/** How `gantry run` is called. What a user asked for is a new export, also outside of the window. */
function argumentsOf({ policy, instance, window }: JobData): readonly string[] {
  const asked = window === undefined ? ['--ignore-window', '--again'] : [];
  return ['run', policy, '--instance', instance, '--exports-only', ...asked, '--quiet', '--json'];
}

function describe({ policy, instance }: JobData): string {
  return `${instance} (policy ${policy})`;
}

function reasonOf({ output: { code, message } }: Verdict): string {
  return code === undefined ? '' : `: ${message ?? ''} [${code}]`;
}
