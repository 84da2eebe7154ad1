import { readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lock } from '@gantry/core';
import { GantryError, makeDirectoryDurably, openStateDirectory, replaceFile, tryLock } from '@gantry/core';
import { z } from 'zod';
import { fleetDirectory } from '../queue/open-embedded.ts';
import type { Attempt } from '../queue/fleet-queue.ts';
import { attemptOutput, jobData } from '../queue/form.ts';
import type { Token } from '../queue/store-tokens.ts';
import type { ProcessIdentity } from './export-process.ts';
import type { Verdict } from './verdict.ts';

/** An attempt that this agent, or the one before it, has taken. */
export interface LedgerEntry extends Attempt {
  readonly version: 1;
  /** The export; absent until it was started. */
  readonly process?: ProcessIdentity | undefined;
  /** What it holds of stores that have limits. */
  readonly tokens?: readonly Token[] | undefined;
  /** A user cancelled the job, and the export was asked to end. */
  readonly cancelled?: boolean | undefined;
  /** Present when the export has ended, until the queue knows it. */
  readonly verdict?: Verdict | undefined;
}

const verdict: z.ZodType<Verdict> = z.union([
  z.object({ next: z.literal('complete'), output: attemptOutput }),
  z.object({ next: z.literal('reject'), output: attemptOutput }),
  z.object({ next: z.literal('retry'), delaySeconds: z.number(), costsAttempt: z.boolean(), output: attemptOutput }),
]);

const entry: z.ZodType<LedgerEntry> = z.object({
  version: z.literal(1),
  id: z.uuid(),
  node: z.string(),
  retryCount: z.int().nonnegative(),
  data: jobData,
  process: z.object({ pid: z.int().positive(), startTime: z.int(), bootId: z.string() }).optional(),
  tokens: z.array(z.object({ store: z.string(), id: z.uuid(), retryCount: z.int().nonnegative() })).optional(),
  cancelled: z.boolean().optional(),
  verdict: verdict.optional(),
});

/**
 * What an agent has taken, in the state directory: written and synced before it counts, so that an agent that was killed finds the exports
 * that still run, and results that the queue has not got. One agent at a time has it.
 */
export class Ledger implements AsyncDisposable {
  readonly #directory: string;
  readonly #lock: Lock;
  readonly #entries: Map<string, LedgerEntry>;

  private constructor(directory: string, lock: Lock, entries: Map<string, LedgerEntry>) {
    this.#directory = directory;
    this.#lock = lock;
    this.#entries = entries;
  }

  /**
   * @param stateDirectory as operations get it
   * @throws GantryError `BUSY` if another agent of this host has it, `STATE_UNUSABLE`
   */
  static async open(stateDirectory: string | undefined, warn: (message: string) => void): Promise<Ledger> {
    const state = await openStateDirectory(stateDirectory);
    const lock = await tryLock({ directory: state.locks, name: 'fleet-agent', mode: 'exclusive', operation: 'run', instance: 'fleet' });
    if ('heldBy' in lock) {
      const pid = lock.heldBy[0]?.pid;
      const message = `an agent of the fleet runs already on this host${pid === undefined ? '' : `: process ${pid}`}`;
      throw new GantryError('BUSY', { message, hint: 'Stop it first, or leave the work to it.' });
    }
    await using scope = new AsyncDisposableStack();
    scope.use(lock);
    const directory = join(fleetDirectory(state.path), 'ledger');
    await makeDirectoryDurably(directory, 0o700);
    const ledger = new Ledger(directory, lock, await readEntries(directory, warn));
    scope.move();
    return ledger;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lock[Symbol.asyncDispose]();
  }

  get entries(): readonly LedgerEntry[] {
    return [...this.#entries.values()];
  }

  get(id: string): LedgerEntry | undefined {
    return this.#entries.get(id);
  }

  /** Adds or replaces an entry; it is durable when this resolves. */
  async write(changed: LedgerEntry): Promise<void> {
    await replaceFile(join(this.#directory, `${changed.id}.json`), `${JSON.stringify(changed)}\n`);
    this.#entries.set(changed.id, changed);
  }

  /** Removes an entry, and the output of its export. */
  async remove(id: string): Promise<void> {
    this.#entries.delete(id);
    const { out, err } = this.outputs(id);
    for (const path of [join(this.#directory, `${id}.json`), out, err]) await unlink(path).catch(() => undefined);
  }

  /** The files to which the export of a job writes. */
  outputs(id: string): { readonly out: string; readonly err: string } {
    return { out: join(this.#directory, `${id}.out`), err: join(this.#directory, `${id}.err`) };
  }
}

/** One that cannot be read is left out: the queue hands its job out again, and the locks of its instance keep a second export away. */
async function readEntries(directory: string, warn: (message: string) => void): Promise<Map<string, LedgerEntry>> {
  const found = new Map<string, LedgerEntry>();
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.json')) continue;
    try {
      const read = entry.parse(JSON.parse(await readFile(join(directory, name), 'utf8')));
      found.set(read.id, read);
    } catch {
      warn(`cannot read ${join(directory, name)}, what an earlier agent had taken: it is left out`);
    }
  }
  return found;
}
