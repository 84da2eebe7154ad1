import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import type { BeginOptions, CallOptions, Digest, ObjectInfo, PendingObject } from '@gantry/transport';
import { StoreError } from '@gantry/transport';

import { ignore, untilAborted } from '../requests/abort.ts';
import { CommitMark } from './commit-mark.ts';
import type { MultipartUpload } from './multipart.ts';
import { endUpload } from './multipart.ts';
import type { PartPlan } from './part-plan.ts';
import { PartSender } from './part-sender.ts';
import { commitParts, commitSmall } from './commit-object.ts';
import { removeOwnObject } from '../requests/stored-object.ts';
import type { S3Context } from '../s3-context.ts';
import type { UploadStarter } from './upload-starter.ts';

/** How one write was begun. */
export interface WriteOptions {
  readonly key: string;
  readonly token: string;
  readonly createOnly: boolean;
  readonly digestBy: BeginOptions['digestBy'];
  readonly plan: PartPlan;
  readonly starter: UploadStarter;
  /** Undefined where a small object was announced: then an upload is started only if it turns out to be large. */
  readonly upload: MultipartUpload | undefined;
  /** Called when nothing is left to do. */
  readonly onEnd: () => void;
}

/** How long a request that could still commit the object is waited for when the write is given up; then it is cut. */
const GRACE_MS = 5000;

/** An object on its way into a bucket: parts go out while the next one fills; what fits into one part becomes one PutObject. */
export class S3Write implements PendingObject {
  readonly key: string;
  readonly token: string;
  readonly started: Date = new Date();
  /** Nothing of it could be taken up by another process: the SHA-256 of the whole cannot go on from the service's parts. */
  readonly durableBytes = 0;
  readonly #context: S3Context;
  readonly #options: WriteOptions;
  readonly #sender: PartSender;
  /** Undefined where the caller digests. */
  readonly #hash: Hash | undefined;
  readonly #cut = new AbortController();
  #upload: MultipartUpload | undefined;
  #state: 'open' | 'failed' | 'committed' | 'discarded' = 'open';
  #received = 0;
  #buffer: Buffer<ArrayBuffer> | undefined;
  #filled = 0;
  #starting: Promise<MultipartUpload> | undefined;
  #committing: Promise<Date> | undefined;
  #discarding: Promise<void> | undefined;

  constructor(context: S3Context, options: WriteOptions) {
    this.key = options.key;
    this.token = options.token;
    this.#context = context;
    this.#options = options;
    this.#upload = options.upload;
    this.#sender = new PartSender(context);
    this.#hash = options.digestBy === 'caller' ? undefined : createHash('sha256');
  }

  get uploadId(): string | undefined {
    return this.#upload?.uploadId;
  }

  /** How many bytes arrived, stored or not. */
  get received(): number {
    return this.#received;
  }

