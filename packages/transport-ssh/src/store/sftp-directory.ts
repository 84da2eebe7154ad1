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
import { assertKind, foundOf } from './file-info.ts';
import type { Peer } from './peer.ts';
import { openReadable } from './sftp-readable-file.ts';
import { SftpWritableFile, writeSynced } from './sftp-writable-file.ts';

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** How many requests for entries are outstanding at once: a server answers with a hundred entries or so. */
const READ_AHEAD = 4;

/** How often a directory may be removed by somebody else while it is made. Few: a full disk looks the same. */
const MAX_TRIES = 5;

/** What is known of a directory without asking. */
const JUST_MADE: FileInfo = { kind: 'directory', size: 0, modified: new Date(0) };

/**
 * A directory of the peer. The protocol knows paths alone: so every part of one is looked at just before it is used, and what somebody
 * exchanges between the look and the use is not noticed.
 */
export class SftpDirectory implements Directory {
  readonly path: string;
  readonly found: FileInfo;
  readonly #peer: Peer;
  /** Directories that were just listed, made or renamed, which need no further look. */
  readonly #known = new Map<string, FileInfo>();

  private constructor(peer: Peer, path: string, found: FileInfo) {
    this.#peer = peer;
    this.path = path;
    this.found = found;
  }

  /** A directory to which links may lead. It may be missing: the first call beneath it says so. */
  static root(peer: Peer, path: string): SftpDirectory {
    return new SftpDirectory(peer, path, JUST_MADE);
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
    const answers = known === undefined ? await this.#lookAtEach(parts) : [known];
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
    return (await this.#lookAtEach(parts)).at(-1);
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
        this.#known.set(name, JUST_MADE);
        return true;
      } catch (error) {
        if (!hasStatus(error, STATUS.failure)) throw asFileSystemError(error);
        if ((await this.find([name])) !== undefined) return false;
        // What was there is gone again; or there is no room for it, which looks the same.
        if (tries === MAX_TRIES) throw asFileSystemError(error);
      }
    }
  }

  async read(parts: readonly string[], signal?: AbortSignal): Promise<ReadableFile> {
    const path = this.#at(...parts);
    assertKind(path, (await this.#lookAtEach(parts)).at(-1), 'file');
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
      throw await this.#orTaken(error, name);
    }
  }

  async createSmall(name: string, content: Uint8Array): Promise<void> {
    const client = await this.#peer.client();
    let handle: Handle;
    try {
      handle = await client.open(this.#at(name), OPEN.write | OPEN.create | OPEN.exclusive, FILE_MODE);
    } catch (error) {
      throw await this.#orTaken(error, name);
    }
    // Requests for one file are served in their order (section 6 of the draft): no need to wait for each answer.
    const answers = await Promise.allSettled([writeSynced(client, handle, content), client.close(handle)]);
    for (const answer of answers) if (answer.status === 'rejected') throw asFileSystemError(answer.reason);
  }

  async link(name: string, to: Directory, toName: string): Promise<void> {
    const client = await this.#peer.client();
    const [from, path] = [this.#at(name), own(to).#at(toName)];
    try {
      // The plain protocol's rename fails, too, where the name is taken (section 6.5 of the draft).
      await (client.has('hardlink') ? client.hardLink(from, path) : client.rename(from, path));
    } catch (error) {
      if (hasStatus(error, STATUS.permissionDenied)) throw cannotLink(error);
      throw await own(to).#orTaken(error, toName);
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
      // "Failure" is all that a server says, and that something is in it is nearly always why.
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
    // The peer holds nothing open for it.
  }

  #at(...parts: readonly string[]): string {
    return posix.join(this.path, ...parts);
  }

  #take({ name, attributes }: NamedAttributes): Entry {
    const found = foundOf(attributes);
    if (found.kind === 'directory') this.#known.set(name, found);
    return { name, kind: found.kind, found };
  }

  /**
   * What stands on each step of a walk, all asked for at once; nothing behind one that is missing.
   * @throws FileSystemError where a step before the last is something else than a directory
   */
  async #lookAtEach(parts: readonly string[]): Promise<readonly (FileInfo | undefined)[]> {
    const client = await this.#peer.client();
    const paths = parts.map((_, index) => this.#at(...parts.slice(0, index + 1)));
    const answers = await Promise.allSettled(paths.map((path) => client.lstat(path)));
    const steps: (FileInfo | undefined)[] = [];
    for (const [index, answer] of answers.entries()) {
      const found = foundIn(answer);
      if (found === undefined) return steps.concat(paths.slice(index).map(() => undefined));
      // What is beneath something else than a directory is a failure of its own, which says less.
      if (index < paths.length - 1) assertKind(paths[index] ?? '', found, 'directory');
      steps.push(found);
    }
    return steps;
  }

  /** A refusal, or what stands in the way. */
  async #orTaken(refusal: unknown, name: string): Promise<unknown> {
    const status = refusal instanceof FileSystemError ? refusal.cause : refusal;
    if (!hasStatus(status, STATUS.failure)) return asFileSystemError(refusal);
    const found = await this.find([name]).catch(() => undefined);
    return found === undefined ? asFileSystemError(refusal) : withReason('exists', status);
  }
}

/** Undefined for nothing. @throws FileSystemError */
function foundIn(answer: PromiseSettledResult<Attributes>): FileInfo | undefined {
  if (answer.status === 'fulfilled') return foundOf(answer.value);
  if (hasStatus(answer.reason, STATUS.noSuchFile)) return undefined;
  throw asFileSystemError(answer.reason);
}

/** Without waiting for more than is there: the size was just asked for. */
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
    hint: 'Give the account on the peer access to the directory. Where it has access: the file system must have hard links, as ext4, xfs and btrfs have.',
    cause,
  });
}
