import type { Store } from '@gantry/transport';
import { changeLabels, labelsOf } from '../exports/export-labels.ts';
import { examine } from '../exports/examine.ts';
import { formatExportReference } from '../exports/export-id.ts';
import { findExport } from '../exports/find-export.ts';
import type { Labels } from '../exports/labels.ts';
import { checkLabels } from '../exports/labels.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { startCall } from '../flow/session.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import type { OperationOptions } from '../report/reporter.ts';

export interface TagRequest extends Pick<OperationOptions, 'signal' | 'onEvent'> {
  /** The caller disposes it. */
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /** Tags that it gets. */
  readonly add?: readonly string[] | undefined;
  /** Tags that it loses; those that it does not have do not matter. */
  readonly remove?: readonly string[] | undefined;
  /** Replaces the note; an empty one removes it. */
  readonly note?: string | undefined;
}

export interface TagResult {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly instance: string;
  readonly exportId: string;
  /** The labels that it has now. */
  readonly tags: readonly string[];
  readonly note?: string;
  /** False if it had them already: then nothing was written. */
  readonly changed: boolean;
  readonly warnings: readonly string[];
}

/**
 * Changes the tags and the note of a complete export. Nothing that is there is changed: the new labels are an object of their own
 * (docs/decisions/0132), so credentials that may only add objects are enough.
 *
 * @throws GantryError, or the reason of the signal
 */
export function tagExport(request: TagRequest): Promise<TagResult> {
  return withFirstError(() => withStoreErrors(request.store.address, () => tag(request)));
}

async function tag(request: TagRequest): Promise<TagResult> {
  const { store, add = [], remove = [], note } = request;
  const { signal, reporter } = startCall('tag', request);
  checkLabels({ tags: add });
  checkLabels({ tags: remove, note });
  const both = add.find((each) => remove.includes(each));
  if (both !== undefined) throw new GantryError('USAGE', { message: `cannot add and remove the tag ${both} at once` });
  const { directory, warnings } = await findExport(store, request.export, { signal });
  for (const warning of warnings) reporter.warn(warning);
  const { instance, id: exportId } = directory;
  const reference = formatExportReference(instance, exportId);
  const found = await examine(store, directory, { signal });
  if (found.state === 'damaged') throw found.error;
  if (found.state !== 'gantry') throw cannotHaveLabels(reference, found.state);
  const change = ({ tags = [], note: before }: Labels): Labels => {
    const kept = tags.filter((each) => !remove.includes(each));
    const now = note ?? before;
    return checkLabels({ tags: [...kept, ...add], note: now === '' ? undefined : now });
  };
  const before = labelsOf(found.manifest);
  const wanted = change(before);
  const isSame = found.labelsProblem === undefined && JSON.stringify(checkLabels(before)) === JSON.stringify(wanted);
  const options = { signal, warn: (message: string) => reporter.warn(message) };
  const labels = isSame ? wanted : await changeLabels(store, { directory, manifest: found.manifest }, change, options);
  const base = { reference, instance, exportId, tags: labels.tags ?? [], changed: !isSame, warnings: reporter.warnings };
  return labels.note === undefined ? base : { ...base, note: labels.note };
}

function cannotHaveLabels(reference: string, state: 'ganeti' | 'unfinished'): GantryError {
  if (state === 'ganeti') {
    return new GantryError('USAGE', {
      message: `cannot tag ${reference}: Ganeti made it`,
      hint: 'Import and export it again, with --tag.',
    });
  }
  return new GantryError('EXPORT_INCOMPLETE', { message: `cannot tag ${reference}: it is not complete`, hint: 'Wait for it to end.' });
}
