import { Buffer } from 'node:buffer';
import { posix } from 'node:path';
import type { Directory, Entry, FileInfo, ReadableFile, WritableFile } from '@gantry/directory-store';
import { FileSystemError } from '@gantry/directory-store';
import type { Attributes } from '../sftp/attributes.ts';
import type { NamedAttributes } from '../sftp/reply.ts';
import { OPEN, STATUS } from '../sftp/protocol.ts';
import type { Handle, SftpClient } from '../sftp/sftp-client.ts';
import { hasStatus } from '../sftp/status-error.ts';
import { asFileSystemError, calling, orAbsent, withReason } from './errors.ts';
import { assertKind, fileInfoOf } from './file-info.ts';
import type { Peer } from './peer.ts';
import { openReadable } from './sftp-readable-file.ts';
import { SftpWritableFile, writeSynced } from './sftp-writable-file.ts';

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** How many requests for entries are outstanding at a time: a server answers each with about a hundred entries. */
const READ_AHEAD = 4;

/** How often another process may remove a directory while it is being created. Few, because a full disk looks the same. */
const MAX_TRIES = 5;

/** The assumed information on a directory that was just created. */
const NEW_DIRECTORY: FileInfo = { kind: 'directory', size: 0, modified: new Date(0) };

/**
 * A directory on the peer. The protocol has only paths: every part of one is checked just before its use, and a replacement in between is
 * not noticed.
 */
export class SftpDirectory implements Directory {
  readonly path: string;
  readonly found: FileInfo;
  readonly #peer: Peer;
  /** Directories that were just listed, made or renamed, which need no further check. */
  readonly #known = new Map<string, FileInfo>();

  private constructor(peer: Peer, path: string, found: FileInfo) {
    this.#peer = peer;
    this.path = path;
    this.found = found;
  }

  /** The root, whose path may contain links. It may be missing: the first call in it reports that. */
  static root(peer: Peer, path: string): SftpDirectory {
    return new SftpDirectory(peer, path, NEW_DIRECTORY);
  }

