import type { StoreErrorCode } from './errors.ts';
import type { OwnerState } from './owner.ts';

/*
 * # What a store promises
 *
 * A store keeps named byte streams. Whoever writes one promises the following, and the conformance suite in
 * `@gantry/transport/conformance` checks it.
 *
 * 1. **Whole or absent.** Writing is begin, append, commit. Before commit nothing can be seen under the key: not by `stat`,
 *    `read` or `list`. Commit is told size and SHA-256, compares them with the bytes that arrived, and refuses what differs
 *    (`integrity`). When commit resolves, the object is durable: it survives the loss of power.
 * 2. **Nothing left behind.** An object that is discarded, aborted or failed leaves nothing that a listing shows and nothing
 *    that costs money. What a killed process left is listed by `pending` and ended by `clear`.
 * 3. **Resumable.** A pending object says how many bytes of it are durable and has a token, known from the start, with which
 *    another process can go on after a crash, from just that byte.
 * 4. **Create-only.** With `ifExists: 'fail'`, one of two writers of a key wins and the other is told `exists`, at commit at the
 *    latest. A store that cannot promise it says so in its capabilities, and then refuses the option (`unsupported`).
 * 5. **Ranges.** Reading gives any byte range, several at once. `not-found` and `invalid-range` come from `read` itself,
 *    before the first byte, never in the middle.
 * 6. **Honest listings.** Listing is lazy, shows what is complete and nothing else, with size and time, in the order of the keys'
 *    bytes. Removal is idempotent: what is not there is removed already.
 * 7. **Keys** are relative, divided by `/`, from a safe alphabet (see `assertKey`). Any other is refused before anything happens.
 * 8. **Pulled.** Streams are pulled: the slowest stage sets the pace, and a store holds no more than a bounded number of bytes.
 *    A chunk that is handed over belongs to the taker until it asks for the next one, and not a moment longer: who wants to
 *    keep it copies it. (The giver may fill the same memory again.)
 * 9. **Cancelled at once.** Every call takes an `AbortSignal` and rejects with its reason, in the middle of a body too.
 * 10. **Typed errors.** Every rejection is a `StoreError`, or the reason of the signal, or what the given source threw.
 *     Disposing may fail as well; whoever shows errors shows the first one (`firstFailure`), which such a failure would hide.
 */

/** What every call takes. */
export interface CallOptions {
  /** Ends the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What a store can do, as data: callers choose by it, and the conformance suite tests by it. */
export interface StoreCapabilities {
  /** `read` serves parts of an object without fetching the whole. Without it, `read` accepts whole objects only. */
  readonly rangedRead: boolean;
  /** `suspend` and `resume` work, and `durableBytes` can be more than 0 before commit. */
  readonly resumableWrite: boolean;
  /** `ifExists: 'fail'` is atomic: two writers of one key never both succeed. */
  readonly createOnly: boolean;
  /** The largest object, in bytes; Infinity where nothing but space is a limit. */
  readonly maxObjectBytes: number;
}

/** One complete object. */
export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** When it was committed, by the store's clock. */
  readonly modified: Date;
}

/**
 * The bytes of one object, or of a range of it, to be pulled once. Iterating to the end, leaving the loop and disposing all
 * let go of what is open; disposing is idempotent.
 */
export interface ByteSource extends AsyncIterable<Uint8Array>, AsyncDisposable {
  /** How many bytes the iteration gives. */
  readonly length: number;
  /** How many bytes the whole object has. */
  readonly objectSize: number;
}

/** Which bytes `read` gives: `length` bytes from `offset` on; to the end where `length` is absent. */
export interface ReadOptions extends CallOptions {
  /** Bytes from the start; 0 where absent. */
  readonly offset?: number | undefined;
  /** Bytes. A range that reaches beyond the end of the object is refused (`invalid-range`). */
  readonly length?: number | undefined;
}

export interface StoreReader {
  readonly capabilities: StoreCapabilities;
  /** @throws StoreError `not-found`, `invalid-key` */
  stat(key: string, options?: CallOptions): Promise<ObjectInfo>;
  /** @throws StoreError `not-found`, `invalid-key`, `invalid-range` before the first byte; `integrity` or `unavailable` later */
  read(key: string, options?: ReadOptions): Promise<ByteSource>;
  /** Every complete object whose key starts with `prefix` (empty, or ending in `/`), in the order of the keys' bytes. */
  list(prefix: string, options?: CallOptions): AsyncIterable<ObjectInfo>;
}