  async append(source: AsyncIterable<Uint8Array>, { signal }: CallOptions = {}): Promise<void> {
    this.#assertOpen('added to');
    signal?.throwIfAborted();
    const iterator = source[Symbol.asyncIterator]();
    let ended = false;
    try {
      for (;;) {
        const next = await untilAborted(iterator.next(), signal, this.#sender.failed);
        if (next.done === true) {
          ended = true;
          return;
        }
        await this.#take(next.value, signal);
      }
    } catch (error) {
      if (this.#state === 'open') this.#state = 'failed';
      throw error;
    } finally {
      // Not waited for: a source that hangs would hang here too.
      if (!ended) void iterator.return?.()?.then(ignore, ignore);
    }
  }

  async commit(digest: Digest, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    this.#assertOpen('committed');
    this.#state = 'failed';
    signal?.throwIfAborted();
    this.#compare(digest);
    const commit =
      this.#upload !== undefined && this.#sender.count > 0
        ? await this.#prepareParts(this.#upload, signal)
        : await this.#prepareSmall(signal);
    // From here on nothing is cut: whether it stands under the key must be known. The caller waits no longer than it wants to.
    this.#committing = commit();
    this.#committing.catch(ignore);
    let modified: Date;
    try {
      modified = await untilAborted(this.#committing, signal, this.#sender.failed);
    } catch (error) {
      if (signal?.aborted !== true && !this.#sender.failed.aborted) await this.#warnOnFailure(this.#takeBack());
      throw error;
    }
    this.#state = 'committed';
    this.#release();
    await this.#options.starter.sweep();
    this.#options.onEnd();
    return { key: this.key, size: this.#received, modified };
  }

  async discard(): Promise<void> {
    if (this.#state === 'committed') return;
    this.#discarding ??= this.#discard();
    try {
      await this.#discarding;
    } catch (error) {
      // The service may have been silent: the next call tries it again.
      this.#discarding = undefined;
      throw error;
    }
  }

  async suspend(): Promise<void> {
    throw new StoreError('unsupported', {
      key: this.key,
      message: `the write of ${this.#context.bucket.show(this.key)} cannot be suspended: a bucket cannot go on with one`,
      hint: 'Discard it and begin anew.',
    });
  }

  /** As {@link discard}; what goes wrong is told as a warning, since what went wrong before matters more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#warnOnFailure(this.discard());
  }

  async #take(chunk: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const { plan } = this.#options;
    this.#received += chunk.length;
    if (this.#received > plan.maxObjectBytes) throw this.#tooLarge(plan.maxObjectBytes);
    this.#hash?.update(chunk);
    for (let from = 0; from < chunk.length;) {
      // Only now is it known that more comes: what just fits stays one request.
      if (this.#buffer !== undefined && this.#filled === this.#buffer.length) await this.#sendFilled(signal);
      this.#buffer ??= this.#context.buffers.take(plan.partBytes(this.#sender.count + 1));
      const length = Math.min(chunk.length - from, this.#buffer.length - this.#filled);
      this.#buffer.set(chunk.subarray(from, from + length), this.#filled);
      this.#filled += length;
      from += length;
    }
  }

  async #sendFilled(signal: AbortSignal | undefined): Promise<void> {
    if (this.#buffer === undefined) return;
    this.#upload ??= await this.#startUpload(signal);
    await this.#sender.send(this.#upload, this.#buffer, this.#filled, signal);
    this.#buffer = undefined;
    this.#filled = 0;
  }

  /** Not cut either: when nobody waits any more, discarding ends it. */
  async #startUpload(signal: AbortSignal | undefined): Promise<MultipartUpload> {
    this.#starting ??= this.#options.starter.start();
    return untilAborted(this.#starting, signal);
  }

  #compare({ size, sha256 }: Digest): void {
    const arrived = this.#hash?.digest('hex') ?? sha256;
    if (size === this.#received && sha256 === arrived) return;
    throw new StoreError('integrity', {
      key: this.key,
      message:
        size === this.#received
          ? `${this.#context.bucket.show(this.key)}: SHA-256 mismatch: got ${arrived}, expected ${sha256}`
          : `${this.#context.bucket.show(this.key)}: got ${this.#received} bytes, expected ${size}`,
      hint: 'Write it again; if that does not help, suspect the memory of this machine.',
    });
  }

  async #prepareSmall(signal: AbortSignal | undefined): Promise<() => Promise<Date>> {
    // Ended first: should this process be killed now, nothing is left.
    if (this.#upload !== undefined)
      await untilAborted(endUpload(this.#context.bucket, this.#upload, { signal, neverHadParts: true }), signal);
    this.#upload = undefined;
    const body = this.#buffer?.subarray(0, this.#filled) ?? Buffer.alloc(0);
    const { bucket, conditional } = this.#context;
    return () => commitSmall(bucket, this.#request(), body, conditional);
  }

  async #prepareParts(upload: MultipartUpload, signal: AbortSignal | undefined): Promise<() => Promise<Date>> {
    await this.#sendFilled(signal);
    const parts = await this.#sender.drain(signal);
    const { bucket, conditional } = this.#context;
    const mark = this.#options.createOnly && conditional.kind === 'put' ? new CommitMark(bucket, upload) : undefined;
    return () => commitParts(bucket, this.#request(), upload, parts, mark);
  }

  #request(): Parameters<typeof commitSmall>[1] {
    const { key, createOnly, starter } = this.#options;
    return { key, writeId: starter.writeId, size: this.#received, createOnly, signal: this.#cut.signal };
  }

  async #discard(): Promise<void> {
    this.#state = 'discarded';
    await this.#sender.stop(this.#discarded());
    await this.#takeBack();
    const { bucket } = this.#context;
    if (this.#upload !== undefined) await endUpload(bucket, this.#upload);
    else if (this.#starting !== undefined) await this.#options.starter.abandon(this.#starting);
    await this.#options.starter.sweep();
    this.#release();
    this.#options.onEnd();
  }

  /** Whatever became of the commit: afterwards nothing of this write stands under the key. */
  async #takeBack(): Promise<void> {
    if (this.#committing === undefined) return;
    const over = new AbortController();
    await Promise.race([this.#committing.then(ignore, ignore), delay(GRACE_MS, undefined, { signal: over.signal }).catch(ignore)]);
    over.abort();
    this.#cut.abort(this.#discarded());
    await this.#committing.catch(ignore);
    const { bucket } = this.#context;
    // An upload that has ended cannot be completed any more: then what stands under the key is all that can ever stand there.
    if (this.#upload !== undefined) await endUpload(bucket, this.#upload);
    await removeOwnObject(bucket, this.key, this.#options.starter.writeId);
    this.#committing = undefined;
  }

  async #warnOnFailure(tidying: Promise<void>): Promise<void> {
    const { bucket, warn } = this.#context;
    try {
      await tidying;
    } catch (error) {
      warn(`something of ${bucket.show(this.key)} may be left: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #release(): void {
    if (this.#buffer !== undefined) this.#context.buffers.give(this.#buffer);
    this.#buffer = undefined;
  }

  #assertOpen(what: string): void {
    if (this.#state === 'open') return;
    throw new StoreError('not-found', {
      key: this.key,
      message: `the write of ${this.#context.bucket.show(this.key)} cannot be ${what}: it is ${this.#state}`,
      hint: 'Begin anew.',
    });
  }

  #discarded(): StoreError {
    return new StoreError('not-found', {
      key: this.key,
      message: `the write of ${this.#context.bucket.show(this.key)} was given up`,
      hint: 'Begin anew.',
    });
  }

  #tooLarge(limit: number): StoreError {
    return new StoreError('full', {
      key: this.key,
      message: `${this.#context.bucket.show(this.key)} is larger than an object can become here (${limit} bytes)`,
      hint: 'For a service with a higher limit give maxObjectSize=, with equal parts a larger partSize=; or use a codec that compresses better.',
    });
  }
}
