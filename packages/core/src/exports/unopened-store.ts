import type { Store } from '@gantry/transport';
import type { GantryError } from '../report/errors.ts';

/** A store that could not be opened: every call fails for the same reason. */
export function unopenedStore(address: string, failure: GantryError): Store {
  const fail = (): Promise<never> => Promise.reject(failure);
  // oxlint-disable-next-line require-yield -- it fails before there is anything to yield
  async function* failing(): AsyncGenerator<never> {
    throw failure;
  }
  return {
    address,
    capabilities: { rangedRead: false, resumableWrite: false, createOnly: false, maxObjectBytes: 0 },
    stat: fail,
    read: fail,
    list: failing,
    begin: fail,
    resume: fail,
    pending: failing,
    clear: fail,
    remove: fail,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
