import { StoreError } from '@gantry/transport';
import type { FileSystem } from './file-system.ts';
import { FileSystemError } from './file-system.ts';

/** What was being done. */
export interface Doing {
  /** Such as `committing disk0`. */
  readonly doing: string;
  readonly key?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Where, when it failed; `in` the store where absent. */
  readonly where?: (() => string) | undefined;
}

/** A store's file system, and how the store talks of it. */
export class StoreContext {
  readonly fileSystem: FileSystem;
  /** The store as messages name it. */
  readonly shown: string;
  /** The store as it is given on a command line. */
  readonly address: string;
  readonly #warn: (message: string) => void;
  readonly #warned = new Set<string>();

  constructor(
    fileSystem: FileSystem,
    options: { readonly shown: string; readonly address: string; readonly warn: (message: string) => void },
  ) {
    this.fileSystem = fileSystem;
    this.shown = options.shown;
    this.address = options.address;
    this.#warn = options.warn;
  }

  /** Tells the user what nothing failed for, once. */
  warnOnce(message: string): void {
    if (this.#warned.has(message)) return;
    this.#warned.add(message);
    this.#warn(message);
  }

  /** Runs a call, and says of its errors what was being done. The signal's own reason, and what is no error of the file system, stay as they are. */
  async doing<T>(about: Doing, work: () => Promise<T>): Promise<T> {
    about.signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      throw await this.explain(error, about);
    }
  }

  async explain(error: unknown, { doing, key, signal, where = () => `in ${this.shown}` }: Doing): Promise<unknown> {
    if (signal?.aborted === true && error === signal.reason) return error;
    const explained = await this.fileSystem.explain(error);
    if (!(explained instanceof FileSystemError)) return explained;
    const { code, message, hint } = explained;
    return new StoreError(code, { message: `${doing} ${where()}: ${message}`, key, hint, cause: error });
  }
}
