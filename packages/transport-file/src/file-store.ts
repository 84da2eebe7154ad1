import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DirectoryStore } from '@gantry/directory-store';
import { NodeFileSystem } from './node-file-system.ts';

export interface FileStoreOptions {
  /** Called with warnings for the user. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** A store in a local directory. */
export class FileStore extends DirectoryStore {
  /** @param directory absolute, or relative to the current directory */
  constructor(directory: string, { warn = () => undefined }: FileStoreOptions = {}) {
    const path = resolve(directory);
    super(new NodeFileSystem(path), { address: pathToFileURL(path).href, shown: path, warn });
  }
}
