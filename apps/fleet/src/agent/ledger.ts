import { readdir, readFile, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lock } from '@gantry/core';
import { errorText, GantryError, makeDirectoryDurably, openStateDirectory, replaceFile, tryLock } from '@gantry/core';
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
  /** Those that are not, or not like this, in the directory. */
  readonly #unwritten = new Set<string>();
  /** Writes and removals, one after the other. */
  #work: Promise<void> = Promise.resolve();
  /** The last write failed: the next one shows whether that is over. */
  #hasFailed = false;

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

  /** Adds an entry of an export that is not started yet; an older output of the job goes. @throws GantryError `STATE_UNUSABLE`, as `write` does */
  async add(added: LedgerEntry): Promise<void> {
    const { out, err } = this.outputs(added.id);
    await this.#inTurn(async () => {
      for (const path of [out, err]) await rm(path, { force: true });
    });
    await this.write(added);
  }

  /**
   * Adds or replaces an entry; it is durable when this resolves.
   *
   * @throws GantryError `STATE_UNUSABLE` if it cannot be written: it counts in this process, and `flush` tries again
   */
  async write(changed: LedgerEntry): Promise<void> {
    this.#entries.set(changed.id, changed);
    this.#unwritten.add(changed.id);
    await this.flush();
  }

  /** Writes what could not be written before. @throws GantryError `STATE_UNUSABLE` while nothing can be written */
  async flush(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#hasFailed && this.#unwritten.size === 0) await this.#probe();
      for (const id of this.#unwritten) {
        this.#unwritten.delete(id);
        const current = this.#entries.get(id);
        if (current === undefined) continue;
        try {
          await replaceFile(join(this.#directory, `${id}.json`), `${JSON.stringify(current)}\n`);
        } catch (error) {
          this.#unwritten.add(id);
          throw error;
        }
      }
      this.#hasFailed = false;
    });
  }

  async #probe(): Promise<void> {
    const path = join(this.#directory, 'probe');
    await replaceFile(path, 'written to see whether that is possible\n');
    await unlink(path);
  }

  /** Removes an entry, and the output of its export. */
  async remove(id: string): Promise<void> {
    this.#entries.delete(id);
    this.#unwritten.delete(id);
    const { out, err } = this.outputs(id);
    await this.#inTurn(async () => {
      for (const path of [join(this.#directory, `${id}.json`), out, err]) await unlink(path).catch(() => undefined);
    });
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => undefined);
    try {
      await done;
    } catch (error) {
      this.#hasFailed = true;
      const reason = errorText(error);
      // Without the path: a temporary file has another name each time, and a lasting failure is to be one message.
      const message = `cannot write the ledger of the agent in ${this.#directory}: ${reason.replace(/, \w+ '.*$/s, '')}`;
      throw new GantryError('STATE_UNUSABLE', { message, hint: 'Free space on its file system, or see dmesg.', cause: error });
    }
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
