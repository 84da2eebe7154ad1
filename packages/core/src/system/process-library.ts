import koffi from 'koffi';

/** A C function of this process. */
export type Native = ReturnType<ReturnType<typeof koffi.load>['func']>;

/** Stack of a call on another thread, bytes; koffi's default is 128 KiB. */
const THREAD_STACK_BYTES = 1024 * 1024;

let library: ReturnType<typeof koffi.load> | undefined;

/**
 * A C function that is loaded in this process: of the C library, or of a library that is linked into Node (dlopen(3) of NULL).
 *
 * @param prototype in C, such as `int flock(int fd, int operation)`
 * @throws Error where the process lacks such a function
 */
export function processFunction(prototype: string): Native {
  if (library === undefined) {
    setThreadStack();
    library = koffi.load(null);
  }
  return library.func(prototype);
}

/** koffi takes its configuration only before the first library is loaded: other packages that may be first set the same. */
function setThreadStack(): void {
  try {
    koffi.config({ async_stack_size: THREAD_STACK_BYTES });
  } catch {
    // It is set.
  }
}

/** What running calls on other threads use: it must not be garbage-collected. */
const underWay = new Set<readonly unknown[]>();

/**
 * Calls on one of libuv's threads.
 *
 * @param settle makes the result of what the function returned; in it, koffi.errno() is that of the call
 * @param used memory that the function uses besides its parameters, because it was given to a call before
 */
export function callOnThread<T>(
  native: Native,
  parameters: readonly unknown[],
  settle: (returned: unknown) => T,
  used?: Uint8Array,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const held = [parameters, used];
  underWay.add(held);
  native.async(...parameters, (failure: unknown, returned: unknown) => {
    underWay.delete(held);
    try {
      if (failure !== null && failure !== undefined) throw new Error(`cannot call ${native.info.name}`, { cause: failure });
      resolve(settle(returned));
    } catch (error) {
      reject(error);
    }
  });
  return promise;
}
