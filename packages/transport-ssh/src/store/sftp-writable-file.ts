import { Buffer } from 'node:buffer';
import { posix } from 'node:path';
import type { FileInfo, SyncOptions, WritableFile } from '@gantry/directory-store';
import { formatMark } from '@gantry/directory-store';
import { orAbort } from '@gantry/transport';
import { FileSessions } from '../sftp/file-sessions.ts';
import { FileWriter } from '../sftp/file-writer.ts';
import type { SessionFile } from '../sftp/pooled-session.ts';
import { OPEN } from '../sftp/protocol.ts';
import type { Handle, SftpClient } from '../sftp/sftp-client.ts';
import { calling, explainWriteFailure } from './errors.ts';
import { fileInfoOf } from './file-info.ts';
import type { Peer } from './peer.ts';

const FILE_MODE = 0o600;

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

/** Writes bytes (at most one packet) to the start of a file, and makes them durable if the server can. */
export async function writeSynced(client: SftpClient, handle: Handle, content: Uint8Array): Promise<void> {
  const head = client.writeHeadBytes(handle);
  const packet = Buffer.allocUnsafe(head + content.length);
  packet.set(content, head);
  const answers = await Promise.allSettled([client.write(handle, 0, packet), client.has('fsync') ? client.sync(handle) : undefined]);
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
}
