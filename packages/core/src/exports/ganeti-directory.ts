import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError, trimSlashes } from '@gantry/transport';
import { exportPrefix, GANETI_ID } from './export-id.ts';
import { CONFIG_FILE } from './layout.ts';

/** Ganeti's `EXPORT_DIR` in Debian's packages and by default (`configure.ac`, `--with-export-dir`). */
const GANETI_DIRECTORIES: ReadonlySet<string> = new Set(['/var/lib/ganeti/export', '/srv/ganeti/export']);

/**
 * Whether the store is the directory of Ganeti's own exports, judged by its path or by an export of this instance that Ganeti made.
 * `gnt-backup export` removes the instance's complete directory there, on every node.
 *
 * @throws StoreError
 */
export async function isGanetiDirectory(store: Store, instance: string, options: CallOptions): Promise<boolean> {
  if (GANETI_DIRECTORIES.has(pathOf(store.address))) return true;
  try {
    await store.stat(`${exportPrefix(instance, GANETI_ID)}${CONFIG_FILE}`, options);
    return true;
  } catch (error) {
    if (isStoreError(error, 'not-found') || isStoreError(error, 'denied')) return false;
    throw error;
  }
}

/** Such as `/srv/exports` for `ssh://node1/srv/exports`. */
function pathOf(address: string): string {
  const path = trimSlashes(URL.parse(address)?.pathname ?? '');
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
