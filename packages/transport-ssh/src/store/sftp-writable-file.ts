import { Buffer } from 'node:buffer';
import { posix } from 'node:path';
import type { FileInfo, SyncOptions, WritableFile } from '@gantry/directory-store';
import { formatMark } from '@gantry/directory-store';
import { orAbort } from '@gantry/transport';
import { FileLanes } from '../sftp/file-lanes.ts';
import { FileWriter } from '../sftp/file-writer.ts';
import type { LaneFile } from '../sftp/lane.ts';
import { OPEN } from '../sftp/protocol.ts';
import type { Handle, SftpClient } from '../sftp/sftp-client.ts';
import { calling, explainWriteFailure } from './errors.ts';
import { foundOf } from './file-info.ts';
import type { Peer } from './peer.ts';

const FILE_MODE = 0o600;

/** The session over which data is made durable, with the mark beside it. */
interface Syncing extends AsyncDisposable {
  readonly data: LaneFile;
  mark: Handle | undefined;
}

/** Where a file is. */
export interface FilePlace {
  /** Absolute. */
  readonly directory: string;
  readonly name: string;
}

/**
 * A new file on the peer. It is made durable over a session of its own while more is written: a server answers one session's requests
 * one after the other, and nothing would be written while it syncs.
 */
export class SftpWritableFile implements WritableFile {
  readonly #peer: Peer;
  readonly #place: FilePlace;
  readonly #lanes: FileLanes;
  readonly #writer: FileWriter;
  #syncing: Promise<Syncing> | undefined;

  private constructor(peer: Peer, place: FilePlace, lanes: FileLanes) {
    this.#peer = peer;
    this.#place = place;
    this.#lanes = lanes;
    this.#writer = new FileWriter(lanes);
  }

  static async create(peer: Peer, place: FilePlace, signal: AbortSignal | undefined): Promise<SftpWritableFile> {
    const path = posix.join(place.directory, place.name);
    let flags = OPEN.read | OPEN.write | OPEN.create | OPEN.exclusive;
    const open = (client: SftpClient): Promise<Handle> => {
      const opening = client.open(path, flags, FILE_MODE);
      flags = OPEN.read | OPEN.write;
      return opening;
    };
    return new SftpWritableFile(peer, place, await calling(FileLanes.open(peer.pool, open, signal)));
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
    await this.#lanes[Symbol.asyncDispose]();
  }

  async #finish(): Promise<FileInfo> {
    await this.#writer.flush();
    const { client, handle } = this.#lanes.first;
    const [attributes] = await Promise.all([client.fstat(handle), client.has('fsync') ? client.sync(handle) : undefined]);
    return foundOf(attributes);
  }

  async #sync({ bytes, mark, writing }: SyncOptions): Promise<void> {
    this.#syncing ??= this.#openSyncing(writing);
    const syncing = await this.#syncing;
    const { client, handle } = syncing.data;
    // Without the extension nothing more can be had than that the server has it.
    if (client.has('fsync')) await client.sync(handle);
    if (mark === undefined) return;
    syncing.mark ??= await client.open(posix.join(this.#place.directory, mark), OPEN.write | OPEN.create | OPEN.exclusive, FILE_MODE);
    await writeSynced(client, syncing.mark, Buffer.from(formatMark(bytes)));
  }

  /** @param writing whether more is written meanwhile; else the writer's own session serves */
  async #openSyncing(writing: boolean): Promise<Syncing> {
    await using scope = new AsyncDisposableStack();
    const data = writing ? scope.use(await this.#openBeside()).first : this.#lanes.first;
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

  #openBeside(): Promise<FileLanes> {
    const path = posix.join(this.#place.directory, this.#place.name);
    return FileLanes.open(this.#peer.pool, (client) => client.open(path, OPEN.read | OPEN.write));
  }

  async #explaining<T>(work: Promise<T>): Promise<T> {
    try {
      return await calling(work);
    } catch (error) {
      throw await explainWriteFailure(error, this.#lanes.first, this.#place.directory);
    }
  }
}

/** Writes some bytes of at most one packet at the beginning of a file, and makes them durable where the server can. */
export async function writeSynced(client: SftpClient, handle: Handle, content: Uint8Array): Promise<void> {
  const head = client.writeHeadBytes(handle);
  const packet = Buffer.allocUnsafe(head + content.length);
  packet.set(content, head);
  const answers = await Promise.allSettled([client.write(handle, 0, packet), client.has('fsync') ? client.sync(handle) : undefined]);
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
}
