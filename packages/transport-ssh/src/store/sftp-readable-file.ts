import type { FileInfo, ReadableFile } from '@gantry/directory-store';
import type { Attributes } from '../sftp/attributes.ts';
import { FileLanes } from '../sftp/file-lanes.ts';
import { readPieces } from '../sftp/file-reader.ts';
import { OPEN } from '../sftp/protocol.ts';
import type { Handle, SftpClient } from '../sftp/sftp-client.ts';
import { asFileSystemError, calling } from './errors.ts';
import { assertKind, foundOf } from './file-info.ts';
import type { Peer } from './peer.ts';

/**
 * Opens a file to be read. It may be replaced meanwhile, and is then read as it was: a further lane that finds a file of another size
 * or time under the name is not used. (The protocol has no number that tells two files apart.)
 */
export async function openReadable({ pool }: Peer, path: string, signal: AbortSignal | undefined): Promise<ReadableFile> {
  let first: Attributes | undefined;
  const open = async (client: SftpClient): Promise<Handle> => {
    const handle = await client.open(path, OPEN.read);
    const found = await client.fstat(handle);
    first ??= found;
    if (found.size === first.size && found.modifiedSeconds === first.modifiedSeconds) return handle;
    await client.close(handle);
    throw new Error(`${path} was replaced`);
  };
  const lanes = await calling(FileLanes.open(pool, open, signal));
  try {
    const found = foundOf(first ?? {});
    assertKind(path, found, 'file');
    return new SftpReadableFile(lanes, found);
  } catch (error) {
    await lanes[Symbol.asyncDispose]();
    throw error;
  }
}

class SftpReadableFile implements ReadableFile {
  readonly found: FileInfo;
  readonly #lanes: FileLanes;

  constructor(lanes: FileLanes, found: FileInfo) {
    this.#lanes = lanes;
    this.found = found;
  }

  async *read(offset: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* readPieces(this.#lanes, offset, end);
    } catch (error) {
      throw asFileSystemError(error);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#lanes[Symbol.asyncDispose]();
  }
}
