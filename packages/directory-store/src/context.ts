import { StoreError, firstFailure, translateFailure } from '@gantry/transport';
import type { FileSystem } from './file-system.ts';
import { FileSystemError } from './file-system.ts';

/** The action that an error message names. */
export interface Doing {
  /** Such as `committing disk0`. */
  readonly doing: string;
  readonly key?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Where it failed; by default `in` the store. */
  readonly where?: (() => string) | undefined;
}

/** A store's file system, and the names and warnings of the store. */
export class StoreContext {
  readonly fileSystem: FileSystem;
  /** The store's name in messages. */
  readonly shown: string;
  /** The store's address on a command line. */
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

  /** Warns the user, once per message. */
  warnOnce(message: string): void {
    if (this.#warned.has(message)) return;
    this.#warned.add(message);
    this.#warn(message);
  }

  /** Runs a call and adds to its file system errors what was being done. The signal's reason and other errors are not changed. */
  async doing<T>(about: Doing, work: () => Promise<T>): Promise<T> {
    about.signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      throw await this.explain(error, about);
    }
  }

  /** Runs the first call, whose errors say only why: the caller says what could not be opened. */
  async connecting<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      throw translateFailure(error, (cause) => {
        if (!(cause instanceof FileSystemError)) return cause;
        return new StoreError(cause.code, { message: cause.message, hint: cause.hint, cause });
      });
    }
  }

  async explain(error: unknown, { doing, key, signal, where = () => `in ${this.shown}` }: Doing): Promise<unknown> {
    if (signal?.aborted === true && error === signal.reason) return error;
    const explained = await this.fileSystem.explain(firstFailure(error));
    if (!(explained instanceof FileSystemError)) return translateFailure(error, () => explained);
    const { code, message, hint } = explained;
    return translateFailure(error, (cause) => new StoreError(code, { message: `${doing} ${where()}: ${message}`, key, hint, cause }));
  }
}
