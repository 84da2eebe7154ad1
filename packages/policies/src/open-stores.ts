import { assertSamePrivacy, exportSettings } from '@gantry/config';
import { asFirstError, GantryError, knownStoreId, storeId, unopenedStore, errorText } from '@gantry/core';
import { problemOf } from './problems.ts';
import type { RunProblem } from './record/form.ts';
import type { OpenedStore, PolicyRunRequest } from './run-request.ts';

export interface PolicyStores extends AsyncDisposable {
  /** All stores of the policy: what is tried in one that could not be opened fails with the reason. */
  readonly all: readonly OpenedStore[];
  /** Those that could be opened. */
  readonly usable: readonly OpenedStore[];
  /** Why the others could not. */
  readonly problems: readonly RunProblem[];
}

/** Opens the stores of a policy. Disposing closes them. @throws the signal's reason */
export async function openPolicyStores(
  { configuration, policy, openStore, signal }: PolicyRunRequest,
  access: 'read' | 'write',
): Promise<PolicyStores> {
  await using scope = new AsyncDisposableStack();
  const all: OpenedStore[] = [];
  const usable: OpenedStore[] = [];
  const problems: RunProblem[] = [];
  const [first = ''] = policy.stores;
  for (const named of policy.stores) {
    try {
      assertSamePrivacy(
        [first, named].map((store) => ({ store, settings: exportSettings(configuration, { policy: policy.name, store }) })),
      );
      const opened = { named, store: scope.use(await openStore(named, access)) };
      await assertOtherStore(opened, usable, signal);
      usable.push(opened);
      all.push(opened);
    } catch (error) {
      signal.throwIfAborted();
      problems.push(problemOf(`store ${named}`, error));
      all.push({ named, store: unopenedStore(named, asStoreFailure(named, error)) });
    }
  }
  const held = scope.move();
  return { all, usable, problems, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** With the code of a store, so that another store is tried. */
function asStoreFailure(named: string, error: unknown): GantryError {
  const first = asFirstError(error);
  if (first instanceof GantryError && first.code.startsWith('STORE_')) return first;
  const hint = first instanceof GantryError ? first.hint : undefined;
  const reason = errorText(first);
  return new GantryError('STORE_FAILED', { message: `cannot open ${named}: ${reason}`, hint, cause: error });
}

/**
 * Refuses a store that is one of the others under another address: exports would be in one place instead of two, and one retention would
 * remove what another keeps.
 *
 * @throws GantryError `STORE_ADDRESS`; the signal's reason
 */
export async function assertOtherStore({ named, store }: OpenedStore, others: readonly OpenedStore[], signal: AbortSignal): Promise<void> {
  const id = await knownStoreId(store, { signal });
  if (id === undefined) return;
  for (const other of others) {
    if ((await knownStoreId(other.store, { signal })) === id) throw sameStore(named, other.named);
  }
}

/**
 * Refuses to remove anything from a store of copies that is one of those of its policy under another address, and unless each of these has
 * been asked: the retention of copies would remove what the other one keeps.
 *
 * @param opened those of the policy that could be opened
 * @throws GantryError `STORE_*`; the signal's reason
 */
export async function assertNoneOf(
  { named, store }: OpenedStore,
  { policy, signal }: Pick<PolicyRunRequest, 'policy' | 'signal'>,
  opened: readonly OpenedStore[],
): Promise<void> {
  const id = await storeId(store, { signal });
  for (const name of policy.stores) {
    const other = opened.find((each) => each.named === name);
    // A place without an id may be a store that is not mounted.
    const otherId = other && (await storeId(other.store, { signal }));
    if (otherId === undefined) {
      throw new GantryError('STORE_FAILED', {
        message: `nothing is removed from ${named}: whether it is store ${name} under another address is not known, because that has no id that can be read`,
        hint: `It is pruned when gantry-store.json of ${name} can be read from this host.`,
      });
    }
    if (otherId === id) throw sameStore(named, name);
  }
}

function sameStore(named: string, other: string): GantryError {
  return new GantryError('STORE_ADDRESS', {
    message: `${named} is the same store as ${other}, under another address`,
    hint: 'Name each store once in a policy.',
  });
}
