import type { StoreErrorCode, StoreSpace } from '@gantry/transport';

/*
 * # What a directory store needs of a file system
 *
 * About a dozen calls on directories, and a few on open files. The algorithm of the store (begin, commit, unfinished writes, listing,
 * removal) is written once over these; a file system says in its capabilities what it cannot do.
 *
 * 1. **Directories are opened part by part, not by path.** A walk follows no symbolic link. On this machine an open directory stays the
 *    same although others rename it; over SFTP each part is only checked just before its use, because the protocol offers no more.
 * 2. **Nothing is overwritten.** Files are created exclusively, and a link fails if the name exists. Only `replace` replaces a file.
 * 3. **Nothing is durable until it is synced:** a file's bytes by `sync` or `finish` of the file, its name by `sync` of its directory.
 * 4. **Errors** are {@link FileSystemError}, with a reason for the algorithm to act on.
 */

/** The capabilities of a file system, as data. */
export interface FileSystemCapabilities {
  /** `replace` is atomic. Without it, objects cannot be replaced. */
  readonly replace: boolean;
  /** Bytes arrive in order, so that the file size shows how far a killed writer came. Without it, a mark beside the data does. */
  readonly inOrder: boolean;
  /** Files can be made durable. */
  readonly syncFile: boolean;
  /** After how many bytes data is made durable: bounds the system's dirty data, and the loss in a crash. */
  readonly syncEveryBytes: number;
  /** How many bytes may be written but not yet durable before the writer waits. */
  readonly maxUnsyncedBytes: number;
}

export type FileKind = 'file' | 'directory' | 'link' | 'other';

/** What lstat(2) reports for a name. */
export interface FileInfo {
  readonly kind: FileKind;
  /** Bytes. */
  readonly size: number;
  readonly modified: Date;
  /** Permissions, as of chmod(2). */
  readonly mode?: number | undefined;
  /** The numeric id of its owner. */
  readonly user?: number | undefined;
  /** How many hard links it has, if the file system reports that. */
  readonly links?: number | undefined;
}

/** One name in a directory. */
export interface Entry {
  readonly name: string;
  readonly kind: FileKind;
  /** Set if listing provides it at no extra cost. */
  readonly found?: FileInfo | undefined;
}

export type FileSystemReason =
  /** Nothing has that name. */
  | 'missing'
  | 'exists'
  /** A file where a directory is needed, or the other way round. */
  | 'other-kind'
  /** A symbolic link, which is not followed. */
  | 'link'
  | 'not-empty'
  /** Any other failure. */
  | 'failed';

/** The error with which calls of a file system reject, besides the reason of a signal. */
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

/** The store's directory. */
export interface RootInfo extends FileInfo {
  /** Distinguishes it, if possible, from another directory that has the same path later: so that a lost mount is noticed. */
  readonly identity?: string | undefined;
}

/** The directory of a store, on some file system. */
export interface FileSystem extends AsyncDisposable {
  /** Connects if necessary. */
  capabilities(signal?: AbortSignal): Promise<FileSystemCapabilities>;
  /**
   * Opens the store's directory, following links in its path. Where checking costs a round trip, a missing one is only reported by the
   * first call in it. @throws FileSystemError `missing`, `other-kind`
   */
  root(signal?: AbortSignal): Promise<Directory>;
  /** Information on the store's directory, following links; undefined if nothing is there. */
  statRoot(signal?: AbortSignal): Promise<RootInfo | undefined>;
  /** Makes the store's directory, mode 0700, and its name durable. @throws FileSystemError `missing` if its parent directory is missing */
  makeRoot(signal?: AbortSignal): Promise<void>;
  /**
   * How much can still be stored in the store's directory, or in the one that it would be made in; undefined if the system does not tell.
   * @throws FileSystemError `missing` if that directory is missing
   */
  space?(signal?: AbortSignal): Promise<StoreSpace | undefined>;
  /** Adds to an error what it means, if the system itself says little: for example that the disk is full. */
  explain(error: unknown): Promise<unknown>;
}

