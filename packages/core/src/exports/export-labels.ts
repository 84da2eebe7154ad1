import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { z } from 'zod';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { Tool } from '../report/version.ts';
import { TOOL } from '../report/version.ts';
import { largest } from '../system/largest.ts';
import type { ExportDirectory } from './directories.ts';
import { readDirectory } from './directories.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import type { Labels } from './labels.ts';
import { isTag, MAX_NOTE_CHARACTERS, MAX_TAGS } from './labels.ts';
import { labelsFileName, labelsNumber, MANIFEST_FILE, MAX_LABELS_NUMBER, REMOVED_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { removeFiles } from './remove-files.ts';
import { readText, UnreadableTextError, writeText } from './small-object.ts';

/*
 * Labels that an export got later (docs/decisions/0132): `labels-1.json`, `labels-2.json` and so on, of which the last counts. A manifest
 * is never changed.
 */

/** Far more than all labels of an export take. */
const MAX_LABELS_BYTES = 64 * 1024;
/** How often somebody else may change the labels of an export just before us. */
const MAX_TRIES = 20;
/** A removal takes seconds from `removed.json` to the end of the manifest. One that is older was interrupted in between. */
const INTERRUPTED_REMOVAL_MS = 3_600_000;

interface LabelsRecord {
  readonly format: 'gantry-labels';
  readonly version: 1;
  readonly tool: Tool;
  /** ISO 8601, UTC. */
  readonly changed: string;
  readonly tags: readonly string[];
  readonly note?: string;
}

const labelsSchema: z.ZodType<LabelsRecord> = z.object({
  format: z.literal('gantry-labels'),
  version: z.literal(1),
  tool: z.object({ name: z.string(), version: z.string() }),
  changed: z.iso.datetime(),
  tags: z.array(z.string().refine(isTag)).max(MAX_TAGS),
  note: z.string().max(MAX_NOTE_CHARACTERS).exactOptional(),
});

/** The labels that an export got later. */
export interface LaterLabels {
  /** Undefined if there are none, or they cannot be read. */
  readonly labels: Labels | undefined;
  /** Of the last object; 0 if there is none. */
  readonly number: number;
  /** Why they cannot be read, one clause. */
  readonly problem?: string;
}

const NONE: LaterLabels = { labels: undefined, number: 0 };

/** Reads the labels that an export got later. @param directory its files as they were listed @throws StoreError */
export async function readLaterLabels(store: Store, directory: ExportDirectory, options: CallOptions): Promise<LaterLabels> {
  const number = lastLabels(directory);
  if (number === 0) return NONE;
  const name = labelsFileName(number);
  try {
    const text = await readText(store, `${exportPrefix(directory.instance, directory.id)}${name}`, MAX_LABELS_BYTES, options);
    const { tags, note } = labelsSchema.parse(JSON.parse(text));
    return { labels: { tags, ...(note === undefined ? {} : { note }) }, number };
  } catch (error) {
    if (isStoreError(error, 'not-found')) {
      // Somebody has changed them since they were listed, or removed the export.
      const now = await readDirectory(store, directory, options);
      if (lastLabels(now) !== number) return await readLaterLabels(store, now, options);
    }
    const isText = error instanceof UnreadableTextError || isStoreError(error, 'not-found');
    if (!isText && !(error instanceof SyntaxError) && !(error instanceof z.ZodError)) throw error;
    const why = isText ? errorText(error) : 'it is not what gantry tag writes';
    return {
      labels: undefined,
      number,
      problem: `${name} of ${formatExportReference(directory.instance, directory.id)} is damaged: ${why}`,
    };
  }
}

/** The number of the labels that count, by the names of the files; 0 if there are none. */
export function lastLabels({ files }: Pick<ExportDirectory, 'files'>): number {
  return largest(files.keys().map(labelsNumber), 0);
}

/** A manifest with the labels that the export has now. */
export function withLabels(manifest: Manifest, labels: Labels | undefined): Manifest {
  if (labels === undefined) return manifest;
  const { tags: _tags, note: _note, ...rest } = manifest;
  const { tags = [], note } = labels;
  return { ...rest, ...(tags.length === 0 ? {} : { tags }), ...(note === undefined ? {} : { note }) };
}

export function labelsOf({ tags = [], note }: Pick<Manifest, 'tags' | 'note'>): Labels {
  return { tags, ...(note === undefined ? {} : { note }) };
}

/** The text of an object with labels. */
export function renderLabels({ tags = [], note }: Labels): string {
  const record: LabelsRecord = {
    format: 'gantry-labels',
    version: 1,
    tool: TOOL,
    changed: new Date().toISOString(),
    tags,
    ...(note === undefined ? {} : { note }),
  };
  return `${JSON.stringify(record, null, 2)}\n`;
}

/**
 * Changes the labels of a complete export. Of several that do so at once, each sees what the others did.
 *
 * @param change gets the labels as they are; what it throws is thrown
 * @param warn called with what could not be done besides
 * @throws GantryError `BUSY`, `EXPORT_NOT_FOUND`; StoreError
 */
export async function changeLabels(
  store: Store,
  found: { readonly directory: ExportDirectory; readonly manifest: Manifest },
  change: (labels: Labels) => Labels,
  { warn, ...options }: CallOptions & { readonly warn: (message: string) => void },
): Promise<Labels> {
  const { instance, id } = found.directory;
  const reference = formatExportReference(instance, id);
  for (let tries = 0, { directory } = found; tries < MAX_TRIES; tries += 1, directory = await readDirectory(store, directory, options)) {
    if (!directory.files.has(MANIFEST_FILE)) throw removedMeanwhile(store, reference);
    const later = await readLaterLabels(store, directory, options);
    if (later.problem !== undefined) warn(`${later.problem}: going on from the labels that it was exported with`);
    if (later.number >= MAX_LABELS_NUMBER) throw noNumberLeft(store, reference);
    const labels = change(later.labels ?? labelsOf(found.manifest));
    const name = labelsFileName(later.number + 1);
    if (!(await tryToWrite(store, `${exportPrefix(instance, id)}${name}`, renderLabels(labels), options))) continue;
    const now = await readDirectory(store, directory, options);
    const isBeingRemoved = isUnderRemoval(now, name);
    if (isBeingRemoved || !now.files.has(MANIFEST_FILE)) {
      await removeFiles(store, { instance, id }, [name], options);
      throw isBeingRemoved ? beingRemoved(store, reference) : removedMeanwhile(store, reference);
    }
    // Others may have come to a later one from the same labels, and have taken ours away as an old one.
    if (lastLabels(now) !== later.number + 1 || !now.files.has(name)) continue;
    await forget(store, now, later.number, options);
    return labels;
  }
  throw new GantryError('BUSY', { message: `others keep changing the labels of ${reference}`, hint: 'Try again.' });
}

/** @returns false if somebody else was first */
async function tryToWrite(store: Store, key: string, text: string, options: CallOptions): Promise<boolean> {
  try {
    await writeText(store, key, text, { ...options, ifExists: store.capabilities.createOnly ? 'fail' : 'replace' });
    return true;
  } catch (error) {
    if (isStoreError(error, 'exists')) return false;
    throw error;
  }
}

/** Removes what does not count any more. Where that is not allowed, it stays, and does no harm. */
async function forget(store: Store, { instance, id, files }: ExportDirectory, upTo: number, options: CallOptions): Promise<void> {
  const old = [...files.keys()].filter((name) => labelsNumber(name) > 0 && labelsNumber(name) <= upTo);
  try {
    await removeFiles(store, { instance, id }, old, options);
  } catch (error) {
    if (!isStoreError(error)) throw error;
  }
}

/** Whether a removal has started that may not have seen the labels with this name. The store's own clock says how long ago. */
function isUnderRemoval({ files }: ExportDirectory, name: string): boolean {
  const [removed, written] = [files.get(REMOVED_FILE), files.get(name)];
  if (removed === undefined || written === undefined || !files.has(MANIFEST_FILE)) return false;
  return written.modified.getTime() - removed.modified.getTime() < INTERRUPTED_REMOVAL_MS;
}

/** Only somebody who wants to prevent it writes such a number. */
function noNumberLeft(store: Store, reference: string): GantryError {
  const name = labelsFileName(MAX_LABELS_NUMBER);
  return new GantryError('MANIFEST_DAMAGED', {
    message: `cannot change the labels of ${reference} in ${store.address}: ${name} has the highest number, and gantry tag did not write it`,
    hint: `Find out who wrote ${reference.replace('@', '/')}/${name}, and remove that file.`,
  });
}

function beingRemoved(store: Store, reference: string): GantryError {
  return new GantryError('BUSY', {
    message: `cannot change the labels of ${reference} in ${store.address}: it is being removed`,
    hint: 'gantry list shows whether it is still there. If a removal was interrupted, try again after an hour.',
  });
}

function removedMeanwhile(store: Store, reference: string): GantryError {
  return new GantryError('EXPORT_NOT_FOUND', {
    message: `${reference} was removed from ${store.address} meanwhile`,
    hint: 'gantry list shows what is there.',
  });
}
