import { untilAborted } from './abort.ts';
import type { S3Address } from '../address/address.ts';
import type { Clients } from './clients.ts';
import { mayPass, toStoreError } from './errors.ts';
import { retry } from './retry.ts';
import type { RetryPolicy } from './retry.ts';
import { readFailure } from './service-failure.ts';

/** One request: for its error message, its time limit and its end. */
export interface RequestOptions {
  /** Such as `reading`; the address of the key follows in messages. */
  readonly doing: string;
  /** Relative to the store's prefix; empty for the bucket itself. */
  readonly key: string;
  /** Whether the request is for the bucket, such as a listing, and not for one of its objects. */
  readonly ofBucket?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** How many bytes it carries, in either direction. */
  readonly bytes?: number;
  /** How long the service may need for its answer, in milliseconds, besides the time that the bytes need; a minute where absent. */
  readonly patienceMs?: number;
  /** Called with each failure, before it is tried again. */
  readonly onFailure?: ((error: unknown) => void) | undefined;
  /** Whether a failure may pass, where that is not what it usually is. */
  readonly mayPass?: (error: unknown) => boolean;
}

/** What the SDK wants with each command. */
export interface SendOptions {
  readonly abortSignal: AbortSignal;
  /** For how long the service may be silent, in milliseconds, where not for as long as usually. */
  readonly silenceMs?: number;
}

/** No service is as slow as this, in bytes a second: a request that takes longer is cut, even if some byte comes now and then. */
const MIN_BYTES_PER_SECOND = 16 * 1024;
/** Before the service has ever answered, an address that leads nowhere should say so soon. */
const FIRST_CONTACT_MS = 2000;

/**
 * A request that was cut because of silence may be answered a little later only, every time: the service is busy, and has still to do
 * what was cut. So the next attempt waits twice as long, up to this.
 */
const MAX_SILENCE_MS = 30_000;

/** A busy service is waited for so long, even where `stallSeconds` is small. */
const MIN_SLOW_LIMIT_MS = 15_000;

/** How often one request is signed anew because the clocks differ. */
const MAX_SKEW_CORRECTIONS = 4;

/** The bucket of a store: sends requests, tries again what may pass, and translates what does not. */
export class Bucket {
  readonly clients: Clients;
  readonly address: S3Address;
  #answered = false;

  constructor(clients: Clients, address: S3Address) {
    this.clients = clients;
    this.address = address;
  }

  /** The key in the bucket of a key in the store. */
  fullKey(key: string): string {
    return this.address.prefix + key;
  }

  /** How a key is called in messages. */
  show(key: string): string {
    return `s3://${this.address.bucket}/${this.fullKey(key)}`;
  }

  /**
   * Sends a request until it succeeds, or has failed for good or for too long.
   *
   * @throws StoreError, or the reason of the signal
   */
  async request<T>(options: RequestOptions, send: (options: SendOptions, attempt: number) => Promise<T>): Promise<T> {
    try {
      return await this.tryRequest(options, send);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw this.translate(error, options);
    }
  }

  /** As {@link request}, for callers that know what some failures mean: rejects with what the SDK said. */
  async tryRequest<T>(options: RequestOptions, send: (options: SendOptions, attempt: number) => Promise<T>): Promise<T> {
    let skewCorrections = 0;
    let silenceMs: number | undefined;
    const { stallMs } = this.address.options;
    return retry((attempt) => this.#once(options, ({ abortSignal }) => send(withSilence(abortSignal, silenceMs), attempt)), {
      policy: this.#policy(),
      signal: options.signal,
      slowLimitMs: (error) => (isTimeout(error) ? this.#slowLimitMs() : undefined),
      mayPass: (error) => {
        options.onFailure?.(error);
        if (isTimeout(error) && stallMs < MAX_SILENCE_MS) silenceMs = Math.min(2 * (silenceMs ?? stallMs), MAX_SILENCE_MS);
        // The SDK learns the service's time from such an answer: if that does not help, nothing will.
        if (readFailure(error).name === 'RequestTimeTooSkewed' && ++skewCorrections > MAX_SKEW_CORRECTIONS) return false;
        return (options.mayPass ?? mayPass)(error);
      },
    });
  }

  /** An error of the SDK as the store's callers see it. */
  translate(error: unknown, { doing, key, ofBucket = key === '' }: RequestOptions): Error {
    const { proxy } = this.clients;
    const way = proxy === undefined ? '' : ` through the proxy ${proxy.url.host} (${proxy.source})`;
    return toStoreError(error, { doing: `${doing} ${this.show(key)}`, key: key === '' ? undefined : key, ofBucket, way });
  }

  #policy(): RetryPolicy {
    const { retryForMs } = this.address.options;
    return this.#answered
      ? { retryForMs, leastAttempts: 6, firstDelayMs: 150, maxDelayMs: 5000 }
      : { retryForMs: Math.min(retryForMs, FIRST_CONTACT_MS), leastAttempts: 4, firstDelayMs: 150, maxDelayMs: 1000 };
  }

  /** A service that was silent from the start is given up soon; one that has answered before may be busy, or start anew. */
  #slowLimitMs(): number {
    const { retryForMs, stallMs } = this.address.options;
    return this.#answered ? Math.max(retryForMs, 6 * stallMs, MIN_SLOW_LIMIT_MS) : Math.max(2 * stallMs, MIN_SLOW_LIMIT_MS);
  }

  async #once<T>({ signal, bytes = 0, patienceMs = 60_000 }: RequestOptions, send: (options: SendOptions) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), patienceMs + (bytes / MIN_BYTES_PER_SECOND) * 1000);
    const abortSignal = signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]);
    try {
      const answer = await untilAborted(send({ abortSignal }), abortSignal);
      this.#answered = true;
      return answer;
    } catch (error) {
      signal?.throwIfAborted();
      if (limit.signal.aborted) throw Object.assign(new Error('too slow'), { name: 'TimeoutError' });
      this.#answered ||= readFailure(error).status !== undefined;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}

function isTimeout(error: unknown): boolean {
  return readFailure(error).name === 'TimeoutError';
}

function withSilence(abortSignal: AbortSignal, silenceMs: number | undefined): SendOptions {
  return silenceMs === undefined ? { abortSignal } : { abortSignal, silenceMs };
}
