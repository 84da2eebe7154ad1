import { fileURLToPath } from 'node:url';
import type { Transport } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import type { FileStoreOptions } from './file-store.ts';
import { FileStore } from './file-store.ts';

export type { FileStoreOptions } from './file-store.ts';
export { FileStore } from './file-store.ts';

/** Opens the store in a directory; a relative path counts from the current one. */
export function openFileStore(directory: string, options: FileStoreOptions = {}): FileStore {
  return new FileStore(directory, options);
}

/** Serves `file:///DIRECTORY`. */
const transport: Transport = {
  schemes: ['file'],
  // What a local file system refuses now it refuses in a second, too.
  retries: true,
  open: async (address, { warn }) => new FileStore(directoryOf(address), { warn }),
};

export default transport;

function directoryOf(address: URL): string {
  try {
    const more = address.username + address.password + address.port + address.search + address.hash;
    if (address.host === '' && more === '') return fileURLToPath(address);
  } catch {
    // Another scheme, or a `%2F`, which no file name can hold: said below.
  }
  throw new StoreError('invalid-address', {
    message: `${address.protocol}//${address.host}${address.pathname} is not a directory of this machine`,
    hint: 'Write file:///srv/exports, or just the path.',
  });
}
