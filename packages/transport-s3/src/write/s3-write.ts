import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import type { BeginOptions, CallOptions, CommitDigest, ObjectInfo, ObjectRange, PendingObject } from '@gantry/transport';
import { StoreError, assertKey, assertRange, assertRangeCopy, failureText } from '@gantry/transport';

import { ignore, untilAborted } from '../requests/abort.ts';
import { openSource, statForRead } from '../read/reading.ts';
import { CommitMark } from './commit-mark.ts';
import type { CopiedRange, CopySource } from './copy-part.ts';
import { copyRanges, minCopyBytes } from './copy-part.ts';
import type { MultipartUpload } from './multipart.ts';
import { endUpload } from './multipart.ts';
import type { PartPlan } from './part-plan.ts';
import { S3_LIMITS } from './part-plan.ts';
import { PartSender } from './part-sender.ts';
import { commitParts, commitSmall } from './commit-object.ts';
import { removeOwnObject } from '../requests/stored-object.ts';
import type { S3Context } from '../s3-context.ts';
import type { UploadStarter } from './upload-starter.ts';

/** How one write was started. */
export interface WriteOptions {
  readonly key: string;
  readonly token: string;
  readonly createOnly: boolean;
  readonly digestBy: BeginOptions['digestBy'];
  readonly plan: PartPlan;
  readonly starter: UploadStarter;
  /** Undefined if a small object was announced: then an upload is started only if it turns out to be large. */
  readonly upload: MultipartUpload | undefined;
  /** Called when the write is over. */
  readonly onEnd: () => void;
}

/** How long the end of a write waits for requests of which the outcome counts, before it cuts them. */
const GRACE_MS = 5000;

