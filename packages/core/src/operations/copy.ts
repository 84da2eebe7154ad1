import type { Store } from '@gantry/transport';
import type { CopySigners } from '../exports/copied-manifest.ts';
import { assertAccepted, assertCopySigners, findCopied } from '../exports/copied-manifest.ts';
import { isReferencePart } from '../exports/export-id.ts';
import { requireStore } from '../exports/store-marker.ts';
import { copyExport } from '../flow/copy-export.ts';
import type { CopyOutcome } from '../flow/copy-way.ts';
import { startCall } from '../flow/session.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import type { OperationOptions } from '../report/reporter.ts';

/** With allowed signers, an export whose signature is refused is not copied. */
export interface CopyRequest extends Pick<OperationOptions, 'signal' | 'onEvent'>, CopySigners {
  /** The store from which the export is copied. Everything in it counts as hostile. */
  readonly source: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /** The store to which it is copied. The caller disposes both. */
  readonly target: Store;
  /**
   * Names of other instances whose packs may come along: of those that a sealed export needs which was made with one of theirs as its base.
   * The source could otherwise take the places of their exports at the target.
   */
  readonly packsOf?: readonly string[] | undefined;
  /** Disks under way at once; default 4. */
  readonly parallel?: number | undefined;
  /** Makes a new store if there is none. Otherwise that is refused with `STORE_NOT_FOUND`. */
  readonly createStore?: boolean | undefined;
}

export interface CopyResult extends CopyOutcome {
  /** `INSTANCE@EXPORT-ID`: the same in both stores. */
  readonly reference: string;
  readonly instance: string;
  readonly exportId: string;
  readonly warnings: readonly string[];
}

/**
 * Copies an export from one store to another, under its id. Its stored bytes stay as they are, and each is compared with the digests of its
 * manifest on the way. An equal export that the target has already is not copied again.
 *
 * @throws GantryError, or the reason of the signal
 */
export function copyFromStore(request: CopyRequest): Promise<CopyResult> {
  return withFirstError(async () => {
    const { source, target, packsOf = [], parallel, createStore = false, allowedSigners, requireSignature, targetSigners } = request;
    const { signal, reporter } = startCall('copy', request);
    await assertCopySigners(request);
    assertPacksOf(packsOf);
    const copied = await findCopied(source, request.export, { signal });
    for (const warning of copied.warnings) reporter.warn(warning);
    await assertAccepted(source, copied, { allowedSigners, requireSignature, targetSigners, signal });
    await requireStore(target, { create: createStore, signal });
    const { instance, exportId } = copied.manifest;
    const bringsOf = (name: string): boolean => name === instance.name || packsOf.includes(name);
    const outcome = await copyExport({ source, target, bringsOf, targetSigners, reporter, signal, parallel }, copied);
    return { reference: copied.reference, instance: instance.name, exportId, ...outcome, warnings: reporter.warnings };
  });
}

/** @throws GantryError `USAGE` for what cannot be the name of an instance */
export function assertPacksOf(names: readonly string[]): void {
  const odd = names.find((name) => !isReferencePart(name));
  if (odd === undefined) return;
  throw new GantryError('USAGE', {
    message: `cannot bring packs of ${JSON.stringify(odd)}: that is not the name of an instance`,
    hint: 'Name the other instance without the id of an export, such as web1.example.com.',
  });
}
