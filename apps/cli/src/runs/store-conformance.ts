import { GantryError, requireStore, errorText } from '@gantry/core';
import { wantsNewStore } from '../create-store.ts';
import { storeConformance } from '@gantry/transport/conformance';
import type { Session } from '../session.ts';

/** The result for one promise. */
interface CheckResult {
  readonly title: string;
  readonly kept: boolean;
  readonly reason?: string;
}

/** Runs `gantry store conformance`. */
export async function run(session: Session, [address]: readonly [string]): Promise<void> {
  const store = await assertStore(session, address);
  const results = await checkPromises(session, address);
  const broken = results.filter(({ kept }) => !kept);
  if (broken.length > 0) {
    throw new GantryError('STORE_FAILED', {
      message: `the store ${address} breaks ${broken.length} of ${results.length} promises`,
      details: broken.map(({ title, reason }) => `${title}: ${reason ?? ''}`),
      hint: 'Exports are not safe in it: keep them elsewhere, and report this to the authors of its transport.',
    });
  }
  session.output.result({ operation: 'store-conformance', store, results }, `${address} keeps all ${results.length} promises`);
}

/** The suite writes, so it must not create a directory where a file system is not mounted. @returns the store's full address */
async function assertStore(session: Session, address: string): Promise<string> {
  await using store = await session.open(address, 'write');
  await requireStore(store, { create: wantsNewStore(session.env), signal: session.signal });
  return store.address;
}

async function checkPromises(session: Session, address: string): Promise<readonly CheckResult[]> {
  const results: CheckResult[] = [];
  for (const { title, run } of storeConformance(() => session.open(address, 'write'))) {
    session.signal.throwIfAborted();
    session.output.note(title);
    results.push(
      await run().then(
        () => ({ title, kept: true }),
        (error: unknown) => ({ title, kept: false, reason: errorText(error) }),
      ),
    );
  }
  return results;
}
