import { posix } from 'node:path';
import type { ObjectInfo } from '@gantry/transport';
import { isKeyPart, orAbort } from '@gantry/transport';
import type { Attributes } from '../sftp/attributes.ts';
import { isDirectory, isRegularFile } from '../sftp/attributes.ts';
import type { NamedAttributes } from '../sftp/reply.ts';
import type { SftpClient } from '../sftp/sftp-client.ts';
import { readDirectory } from './read-directory.ts';

/**
 * Every object beneath a directory in the order of the keys' bytes, one directory at a time. Links, hidden names and whatever else
 * is no object are passed over.
 */
export async function* listObjects(
  client: SftpClient,
  root: string,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo> {
  const entries = await orAbort(readDirectory(client, posix.join(root, prefix)), signal);
  for (const { name, attributes } of sorted(entries)) {
    signal?.throwIfAborted();
    const key = `${prefix}${name}`;
    if (isDirectory(attributes)) yield* listObjects(client, root, `${key}/`, signal);
    else yield objectInfo(key, attributes);
  }
}

/** A file as an object; the protocol tells its time in whole seconds. */
export function objectInfo(key: string, { size = 0, modifiedSeconds = 0 }: Attributes): ObjectInfo {
  return { key, size, modified: new Date(modifiedSeconds * 1000) };
}

/** As keys sort: a directory counts with the slash behind its name. */
function sorted(entries: readonly NamedAttributes[]): readonly NamedAttributes[] {
  const shown = entries.filter(({ name, attributes }) => isKeyPart(name) && (isRegularFile(attributes) || isDirectory(attributes)));
  return shown.toSorted((a, b) => (sortName(a) < sortName(b) ? -1 : 1));
}

function sortName({ name, attributes }: NamedAttributes): string {
  return isDirectory(attributes) ? `${name}/` : name;
}
