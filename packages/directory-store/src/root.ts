import { StoreError } from '@gantry/transport';
import type { StoreContext } from './context.ts';
import type { Found, RootFound } from './file-system.ts';

const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_ALL = 0o002;

/** The root user, who can write everywhere anyhow. */
const SUPERUSER = 0;

/** @throws StoreError `not-found` where the store's directory is not there, or is something else */
export async function assertRoot({ fileSystem, shown }: StoreContext, signal?: AbortSignal): Promise<void> {
  const found = await fileSystem.lookAtRoot(signal);
  if (found?.kind === 'directory') return;
  throw new StoreError('not-found', {
    message: found === undefined ? `there is no directory ${shown}` : `${shown} is not a directory`,
    hint: 'Check the path, and that its file system is mounted; gantry store init makes a new store.',
  });
}

/**
 * The store's directory, which is to stay the same while the store is written to. A file system that is unmounted in the middle leaves
 * another directory under the same path, mostly an empty one on a disk that is too small.
 */
export class SteadyRoot {
  readonly #context: StoreContext;
  #identity: string | undefined;

  constructor(context: StoreContext) {
    this.#context = context;
  }

  /** Makes it where it is missing. @throws StoreError `not-found`, `unavailable` where it is another one by now */
  async ensure(signal?: AbortSignal): Promise<RootFound | undefined> {
    const { fileSystem } = this.#context;
    const found = await fileSystem.lookAtRoot(signal);
    if (found === undefined && this.#identity === undefined) {
      await fileSystem.makeRoot(signal);
      return this.#take(await fileSystem.lookAtRoot(signal));
    }
    if (found !== undefined && found.kind !== 'directory') await assertRoot(this.#context, signal);
    return this.#take(found);
  }

  /** @throws StoreError `unavailable` where it is another one by now */
  async assertSame(signal?: AbortSignal): Promise<void> {
    if (this.#identity !== undefined) this.#take(await this.#context.fileSystem.lookAtRoot(signal));
  }

  #take(found: RootFound | undefined): RootFound | undefined {
    this.#identity ??= found?.identity;
    if (this.#identity === undefined || this.#identity === found?.identity) return found;
    const { shown } = this.#context;
    throw new StoreError('unavailable', {
      message:
        found === undefined
          ? `the directory ${shown} was removed while it was written to`
          : `${shown} is not the directory that it was: its file system was unmounted, or another one mounted, while it was written to`,
      hint: 'Mount it again, and run this again; look also for what was written beneath the mount point.',
    });
  }
}

/** Tells the user where others than the one who writes can change what is in the store. */
export function warnOfOthers(context: StoreContext, root: Found, writer: number | undefined): void {
  const { mode = 0, user } = root;
  const { shown } = context;
  if (user !== undefined && writer !== undefined && user !== SUPERUSER && user !== writer) {
    context.warnOnce(`${shown} belongs to another user (number ${user}), who can change and remove what is written there`);
  }
  if ((mode & (WRITABLE_BY_ALL | WRITABLE_BY_GROUP)) === 0) return;
  const who = (mode & WRITABLE_BY_ALL) === 0 ? 'its whole group' : 'every user';
  context.warnOnce(`${shown} can be written to by ${who}, who can replace exports by others: chmod go-w closes it`);
}
