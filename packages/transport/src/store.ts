import type { StoreErrorCode } from './errors.ts';
import type { OwnerState } from './owner.ts';

/*
 * # What a store promises
 *
 * A store keeps named byte streams. Every implementation makes the following promises, and the conformance suite in
 * `@gantry/transport/conformance` checks them.
 *
 * 1. **Complete or absent.** Writing is begin, append, commit. Before commit nothing is visible under the key: not to `stat`,
 *    `read` or `list`. Commit gets size and SHA-256, compares them with the bytes that arrived, and refuses a difference
 *    (`integrity`); where the caller digests the chunks itself and says so, or leaves that to the reader, it compares the size. When commit
 *    resolves, the object is durable: it survives a loss of power.
 * 2. **Nothing left behind.** A write that is discarded, aborted or failed leaves nothing that a listing shows and nothing
 *    that costs money. What a killed process left is listed by `pending` and removed by `clear`.
 * 3. **Resumable.** An unfinished write reports how many of its bytes are durable, and has a token from the start with which another
 *    process can continue after a crash, from exactly that byte.
 * 4. **Create-only.** With `ifExists: 'fail'`, one of two writers of a key wins and the other gets `exists`, at commit at the
 *    latest. A store that cannot promise that says so in its capabilities, and refuses the option (`unsupported`).
 * 5. **Ranges.** Any byte range can be read, several at once. `not-found` and `invalid-range` come from `read` itself, before the first
 *    byte, never later.
 * 6. **Honest listings.** Listing is lazy and shows only complete objects, with size and time, in the order of the keys' bytes. Removal
 *    is idempotent: a missing object counts as removed.
 * 7. **Keys** are relative, with parts separated by `/`, from a safe alphabet (see `assertKey`). Others are refused before anything happens.
 * 8. **Back-pressure.** Streams are pulled: the slowest stage sets the rate, and a store holds only a bounded number of bytes. A chunk
 *    belongs to the consumer only until it asks for the next one: to keep it, copy it. (The producer may reuse the memory.)
 * 9. **Cancellable at once.** Every call takes an `AbortSignal` and rejects with its reason, while a body is read too.
 * 10. **Typed errors.** Every rejection is a `StoreError`, the reason of the signal, or an error of the given source. Disposal may fail as
 *     well and then hide the first error: show the first one (`firstFailure`).
 */

/** Options of every call. */
export interface CallOptions {
  /** Ends the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The capabilities of a store, as data for callers and for the conformance suite. */
export interface StoreCapabilities {
  /** `read` can fetch parts of an object. Without it, `read` accepts only complete objects. */
  readonly rangedRead: boolean;
  /** `suspend` and `resume` work, and `durableBytes` can be more than 0 before commit. */
  readonly resumableWrite: boolean;
  /** `ifExists: 'fail'` is atomic: two writers of one key never both succeed. */
  readonly createOnly: boolean;
  /** Maximum size of an object in bytes; Infinity if only space is a limit. */
  readonly maxObjectBytes: number;
  /** `appendRange` works: ranges of complete objects are copied within the store. Absent means no. */
  readonly rangedCopy?: boolean | undefined;
}

/** One complete object. */
export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** When it was committed, by the store's clock. */
  readonly modified: Date;
}

/** An object that was removed, which its service still has. */
export interface HiddenObject extends ObjectInfo {
  /** When it was removed, by the store's clock. */
  readonly hidden: Date;
  /** Identifies it for `unhide`. */
  readonly token: string;
}

/**
 * The bytes of one object, or of a range of it, to be read once. Iterating to the end, leaving the loop and disposing all close it;
 * disposing is idempotent.
 */
export interface ByteSource extends AsyncIterable<Uint8Array>, AsyncDisposable {
  /** Number of bytes in the iteration. */
  readonly length: number;
  /** Size of the complete object in bytes. */
  readonly objectSize: number;
}

