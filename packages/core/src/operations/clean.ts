import type { Store } from '@gantry/transport';
import type { UnfinishedExport } from '../exports/unfinished.ts';
import { isExport, isRemoved, readDirectory } from '../exports/directories.ts';
import { GANETI_ID, isReferencePart } from '../exports/export-id.ts';
import { looksComplete } from '../exports/find-export.ts';
import { CLAIM_FILE } from '../exports/layout.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { clearUnfinished, findUnfinished } from '../exports/unfinished.ts';
import type { OperationOptions } from '../report/reporter.ts';
import { quoteWord } from '../report/quote-word.ts';
import { createReporter } from '../report/reporter.ts';
import { undoHandlers } from '../flow/undo-handlers.ts';
import { sweepMoveRecords } from '../peer/move-record.ts';
import { sweepLocks } from '../runs/lock-file.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';

export interface CleanRequest extends Pick<OperationOptions, 'signal' | 'onEvent' | 'stateDirectory'> {
  /** Cleans this store too. */
  readonly store?: Store | undefined;
  /** Lists what was left, and clears nothing. */
  readonly dryRun?: boolean | undefined;
  /** `INSTANCE@EXPORT-ID` of unfinished exports to remove although another host may be at work on them. */
  readonly exports?: readonly string[] | undefined;
}

/** Something that a dead run left. */
export interface CleanedThing {
  /** What it is, where it is, and who made it, in words. */
  readonly what: string;
  /** `found`: seen by a dry run. `kept`: it may be in use, or could not be cleared. `noted`: it is for the user to do, and is not said again. */
  readonly outcome: 'found' | 'cleared' | 'kept' | 'noted';
}

/**
 * Clears what killed runs left (a dry run only lists it): scripts and snapshots on this machine, unfinished exports and writes in the
 * store. What belongs to a running process is kept.
 *
 * @throws GantryError `STATE_UNUSABLE`, `STORE_*`
 */
export async function cleanUp(request: CleanRequest): Promise<readonly CleanedThing[]> {
  const signal = request.signal ?? new AbortController().signal;
  const reporter = createReporter('clean', request.onEvent);
  const stateDirectory = await openStateDirectory(request.stateDirectory);
  const local = await recoverDeadRuns({
    stateDirectory,
    undos: undoHandlers(),
    mode: request.dryRun === true ? 'list' : 'clear',
    endNotices: true,
    signal,
  });
  if (request.dryRun !== true) {
    await sweepLocks(stateDirectory.locks);
    await sweepMoveRecords(stateDirectory);
  }
  for (const path of local.damaged) reporter.warn(`the journal ${path} is damaged: inspect it, then remove it`);
  const things: CleanedThing[] = local.leftovers.map(({ what, outcome }) => ({ what, outcome }));
  if (request.store === undefined) return things;
  const { store } = request;
  const all = await findUnfinished(store, { signal });
  for (const asked of request.exports ?? [])
    if (!all.some(({ name }) => name === asked)) reporter.warn(await whyNotCleared(store, asked, signal));
  for (const unfinished of all) things.push(await cleanExport(store, unfinished, request, signal));
  // Remains that are not part of an export or a write, such as empty directories.
  if (request.dryRun !== true) await withStoreErrors(store.address, () => store.clear([], { signal }));
  return things;
}

/** A clean that was killed after it had taken a claim leaves what only `remove` removes: the manifest may have been lost in another way. */
async function whyNotCleared(store: Store, asked: string, signal: AbortSignal): Promise<string> {
  const what = `${asked} is not an unfinished export of ${store.address}`;
  const [instance = '', id = '', ...more] = asked.split('@');
  if (more.length > 0 || id === GANETI_ID || !isReferencePart(instance) || !isReferencePart(id)) return `${what}: nothing to remove`;
  const directory = await withStoreErrors(store.address, () => readDirectory(store, { instance, id }, { signal }));
  const { files } = directory;
  const isAnother = files.has(CLAIM_FILE) || looksComplete(directory) || isRemoved(directory);
  if (files.size === 0 || isAnother || !isExport(directory)) return `${what}: nothing to remove`;
  const command = `gantry remove ${quoteWord(store.address)} ${quoteWord(asked)}`;
  return `${what}: it has neither a claim nor a manifest, so it is listed as damaged. Once its writer has ended, and it is not needed, remove it with: ${command}`;
}

function kindOf({ complete, removed }: UnfinishedExport): string {
  if (removed) return 'remains beside the removed';
  return complete ? 'remains beside the complete' : 'unfinished';
}

async function cleanExport(
  store: Store,
  unfinished: UnfinishedExport,
  { dryRun, exports }: CleanRequest,
  signal: AbortSignal,
): Promise<CleanedThing> {
  const what = `${kindOf(unfinished)} export ${unfinished.name}: ${unfinished.text}`;
  if (unfinished.owner === 'alive') return { what, outcome: 'kept' };
  if (unfinished.owner === 'unknown' && exports?.includes(unfinished.name) !== true) {
    const command = `gantry clean ${quoteWord(store.address)} --export ${quoteWord(unfinished.name)}`;
    return { what: `${what}; once no process writes it, remove it with: ${command}`, outcome: 'kept' };
  }
  if (dryRun === true) return { what, outcome: 'found' };
  switch (await clearUnfinished(store, unfinished, { signal })) {
    case 'complete':
      return { what: `export ${unfinished.name}, which is complete now`, outcome: 'kept' };
    case 'taken':
      return { what: `${what}; another run has claimed it meanwhile`, outcome: 'kept' };
    case 'cleared':
    default:
      return { what, outcome: 'cleared' };
  }
}
