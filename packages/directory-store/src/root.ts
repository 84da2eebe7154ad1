import { StoreError } from '@gantry/transport';
import type { StoreContext } from './context.ts';
import type { FileInfo, RootInfo } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';

const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_ALL = 0o002;

/** The root user can write everywhere anyway. */
const SUPERUSER = 0;

/** @throws StoreError `not-found` if the store's directory does not exist or is not a directory */
export async function assertRoot({ fileSystem }: StoreContext, signal?: AbortSignal): Promise<void> {
  const found = await fileSystem.statRoot(signal);
  if (found?.kind === 'directory') return;
  throw new StoreError('not-found', {
    message: found === undefined ? 'its directory does not exist' : 'it is not a directory',
    hint: 'Check the path, and that its file system is mounted; gantry store init creates a store.',
  });
}

/**
 * The store's directory, which must stay the same while the store is written to. Unmounting its file system uncovers another directory
 * under the same path, usually an empty one on a disk that is too small.
 */
export class StableRoot {
  readonly #context: StoreContext;
  #identity: string | undefined;

  constructor(context: StoreContext) {
    this.#context = context;
  }

  /** Creates it if it is missing. @throws StoreError `not-found`; `unavailable` if it is another directory now */
  async ensure(signal?: AbortSignal): Promise<RootInfo | undefined> {
    const { fileSystem } = this.#context;
    const found = await fileSystem.statRoot(signal);
    if (found === undefined && this.#identity === undefined) {
      await this.#make(signal);
      return this.#take(await fileSystem.statRoot(signal));
    }
    if (found !== undefined && found.kind !== 'directory') await assertRoot(this.#context, signal);
    return this.#take(found);
  }

  /** @throws StoreError `unavailable` if it is another directory now */
  async assertSame(signal?: AbortSignal): Promise<void> {
    if (this.#identity !== undefined) this.#take(await this.#context.fileSystem.statRoot(signal));
  }

  async #make(signal: AbortSignal | undefined): Promise<void> {
    const { fileSystem, shown } = this.#context;
    try {
      await fileSystem.makeRoot(signal);
    } catch (error) {
      if (!isFileSystemError(error, 'missing')) throw error;
      const { message, hint } = error;
      throw new StoreError('not-found', { message: `cannot create the directory ${shown}: ${message}`, hint, cause: error });
    }
  }

  #take(found: RootInfo | undefined): RootInfo | undefined {
    this.#identity ??= found?.identity;
    if (this.#identity === undefined || this.#identity === found?.identity) return found;
    const { shown } = this.#context;
    throw new StoreError('unavailable', {
      message:
        found === undefined
          ? `the directory ${shown} was removed while it was written to`
          : `${shown} has become another directory: its file system was unmounted, or another one mounted, while it was written to`,
      hint: 'Mount it again and rerun the command; also look for files that were written below the mount point.',
    });
  }
}

/** Warns if other users than the writer can change the contents of the store. */
export function warnOfOthers(context: StoreContext, root: FileInfo, writer: number | undefined): void {
  const { mode = 0, user } = root;
  const { shown } = context;
  if (user !== undefined && writer !== undefined && user !== SUPERUSER && user !== writer) {
    context.warnOnce(`${shown} belongs to another user (uid ${user}), who can change and remove what is written there`);
  }
  if ((mode & (WRITABLE_BY_ALL | WRITABLE_BY_GROUP)) === 0) return;
  const who = (mode & WRITABLE_BY_ALL) === 0 ? 'every member of its group' : 'every user';
  context.warnOnce(`${shown} is writable by ${who}, who can replace exports: protect it with chmod go-w`);
}
