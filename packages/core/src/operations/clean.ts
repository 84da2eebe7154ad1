import type { Store } from '@gantry/transport';
import type { UnfinishedExport } from '../exports/unfinished.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { clearUnfinished, findUnfinished } from '../exports/unfinished.ts';
import type { OperationOptions } from '../report/reporter.ts';
import { quoteWord } from '../report/quote-word.ts';
import { createReporter } from '../report/reporter.ts';
import { undoHandlers } from './undo-handlers.ts';
import { sweepMoveRecords } from '../peer/move-record.ts';
import { sweepLocks } from '../runs/lock-file.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';

export interface CleanRequest extends Pick<OperationOptions, 'signal' | 'onEvent' | 'stateDirectory'> {
  /** Looks into this store too. */
  readonly store?: Store | undefined;
  /** Names what was left and leaves it. */
  readonly dryRun?: boolean | undefined;
  /** `INSTANCE@EXPORT-ID` of unfinished exports to remove although another host may be at work on them. */
  readonly exports?: readonly string[] | undefined;
}

/** One thing that a dead run left. */
export interface CleanedThing {
  /** What it is, where, and whose, for a human. */
  readonly what: string;
  /** `found`: a dry run looked at it. `kept`: it may be at work, or could not be cleared. */
  readonly outcome: 'found' | 'cleared' | 'kept';
}

/**
 * Names, and clears unless it is a dry run, what killed runs left: on this machine scripts and snapshots, in the store exports and
 * writes that were never finished. What a living run holds is left alone.
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
    signal,
  });
  if (request.dryRun !== true) {
    await sweepLocks(stateDirectory.locks);
    await sweepMoveRecords(stateDirectory);
  }
  for (const path of local.damaged) reporter.warn(`the journal ${path} is damaged: look at it, and remove it`);
  const things: CleanedThing[] = local.leftovers.map(({ message, outcome }) => ({ what: message, outcome }));
  if (request.store === undefined) return things;
  const { store } = request;
  for (const unfinished of await findUnfinished(store, { signal })) things.push(await cleanExport(store, unfinished, request, signal));
  // What belongs to no export and no write, such as empty directories.
  if (request.dryRun !== true) await withStoreErrors(store.address, () => store.clear([], { signal }));
  return things;
}

async function cleanExport(
  store: Store,
  unfinished: UnfinishedExport,
  { dryRun, exports }: CleanRequest,
  signal: AbortSignal,
): Promise<CleanedThing> {
  const what = `${unfinished.complete ? 'what was left behind beside the complete' : 'unfinished'} export ${unfinished.name}: ${unfinished.text}`;
  if (unfinished.owner === 'alive') return { what, outcome: 'kept' };
  if (unfinished.owner === 'unknown' && exports?.includes(unfinished.name) !== true) {
    const command = `gantry clean ${quoteWord(store.address)} --export ${quoteWord(unfinished.name)}`;
    return { what: `${what}; when it is not at work any more, remove it with: ${command}`, outcome: 'kept' };
  }
  if (dryRun === true) return { what, outcome: 'found' };
  switch (await clearUnfinished(store, unfinished, { signal })) {
    case 'complete':
      return { what: `export ${unfinished.name}, which has become complete meanwhile`, outcome: 'kept' };
    case 'taken':
      return { what: `${what}; another run has claimed its place meanwhile`, outcome: 'kept' };
    case 'cleared':
    default:
      return { what, outcome: 'cleared' };
  }
}
