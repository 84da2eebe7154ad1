import type { NamedAttributes } from '../sftp/reply.ts';
import type { SftpClient } from '../sftp/sftp-client.ts';
import { missing } from './remote-files.ts';

/** How many requests for entries are outstanding at once: a server answers with a hundred entries or so. */
const AHEAD = 4;

/** All entries of a directory, unsorted, links not followed. None where there is no such directory. */
export async function readDirectory(client: SftpClient, path: string): Promise<readonly NamedAttributes[]> {
  const handle = await client.openDirectory(path).catch(missing);
  if (handle === undefined) return [];
  const entries: NamedAttributes[] = [];
  try {
    for (;;) {
      const some = await Promise.all(Array.from({ length: AHEAD }, () => client.readDirectory(handle)));
      for (const names of some) entries.push(...(names ?? []));
      if (some.includes(undefined)) break;
    }
  } finally {
    await client.close(handle);
  }
  return entries.filter(({ name }) => name !== '.' && name !== '..');
}
