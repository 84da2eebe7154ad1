import { fileURLToPath } from 'node:url';
import type { Transport } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import type { FileStoreOptions } from './file-store.ts';
import { FileStore } from './file-store.ts';

export type { FileStoreOptions } from './file-store.ts';
export { FileStore } from './file-store.ts';
export { NodeFileSystem } from './node-file-system.ts';

/** Opens the store in a directory; a relative path is relative to the current directory. */
export function openFileStore(directory: string, options: FileStoreOptions = {}): FileStore {
  return new FileStore(directory, options);
}

/** Serves `file:///DIRECTORY`. */
const transport: Transport = {
  schemes: ['file'],
  // Failures of a local file system are not temporary.
  retries: true,
  open: async (address, { warn }) => new FileStore(directoryOf(address), { warn }),
};

export default transport;

function directoryOf(address: URL): string {
  try {
    const more = address.username + address.password + address.port + address.search + address.hash;
    if (address.host === '' && more === '') return fileURLToPath(address);
  } catch {
    // Another scheme, or a `%2F`, which a file name cannot contain: refused below.
  }
  throw new StoreError('invalid-address', {
    message: `${address.protocol}//${address.host}${address.pathname} is not the address of a local directory`,
    hint: 'Write file:///srv/exports, or just the path.',
  });
}
