import type { CallOptions, Store } from '@gantry/transport';
import type { ExportSummary, RemovedSummary } from '../exports/list-exports.ts';
import { listWithManifests } from '../exports/list-exports.ts';
import { OwnBytes } from '../exports/own-bytes.ts';
import { Protections } from '../exports/protection.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import type { LastVerification } from '../exports/verification.ts';
import { damageFound, lastVerification } from '../exports/verification.ts';
import { VerificationRecords } from '../exports/verification-records.ts';

export interface ListStoreRequest extends CallOptions {
  readonly store: Store;
  /** Only the exports of these instances. */
  readonly instances?: readonly string[] | undefined;
  /** Where verifications of stores that cannot be written are remembered. */
  readonly stateDirectory?: string | undefined;
}

/** One export in a listing, with what only a look at all of them shows. */
export interface ListedExport extends ExportSummary {
  /** What removing it would give back, bytes: see {@link OwnBytes}. */
  readonly ownBytes: number;
  /** The last verification of all that it needs. Absent if it was never verified, or is not complete. */
  readonly verified?: LastVerification;
  /** Until when the service keeps everything that it needs, also if its removal is asked for. Absent if it does not, or does not say. */
  readonly protectedUntil?: Date;
}

export interface StoreListing {
  readonly exports: readonly ListedExport[];
  /** Removed exports whose packs are kept for others. */
  readonly removed: readonly RemovedSummary[];
}

/**
 * Every export in a store (or of some instances), ordered by instance and age, with the last verification of each: one that found damage
 * makes the export a damaged one here.
 *
 * @throws GantryError `USAGE`, `STORE_*`
 */
export async function listStore({ store, instances, stateDirectory, signal }: ListStoreRequest): Promise<StoreListing> {
  const records = new VerificationRecords(store, stateDirectory);
  const protections = new Protections(store);
  const own = new OwnBytes();
  const exports: Omit<ListedExport, 'ownBytes'>[] = [];
  const removed: RemovedSummary[] = [];
  for await (const found of listInstances(store, instances, { signal })) {
    for (const each of found) {
      if (each.kind === 'removed') {
        removed.push(each.summary);
        continue;
      }
      const { summary, directory, manifest } = each;
      own.add(directory, manifest);
      const of = (name: string): ReturnType<VerificationRecords['of']> => records.of(name, { signal });
      const verifying = (): ReturnType<typeof lastVerification> => lastVerification({ ...summary, manifest }, of);
      // What is known of the directory of another one is at most that its packs are sound.
      const verified = summary.state === 'complete' ? await withStoreErrors(store.address, verifying) : undefined;
      const asking = async (): Promise<Date | undefined> =>
        manifest && (await protections.of({ manifest, files: directory.files.keys() }, { signal }));
      const protectedUntil = summary.state === 'complete' ? await withStoreErrors(store.address, asking) : undefined;
      exports.push({
        ...summary,
        ...damageOf(summary, verified),
        ...(verified === undefined ? {} : { verified }),
        ...(protectedUntil === undefined ? {} : { protectedUntil }),
      });
    }
  }
  const bytes = own.total();
  return { exports: exports.map((each) => Object.assign(each, { ownBytes: bytes.get(each.reference) ?? 0 })), removed };
}

async function* listInstances(
  store: Store,
  names: readonly string[] | undefined,
  options: CallOptions,
): ReturnType<typeof listWithManifests> {
  if (names === undefined) yield* listWithManifests(store, options);
  else for (const instance of names) yield* listWithManifests(store, { ...options, instance });
}

/** Names and sizes may be right where a verification has found damage. */
function damageOf({ state }: ExportSummary, verified: LastVerification | undefined): Partial<ExportSummary> {
  const reason = state === 'complete' ? damageFound(verified) : undefined;
  return reason === undefined ? {} : { state: 'damaged', reason };
}
