import { untilAborted } from './abort.ts';
import type { S3Address } from '../address/address.ts';
import type { Clients } from './clients.ts';
import { isTransient, toStoreError } from './errors.ts';
import { retry } from './retry.ts';
import type { RetryPolicy } from './retry.ts';
import { readFailure } from './service-failure.ts';

/** One request: its error message, time limit and cancellation. */
export interface RequestOptions {
  /** Such as `reading`; the address of the key follows in messages. */
  readonly doing: string;
  /** Relative to the store's prefix; empty for the bucket itself. */
  readonly key: string;
  /** Whether the request is for the bucket, such as a listing, instead of one of its objects. */
  readonly ofBucket?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** How many bytes it transfers, in either direction. */
  readonly bytes?: number;
  /** How long the service may take to answer, in milliseconds, in addition to the time for the bytes; by default a minute. */
  readonly patienceMs?: number;
  /** Called with each failure, before it is tried again. */
  readonly onFailure?: ((error: unknown) => void) | undefined;
  /** Replaces the usual decision whether a failure is worth another attempt. */
  readonly isTransient?: (error: unknown) => boolean;
}

/** What the SDK expects with each command. */
export interface SendOptions {
  readonly abortSignal: AbortSignal;
  /** How long the service may be silent, in milliseconds; the client's limit by default. */
  readonly silenceMs?: number;
}

/** Slower than any real service, in bytes per second: a request that takes longer is cut, even if a byte arrives now and then. */
const MIN_BYTES_PER_SECOND = 16 * 1024;
/** Before the first answer of the service: a wrong address should be reported soon. */
const FIRST_CONTACT_MS = 2000;

/**
 * A busy service may answer each time just after its request was cut, and it still works on what was cut. So each attempt waits
 * twice as long as the one before, up to this limit.
 */
const MAX_SILENCE_MS = 30_000;

/** How long to wait for a busy service, even if `stallSeconds` is small. */
const MIN_SLOW_LIMIT_MS = 15_000;

/** How often one request is signed again because the clocks differ. */
const MAX_SKEW_CORRECTIONS = 4;

/** The bucket of a store: sends requests, retries transient failures and translates the others. */
export class Bucket {
  readonly clients: Clients;
  readonly address: S3Address;
  #answered = false;

  constructor(clients: Clients, address: S3Address) {
    this.clients = clients;
    this.address = address;
  }

  /** Where a key of the store is in the bucket. */
  fullKey(key: string): string {
    return this.address.prefix + key;
  }

  /** A key as messages show it. */
  show(key: string): string {
    return `s3://${this.address.bucket}/${this.fullKey(key)}`;
  }

  /**
   * Sends a request until it succeeds, fails permanently or has failed for too long.
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

  /** Like {@link request}, but rejects with the error of the SDK, for callers that handle some failures themselves. */
  async tryRequest<T>(options: RequestOptions, send: (options: SendOptions, attempt: number) => Promise<T>): Promise<T> {
    let skewCorrections = 0;
    let silenceMs: number | undefined;
    const { stallMs } = this.address.options;
    return retry((attempt) => this.#once(options, ({ abortSignal }) => send(withSilence(abortSignal, silenceMs), attempt)), {
      policy: this.#policy(),
      signal: options.signal,
      slowLimitMs: (error) => (isTimeout(error) ? this.#slowLimitMs() : undefined),
      isTransient: (error) => {
        options.onFailure?.(error);
        if (isTimeout(error) && stallMs < MAX_SILENCE_MS) silenceMs = Math.min(2 * (silenceMs ?? stallMs), MAX_SILENCE_MS);
        // The SDK takes the service's time from such an answer: if that does not help, another attempt will not either.
        if (readFailure(error).name === 'RequestTimeTooSkewed' && ++skewCorrections > MAX_SKEW_CORRECTIONS) return false;
        return (options.isTransient ?? isTransient)(error);
      },
    });
  }

  /** Translates an error of the SDK for the store's callers. */
  translate(error: unknown, { doing, key, ofBucket = key === '' }: RequestOptions): Error {
    const { proxy } = this.clients;
    const way = proxy === undefined ? '' : ` through the proxy ${proxy.url.host} (${proxy.source})`;
    return toStoreError(error, { doing: `${doing} ${this.show(key)}`, key: key === '' ? undefined : key, ofBucket, way });
  }

  #policy(): RetryPolicy {
    const { retryForMs } = this.address.options;
    return this.#answered
      ? { retryForMs, minAttempts: 6, firstDelayMs: 150, maxDelayMs: 5000 }
      : { retryForMs: Math.min(retryForMs, FIRST_CONTACT_MS), minAttempts: 4, firstDelayMs: 150, maxDelayMs: 1000 };
  }

  /** A service that never answered gets little time; one that has answered before may be busy or restarting. */
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
