import { NODE_CIPHER } from './block-cipher.ts';
import type { BlockJob } from './block-job.ts';
import { runJob } from './block-job.ts';
import type { DoneJob } from './block-thread.ts';
import { sharedBlockThread } from './block-thread.ts';
import { AgeError } from './errors.ts';

/** One job is done while the next one is filled. */
const MAX_JOBS_UNDER_WAY = 2;

/** For less, moving it to the thread and back takes longer than the work. */
const MIN_BYTES_FOR_THREAD: number = 128 * 1024;

/**
 * The blocks of one file, or of a part of it, on their way through the cipher: they come out in their order, and at most
 * {@link MAX_JOBS_UNDER_WAY} jobs have memory. What is under way when nobody asks any more ends by itself.
 */
export class BlockQueue {
  readonly #action: BlockJob['action'];
  readonly #key: Uint8Array;
  readonly #underWay: Promise<DoneJob>[] = [];
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  #failure: AgeError | undefined;

  constructor(action: BlockJob['action'], key: Uint8Array) {
    this.#action = action;
    this.#key = key;
  }

  /** Memory for the next job. What {@link next} returned is not valid any more. */
  memory(bytes: number): Uint8Array<ArrayBuffer> {
    return this.#free.pop() ?? new Uint8Array(bytes);
  }

  /** Starts a job, whose memory belongs to it. */
  push(memory: Uint8Array<ArrayBuffer>, o: Pick<BlockJob, 'first' | 'sealedBytes' | 'endsFile'>): void {
    const job: BlockJob = { ...o, action: this.#action, key: this.#key };
    const done =
      o.sealedBytes < MIN_BYTES_FOR_THREAD
        ? Promise.resolve({ memory, result: runJob(job, memory, NODE_CIPHER) })
        : sharedBlockThread().run(job, memory);
    // It may be that nobody asks for it any more.
    done.catch(() => undefined);
    this.#underWay.push(done);
  }

  /** Whether the oldest job is to be taken before another one is started. */
  get isFull(): boolean {
    return this.#underWay.length >= MAX_JOBS_UNDER_WAY;
  }

  get isEmpty(): boolean {
    return this.#underWay.length === 0 && this.#failure === undefined;
  }

  /**
   * What came of the oldest job; valid until the next call.
   *
   * @throws AgeError `damaged` after what was before the damage
   */
  async next(): Promise<Uint8Array> {
    if (this.#failure !== undefined) throw this.#failure;
    const done = await this.#underWay.shift();
    if (done === undefined) throw new TypeError('no job is under way');
    const { memory, result } = done;
    this.#free.push(memory);
    if (result.damaged !== undefined) {
      this.#underWay.length = 0;
      this.#failure = new AgeError('damaged', `block ${result.damaged} is damaged, or not in its place`);
      if (result.bytes === 0) throw this.#failure;
    }
    return memory.subarray(0, result.bytes);
  }
}
