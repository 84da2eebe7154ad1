import { describeContents } from '../disks/disk-contents.ts';
import type { StoredExport } from '../exports/open-export.ts';
import type { InspectedDisks } from '../disks/inspect-disks.ts';
import type { OriginalDisk } from './import-checks.ts';
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

/** The plan of an import. `planned`: disks that it makes or enlarges. @throws GantryError `DISK_*`; the reason of the signal */
export async function planImport(
  { reference, instance }: Pick<StoredExport, 'reference' | 'instance'>,
  originals: readonly OriginalDisk[],
  { inspected, planned }: { readonly inspected: InspectedDisks; readonly planned: readonly PlannedDisk[] },
  signal: AbortSignal,
): Promise<WritePlan> {
  const actions = new Map(planned.map((each) => [each.index, each]));
  const existing = originals.map(({ index }) => index).filter((index) => isThere(actions.get(index)));
  const targets = new Map((await describeTargets(inspected, existing, signal)).map((target) => [target.disk, target]));
  const disks = originals.flatMap(({ index, plainBytes }) => {
    const action = actions.get(index);
    const found = targets.get(index);
    const target = action === undefined || action.kind === 'longer' ? found : describeNew(action);
    if (target === undefined) return [];
    return planDisk(action?.kind === 'longer' ? { ...target, action: 'enlarge' } : target, plainBytes);
  });
  return { from: reference, exported: instance, into: inspected.instance.name, disks };
}

function isThere(planned: PlannedDisk | undefined): boolean {
  return planned === undefined || planned.kind === 'longer';
}

function describeNew(planned: Exclude<PlannedDisk, LongerFile>): PlannedTarget {
  const { index, kind, path, bytes } = planned;
  const what = kind === 'volume' ? 'logical volume' : kind === 'image' ? `${planned.format} image` : 'file';
  return { disk: index, target: path, targetBytes: bytes, holds: `nothing: it will be a new ${what}`, action: 'create' };
}

/** One disk of a plan, with the incoming plain bytes if they are known. */
export function planDisk(target: PlannedTarget, incomingBytes: number | undefined): WritePlan['disks'][number] {
  return incomingBytes === undefined ? target : { ...target, incomingBytes };
}

/**
 * Checks that the plan was confirmed, by an option or by a person; one that overwrites nothing needs no confirmation. The instance that the data belongs to needs no confirmation if there is
 * nobody to ask.
 *
 * @throws GantryError `CONFIRM_NEEDED`; the reason of the signal
 */
export async function assertConsent(plan: WritePlan, { yes, ask }: ConsentOptions, signal: AbortSignal): Promise<void> {
  if (yes === true || overwritesNothing(plan)) return;
  if (ask !== undefined) {
    if (await ask(plan, { signal })) return;
    throw new GantryError('CONFIRM_NEEDED', { message: `nothing was written: overwriting ${plan.into} was not confirmed` });
  }
  if (plan.into === plan.exported) return;
  const count = plan.disks.length === 1 ? '1 disk' : `${plan.disks.length} disks`;
  throw new GantryError('CONFIRM_NEEDED', {
    message: `${plan.from} belongs to ${plan.exported}, and would overwrite ${count} of another instance, ${plan.into}`,
    details: plan.disks.map(({ disk, target, holds }) => `disk ${disk}: ${target} (${holds})`),
    hint: 'If this is intended, use --yes (or GANTRY_YES=1); --dry-run shows what goes where.',
  });
}

function overwritesNothing({ disks }: WritePlan): boolean {
  return disks.length > 0 && disks.every(({ action }) => action === 'create');
}
