import type { Attributes } from '../sftp/attributes.ts';
import { FileLanes } from '../sftp/file-lanes.ts';
import type { LanePool } from '../sftp/lane-pool.ts';
import { OPEN } from '../sftp/protocol.ts';
import type { Handle, SftpClient } from '../sftp/sftp-client.ts';

/** An object that is open, and how large it is. */
interface OpenedObject {
  readonly lanes: FileLanes;
  /** Bytes. */
  readonly size: number;
}

/**
 * Opens an object to be read. It may be replaced meanwhile, and is then read as it was: a further lane that finds a file of another
 * size or time under the name is not used. (The protocol has no number that tells two files apart.)
 */
export async function openObject(pool: LanePool, path: string, signal: AbortSignal | undefined): Promise<OpenedObject> {
  let first: Attributes | undefined;
  const open = async (client: SftpClient): Promise<Handle> => {
    const handle = await client.open(path, OPEN.read);
    const found = await client.fstat(handle);
    first ??= found;
    if (found.size === first.size && found.modifiedSeconds === first.modifiedSeconds) return handle;
    await client.close(handle);
    throw new Error(`${path} was replaced`);
  };
  const lanes = await FileLanes.open(pool, open, signal);
  return { lanes, size: first?.size ?? 0 };
}
