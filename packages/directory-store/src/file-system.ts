import type { StoreErrorCode } from '@gantry/transport';

/*
 * # What a directory store needs of a file system
 *
 * About a dozen calls on directories, and a few on open files. The algorithm of the store (begin, commit, unfinished writes, listing,
 * removal) is written once over these; a file system says in its capabilities what it cannot do.
 *
 * 1. **Directories are walked, not named by paths.** A walk follows no symbolic link. On this machine what was walked to is
 *    what is used, whatever anybody renames meanwhile; elsewhere (SFTP) each part is looked at just before, and that is all that can be had.
 * 2. **Nothing is overwritten.** Files are created exclusively, and a link fails where the name is taken. Only `replace` takes a place.
 * 3. **Nothing is durable until it is synced:** a file's bytes by `sync` or `finish` of the file, its name by `sync` of its directory.
 * 4. **Errors** are {@link FileSystemError}, with the reason that the algorithm may act on.
 */

/** What a file system can do, as data. */
export interface FileSystemCapabilities {
  /** `replace` is one step for everybody who looks. Without it, objects cannot be replaced. */
  readonly replace: boolean;
  /** Bytes arrive in their order: so the size of what a killed writer left says how far it came. Without it, a mark beside the data does. */
  readonly inOrder: boolean;
  /** Files can be made durable. */
  readonly syncFile: boolean;
  /** How much is written before it is made durable, bytes: bounds what the system holds back, and what a crash costs. */
  readonly syncEveryBytes: number;
  /** How much may be written and not be durable before the writer waits, bytes. */
  readonly maxUnsyncedBytes: number;
}

export type FileKind = 'file' | 'directory' | 'link' | 'other';

/** What stands under a name. */
export interface Found {
  readonly kind: FileKind;
  /** Bytes. */
  readonly size: number;
  readonly modified: Date;
  /** Permissions, as of chmod(2). */
  readonly mode?: number | undefined;
  /** The number of the user whom it belongs to. */
  readonly user?: number | undefined;
  /** How many names it has, where the file system says. */
  readonly links?: number | undefined;
}

/** One name in a directory. */
export interface Entry {
  readonly name: string;
  readonly kind: FileKind;
  /** Where listing says more than the kind at no further cost. */
  readonly found?: Found | undefined;
}

export type FileSystemReason =
  /** Nothing is there. */
  | 'missing'
  | 'exists'
  /** Something else is in the way: a file where a directory should be, or a directory where a file should be. */
  | 'other-kind'
  /** A symbolic link, which is not followed. */
  | 'link'
  | 'not-empty'
  /** Any other failure. */
  | 'failed';

/** With what the calls of a file system reject, besides the reason of a signal. */
export class FileSystemError extends Error {
  override readonly name = 'FileSystemError';
  readonly reason: FileSystemReason;
  readonly code: StoreErrorCode;
  readonly hint: string | undefined;

  constructor(
    reason: FileSystemReason,
    details: { readonly message: string; readonly code: StoreErrorCode; readonly hint?: string | undefined; readonly cause?: unknown },
  ) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.code = details.code;
    this.hint = details.hint;
  }
}

export function isFileSystemError(error: unknown, ...reasons: readonly FileSystemReason[]): error is FileSystemError {
  return error instanceof FileSystemError && (reasons.length === 0 || reasons.includes(error.reason));
}

/** The store's directory, as it is found. */
export interface RootFound extends Found {
  /** Tells it from others that may stand under the same path later, where that can be told: so that a lost mount is noticed. */
  readonly identity?: string | undefined;
}

/** The directory of a store, on some file system. */
export interface FileSystem extends AsyncDisposable {
  /** Connects where that is needed. */
  capabilities(signal?: AbortSignal): Promise<FileSystemCapabilities>;
  /**
   * The store's directory; links are followed on the way to it. Where looking costs a round trip, one that is not there is said by the
   * first call beneath it. @throws FileSystemError `missing`, `other-kind`
   */
  root(signal?: AbortSignal): Promise<Directory>;
  /** What stands where the store's directory should be, links followed; undefined for nothing. */
  lookAtRoot(signal?: AbortSignal): Promise<RootFound | undefined>;
  /** Makes the store's directory, mode 0700, where the one above it is there, and its name durable. @throws FileSystemError `missing` */
  makeRoot(signal?: AbortSignal): Promise<void>;
  /** An error with what it means, where the system itself said little: whether the disk is full, for instance. */
  explain(error: unknown): Promise<unknown>;
}

