import type { CallOptions, Store } from '@gantry/transport';
import type { StoredExport } from '../exports/open-export.ts';
import type { RememberedDepth } from '../exports/verification.ts';
import { isRememberedDepth, ownMarks, verificationOf } from '../exports/verification.ts';
import { VerificationRecords } from '../exports/verification-records.ts';
import { errorText } from '../report/error-text.ts';
import type { GantryError } from '../report/errors.ts';
import type { Reporter } from '../report/reporter.ts';

export interface RememberOptions extends CallOptions {
  readonly store: Store;
  readonly depth: RememberedDepth | 'present';
  /** Where it is remembered if the store cannot be written; nothing is remembered without it. */
  readonly remember?: { readonly stateDirectory?: string | undefined } | undefined;
  /** Whether an error of the verification says that the export is damaged. */
  readonly isProblem: (error: unknown) => error is GantryError;
  /** Marks of the dumps that turned out to be damaged or unreadable; absent where the verification does not find out which. */
  readonly damagedObjects?: (() => Promise<readonly string[]>) | undefined;
}

/** Verifies one export, and remembers that it is sound, or what is damaged. Where that fails, it can be verified again. */
export async function remembering<T>(
  { store, depth, remember, isProblem, damagedObjects, signal }: RememberOptions,
  { instance, id, manifest }: StoredExport,
  reporter: Reporter,
  verify: () => Promise<T>,
): Promise<T> {
  const keep = async (problem?: GantryError): Promise<void> => {
    if (remember === undefined || !isRememberedDepth(depth)) return;
    try {
      const records = new VerificationRecords(store, remember.stateDirectory);
      const found = verificationOf(manifest === undefined ? [] : ownMarks(manifest), problem, await damagedObjects?.());
      await records.note(instance, id, depth, found, { signal });
      await records.save({ signal });
    } catch (error) {
      signal?.throwIfAborted();
      reporter.warn(`cannot remember that it was verified: ${errorText(error)}`);
    }
  };
  try {
    const result = await verify();
    await keep();
    return result;
  } catch (error) {
    if (isProblem(error)) await keep(error);
    throw error;
  }
}
