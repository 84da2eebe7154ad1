import { describeContents } from '../disks/disk-contents.ts';
import type { StoredExport } from '../exports/open-export.ts';
import type { InspectedDisks } from '../disks/inspect-disks.ts';
import type { OriginalDisk } from './import-checks.ts';
import type { ImportTargets } from './import-targets.ts';
import type { LongerFile, PlannedDisk } from './new-disk-plan.ts';
import { GantryError } from '../report/errors.ts';
import type { PlannedTarget, WritePlan } from '../report/events.ts';

/*
 * What would be overwritten with what. It is always shown, and confirmed by a person where one is there. Without a person, only the
 * instance that the data belongs to is overwritten.
 */

export interface ConsentOptions {
  /** Goes on without asking, for any instance. */
  readonly yes?: boolean | undefined;
  /** Asks a person whether to go on; absent if there is none to ask. */
  readonly ask?: ((plan: WritePlan, options: { readonly signal: AbortSignal }) => Promise<boolean>) | undefined;
  /** Only shows the plan. */
  readonly dryRun?: boolean | undefined;
}

/** What is on the target's disks. @throws GantryError `DISK_*`; the reason of the signal */
export async function describeTargets(
  { instance, diskBytes }: InspectedDisks,
  disks: readonly number[],
  signal: AbortSignal,
): Promise<readonly PlannedTarget[]> {
  return await Promise.all(
    disks.map(async (disk) => {
      const { path, uri = '' } = instance.disks[disk] ?? {};
      const bytes = diskBytes[disk];
      const holds = path === undefined ? 'unknown' : await describeContents(path, signal);
      return { disk, target: path ?? uri, holds, ...(bytes === undefined ? {} : { targetBytes: bytes }) };
    }),
  );
}

/** The plan of an import. @throws GantryError `DISK_*`; the reason of the signal */
export async function planImport(
  { reference, instance }: Pick<StoredExport, 'reference' | 'instance'>,
  originals: readonly OriginalDisk[],
  { inspected, planned, unnamed }: Pick<ImportTargets, 'inspected' | 'planned' | 'unnamed'>,
  signal: AbortSignal,
): Promise<WritePlan> {
  const actions = new Map(planned.map((each) => [each.index, each]));
  const existing = originals.map(({ index }) => index).filter((index) => isThere(actions.get(index)));
  const targets = new Map((await describeTargets(inspected, existing, signal)).map((target) => [target.disk, target]));
  const disks = originals.flatMap(({ index, plainBytes }) => {
    const action = actions.get(index);
    const found = targets.get(index);
    const target = action === undefined || action.kind === 'longer' ? found : describeNew(action, unnamed.has(index));
    if (target === undefined) return [];
    return planDisk(action?.kind === 'longer' ? { ...target, action: 'enlarge' } : target, plainBytes);
  });
  return { from: reference, exported: instance, into: inspected.instance.name, disks };
}

function isThere(planned: PlannedDisk | undefined): boolean {
  return planned === undefined || planned.kind === 'longer';
}

function describeNew(planned: Exclude<PlannedDisk, LongerFile>, isUnnamed: boolean): PlannedTarget {
  const { index, kind, path, bytes } = planned;
  const what = kind === 'volume' ? 'logical volume' : kind === 'image' ? `${planned.format} image` : 'file';
  return {
    disk: index,
    target: path,
    targetBytes: bytes,
    holds: `nothing: it will be a new ${what}${isUnnamed ? ' where the export says' : ''}`,
    action: 'create',
  };
}

/** One disk of a plan, with the incoming plain bytes if they are known. */
export function planDisk(target: PlannedTarget, incomingBytes: number | undefined): WritePlan['disks'][number] {
  return incomingBytes === undefined ? target : { ...target, incomingBytes };
}

/**
 * Checks that the plan was confirmed, by an option or by a person. One that overwrites nothing needs no confirmation, and neither does the
 * instance that the data belongs to if there is nobody to ask. But disks that are created where only an export says always need one.
 *
 * @throws GantryError `CONFIRM_NEEDED`; the reason of the signal
 */
export async function assertConsent(
  plan: WritePlan,
  options: ConsentOptions & Partial<Pick<ImportTargets, 'unnamed'>>,
  signal: AbortSignal,
): Promise<void> {
  const { yes, ask, unnamed = new Set() } = options;
  if (yes === true || (overwritesNothing(plan) && unnamed.size === 0)) return;
  if (ask !== undefined) {
    if (await ask(plan, { signal })) return;
    const what = overwritesNothing(plan) ? 'creating disks of' : 'overwriting';
    throw new GantryError('CONFIRM_NEEDED', { message: `nothing was written: ${what} ${plan.into} was not confirmed` });
  }
  if (unnamed.size > 0) throw placesNotConfirmed(plan, unnamed);
  if (plan.into === plan.exported) return;
  const count = plan.disks.length === 1 ? '1 disk' : `${plan.disks.length} disks`;
  throw new GantryError('CONFIRM_NEEDED', {
    message: `${plan.from} belongs to ${plan.exported}, and would overwrite ${count} of another instance, ${plan.into}`,
    details: plan.disks.map(({ disk, target, holds }) => `disk ${disk}: ${target} (${holds})`),
    hint: 'If this is intended, use --yes (or GANTRY_YES=1); --dry-run shows what goes where.',
  });
}

function placesNotConfirmed({ from, into, disks }: WritePlan, unnamed: ReadonlySet<number>): GantryError {
  const count = unnamed.size === 1 ? '1 disk' : `${unnamed.size} disks`;
  return new GantryError('CONFIRM_NEEDED', {
    message: `nothing was written: ${count} of ${into} would be created where only ${from} says`,
    details: disks.filter(({ disk }) => unnamed.has(disk)).map(({ disk, target }) => `disk ${disk}: ${target}`),
    hint: 'If they belong there, name each with --disk N=PATH, or use --yes (or GANTRY_YES=1) for all.',
  });
}

function overwritesNothing({ disks }: WritePlan): boolean {
  return disks.length > 0 && disks.every(({ action }) => action === 'create');
}
