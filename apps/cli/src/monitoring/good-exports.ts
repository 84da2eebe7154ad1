import { readFile } from 'node:fs/promises';
import { parseExportId, replaceFile } from '@gantry/core';
import type { PolicyRun } from '@gantry/policies';
import { policyRunsDirectory, readPolicyRuns } from '@gantry/policies';
import { z } from 'zod';
import type { ExportOfRun } from './exports-of-run.ts';
import { exportsOf } from './exports-of-run.ts';

/*
 * The last good export of each instance of a policy, kept apart from the records of runs: these are about some instances only, end early,
 * or are removed, while an instance whose last good export is old must not be forgotten.
 */

/** The last good export of an instance in a store that a run on this machine made, or found there. */
export interface GoodExport extends Pick<ExportOfRun, 'instance' | 'reference' | 'plainBytes' | 'storedBytes' | 'durationMs'> {
  readonly store: string;
  /** When the run began that made it, or the export, if it was found: ISO 8601, UTC. {@link NEVER} where the store has none. */
  readonly at: string;
}

/** Older than every age that is promised, so that a store that has lost all exports of an instance is noticed. */
const NEVER = new Date(0).toISOString();

/** Beside the directory of the records; the name of a policy has no dot. */
function ownFile(policy: string, stateDirectory: string | undefined): string {
  return `${policyRunsDirectory(stateDirectory, policy)}.good-exports.json`;
}

const fileSchema: z.ZodType<{ readonly exports: readonly GoodExport[] }> = z.object({
  exports: z.array(
    z.object({
      instance: z.string(),
      store: z.string(),
      at: z.iso.datetime(),
      reference: z.string().optional(),
      plainBytes: z.number().optional(),
      storedBytes: z.number().optional(),
      durationMs: z.number().optional(),
    }),
  ),
});

/** What is remembered for a policy; without a file, what the records of its runs say. Those from the future are left out. */
export async function readGoodExports(
  policy: string,
  stateDirectory: string | undefined,
  warn: (message: string) => void,
): Promise<readonly GoodExport[]> {
  const known = (await readOwnFile(policy, stateDirectory)) ?? (await fromRecords(policy, stateDirectory, warn));
  const now = Date.now();
  return known.filter(({ at }) => Date.parse(at) <= now);
}

async function readOwnFile(policy: string, stateDirectory: string | undefined): Promise<readonly GoodExport[] | undefined> {
  try {
    return fileSchema.parse(JSON.parse(await readFile(ownFile(policy, stateDirectory), 'utf8'))).exports;
  } catch {
    // It was not there yet, or is damaged: the next run writes it.
    return undefined;
  }
}

async function fromRecords(
  policy: string,
  stateDirectory: string | undefined,
  warn: (message: string) => void,
): Promise<readonly GoodExport[]> {
  const runs = await readPolicyRuns(policy, { stateDirectory, warn });
  return runs.toReversed().reduce<readonly GoodExport[]>(goodAfter, []);
}

/** Keeps what is known after a run that has ended. To be called while the run has the lock of its policy. @throws what the file system fails with */
export async function keepGoodExports(policy: string, stateDirectory: string | undefined, exports: readonly GoodExport[]): Promise<void> {
  await replaceFile(ownFile(policy, stateDirectory), `${JSON.stringify({ exports }, undefined, 2)}\n`);
}

/** What is known after a run. Only one that knows all instances of the policy says which are gone. */
export function goodAfter(known: readonly GoodExport[], run: PolicyRun): readonly GoodExport[] {
  const good = new Map(known.map((each) => [keyOf(each), each]));
  for (const made of exportsOf(run)) {
    const { store } = made;
    if (store === undefined) continue;
    const before = good.get(keyOf({ ...made, store }));
    const after = goodOf({ ...made, store }, run, before);
    if (after !== undefined) good.set(keyOf(after), after);
  }
  // What a store lists counts, also if it has only older exports than before, or none.
  for (const copy of copiesOf(run)) good.set(keyOf(copy), copy);
  const all = [...good.values()];
  if (run.selection !== 'all') return all;
  const current = new Set(run.instances.map(({ name }) => name));
  return all.filter(({ instance }) => current.has(instance));
}

/** What stores under `copies` have: their exports are as old as those that were copied. */
function copiesOf({ stores }: PolicyRun): readonly GoodExport[] {
  return stores.flatMap(({ store, role, copied: { newest = [], missing = [] } = {} }) => {
    if (role !== 'copies') return [];
    const none = missing.map((instance): GoodExport => ({ instance, store, at: NEVER }));
    return none.concat(newest.flatMap((reference) => foundExport(store, reference) ?? []));
  });
}

/** An export that was not made by the run: it is as old as its id says. */
function foundExport(store: string, reference: string): GoodExport | undefined {
  const end = reference.lastIndexOf('@');
  const at = parseExportId(reference.slice(end + 1))?.started;
  return at === undefined ? undefined : { instance: reference.slice(0, end), store, at: at.toISOString(), reference };
}

function newerOf(before: GoodExport | undefined, found: GoodExport): GoodExport {
  return before !== undefined && Date.parse(before.at) >= Date.parse(found.at) ? before : found;
}

function goodOf(
  { instance, store, outcome, reference, plainBytes, storedBytes, durationMs }: ExportOfRun & { readonly store: string },
  run: PolicyRun,
  before: GoodExport | undefined,
): GoodExport | undefined {
  if (outcome === 'exported' || outcome === 'copied')
    return { instance, store, at: run.started, reference, plainBytes, storedBytes, durationMs };
  if (outcome !== 'present' || reference === undefined || reference === before?.reference) return before;
  const found = foundExport(store, reference);
  return found === undefined ? before : newerOf(before, found);
}

function keyOf({ instance, store }: Pick<GoodExport, 'instance' | 'store'>): string {
  return JSON.stringify([instance, store]);
}
