import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';

import type { DomainDisk } from './domain.ts';

const HEX_DIGITS = 16;

/**
 * Which image a disk of a domain is, for the name of a mark. It is another one for another target, place or file: what was renamed or
 * replaced counts as another image.
 */
export async function imageIdentity({ target, source, path }: Pick<DomainDisk, 'target' | 'source' | 'path'>): Promise<string> {
  const parts = [target, source, path === undefined ? '' : await inodeOf(path)];
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, HEX_DIGITS);
}

/** Of a file: device numbers, and the inodes of devices, may be others after a start of the host. Empty if it is not seen here. */
async function inodeOf(path: string): Promise<string> {
  const stats = await stat(path, { bigint: true }).catch(() => undefined);
  return stats?.isFile() === true ? String(stats.ino) : '';
}