/** Writes one object: sends parts while the next one fills; an object that fits into one part becomes one PutObject. */
export class S3Write implements PendingObject {
  readonly key: string;
  readonly token: string;
  readonly started: Date = new Date();
  /** Another process cannot resume it: the SHA-256 of the object cannot be continued from the service's parts. */
  readonly durableBytes = 0;
  readonly #context: S3Context;
  readonly #options: WriteOptions;
  readonly #sender: PartSender;
  /** Undefined where somebody else digests. */
  readonly #hash: Hash | undefined;
  readonly #cut = new AbortController();
  /** Objects that ranges were copied from, by their keys. */
  readonly #sources = new Map<string, CopySource>();
  #upload: MultipartUpload | undefined;
  #state: 'open' | 'failed' | 'committed' | 'discarded' | 'left' = 'open';
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
    this.#hash = (options.digestBy ?? 'store') === 'store' ? createHash('sha256') : undefined;
  }

  get uploadId(): string | undefined {
    return this.#upload?.uploadId;
  }

  /** How many bytes were appended, stored or not. */
  get received(): number {
    return this.#received;
  }

  async append(source: AsyncIterable<Uint8Array>, { signal }: CallOptions = {}): Promise<void> {
    this.#assertOpen('append to');
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
      // Not awaited: a source that hangs would hang here too.
      if (!ended) void iterator.return?.()?.then(ignore, ignore);
    }
  }

  async appendRange(range: ObjectRange, { signal }: CallOptions = {}): Promise<number> {
    this.#assertOpen('append to');
    assertRangeCopy(this.key, this.#options.digestBy);
    assertKey(range.key);
    try {
      return await this.#appendRange(range, signal);
    } catch (error) {
      if (this.#state === 'open') this.#state = 'failed';
      throw error;
    }
  }

  async commit(digest: CommitDigest, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    this.#assertOpen('commit');
    this.#state = 'failed';
    signal?.throwIfAborted();
    this.#compare(digest);
    const commit =
      this.#upload !== undefined && this.#sender.count > 0
        ? await this.#prepareParts(this.#upload, signal)
        : await this.#prepareSmall(signal);
    // From here on nothing is cut: the outcome must be known. Only the caller's wait can end early.
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
    if (this.#state === 'committed' || this.#state === 'left') return;
    this.#discarding ??= this.#discard();
    try {
      await this.#discarding;
    } catch (error) {
      // The service may have been unreachable: the next call tries again.
      this.#discarding = undefined;
      throw error;
    }
  }

  async suspend(): Promise<void> {
    throw new StoreError('unsupported', {
      key: this.key,
      message: `cannot suspend the write of ${this.#context.bucket.show(this.key)}: a store in a bucket does not support it`,
      hint: 'Discard it and write the object again.',
    });
  }

  async leave(): Promise<void> {
    if (this.#state === 'committed' || this.#state === 'discarded') return;
    this.#state = 'left';
    this.#cut.abort(this.#discarded());
    // Parts that are on their way are durable soon; one that was cut could still arrive while the upload is salvaged. Where the service
    // cannot be reached, one of them has failed, which has ended the others.
    await withinGrace(this.#sender.idle());
    await this.#sender.stop(this.#discarded());
    this.#release();
    this.#options.onEnd();
  }

  /** Like {@link discard}, but reports a failure as a warning, because the error before it matters more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#warnOnFailure(this.discard());
  }

  async #take(chunk: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const { plan } = this.#options;
    this.#received += chunk.length;
    if (this.#received > plan.maxObjectBytes) throw this.#tooLarge(plan.maxObjectBytes);
    this.#hash?.update(chunk);
    for (let from = 0; from < chunk.length;) {
      // Sent only now that more follows: an object that fits exactly stays one request.
      if (this.#buffer !== undefined && this.#filled === this.#buffer.length) await this.#sendFilled(signal);
      this.#buffer ??= this.#context.buffers.take(plan.partBytes(this.#sender.count + 1));
      const length = Math.min(chunk.length - from, this.#buffer.length - this.#filled);
      this.#buffer.set(chunk.subarray(from, from + length), this.#filled);
      this.#filled += length;
      from += length;
    }
  }

  /** Long ranges are copied by the service, as parts of their own. @returns how many bytes passed through here */
  async #appendRange({ key, offset, length }: ObjectRange, signal: AbortSignal | undefined): Promise<number> {
    const { plan } = this.#options;
    const { copies } = this.#context;
    // What was appended before becomes a part too, which must not be too small.
    const lead = this.#buffer === undefined ? 0 : Math.max(0, S3_LIMITS.minPartBytes - this.#filled);
    const partBytes = plan.partBytes(this.#sender.count + 1);
    const end = offset + length;
    const isWorthIt = length - lead >= minCopyBytes(partBytes) && copies !== undefined && copies.get(key) !== 'refused';
    if (!isWorthIt) return await this.#pass({ key }, offset, end, signal);
    const source = await this.#sourceOf(key, signal);
    assertRange(key, { offset, length, objectSize: source.size });
    const start = offset + lead;
    if (lead > 0) await this.#pass(source, offset, start, signal);
    await this.#sendFilled(signal);
    if (this.#received + (end - start) > plan.maxObjectBytes) throw this.#tooLarge(plan.maxObjectBytes);
    if (await this.#copyParts(copyRanges(source, start, end, partBytes), signal)) return lead;
    return lead + (await this.#pass(source, start, end, signal));
  }

  /** Asked once for all ranges of an object: each copy is on the condition that it is the same. */
  async #sourceOf(key: string, signal: AbortSignal | undefined): Promise<CopySource> {
    const known = this.#sources.get(key);
    if (known !== undefined) return known;
    const { etag, objectSize } = await statForRead(this.#context, key, signal);
    const source = { key, etag, size: objectSize };
    this.#sources.set(key, source);
    return source;
  }

  /** @returns false if the service does not do that; then nothing was copied */
  async #copyParts(ranges: readonly CopiedRange[], signal: AbortSignal | undefined): Promise<boolean> {
    const upload = (this.#upload ??= await this.#startUpload(signal));
    const { copies } = this.#context;
    for (const range of ranges) {
      const { key } = range.source;
      if (copies?.get(key) === 'works') await this.#sender.copy(upload, range, signal);
      else {
        const copied = await this.#sender.tryCopy(upload, range, signal);
        copies?.set(key, copied ? 'works' : 'refused');
        if (!copied) return false;
      }
      this.#received += range.to - range.from;
    }
    return true;
  }

  async #pass(
    { key, etag }: Pick<CopySource, 'key'> & Partial<CopySource>,
    from: number,
    to: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    await using bytes = await openSource(this.#context, key, { offset: from, length: to - from, signal, etag });
    for await (const chunk of bytes) await this.#take(chunk, signal);
    return to - from;
  }

  async #sendFilled(signal: AbortSignal | undefined): Promise<void> {
    if (this.#buffer === undefined) return;
    this.#upload ??= await this.#startUpload(signal);
    await this.#sender.send(this.#upload, this.#buffer, this.#filled, signal);
    this.#buffer = undefined;
    this.#filled = 0;
  }

  /** Not cut either: if the caller stops waiting, discarding aborts the upload. */
  async #startUpload(signal: AbortSignal | undefined): Promise<MultipartUpload> {
    this.#starting ??= this.#options.starter.start();
    return untilAborted(this.#starting, signal);
  }

  #compare({ size, sha256 }: CommitDigest): void {
    const arrived = this.#hash?.digest('hex') ?? sha256;
    if (size === this.#received && sha256 === arrived) return;
    throw new StoreError('integrity', {
      key: this.key,
      message:
        size === this.#received
          ? `${this.#context.bucket.show(this.key)}: SHA-256 mismatch: got ${arrived ?? 'none'}, expected ${sha256 ?? 'none'}`
          : `${this.#context.bucket.show(this.key)}: got ${this.#received} bytes, expected ${size}`,
      hint: 'Write it again; if that does not help, check the memory of this machine.',
    });
  }

  async #prepareSmall(signal: AbortSignal | undefined): Promise<() => Promise<Date>> {
    // Aborted first: if this process is killed now, nothing is left.
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

  /** Undoes a commit with any outcome: afterwards the key does not have this write's object. */
  async #takeBack(): Promise<void> {
    if (this.#committing === undefined) return;
    await withinGrace(this.#committing);
    this.#cut.abort(this.#discarded());
    await this.#committing.catch(ignore);
    const { bucket } = this.#context;
    // An aborted upload cannot be completed any more: after this, no late request can create the object.
    if (this.#upload !== undefined) await endUpload(bucket, this.#upload);
    await removeOwnObject(bucket, this.key, this.#options.starter.writeId);
    this.#committing = undefined;
  }

  async #warnOnFailure(cleanup: Promise<void>): Promise<void> {
    const { bucket, warn } = this.#context;
    try {
      await cleanup;
    } catch (error) {
      warn(`cannot clean up after writing ${bucket.show(this.key)}: ${failureText(error)}`);
    }
  }

  #release(): void {
    if (this.#buffer !== undefined) this.#context.buffers.give(this.#buffer);
    this.#buffer = undefined;
  }

  #assertOpen(what: 'append to' | 'commit'): void {
    if (this.#state === 'open') return;
    throw new StoreError('not-found', {
      key: this.key,
      message: `cannot ${what} the write of ${this.#context.bucket.show(this.key)}: it is ${this.#state}`,
      hint: 'Write the object again.',
    });
  }

  #discarded(): StoreError {
    return new StoreError('not-found', {
      key: this.key,
      message: `the write of ${this.#context.bucket.show(this.key)} was discarded`,
      hint: 'Write the object again.',
    });
  }

  #tooLarge(limit: number): StoreError {
    return new StoreError('full', {
      key: this.key,
      message: `cannot write ${this.#context.bucket.show(this.key)}: it is larger than ${limit} bytes, the limit of this store`,
      hint: 'For a service with a higher limit set maxObjectSize=, with equal parts a larger partSize=; or use a codec that compresses better.',
    });
  }
}

/** Waits until it has settled, but no longer than {@link GRACE_MS}. */
async function withinGrace(work: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  await Promise.race([work.then(ignore, ignore), delay(GRACE_MS, undefined, { signal: over.signal }).catch(ignore)]);
  over.abort();
}