  async walk(parts: readonly string[]): Promise<SftpDirectory> {
    const directories = await this.walkEach(parts);
    const [last = this] = directories.slice(-1);
    assertKind(this.#at(...parts), directories.length === parts.length ? last.found : undefined, 'directory');
    return last;
  }

  async walkEach(parts: readonly string[]): Promise<readonly SftpDirectory[]> {
    const [first = '', ...more] = parts;
    const known = more.length === 0 ? this.#known.get(first) : undefined;
    const answers = known === undefined ? await this.#statEach(parts) : [known];
    const directories: SftpDirectory[] = [];
    for (const [index, found] of answers.entries()) {
      if (found === undefined) break;
      const path = this.#at(...parts.slice(0, index + 1));
      assertKind(path, found, 'directory');
      directories.push(new SftpDirectory(this.#peer, path, found));
    }
    return directories;
  }

  async find(parts: readonly string[]): Promise<FileInfo | undefined> {
    return (await this.#statEach(parts)).at(-1);
  }

  async *entries(): AsyncGenerator<readonly Entry[], void, undefined> {
    const client = await this.#peer.client();
    const handle = await calling(client.openDirectory(this.path));
    this.#known.clear();
    try {
      for (;;) {
        const some = await calling(Promise.all(Array.from({ length: READ_AHEAD }, () => client.readDirectory(handle))));
        const batch = some.flatMap((names) => names ?? []).filter(({ name }) => name !== '.' && name !== '..');
        yield batch.map((entry) => this.#take(entry));
        if (some.includes(undefined)) return;
      }
    } finally {
      await client.close(handle).catch(() => undefined);
    }
  }

  async make(name: string): Promise<boolean> {
    const client = await this.#peer.client();
    for (let tries = 1; ; tries += 1) {
      try {
        await client.makeDirectory(this.#at(name), DIRECTORY_MODE);
        this.#known.set(name, NEW_DIRECTORY);
        return true;
      } catch (error) {
        if (!hasStatus(error, STATUS.failure)) throw asFileSystemError(error);
        if ((await this.find([name])) !== undefined) return false;
        // It was removed again; or there is no space for it, which looks the same.
        if (tries === MAX_TRIES) throw asFileSystemError(error);
      }
    }
  }

  async read(parts: readonly string[], signal?: AbortSignal): Promise<ReadableFile> {
    const path = this.#at(...parts);
    assertKind(path, (await this.#statEach(parts)).at(-1), 'file');
    return openReadable(this.#peer, path, signal);
  }

  async readSmall(parts: readonly string[], maxBytes: number): Promise<Uint8Array | undefined> {
    const found = await this.find(parts);
    if (found === undefined) return undefined;
    const path = this.#at(...parts);
    assertKind(path, found, 'file');
    const client = await this.#peer.client();
    const handle = await orAbsent(client.open(path, OPEN.read));
    if (handle === undefined) return undefined;
    try {
      return await calling(readUpTo(client, handle, Math.min(maxBytes, found.size)));
    } finally {
      await client.close(handle).catch(() => undefined);
    }
  }

  async create(name: string, signal?: AbortSignal): Promise<WritableFile> {
    try {
      return await SftpWritableFile.create(this.#peer, { directory: this.path, name }, signal);
    } catch (error) {
      throw await this.#orExists(error, name);
    }
  }

  async createSmall(name: string, content: Uint8Array): Promise<void> {
    const client = await this.#peer.client();
    let handle: Handle;
    try {
      handle = await client.open(this.#at(name), OPEN.write | OPEN.create | OPEN.exclusive, FILE_MODE);
    } catch (error) {
      throw await this.#orExists(error, name);
    }
    // Requests for one file are served in order (section 6 of the draft), so there is no need to wait for each answer.
    const answers = await Promise.allSettled([writeSynced(client, handle, content), client.close(handle)]);
    for (const answer of answers) if (answer.status === 'rejected') throw asFileSystemError(answer.reason);
  }

  async link(name: string, to: Directory, toName: string): Promise<void> {
    const client = await this.#peer.client();
    const [from, path] = [this.#at(name), own(to).#at(toName)];
    try {
      // The plain protocol's rename also fails if the name exists (section 6.5 of the draft).
      await (client.has('hardlink') ? client.hardLink(from, path) : client.rename(from, path));
    } catch (error) {
      if (hasStatus(error, STATUS.permissionDenied)) throw cannotLink(error);
      throw await own(to).#orExists(error, toName);
    }
  }

  async replace(name: string, to: Directory, toName: string): Promise<void> {
    const client = await this.#peer.client();
    const [from, path] = [this.#at(name), own(to).#at(toName)];
    try {
      await (client.has('posixRename') ? client.posixRename(from, path) : client.rename(from, path));
      const found = this.#known.get(name);
      this.#known.delete(name);
      if (found !== undefined) own(to).#known.set(toName, found);
    } catch (error) {
      const found = hasStatus(error, STATUS.failure) ? await to.find([toName]) : undefined;
      if (hasStatus(error, STATUS.failure) && found !== undefined)
        throw withReason(found.kind === 'directory' ? 'other-kind' : 'exists', error);
      throw asFileSystemError(error);
    }
  }

  async remove(name: string): Promise<void> {
    const client = await this.#peer.client();
    try {
      await client.remove(this.#at(name));
    } catch (error) {
      const refused = hasStatus(error, STATUS.failure, STATUS.permissionDenied);
      if (refused && (await this.find([name]))?.kind === 'directory') throw withReason('other-kind', error);
      throw asFileSystemError(error);
    }
  }

  async removeDirectory(name: string): Promise<void> {
    const client = await this.#peer.client();
    try {
      await client.removeDirectory(this.#at(name));
    } catch (error) {
      // A server only reports "failure", and the usual cause is that the directory is not empty.
      throw hasStatus(error, STATUS.failure) ? withReason('not-empty', error) : asFileSystemError(error);
    }
  }

  async sync(): Promise<boolean> {
    const client = await this.#peer.client();
    if (!client.has('fsync')) return false;
    let handle: Handle;
    try {
      // OpenSSH opens a directory like a file.
      handle = await client.open(this.path, OPEN.read);
    } catch (error) {
      if (hasStatus(error, STATUS.noSuchFile)) return true;
      if (hasStatus(error, STATUS.failure, STATUS.unsupported, STATUS.permissionDenied, STATUS.badMessage)) return false;
      throw asFileSystemError(error);
    }
    const [synced, closed] = await Promise.allSettled([client.sync(handle), client.close(handle)]);
    if (synced.status === 'rejected' && hasStatus(synced.reason, STATUS.unsupported)) return false;
    for (const answer of [synced, closed]) if (answer.status === 'rejected') throw asFileSystemError(answer.reason);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is open on the peer.
  }

  #at(...parts: readonly string[]): string {
    return posix.join(this.path, ...parts);
  }

  #take({ name, attributes }: NamedAttributes): Entry {
    const found = fileInfoOf(attributes);
    if (found.kind === 'directory') this.#known.set(name, found);
    return { name, kind: found.kind, found };
  }

  /**
   * Information on each step of a walk, requested at once; undefined from a missing one on.
   * @throws FileSystemError if a step before the last is not a directory
   */
  async #statEach(parts: readonly string[]): Promise<readonly (FileInfo | undefined)[]> {
    const client = await this.#peer.client();
    const paths = parts.map((_, index) => this.#at(...parts.slice(0, index + 1)));
    const answers = await Promise.allSettled(paths.map((path) => client.lstat(path)));
    const steps: (FileInfo | undefined)[] = [];
    for (const [index, answer] of answers.entries()) {
      const found = foundIn(answer);
      if (found === undefined) return steps.concat(paths.slice(index).map(() => undefined));
      // The error for a path below a file would be less specific.
      if (index < paths.length - 1) assertKind(paths[index] ?? '', found, 'directory');
      steps.push(found);
    }
    return steps;
  }

  /** The refusal, or `exists` if the name exists. */
  async #orExists(refusal: unknown, name: string): Promise<unknown> {
    const status = refusal instanceof FileSystemError ? refusal.cause : refusal;
    if (!hasStatus(status, STATUS.failure)) return asFileSystemError(refusal);
    const found = await this.find([name]).catch(() => undefined);
    return found === undefined ? asFileSystemError(refusal) : withReason('exists', status);
  }
}

/** Undefined for nothing. @throws FileSystemError */
function foundIn(answer: PromiseSettledResult<Attributes>): FileInfo | undefined {
  if (answer.status === 'fulfilled') return fileInfoOf(answer.value);
  if (hasStatus(answer.reason, STATUS.noSuchFile)) return undefined;
  throw asFileSystemError(answer.reason);
}

/** Reads a file whose size is known, without waiting for more. */
async function readUpTo(client: SftpClient, handle: Handle, bytes: number): Promise<Uint8Array> {
  const memory = Buffer.alloc(bytes);
  let length = 0;
  while (length < bytes) {
    const came = await client.read(handle, length, memory.subarray(length));
    if (came === 0) break;
    length += came;
  }
  return memory.subarray(0, length);
}

function own(directory: Directory): SftpDirectory {
  if (directory instanceof SftpDirectory) return directory;
  throw new TypeError('a directory of another file system');
}

function cannotLink(cause: Error): FileSystemError {
  return new FileSystemError('failed', {
    code: 'denied',
    message: cause.message,
    hint: 'Give the account on the peer access to the directory. If it has access, use a file system with hard links, such as ext4, xfs or btrfs.',
    cause,
  });
}
