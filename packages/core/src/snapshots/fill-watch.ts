import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { pause } from '../system/pause.ts';

/** How a snapshot stands: its fill level, from 0 to 1, or why it cannot be relied on any more. */
export type Fill = { readonly share: number; readonly of: string } | { readonly lost: string; readonly isFull: boolean };

/** Between two looks, ms. That a snapshot is lost shows in what is read of it too: this is for the warning, and for thin pools. */
const INTERVAL_MS = 2000;
/** From this fill level on a warning is given, once. */
const HIGH_SHARE = 0.8;

const DEFAULT_FULL_HINT = 'Give it more space (--snapshot-size; a larger pool), or export when less is written.';

export interface WatchOptions {
  readonly disk: number;
  /** More disks whose snapshots are lost with it. */
  readonly others?: readonly number[];
  /** @param isLast whether what was read counts only if this look finds everything as it should be */
  readonly look: (signal: AbortSignal, isLast: boolean) => Promise<Fill>;
  readonly warn: (message: string, disk: number) => void;
  /** What to do if it runs out of space; default: to give an LVM snapshot more. */
  readonly fullHint?: string;
  /** Between two looks. */
  readonly intervalMs?: number;
}

/** Watches a snapshot while it is read. Disposing ends that. */
export class FillWatch implements AsyncDisposable {
  readonly #options: WatchOptions;
  readonly #stop = new AbortController();
  readonly #lost = new AbortController();
  readonly #loop: Promise<void>;
  #warned = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  /** Aborted with a GantryError when the snapshot is lost. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** @throws GantryError `SNAPSHOT_FULL`, or `SNAPSHOT_FAILED` where it is lost in another way */
  async assertIntact(): Promise<void> {
    this.#lost.signal.throwIfAborted();
    const fill = await this.#options.look(this.#stop.signal, true).catch((error: unknown): Fill => {
      this.#stop.signal.throwIfAborted();
      return { lost: `the snapshot cannot be looked at: ${errorText(error)}`, isFull: false };
    });
    this.#take(fill);
  }

  #take(fill: Fill): void {
    if ('lost' in fill) throw this.#lose(fill);
    if (fill.share < HIGH_SHARE || this.#warned) return;
    this.#warned = true;
    this.#options.warn(`${fill.of} is ${Math.floor(fill.share * 100)} % full; when it is full the export fails`, this.#options.disk);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  #lose({ lost, isFull }: Extract<Fill, { readonly lost: string }>): GantryError {
    const { disk, others = [], fullHint = DEFAULT_FULL_HINT } = this.#options;
    const error = new GantryError(isFull ? 'SNAPSHOT_FULL' : 'SNAPSHOT_FAILED', {
      message: `${describeLost([disk, ...others])} read: ${lost}`,
      hint: isFull ? fullHint : 'Leave the snapshot alone while it is read, and try again.',
      disk,
    });
    this.#lost.abort(error);
    return error;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    try {
      while (!this.#lost.signal.aborted) {
        await pause(this.#options.intervalMs ?? INTERVAL_MS, signal);
        // A look that fails on a busy machine says nothing: the one at the end counts.
        const fill = await this.#options.look(signal, false).catch(() => undefined);
        if (fill !== undefined) this.#take(fill);
      }
    } catch {
      // Stopped; or lost, which its signal has said.
    }
  }
}

function describeLost(disks: readonly number[]): string {
  if (disks.length > 1) return `the snapshots of disks ${disks.join(', ')} were lost while they were`;
  return `the snapshot of disk ${disks.join()} was lost while it was`;
}
