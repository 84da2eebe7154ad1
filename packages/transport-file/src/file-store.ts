import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DirectoryStore } from '@gantry/directory-store';
import { NodeFileSystem } from './node-file-system.ts';

export interface FileStoreOptions {
  /** Called with what the user should know although nothing failed. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** A store in a directory of this machine. */
export class FileStore extends DirectoryStore {
  /** @param directory a relative one counts from the current directory */
  constructor(directory: string, { warn = () => undefined }: FileStoreOptions = {}) {
    const path = resolve(directory);
    super(new NodeFileSystem(path), { address: pathToFileURL(path).href, shown: path, warn });
  }
}