/** An open directory. Names are single parts, never paths. Disposing is idempotent. */
export interface Directory extends AsyncDisposable {
  /** For messages and commands. */
  readonly path: string;
  /** As it was when opened. */
  readonly found: FileInfo;
  /** Opens a directory below this one, without following links. @throws FileSystemError `missing`, `other-kind`, `link` */
  walk(parts: readonly string[]): Promise<Directory>;
  /** Opens every directory on such a walk, from the top, as far as they exist. @throws FileSystemError `other-kind`, `link` */
  walkEach(parts: readonly string[]): Promise<readonly Directory[]>;
  /** What is at the end of a walk, without following a link; undefined if nothing is. @throws as `walk` except `missing` */
  find(parts: readonly string[]): Promise<FileInfo | undefined>;
  /** Every name except `.` and `..`, unordered, in batches. */
  entries(): AsyncIterable<readonly Entry[]>;
  /** Makes a directory, mode 0700. @returns false if the name already exists */
  make(name: string): Promise<boolean>;
  /** Opens a regular file at the end of a walk. @throws FileSystemError `missing`; `link` or `other-kind` for anything else */
  read(parts: readonly string[], signal?: AbortSignal): Promise<ReadableFile>;
  /** The contents of a small file, at most `maxBytes` of it; undefined if it does not exist. @throws as `read` */
  readSmall(parts: readonly string[], maxBytes: number): Promise<Uint8Array | undefined>;
  /** Makes a file, mode 0600. @throws FileSystemError `exists` */
  create(name: string, signal?: AbortSignal): Promise<WritableFile>;
  /** Makes a small file, mode 0600, its bytes durable. @throws FileSystemError `exists` */
  createSmall(name: string, content: Uint8Array): Promise<void>;
  /** Links a file of this directory into another, if the new name is free. It may keep the old one. @throws FileSystemError `exists`, `missing`, `other-kind` */
  link(name: string, to: Directory, toName: string): Promise<void>;
  /** Renames a file or directory; replaces an existing file. @throws FileSystemError `missing`, `other-kind` */
  replace(name: string, to: Directory, toName: string): Promise<void>;
  /** @throws FileSystemError `missing`; `other-kind` for a directory */
  remove(name: string): Promise<void>;
  /** @throws FileSystemError `missing`, `not-empty`, `other-kind` */
  removeDirectory(name: string): Promise<void>;
  /** Makes its names durable; a directory that was removed has none. @returns whether this file system can do that */
  sync(): Promise<boolean>;
}

/** A file that is open for reading. Disposing is idempotent. */
export interface ReadableFile extends AsyncDisposable {
  readonly found: FileInfo;
  /**
   * The bytes from `offset` to `end`; ends early if the file does. A chunk belongs to the consumer until it asks for the next one.
   */
  read(offset: number, end: number): AsyncGenerator<Uint8Array, void, undefined>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A new file that is open for writing. Calls are made one at a time, except that `sync` with `writing` runs in parallel. Disposing is idempotent. */
export interface WritableFile extends AsyncDisposable {
  /** Appends a chunk. The chunk's memory belongs to the caller again when this settles. */
  write(chunk: Uint8Array, signal?: AbortSignal): Promise<void>;
  /**
   * Appends a part of a file of the same file system, from `offset` on, whose bytes stay where they are: copied by the kernel or by the
   * server. As much at once as takes a short time, at most `maxBytes`. Absent if the file system can never do that.
   *
   * @returns how many bytes were appended, 0 at the end of the other file; undefined if this file system or server cannot copy, and
   *   nothing was appended: then the bytes have to be read and written
   */
  copy?(from: ReadableFile, offset: number, maxBytes: number, signal?: AbortSignal): Promise<number | undefined>;
  /** How many bytes from the start have arrived, so that a sync started now makes them durable. */
  readonly arrivedBytes: number;
  /** Waits until all bytes taken have arrived. */
  flush(): Promise<void>;
  /** Makes the arrived bytes durable and, with a mark, durably writes their number to a small file of that name beside it. */
  sync(options: SyncOptions): Promise<void>;
  /** Makes everything durable and sets its modification time to now, if possible. */
  finish(): Promise<FileInfo>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface SyncOptions {
  /** How many bytes to make durable, all of which have arrived. */
  readonly bytes: number;
  /** The name of the mark file; undefined for none. */
  readonly mark: string | undefined;
  /** More is being written at the same time, which should not be blocked. */
  readonly writing: boolean;
}

/** A mark is a number with this many decimal digits, written in one call, so that no part of it is ever seen. */
export const MARK_DIGITS = 16;

export function formatMark(bytes: number): string {
  return String(bytes).padStart(MARK_DIGITS, '0');
}
