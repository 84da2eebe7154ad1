import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * Whether the directory of a key is really where the key says: no symbolic link on the way leads elsewhere. Rejects where it is
 * missing, as realpath(3) does.
 */
export async function isWithin(root: string, key: string): Promise<boolean> {
  const directory = dirname(key);
  return (await realpath(join(root, directory))) === join(await realpath(root), directory);
}
