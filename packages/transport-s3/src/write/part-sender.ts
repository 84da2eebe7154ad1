import { StoreError, isStoreError } from '@gantry/transport';
import { ignore, untilAborted } from '../requests/abort.ts';
import type { MultipartUpload, StoredPart } from './multipart.ts';
import { sendPart } from './multipart.ts';
import type { S3Context } from '../s3-context.ts';
import type { CopiedRange } from './copy-part.ts';
import { CopyRefused, copyPart } from './copy-part.ts';

/** Sends the parts of one upload, several in parallel, while the next one fills. The first failure ends all. */
export class PartSender {
  readonly #context: S3Context;
  readonly #failed = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #stored: StoredPart[] = [];
  #count = 0;

  constructor(context: S3Context) {
    this.#context = context;
  }

  /** Fires with the error of the first part that failed permanently, or with the reason of {@link stop}. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /** How many parts were sent or are being sent. */
  get count(): number {
    return this.#count;
  }

  /**
   * Takes a part as soon as the limit allows, and returns its buffer to the pool when the part is stored.
   *
   * @throws the error of a part that failed, or the reason of the signal
   */
  async send(upload: MultipartUpload, buffer: Buffer<ArrayBuffer>, length: number, signal: AbortSignal | undefined): Promise<void> {
    const leave = await this.#context.uploads.enter(buffer.length, signal, this.failed);
    const number = ++this.#count;
    this.#follow(this.#store(upload, number, buffer, length), leave);
  }

  /** Has the service copy a part, as soon as the limit allows. @throws as {@link send} */
  async copy(upload: MultipartUpload, range: CopiedRange, signal: AbortSignal | undefined): Promise<void> {
    const leave = await this.#context.uploads.enter(0, signal, this.failed);
    const number = ++this.#count;
    this.#follow(this.#copy(upload, number, range), leave);
  }

  /** The first copy from an object: waits for it. @returns false if the service refuses it, which ends nothing. @throws as {@link send} */
  async tryCopy(upload: MultipartUpload, range: CopiedRange, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      const copying = copyPart(this.#context.bucket, upload, this.#count + 1, range, this.failed);
      this.#stored.push(await untilAborted(copying, signal, this.failed));
      // Only now: a refused part may exist in the service, empty, and is replaced by the next one.
      this.#count += 1;
      return true;
    } catch (error) {
      if (error instanceof CopyRefused) return false;
      throw error;
    }
  }

  /** Waits for all parts. @returns them in the order of their numbers. @throws as {@link send} */
  async drain(signal: AbortSignal | undefined): Promise<readonly StoredPart[]> {
    await untilAborted(Promise.all(this.#running), signal, this.failed);
    return this.#stored.toSorted((a, b) => a.number - b.number);
  }

  /** Settles when the requests that are running now have ended. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  /** Cuts the running requests, and waits until all have ended. */
  async stop(reason: unknown): Promise<void> {
    this.#failed.abort(reason);
    await Promise.allSettled(this.#running);
  }

  #follow(work: Promise<void>, leave: () => void): void {
    const running = work.finally(() => {
      leave();
      this.#running.delete(running);
    });
    this.#running.add(running);
    running.catch(ignore);
  }

  async #copy(upload: MultipartUpload, number: number, range: CopiedRange): Promise<void> {
    try {
      this.#stored.push(await copyPart(this.#context.bucket, upload, number, range, this.failed));
    } catch (error) {
      const failure = error instanceof CopyRefused ? this.#refusedLater(upload, number, range, error) : error;
      this.#failed.abort(failure);
      throw failure;
    }
  }

  /** It copied a part of the same object before: by now, the bytes cannot be sent in its place. */
  #refusedLater({ key }: MultipartUpload, number: number, { source }: CopiedRange, { cause, message }: CopyRefused): StoreError {
    const doing = `copying ${source.key} into part ${number} of`;
    const translated = cause === undefined ? undefined : this.#context.bucket.translate(cause, { doing, key });
    if (isStoreError(translated, 'denied')) return translated;
    return new StoreError('unavailable', {
      key,
      message: `${doing} ${this.#context.bucket.show(key)}: ${message}, although it copied another one before`,
      hint: 'Run the command again.',
      cause: translated,
    });
  }

  async #store(upload: MultipartUpload, number: number, buffer: Buffer<ArrayBuffer>, length: number): Promise<void> {
    const { bucket, buffers, digests } = this.#context;
    try {
      const { buffer: filled, md5 } = await digests.digest(buffer, length);
      try {
        this.#stored.push(await sendPart(bucket, upload, { number, md5, body: filled.subarray(0, length) }, this.failed));
      } finally {
        buffers.give(filled);
      }
    } catch (error) {
      this.#failed.abort(error);
      throw error;
    }
  }
}
