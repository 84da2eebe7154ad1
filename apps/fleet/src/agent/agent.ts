import { once } from 'node:events';
import { formatRate, parseRate } from '@gantry/config/quantities';
import { asFirstError, errorText, GantryError, pause } from '@gantry/core';
import { RESTORE_PRIORITY, subjectText } from '../planner/job.ts';
import type { Attempt, FleetQueue } from '../queue/fleet-queue.ts';
import { LEASE_SECONDS } from '../queue/fleet-queue.ts';
import type { JobData, Progress } from '../queue/form.ts';
import { isSegment, limitedText } from '../queue/names.ts';
import type { Token } from '../queue/store-tokens.ts';
import { argumentsOf } from './arguments.ts';
import type { ExportProcess } from './export-process.ts';
import { adoptExport, endExport, findExport, readBytesOf, readEnd, readLastLine, startExport } from './export-process.ts';
import type { Ledger, LedgerEntry } from './ledger.ts';
import type { Verdict } from './verdict.ts';
import { notFollowed, notStarted, verdictOf } from './verdict.ts';

export interface AgentOptions {
  readonly node: string;
  /** How many exports at once; and one restore beside them. */
  readonly parallel: number;
  /** Whether disks of this node may be overwritten, because a user asks the queue for that. */
  readonly restores: boolean;
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

/** Beside exports. */
const RESTORES_AT_ONCE = 1;
/** How soon a job looks again whether its export can begin now: whether a store that has a limit takes it, for example. */
const FULL_DELAY_SECONDS = 30;
/** An export that this agent follows, and how far it was when it was looked at last. */
interface Followed extends ExportProcess {
  readonly at?: number | undefined;
  readonly readBytes?: number | undefined;
}

/** For how long an agent that is to end waits for an answer of its queue. */
const LEAVE_MS = 5000;
/** A lease is renewed three times before it ends. */
const RENEW_MS = (LEASE_SECONDS * 1000) / 4;

/**
 * Runs the exports of one node: takes the jobs of its queue, starts `gantry run` for each, renews their leases, and reports how they ended. It
 * can be killed at any time: its ledger says what it had.
 */
export class Agent {
  readonly #options: AgentOptions;
  /** Exports that run, by the ids of their jobs. */
  readonly #running = new Map<string, Followed>();
  #queue: FleetQueue | undefined;
  /** By a clock that nobody sets. */
  #renewedAt = -Infinity;
  /** What the queue or the ledger fails with at the moment; shown once. */
  #trouble: string | undefined;
  /** Aborted to look for work at once. */
  #wake = new AbortController();

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** Works until the signal is aborted. @throws what is not a failure of the queue or the ledger */
  async run(): Promise<void> {
    const { signal, pollMs } = this.#options;
    for (const entry of this.#options.ledger.entries) if (entry.verdict === undefined) await this.#watch(entry);
    while (!signal.aborted) {
      await this.#turnUntilAbort();
      const waitMs = this.#running.size > 0 ? Math.min(pollMs, RENEW_MS) : pollMs;
      // Agents that were started together do not ask together for ever.
      await pause(waitMs * (0.9 + Math.random() / 5), AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined);
      if (this.#wake.signal.aborted) this.#wake = new AbortController();
    }
  }

  /** A database that does not answer keeps no agent from ending for long: what it had is in the ledger. */
  async #turnUntilAbort(): Promise<void> {
    const over = new AbortController();
    const turn = this.#turn();
    try {
      await Promise.race([turn, aWhileAfter(this.#options.signal, over.signal)]);
    } finally {
      over.abort();
      turn.catch(() => undefined);
    }
  }

  async #turn(): Promise<void> {
    const { note, openQueue, ledger } = this.#options;
    try {
      this.#queue ??= await openQueue();
      await this.#deliver(this.#queue);
      await this.#renew(this.#queue);
      // What could not be noted would be lost with this process: no export is started then.
      await ledger.flush();
      await this.#take(this.#queue);
      if (this.#trouble !== undefined) note('queue and ledger can be used again');
      this.#trouble = undefined;
    } catch (error) {
      const first = asFirstError(error);
      if (!isTrouble(first)) throw error;
      this.#say(first);
    }
  }

  #say({ message, code }: GantryError): void {
    if (message !== this.#trouble) this.#options.note(`${message} [${code}]: exports that run go on, and results wait`);
    this.#trouble = message;
  }

  /** Changes an entry of what happens anyway: if it cannot be written now, it counts nevertheless, and is written later. */
  async #note(entry: LedgerEntry): Promise<void> {
    try {
      await this.#options.ledger.write(entry);
    } catch (error) {
      if (!isTrouble(error)) throw error;
      this.#say(error);
    }
  }

  /** Reports exports that have ended. */
  async #deliver(queue: FleetQueue): Promise<void> {
    for (const entry of this.#options.ledger.entries) {
      const { verdict } = entry;
      if (verdict === undefined) continue;
      for (const token of entry.tokens ?? []) await queue.tokens((tokens) => tokens.release(token));
      const isReported = (await report(queue, entry, verdict)) || (await this.#reportAgain(queue, entry, verdict));
      if (isReported) this.#options.note(`${describe(entry.data)}: ${verdict.output.outcome ?? verdict.next}${reasonOf(verdict)}`);
      await this.#options.ledger.remove(entry.id);
    }
  }

  /** A job, the lease of which has ended, gets a result that no other attempt is to follow, before it is handed out again. */
  async #reportAgain(queue: FleetQueue, entry: LedgerEntry, verdict: Verdict): Promise<boolean> {
    if (verdict.next === 'retry') return false;
    const retryCount = await queue.takeAgain(entry);
    return retryCount !== undefined && (await report(queue, { ...entry, retryCount }, verdict));
  }

  /** Renews leases; ends exports whose jobs were cancelled. The job of one whose lease was lost is taken again, even while no place is free. */
  async #renew(queue: FleetQueue): Promise<void> {
    if (performance.now() - this.#renewedAt < Math.min(RENEW_MS, this.#options.pollMs) / 2) return;
    for (const [id, { identity }] of this.#running) {
      const entry = this.#options.ledger.get(id);
      for (const token of entry?.tokens ?? []) await queue.tokens((tokens) => tokens.renew(token));
      if (entry === undefined || (await queue.renew(entry, await this.#progressOf(id))) || (await this.#takeAgain(queue, entry))) continue;
      if ((await queue.stateOf(entry)) !== 'cancelled') continue;
      // It may have ended meanwhile.
      const current = this.#options.ledger.get(id);
      // Once: asked again and again, it ends without its cleanup.
      if (current === undefined || current.cancelled === true || current.verdict !== undefined) continue;
      this.#options.note(`${describe(entry.data)}: it was cancelled, and is asked to end`);
      await endExport(identity);
      const asked = this.#options.ledger.get(id);
      if (asked !== undefined) await this.#note({ ...asked, cancelled: true });
    }
    this.#renewedAt = performance.now();
  }

  /** How far an export is, and how fast it was since it was looked at last. */
  async #progressOf(id: string): Promise<Progress | undefined> {
    const followed = this.#running.get(id);
    if (followed === undefined) return undefined;
    const readBytes = await readBytesOf(followed.identity);
    const now = performance.now();
    if (readBytes === undefined) return undefined;
    const { at, readBytes: before = readBytes } = followed;
    // It may have ended meanwhile.
    if (this.#running.get(id) === followed) this.#running.set(id, { ...followed, at: now, readBytes });
    const bytesPerSecond = at === undefined || now <= at ? 0 : Math.round(((readBytes - before) * 1000) / (now - at));
    return { readBytes, bytesPerSecond: Math.max(0, bytesPerSecond) };
  }

  /** Takes a job again whose lease was lost while its export runs: no free place is needed for that. */
  async #takeAgain(queue: FleetQueue, entry: LedgerEntry): Promise<boolean> {
    const retryCount = await queue.takeAgain(entry);
    if (retryCount === undefined) return false;
    this.#options.note(`${describe(entry.data)}: an earlier attempt of it still runs, and counts`);
    const current = this.#options.ledger.get(entry.id);
    if (current !== undefined) await this.#note({ ...current, retryCount });
    return true;
  }

  async #take(queue: FleetQueue): Promise<void> {
    const { node, parallel, restores, signal, ledger } = this.#options;
    const ofRestores = [...this.#running.keys()].filter((id) => ledger.get(id)?.data.work === 'restore').length;
    const freeForRestores = restores ? RESTORES_AT_ONCE - ofRestores : 0;
    const free = parallel - (this.#running.size - Math.min(ofRestores, RESTORES_AT_ONCE));
    if ((free <= 0 && freeForRestores <= 0) || signal.aborted) return;
    if ((await queue.paused()).some((name) => name === '*' || name === node)) return;
    // They wait for no export to end.
    if (freeForRestores > 0)
      for (const attempt of await queue.take(node, freeForRestores, RESTORE_PRIORITY)) await this.#begin(queue, attempt);
    if (free > 0) for (const attempt of await queue.take(node, free)) await this.#begin(queue, attempt);
    // Fails where one of them could not be noted.
    await ledger.flush();
  }

  /** Starts the export of an attempt, unless that of an earlier attempt still runs, or has a result. */
  async #begin(queue: FleetQueue, attempt: Attempt): Promise<void> {
    const { ledger, note } = this.#options;
    const known = ledger.get(attempt.id);
    const { id, node, retryCount, data } = attempt;
    if (known !== undefined && (known.verdict !== undefined || this.#running.has(id))) {
      if (known.data.asked !== data.asked) {
        // It was redriven: what began before that is followed to its end, and is not the export that was asked for.
        const output = { code: 'BUSY', message: 'an export of it from before it was asked for still runs' };
        await queue.giveBack(attempt, { output, delaySeconds: FULL_DELAY_SECONDS, costsAttempt: false });
        return;
      }
      note(`${describe(data)}: an earlier attempt of it ${known.verdict === undefined ? 'still runs' : 'has ended'}, and counts`);
      await this.#note({ ...known, retryCount });
      await queue.costsNothing(attempt);
      this.#wake.abort();
      return;
    }
    if (data.window !== undefined && new Date() >= new Date(data.window.end)) {
      const message = data.work === 'restore' ? 'it had waited for a day' : 'the window had ended';
      await queue.complete(attempt, { outcome: 'left', message });
      return;
    }
    const isRestore = data.work === 'restore';
    if (isRestore && !this.#options.restores) {
      const message = `the agent of ${node} makes no restores: it was started without --restores`;
      await queue.reject(attempt, { outcome: 'failed', code: 'USAGE', message });
      return;
    }
    const taken = await queue.tokens((tokens) => tokens.take(data.stores ?? [], { isRestore }));
    if ('full' in taken) {
      const output = {
        code: 'BUSY',
        message: `${limitedText(taken.full)} takes no more ${isRestore ? 'restores' : 'exports'} at once`,
        waitsFor: taken.full,
      };
      await queue.giveBack(attempt, { output, delaySeconds: FULL_DELAY_SECONDS, costsAttempt: false });
      return;
    }
    const entry: LedgerEntry = { version: 1, id, node, retryCount, data, tokens: taken.tokens };
    try {
      await ledger.add(entry);
    } catch (error) {
      if (!isTrouble(error)) throw error;
      this.#say(error);
      await ledger.remove(id);
      for (const token of taken.tokens) await queue.tokens((tokens) => tokens.release(token));
      const { code, message } = error;
      await queue.giveBack(attempt, { output: { code, message }, delaySeconds: FULL_DELAY_SECONDS, costsAttempt: false });
      return;
    }
    await this.#start(entry, maxRateOf(data, taken.tokens));
  }

  /** @param maxRate what its tokens are worth, bytes a second for each store */
  async #start(entry: LedgerEntry, maxRate: number | undefined): Promise<void> {
    const { ledger, command, note } = this.#options;
    const env = withMaxRate(this.#options.env, maxRate);
    let started: ExportProcess;
    try {
      started = await startExport({ command: [...command, ...argumentsOf(entry.data, new Date())], env, ...ledger.outputs(entry.id) });
    } catch (error) {
      const reason = errorText(error);
      await this.#note({ ...entry, verdict: notStarted(`cannot start ${command[0] ?? 'gantry'}: ${reason}`, entry.data) });
      return;
    }
    await this.#note({ ...entry, process: started.identity });
    note(`${describe(entry.data)}: started, process ${started.identity.pid}`);
    this.#follow(entry, started);
  }

  /** Follows an export that an earlier agent started. */
  async #watch(entry: LedgerEntry): Promise<void> {
    const { signal, ledger } = this.#options;
    if (entry.process !== undefined) {
      this.#follow(entry, adoptExport(entry.process, signal));
      return;
    }
    // Its agent was killed between the start of the export and the note about it.
    const found = await findExport(ledger.outputs(entry.id).out);
    if (found === undefined) {
      // Its tokens are left to the end of their leases: the export may run.
      await this.#note({ ...entry, tokens: undefined, verdict: notFollowed(entry.data) });
      return;
    }
    await this.#note({ ...entry, process: found });
    this.#options.note(`${describe(entry.data)}: was found again, process ${found.pid}`);
    this.#follow(entry, adoptExport(found, signal));
  }

  #follow({ id }: LedgerEntry, started: ExportProcess): void {
    this.#running.set(id, started);
    void this.#end(id, started);
  }

  async #end(id: string, { ended }: ExportProcess): Promise<void> {
    const { ledger, signal } = this.#options;
    // Otherwise it is the next agent's.
    await ended.catch(() => undefined);
    if (signal.aborted) return;
    const { out, err } = ledger.outputs(id);
    const [line, errors] = [await readLastLine(out), await readEnd(err)];
    const entry = ledger.get(id);
    this.#running.delete(id);
    if (entry !== undefined) await this.#note({ ...entry, verdict: verdictOf(line, entry.data, new Date(), errors) });
    this.#wake.abort();
  }
}

/** The rate to which each store keeps: that of a segment is shared by all that are written from there. */
function maxRateOf({ stores: limited = [] }: JobData, tokens: readonly Token[]): number | undefined {
  const stores = limited.filter((each) => !isSegment(each)).length;
  const shares = tokens.flatMap(({ store, bytesPerSecond }) =>
    bytesPerSecond === undefined ? [] : [isSegment(store) ? Math.max(1, Math.floor(bytesPerSecond / Math.max(1, stores))) : bytesPerSecond],
  );
  return shares.length === 0 ? undefined : Math.min(...shares);
}

/** With that rate, unless the agent has a lower one; if that is not valid, what is started says so. */
function withMaxRate(env: NodeJS.ProcessEnv, maxRate: number | undefined): NodeJS.ProcessEnv {
  const own = env['GANTRY_MAX_RATE'] ?? '';
  if (maxRate === undefined || (own !== '' && (parseRate(own) ?? 0) <= maxRate)) return env;
  return { ...env, GANTRY_MAX_RATE: formatRate(maxRate) };
}

/** Resolves when a signal has been aborted for {@link LEAVE_MS}. @param over frees what it waits with */
async function aWhileAfter(signal: AbortSignal, over: AbortSignal): Promise<void> {
  try {
    if (!signal.aborted) await once(signal, 'abort', { signal: over });
    await pause(LEAVE_MS, over);
  } catch {
    // The turn is over.
  }
}

/** What ends by itself, or is mended by somebody, while the agent goes on. */
function isTrouble(error: unknown): error is GantryError {
  return error instanceof GantryError && (error.code.startsWith('QUEUE_') || error.code === 'STATE_UNUSABLE');
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

function describe({ policy, instance, work, restore }: JobData): string {
  return `${subjectText({ instance, work, dryRun: restore?.dryRun })} (policy ${policy})`;
}

function reasonOf({ output: { code, message } }: Verdict): string {
  return code === undefined ? '' : `: ${message ?? ''} [${code}]`;
}
