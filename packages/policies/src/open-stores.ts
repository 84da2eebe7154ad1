import { problemOf } from './problems.ts';
import type { RunProblem } from './record/form.ts';
import type { OpenedStore, PolicyRunRequest } from './run-request.ts';

export interface OpenedStores extends AsyncDisposable {
  readonly stores: readonly OpenedStore[];
  /** Those that could not be opened. */
  readonly problems: readonly RunProblem[];
}

/** Opens the stores of a policy. Disposing closes them. @throws the signal's reason */
export async function openStores({ policy, openStore, signal }: PolicyRunRequest, access: 'read' | 'write'): Promise<OpenedStores> {
  await using scope = new AsyncDisposableStack();
  const stores: OpenedStore[] = [];
  const problems: RunProblem[] = [];
  for (const named of policy.stores) {
    try {
      stores.push({ named, store: scope.use(await openStore(named, access)) });
    } catch (error) {
      signal.throwIfAborted();
      problems.push(problemOf(`store ${named}`, error));
    }
  }
  const held = scope.move();
  return { stores, problems, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
