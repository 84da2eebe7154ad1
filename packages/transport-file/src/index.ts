import { fileURLToPath } from 'node:url';
import type { Transport } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { FileStore } from './file-store.ts';

export { FileStore } from './file-store.ts';

/** Opens the store in a directory; a relative path counts from the current one. */
export function openFileStore(directory: string): FileStore {
  return new FileStore(directory);
}

/** Serves `file:///DIRECTORY`. */
const transport: Transport = {
  schemes: ['file'],
  open: async (address) => {
    if (address.host !== '' || address.search !== '' || address.username !== '') {
      throw new StoreError('invalid-address', {
        message: `${address.href} is no directory of this machine`,
        hint: 'Write file:///srv/exports, or just the path.',
      });
    }
    return new FileStore(fileURLToPath(address));
  },
};

export default transport;
