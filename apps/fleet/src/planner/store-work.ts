import type { Configuration, Policy } from '@gantry/config';
import { namedStore } from '@gantry/config';
import type { Subject } from './job.ts';

/** What follows the exports of a policy at one of its stores, and the host that its store names for that. */
export interface FoundStoreWork extends Subject {
  readonly host: string;
}

interface StoreWork {
  readonly found: readonly FoundStoreWork[];
  /** What policies say that no node does, a line each. */
  readonly undone: readonly string[];
}

/** What follows the exports of the policies that have a window, at their stores. */
export function storeWorkOf(configuration: Configuration): StoreWork {
  const found: FoundStoreWork[] = [];
  const undone: string[] = [];
  for (const policy of configuration.policies.values()) {
    if (policy.window === undefined) continue;
    for (const [store, what] of workOf(policy)) {
      const host = namedStore(configuration, store)?.node;
      if (host === undefined)
        undone.push(`${what} of policy ${policy.name} are done by no node: store ${store} has no node in gantry.yaml`);
      else found.push({ policy: policy.name, instance: store, work: 'store', host });
    }
  }
  return { found, undone };
}

/** The stores at which something follows, and what. */
function workOf({ stores, verify, retention, copies }: Policy): readonly (readonly [store: string, what: string])[] {
  const after = [...(verify === undefined ? [] : ['verify']), ...(retention === undefined ? [] : ['retention'])].join(' and ');
  return [...(after === '' ? [] : stores.map((store) => [store, after] as const)), ...copies.map(({ to }) => [to, 'copies'] as const)];
}
