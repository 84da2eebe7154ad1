import type { FileInfo, ReadableFile } from '@gantry/directory-store';
import { FileSystemError } from '@gantry/directory-store';
import { closeOnFailure } from '@gantry/transport';
import type { Attributes } from '../sftp/attributes.ts';
import { FileSessions } from '../sftp/file-sessions.ts';
import { readPieces } from '../sftp/file-reader.ts';
import { OPEN } from '../sftp/protocol.ts';
import type { Handle, SftpClient } from '../sftp/sftp-client.ts';
import { asFileSystemError, calling } from './errors.ts';
import { assertKind, fileInfoOf } from './file-info.ts';
import type { Peer } from './peer.ts';

/**
 * Opens a file for reading. If it is replaced in the meantime, the old contents are read: a further session that finds another size or
 * time under the name is not used. (The protocol has no inode number.)
 */
export async function openReadable({ pool }: Peer, path: string, signal: AbortSignal | undefined): Promise<ReadableFile> {
  let first: Attributes | undefined;
  const open = async (client: SftpClient): Promise<Handle> => {
    const handle = await client.open(path, OPEN.read);
    const found = await client.fstat(handle);
    first ??= found;
    if (found.size === first.size && found.modifiedSeconds === first.modifiedSeconds) return handle;
    await client.close(handle);
    throw new FileSystemError('failed', { code: 'integrity', message: `${path} was replaced while it was read` });
  };
  const sessions = await calling(FileSessions.open(pool, open, signal));
  const close = (): Promise<void> => sessions[Symbol.asyncDispose]();
  return closeOnFailure(close, async () => {
    const found = fileInfoOf(first ?? {});
    assertKind(path, found, 'file');
    return new SftpReadableFile(sessions, found, open);
  });
}

/** A file that is open for reading. */
export class SftpReadableFile implements ReadableFile {
  readonly found: FileInfo;
  readonly #sessions: FileSessions;
  readonly #open: (client: SftpClient) => Promise<Handle>;

  constructor(sessions: FileSessions, found: FileInfo, open: (client: SftpClient) => Promise<Handle>) {
    this.#sessions = sessions;
    this.found = found;
    this.#open = open;
  }

  /** Opens the same file over another session, for requests with two files. The caller closes it. @throws Error if it was replaced */
  openOver(client: SftpClient): Promise<Handle> {
    return this.#open(client);
  }

  async *read(offset: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* readPieces(this.#sessions, offset, end);
    } catch (error) {
      throw asFileSystemError(error);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sessions[Symbol.asyncDispose]();
  }
}