/** The bytes to read: `length` bytes from `offset` on, or to the end without `length`. */
export interface ReadOptions extends CallOptions {
  /** Bytes from the start; 0 by default. */
  readonly offset?: number | undefined;
  /** Bytes. A range that exceeds the object is refused (`invalid-range`). */
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
  /**
   * Until when the service keeps an object, also if its removal is asked for, or did, where that time has passed; undefined if it does not.
   * `unknown` if it does not say, such as to a user who may not ask, or of an object that is not there. There just where a store may know.
   */
  protectedUntil?(key: string, options?: CallOptions): Promise<Date | 'unknown' | undefined>;
  /**
   * What was removed below a prefix (also the key of an object, with what begins with it), and the service still has: the newest version of
   * each object that is not there any more, in the order of the keys' bytes. There just where a store may know; empty where the service keeps no versions.
   */
  hidden?(prefix: string, options?: CallOptions): AsyncIterable<HiddenObject>;
}

/** How `begin` treats an existing object. */
export interface BeginOptions extends CallOptions {
  /** `fail` (default): create only. `replace`: the new object replaces the old one, atomically at commit. */
  readonly ifExists?: 'fail' | 'replace' | undefined;
  /** The expected number of bytes, if known: a hint for part sizes, not a limit. */
  readonly expectedBytes?: number | undefined;
  /**
   * Who computes the SHA-256 that `commit` gets. `caller`: it was computed from the very chunks that `append` gets, in this process,
   * and the store need not compute it again; `commit` then compares the size alone. `reader`: nobody before commit, which gets the size
   * alone; its SHA-256 is known only after the object was read. `appendRange` needs this. `store` if absent.
   */
  readonly digestBy?: 'store' | 'caller' | 'reader' | undefined;
}

/** The digest that `commit` compares the object with. */
export interface Digest {
  /** Bytes of the complete object. */
  readonly size: number;
  /** SHA-256 of the whole object, 64 lower-case hexadecimal digits. */
  readonly sha256: string;
}

/** What `commit` compares the object with: its digest, or the size alone with `digestBy: 'reader'`. */
export interface CommitDigest extends Pick<Digest, 'size'> {
  readonly sha256?: string | undefined;
}

/** A range of a complete object, bytes. */
export interface ObjectRange {
  readonly key: string;
  readonly offset: number;
  readonly length: number;
}

/**
 * An object that is being written. Disposing one that is neither committed nor suspended discards it.
 * Calls of its methods must not overlap.
 */
