import { describe, expect, test } from 'vitest';
import { DirectoryStore } from './directory-store.ts';
import type { Directory } from './file-system.ts';
import { MemoryFileSystem } from './testing/memory-file-system.ts';

/** Opens directories only after the signal is aborted, and resolves `closed` when one is closed. */
class SlowFileSystem extends MemoryFileSystem {
  readonly closed: Promise<void>;
  readonly #close: () => void;
  readonly #abort: AbortController;

  constructor(abort: AbortController) {
    super();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#close = resolve;
    this.#abort = abort;
  }

  override async root(): Promise<Directory> {
    const directory = await super.root();
    this.#abort.abort(new Error('enough'));
    await new Promise(setImmediate);
    const close = this.#close;
    return new Proxy(directory, {
      get: (target, name) => (name === Symbol.asyncDispose ? async () => close() : Reflect.get(target, name)),
    });
  }
}

describe('a listing that is aborted while its directory is being opened', () => {
  test('rejects with the reason, and closes the directory once it is open', async () => {
    const abort = new AbortController();
    const fileSystem = new SlowFileSystem(abort);
    await using store = new DirectoryStore(fileSystem, { address: 'memory:', shown: 'memory', warn: () => undefined });
    await expect(store.list('', { signal: abort.signal }).next()).rejects.toThrow('enough');
    await fileSystem.closed;
  });
});