/** A directory that was walked to. Names are single parts, never paths. Disposing is idempotent. */
export interface Directory extends AsyncDisposable {
  /** For messages and commands. */
  readonly path: string;
  /** As it was when it was opened. */
  readonly found: Found;
  /** A directory beneath this one, no link followed. @throws FileSystemError `missing`, `other-kind`, `link` */
  walk(parts: readonly string[]): Promise<Directory>;
  /** Every directory on such a walk, the first one first, as far as there are any. @throws FileSystemError `other-kind`, `link` */
  walkEach(parts: readonly string[]): Promise<readonly Directory[]>;
  /** What stands at the end of a walk, a link as the link that it is; undefined for nothing. @throws as `walk` but for `missing` */
  find(parts: readonly string[]): Promise<Found | undefined>;
  /** Every name but `.` and `..`, in no order, some at a time. */
  entries(): AsyncIterable<readonly Entry[]>;
  /** Makes a directory, mode 0700. @returns whether it was made; false where something is there */
  make(name: string): Promise<boolean>;
  /** Opens a regular file at the end of a walk. @throws FileSystemError `missing`; `link` or `other-kind` for anything else */
  read(parts: readonly string[], signal?: AbortSignal): Promise<ReadableFile>;
  /** A small file as a whole, at most `maxBytes` of it; undefined for nothing. @throws as `read` */
  readSmall(parts: readonly string[], maxBytes: number): Promise<Uint8Array | undefined>;
  /** Makes a file, mode 0600. @throws FileSystemError `exists` */
  create(name: string, signal?: AbortSignal): Promise<WritableFile>;
  /** Makes a small file, mode 0600, its bytes durable. @throws FileSystemError `exists` */
  createSmall(name: string, content: Uint8Array): Promise<void>;
  /** Gives a file of this directory its name in another, where nothing has that name. It may keep the old one. @throws FileSystemError `exists`, `missing`, `other-kind` */
  link(name: string, to: Directory, toName: string): Promise<void>;
  /** Gives a file or directory another name; takes the place of a file. @throws FileSystemError `missing`, `other-kind` */
  replace(name: string, to: Directory, toName: string): Promise<void>;
  /** @throws FileSystemError `missing`; `other-kind` for a directory */
  remove(name: string): Promise<void>;
  /** @throws FileSystemError `missing`, `not-empty`, `other-kind` */
  removeDirectory(name: string): Promise<void>;
  /** Makes the names in it durable; one that is gone has none. @returns whether that can be had at all here */
  sync(): Promise<boolean>;
}

/** A file that is open for reading. Disposing is idempotent. */
export interface ReadableFile extends AsyncDisposable {
  readonly found: Found;
  /**
   * The bytes from `offset` to `end`; ends early where the file does. A chunk is the taker's until it asks for the next one.
   */
  read(offset: number, end: number): AsyncGenerator<Uint8Array, void, undefined>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A new file that is open for writing. Calls come one after the other, but `sync` with `writing` runs beside them. Disposing is idempotent. */
export interface WritableFile extends AsyncDisposable {
  /** Takes a chunk, behind those before it. The chunk's memory is the caller's again when this settles. */
  write(chunk: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Up to where every byte has arrived, so that a sync that begins now makes it durable. */
  readonly arrivedBytes: number;
  /** Waits until all that was taken has arrived. */
  flush(): Promise<void>;
  /** Makes durable what has arrived, and, with a mark, says in a small file of that name beside it how much that is, durably. */
  sync(options: SyncOptions): Promise<void>;
  /** All has arrived and is durable, and is as old as this call where its time can be set. */
  finish(): Promise<Found>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface SyncOptions {
  /** How many bytes that are, all of which have arrived. */
  readonly bytes: number;
  /** The name of the mark; undefined for none. */
  readonly mark: string | undefined;
  /** More is being written meanwhile, which should not be held up. */
  readonly writing: boolean;
}

/** How a mark says it: a number of so many decimal digits, always written whole, so never seen in part. */
export const MARK_DIGITS = 16;

export function formatMark(bytes: number): string {
  return String(bytes).padStart(MARK_DIGITS, '0');
}