/** How `begin` treats an object that is there already. */
export interface BeginOptions extends CallOptions {
  /** `fail` (default): create only. `replace`: the new object takes the old one's place, at commit and at once. */
  readonly ifExists?: 'fail' | 'replace' | undefined;
  /** About how many bytes will come, where somebody knows: a hint for part sizes, never a limit. */
  readonly expectedBytes?: number | undefined;
}

/** What `commit` compares the object with. */
export interface Digest {
  /** Bytes, of the whole object. */
  readonly size: number;
  /** SHA-256 of the whole object, 64 lower-case hexadecimal digits. */
  readonly sha256: string;
}

/**
 * An object that is being written. Disposing one that is neither committed nor suspended discards it.
 * Its methods are called one after the other, never at once.
 */
export interface PendingObject extends AsyncDisposable {
  readonly key: string;
  /** With which `resume` finds it again, in another process too. Not a secret, and safe as a key part. */
  readonly token: string;
  /** How many bytes are durable: a resumed writer goes on from here. Never decreases. */
  readonly durableBytes: number;
  /**
   * Takes all of `source` in and asks for the next chunk only when there is room. May be called again to add more. After a
   * rejection the object can only be discarded or suspended.
   */
  append(source: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void>;
  /**
   * Makes the object visible, whole and durable, or rejects and leaves nothing under the key.
   * @throws StoreError `integrity` when size or SHA-256 differ from what arrived, `exists` where create-only was asked for
   */
  commit(digest: Digest, options?: CallOptions): Promise<ObjectInfo>;
  /** Gives up: nothing is left. Idempotent; does nothing after commit. */
  discard(): Promise<void>;
  /**
   * Lets go without giving up: what is durable waits for `resume`.
   * @throws StoreError `unsupported` without the capability `resumableWrite`
   */
  suspend(): Promise<void>;
}

/** A write that was begun and neither committed nor discarded. */
export interface PendingInfo {
  readonly token: string;
  readonly key: string;
  readonly durableBytes: number;
  readonly started: Date;
  /** Who holds it: `alive` and `dead` where the store can tell, for instance by a process of this host; else `unknown`. */
  readonly owner: OwnerState;
  /** What a human needs to find the owner, such as `host web1, process 4711`. */
  readonly ownerText: string;
}

/** What helps to find unfinished writes. */
export interface UnfinishedOptions extends CallOptions {
  /** Keys that may have unfinished writes, as far as the caller knows: some services list them only where they are asked for the whole key. */
  readonly keys?: readonly string[] | undefined;
}

export interface StoreWriter {
  /** Starts an object. @throws StoreError `invalid-key`, `exists` (early, where it can be seen early), `unsupported` */
  begin(key: string, options?: BeginOptions): Promise<PendingObject>;
  /** Goes on with a suspended or orphaned write. @throws StoreError `not-found`, `unsupported` */
  resume(token: string, options?: CallOptions): Promise<PendingObject>;
  /** Every unfinished write of a key under `prefix`, of any process, this one's included. */
  pending(prefix: string, options?: UnfinishedOptions): AsyncIterable<PendingInfo>;
  /**
   * Ends unfinished writes for good, whoever owns them. Idempotent. Without any token it clears up what a killed process left that
   * belongs to no write, such as empty directories, where a store can have such.
   */
  clear(tokens: readonly string[], options?: UnfinishedOptions): Promise<void>;
  /** Removes objects, in batches. Idempotent: what is not there is no error. */
  remove(keys: readonly string[], options?: CallOptions): Promise<void>;
}

/** A store: both directions, and whatever it holds open (connections, descriptors) until it is disposed. */
export interface Store extends StoreReader, StoreWriter, AsyncDisposable {
  /** The address, as a user may give it again; without any secret. */
  readonly address: string;
}

/** The codes of {@link StoreErrorCode} after which the same call may succeed without anybody changing anything. */
export const RETRYABLE_CODES: ReadonlySet<StoreErrorCode> = new Set<StoreErrorCode>(['unavailable']);
