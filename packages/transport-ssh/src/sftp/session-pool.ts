import { orAbort } from '@gantry/transport';
import type { SshEngine } from '../engine/channel.ts';
import { PeerError } from '../engine/peer-error.ts';
import type { PooledSession } from './pooled-session.ts';
import { openSession } from './pooled-session.ts';

/** The rate that one stream should reach: four times that of a link of 1 Gbit/s. */
const WANTED_BYTES_PER_SECOND = 400 * 1024 * 1024;

/** How many bytes may be in flight in one SSH channel: OpenSSH's window (its `CHAN_SES_WINDOW_DEFAULT`). */
const CHANNEL_WINDOW_BYTES = 2 * 1024 * 1024;

/** Maximum number of sessions for one stream. */
const MAX_SESSIONS_PER_STREAM = 6;

const DEFAULT_MAX_SESSIONS = 8;

/** The use of a session by one stream, until this is disposed. */
export interface SessionLease extends Disposable {
  readonly session: PooledSession;
}

/** Options of a pool. */
export interface SessionPoolOptions {
  readonly stallMs: number;
  /** Maximum number of sessions; 8 by default. */
  readonly maxSessions?: number | undefined;
}

/**
 * The SFTP sessions to one peer. A call uses an existing one; a stream of bytes gets its own while there may be more, and further ones if
 * latency would slow it down. Failed sessions are dropped: the next call opens a new one.
 */
export class SessionPool implements AsyncDisposable {
  readonly #engine: SshEngine;
  readonly #stallMs: number;
  readonly #maxSessions: number;
  readonly #sessions = new Set<PooledSession>();
  #opening: Promise<PooledSession> | undefined;
  #openingCount = 0;
  readonly #end = new AbortController();

  constructor(engine: SshEngine, { stallMs, maxSessions = DEFAULT_MAX_SESSIONS }: SessionPoolOptions) {
    this.#engine = engine;
    this.#stallMs = stallMs;
    this.#maxSessions = maxSessions;
  }

  /** A session for calls. @throws PeerError; the signal's reason */
  async session(signal?: AbortSignal): Promise<PooledSession> {
    return this.#idlest() ?? (await orAbort(this.#first(), signal));
  }

  /** A session for a stream: one that no other stream uses, if there may be another. @throws PeerError; the signal's reason */
  async lease(signal?: AbortSignal): Promise<SessionLease> {
    const idlest = await this.session(signal);
    if (idlest.transfers === 0 || this.#sessions.size + this.#openingCount >= this.#maxSessions) return leaseOf(idlest);
    // If no further session can be opened (sshd limits them), an existing one is used.
    const fresh = await orAbort(this.#open(), signal).catch((error: unknown) => {
      signal?.throwIfAborted();
      if (idlest.client.failure !== undefined) throw error;
      return idlest;
    });
    return leaseOf(fresh);
  }

  /** How many sessions like `session` a stream needs, so that latency does not slow it down. */
  sessionsWanted({ roundTripMs }: PooledSession): number {
    const bytesPerSecond = CHANNEL_WINDOW_BYTES / (roundTripMs / 1000);
    return Math.max(1, Math.min(MAX_SESSIONS_PER_STREAM, this.#maxSessions, Math.ceil(WANTED_BYTES_PER_SECOND / bytesPerSecond)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort(new PeerError('unavailable', { message: 'the connection was closed on this side' }));
    await Promise.all([...this.#sessions].map((session) => session[Symbol.asyncDispose]()));
  }

  #idlest(): PooledSession | undefined {
    for (const session of this.#sessions) if (session.client.failure !== undefined) this.#sessions.delete(session);
    return [...this.#sessions].reduce<PooledSession | undefined>(
      (best, session) => (best === undefined || session.transfers < best.transfers ? session : best),
      undefined,
    );
  }

  /** Concurrent callers wait for the same first session. */
  #first(): Promise<PooledSession> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<PooledSession> {
    this.#end.signal.throwIfAborted();
    this.#openingCount += 1;
    try {
      const session = await openSession(this.#engine, this.#stallMs, this.#end.signal);
      this.#sessions.add(session);
      return session;
    } finally {
      this.#openingCount -= 1;
    }
  }
}

function leaseOf(session: PooledSession): SessionLease {
  session.transfers += 1;
  let held = true;
  return {
    session,
    [Symbol.dispose]: () => {
      if (held) session.transfers -= 1;
      held = false;
    },
  };
}
