import { Buffer } from 'node:buffer';
import { posix } from 'node:path';
import type { FileInfo, ReadableFile, SyncOptions, WritableFile } from '@gantry/directory-store';
import { formatMark } from '@gantry/directory-store';
import { orAbort } from '@gantry/transport';
import { FileSessions } from '../sftp/file-sessions.ts';
import { FileWriter } from '../sftp/file-writer.ts';
import type { SessionFile } from '../sftp/pooled-session.ts';
import { OPEN, STATUS } from '../sftp/protocol.ts';
import type { Handle, SftpClient } from '../sftp/sftp-client.ts';
import { hasStatus } from '../sftp/status-error.ts';
import { calling, explainWriteFailure } from './errors.ts';
import { fileInfoOf } from './file-info.ts';
import type { Peer } from './peer.ts';
import { SftpReadableFile } from './sftp-readable-file.ts';

const FILE_MODE = 0o600;

/** What one request has the server copy: until it is answered, no byte passes, which must not look like a stalled connection. */
const REQUEST_COPY_BYTES = 8 * 1024 * 1024;
/** What is copied before the next sync and the next look at the signal. */
const MAX_COPY_BYTES = 64 * 1024 * 1024;

/** The session that makes data durable, and the mark beside the data. */
interface Syncing extends AsyncDisposable {
  readonly data: SessionFile;
  mark: Handle | undefined;
}

/** The path of a file. */
export interface FilePath {
  /** Absolute. */
  readonly directory: string;
  readonly name: string;
}

/**
 * A new file on the peer. It is synced over a second session while more is written: a server processes the requests of one session in
 * sequence, so a sync would block writing.
 */
export class SftpWritableFile implements WritableFile {
  readonly #peer: Peer;
  readonly #file: FilePath;
  readonly #sessions: FileSessions;
  readonly #writer: FileWriter;
  #syncing: Promise<Syncing> | undefined;

  private constructor(peer: Peer, file: FilePath, sessions: FileSessions) {
    this.#peer = peer;
    this.#file = file;
    this.#sessions = sessions;
    this.#writer = new FileWriter(sessions);
  }

  static async create(peer: Peer, file: FilePath, signal: AbortSignal | undefined): Promise<SftpWritableFile> {
    const path = posix.join(file.directory, file.name);
    let flags = OPEN.read | OPEN.write | OPEN.create | OPEN.exclusive;
    const open = (client: SftpClient): Promise<Handle> => {
      const opening = client.open(path, flags, FILE_MODE);
      flags = OPEN.read | OPEN.write;
      return opening;
    };
    return new SftpWritableFile(peer, file, await calling(FileSessions.open(peer.pool, open, signal)));
  }

  get arrivedBytes(): number {
    return this.#writer.answeredTo;
  }

  write(chunk: Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.#explaining(orAbort(this.#writer.write(chunk), signal));
  }

  async copy(from: ReadableFile, offset: number, maxBytes: number): Promise<number | undefined> {
    const { client } = this.#sessions.first;
    if (!(from instanceof SftpReadableFile) || !client.has('copyData')) return undefined;
    return await this.#explaining(this.#copy(from, offset, Math.min(maxBytes, MAX_COPY_BYTES)));
  }

  flush(): Promise<void> {
    return this.#explaining(this.#writer.flush());
  }

  sync(options: SyncOptions): Promise<void> {
    return this.#explaining(this.#sync(options));
  }

  finish(): Promise<FileInfo> {
    return this.#explaining(this.#finish());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const syncing = await this.#syncing?.catch(() => undefined);
    await syncing?.[Symbol.asyncDispose]();
    await this.#sessions[Symbol.asyncDispose]();
  }

  async #copy(from: SftpReadableFile, offset: number, bytes: number): Promise<number | undefined> {
    const { client, handle } = this.#sessions.first;
    const source = await from.openOver(client);
    try {
      let complete = true;
      await this.#writer.appendOnServer(bytes, async (position) => {
        complete = await copyInRequests(client, { source, offset, bytes, target: handle, position });
      });
      return complete ? bytes : 0;
    } catch (error) {
      // Some servers list what an administrator denies (sftp-server -P).
      if (hasStatus(error, STATUS.unsupported, STATUS.permissionDenied)) return undefined;
      throw error;
    } finally {
      await client.close(source).catch(() => undefined);
    }
  }

  async #finish(): Promise<FileInfo> {
    await this.#writer.flush();
    const { client, handle } = this.#sessions.first;
    const [attributes] = await Promise.all([client.fstat(handle), client.has('fsync') ? client.sync(handle) : undefined]);
    return fileInfoOf(attributes);
  }

  async #sync({ bytes, mark, writing }: SyncOptions): Promise<void> {
    this.#syncing ??= this.#openSyncing(writing);
    const syncing = await this.#syncing;
    const { client, handle } = syncing.data;
    // Without the extension, data can only be on the server, but not be made durable.
    if (client.has('fsync')) await client.sync(handle);
    if (mark === undefined) return;
    syncing.mark ??= await client.open(posix.join(this.#file.directory, mark), OPEN.write | OPEN.create | OPEN.exclusive, FILE_MODE);
    await writeSynced(client, syncing.mark, Buffer.from(formatMark(bytes)));
  }

  /** @param writing whether more is written at the same time; otherwise the writer's own session is used */
  async #openSyncing(writing: boolean): Promise<Syncing> {
    await using scope = new AsyncDisposableStack();
    const data = writing ? scope.use(await this.#openBeside()).first : this.#sessions.first;
    const owned = scope.move();
    const syncing: Syncing = {
      data,
      mark: undefined,
      [Symbol.asyncDispose]: async () => {
        if (syncing.mark !== undefined) await data.client.close(syncing.mark).catch(() => undefined);
        await owned.disposeAsync();
      },
    };
    return syncing;
  }

  #openBeside(): Promise<FileSessions> {
    const path = posix.join(this.#file.directory, this.#file.name);
    return FileSessions.open(this.#peer.pool, (client) => client.open(path, OPEN.read | OPEN.write));
  }

  async #explaining<T>(work: Promise<T>): Promise<T> {
    try {
      return await calling(work);
    } catch (error) {
      throw await explainWriteFailure(error, this.#sessions.first, this.#file.directory);
    }
  }
}

interface ServerCopy {
  readonly source: Handle;
  readonly offset: number;
  readonly bytes: number;
  readonly target: Handle;
  readonly position: number;
}

/** One request after the other: a server works on the requests of one session in sequence anyway. @returns false if the source ends early */
async function copyInRequests(client: SftpClient, { source, offset, bytes, target, position }: ServerCopy): Promise<boolean> {
  for (let done = 0; done < bytes; done += REQUEST_COPY_BYTES) {
    const now = Math.min(REQUEST_COPY_BYTES, bytes - done);
    if (!(await client.copyData(source, offset + done, now, target, position + done))) return false;
  }
  return true;
}

/** Writes bytes (at most one packet) to the start of a file, and makes them durable if the server can. */
export async function writeSynced(client: SftpClient, handle: Handle, content: Uint8Array): Promise<void> {
  const head = client.writeHeadBytes(handle);
  const packet = Buffer.allocUnsafe(head + content.length);
  packet.set(content, head);
  const answers = await Promise.allSettled([client.write(handle, 0, packet), client.has('fsync') ? client.sync(handle) : undefined]);
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
}
