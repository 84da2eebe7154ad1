import koffi from 'koffi';

/** A C function of this process. */
export type Native = ReturnType<ReturnType<typeof koffi.load>['func']>;

/** What a call on another thread may take of its stack: koffi gives it one of its own, of 128 KiB unless told. Bytes. */
const THREAD_STACK_BYTES = 1024 * 1024;

let library: ReturnType<typeof koffi.load> | undefined;

/**
 * A C function that this process has: of the C library, whatever its file's name, or of what Node itself is made of (dlopen(3) of
 * NULL).
 *
 * @param prototype in C, such as `int flock(int fd, int operation)`
 * @throws Error where the process has no such function
 */
export function processFunction(prototype: string): Native {
  if (library === undefined) {
    koffi.config({ async_stack_size: THREAD_STACK_BYTES });
    library = koffi.load(null);
  }
  return library.func(prototype);
}

/** What calls on other threads were given: it must not be collected while they run. */
const underWay = new Set<readonly unknown[]>();

/**
 * Calls on one of libuv's threads.
 *
 * @param settle makes the result of what the function returned; in it, koffi.errno() is that of the call
 */
export function callOnThread<T>(native: Native, parameters: readonly unknown[], settle: (returned: unknown) => T): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  underWay.add(parameters);
  native.async(...parameters, (failure: unknown, returned: unknown) => {
    underWay.delete(parameters);
    try {
      if (failure !== null && failure !== undefined) throw new Error(`${native.info.name} could not be called`, { cause: failure });
      resolve(settle(returned));
    } catch (error) {
      reject(error);
    }
  });
  return promise;
}