export interface PendingObject extends AsyncDisposable {
  readonly key: string;
  /** Identifies it for `resume`, in another process too. Not a secret, and valid as a key part. */
  readonly token: string;
  /** How many bytes are durable: a resumed writer continues from here. Never decreases. */
  readonly durableBytes: number;
  /**
   * Appends all of `source`, and asks for the next chunk only when there is room. May be called again to append more. After a rejection
   * the write can only be discarded or suspended.
   */
  append(source: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void>;
  /**
   * Appends a range of a complete object of the same store. The store copies it by itself where its service can; what the service cannot
   * copy passes through this machine. The bytes are those of that range at the time of the call, and as durable as appended ones: after
   * commit at the latest. No digest of them is computed: the write must have `digestBy: 'reader'`, and the bytes count as checked only
   * after they were read from the new object. The other object may be removed as soon as this resolves. After a rejection the write can
   * only be discarded or suspended.
   *
   * There just where the capability `rangedCopy` is.
   *
   * @returns how many of the bytes passed through this machine
   * @throws StoreError `unsupported` with another `digestBy`; `invalid-key`, `not-found`, `invalid-range` before anything is appended
   */
  appendRange?(range: ObjectRange, options?: CallOptions): Promise<number>;
  /**
   * Makes the object visible, complete and durable, or rejects and leaves nothing under the key.
   * @throws StoreError `integrity` if size or SHA-256 differ from the bytes that arrived (with `digestBy: 'caller'` or `'reader'`, the
   *   size); `exists` with create-only
   */
  commit(digest: CommitDigest, options?: CallOptions): Promise<ObjectInfo>;
  /** Ends the write and leaves nothing. Idempotent; does nothing after commit. */
  discard(): Promise<void>;
  /**
   * Stops without ending the write: its durable bytes wait for `resume`.
   * @throws StoreError `unsupported` without the capability `resumableWrite`
   */
  suspend(): Promise<void>;
  /**
   * Stops as if this process had been killed: what is durable stays, for {@link StoreWriter.salvage}. For a store that cannot be reached any
   * more. Does nothing after commit. There just where `salvage` is.
   */
  leave?(): Promise<void>;
}

/** An unfinished write: neither committed nor discarded. */
export interface PendingInfo {
  readonly token: string;
  readonly key: string;
  readonly durableBytes: number;
  readonly started: Date;
  /** The state of its owner: `alive` or `dead` if the store can determine that, for example for a process on this host; else `unknown`. */
  readonly owner: OwnerState;
  /** A description of the owner for people, such as `host web1, process 4711`. */
  readonly ownerText: string;
}

/** Options for finding unfinished writes. */
export interface UnfinishedOptions extends CallOptions {
  /** Keys that may have unfinished writes, if the caller knows them: some services list these only for a complete key. */
  readonly keys?: readonly string[] | undefined;
}

export interface StoreWriter {
  /** Starts a write. @throws StoreError `invalid-key`, `exists` (if that can be detected early), `unsupported` */
  begin(key: string, options?: BeginOptions): Promise<PendingObject>;
  /** Continues a suspended or orphaned write. @throws StoreError `not-found`, `unsupported` */
  resume(token: string, options?: CallOptions): Promise<PendingObject>;
  /**
   * Makes what is durable of an unfinished write the object, whose writer has ended for certain: the start of what it was to be, and maybe
   * cut in the middle of something. Its digest is not known before it was read. No byte passes through this machine. It replaces
   * nothing, and the write is gone then. Absent where the store can never do that.
   *
   * @returns undefined if nothing is durable, or the store cannot do it for this write: then the write is as it was
   * @throws StoreError `not-found`, `exists`
   */
  salvage?(token: string, options?: UnfinishedOptions): Promise<ObjectInfo | undefined>;
  /** Every unfinished write of a key under `prefix`, of any process, including this one. */
  pending(prefix: string, options?: UnfinishedOptions): AsyncIterable<PendingInfo>;
  /**
   * Removes unfinished writes, regardless of their owner. Idempotent. With an empty list it removes other leftovers of killed processes,
   * such as empty directories, if the store can have any.
   */
  clear(tokens: readonly string[], options?: UnfinishedOptions): Promise<void>;
  /** Removes objects, in batches. Idempotent: missing objects are ignored. */
  remove(keys: readonly string[], options?: CallOptions): Promise<void>;
  /**
   * Makes the service keep a complete object at least as long as one that is written now. There just where the store asks the service to
   * keep what it writes.
   * @throws StoreError `not-found`, `denied`
   */
  protect?(key: string, options?: CallOptions): Promise<void>;
  /** Takes removals back: the objects are there again, as they were. Idempotent. There just where `hidden` is. */
  unhide?(objects: readonly HiddenObject[], options?: CallOptions): Promise<void>;
}

/** The place where a store keeps its objects, as it is now. */
export interface StoreSpace {
  /** Bytes that this account can still store. */
  readonly freeBytes: number;
  /** The place is read-only, or denies this account writing, as far as that shows without writing. */
  readonly readOnly: boolean;
}

/** A store for reading and writing. It keeps connections or descriptors open until it is disposed. */
export interface Store extends StoreReader, StoreWriter, AsyncDisposable {
  /** The address in the form that a user can give again, without secrets. */
  readonly address: string;
  /**
   * The place, or what it would be made in, where the store can tell. Changes nothing.
   * @throws StoreError `not-found` where it cannot be made either
   */
  space?(options?: CallOptions): Promise<StoreSpace | undefined>;
}

/** The codes after which the same call may succeed later without any change. */
export const RETRYABLE_CODES: ReadonlySet<StoreErrorCode> = new Set<StoreErrorCode>(['unavailable']);
