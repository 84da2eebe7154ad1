import { describeContents } from '../disks/disk-contents.ts';
import type { StoredExport } from '../exports/open-export.ts';
import type { InspectedDisks } from '../disks/inspect-disks.ts';
import type { OriginalDisk } from './import-checks.ts';
import { GantryError } from '../report/errors.ts';
import type { PlannedTarget, WritePlan } from '../report/events.ts';

/*
 * What would be overwritten with what, before it is: shown always, asked about where somebody is there to answer, and gone on with
 * unasked only into the instance that the data is of.
 */

export interface ConsentOptions {
  /** Goes on without asking, whatever instance it is. */
  readonly yes?: boolean | undefined;
  /** Asks somebody whether to go on; absent where nobody is there. */
  readonly ask?: ((plan: WritePlan, options: { readonly signal: AbortSignal }) => Promise<boolean>) | undefined;
  /** Shows the plan and stops. */
  readonly dryRun?: boolean | undefined;
}

/** What the target's disks are and hold. @throws GantryError `DISK_*`; the reason of the signal */
export async function describeTargets(
  { instance, diskBytes }: InspectedDisks,
  disks: readonly number[],
  signal: AbortSignal,
): Promise<readonly PlannedTarget[]> {
  return await Promise.all(
    disks.map(async (disk) => {
      const { path, uri = '' } = instance.disks[disk] ?? {};
      const bytes = diskBytes[disk];
      const holds = path === undefined ? 'not known' : await describeContents(path, signal);
      return { disk, target: path ?? uri, holds, ...(bytes === undefined ? {} : { targetBytes: bytes }) };
    }),
  );
}

/** The plan of an import. @throws GantryError `DISK_*`; the reason of the signal */
export async function planImport(
  { reference, instance }: Pick<StoredExport, 'reference' | 'instance'>,
  originals: readonly OriginalDisk[],
  inspected: InspectedDisks,
  signal: AbortSignal,
): Promise<WritePlan> {
  const indexes = originals.map(({ index }) => index);
  const targets = await describeTargets(inspected, indexes, signal);
  const disks = targets.map((target, place) => planDisk(target, originals[place]?.plainBytes));
  return { from: reference, exported: instance, into: inspected.instance.name, disks };
}

/** One disk of a plan, with the plain bytes that come where they are known. */
export function planDisk(target: PlannedTarget, incomingBytes: number | undefined): WritePlan['disks'][number] {
  return incomingBytes === undefined ? target : { ...target, incomingBytes };
}

/**
 * Goes on where that was said before or is answered now, and unasked where the data goes back to the instance that it is of.
 *
 * @throws GantryError `CONFIRM_NEEDED`; the reason of the signal
 */
export async function assertConsent(plan: WritePlan, { yes, ask }: ConsentOptions, signal: AbortSignal): Promise<void> {
  if (yes === true) return;
  if (ask !== undefined) {
    if (await ask(plan, { signal })) return;
    throw new GantryError('CONFIRM_NEEDED', { message: `nothing was written: overwriting ${plan.into} was not confirmed` });
  }
  if (plan.into === plan.exported) return;
  const count = plan.disks.length === 1 ? '1 disk' : `${plan.disks.length} disks`;
  throw new GantryError('CONFIRM_NEEDED', {
    message: `${plan.from} is of ${plan.exported}, and would overwrite ${count} of another instance, ${plan.into}`,
    details: plan.disks.map(({ disk, target, holds }) => `disk ${disk}: ${target} (${holds})`),
    hint: 'If that is meant, say --yes (or GANTRY_YES=1); --dry-run shows what goes where.',
  });
}
