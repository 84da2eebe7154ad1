import { inspectDisks } from '../disks/inspect-disks.ts';
import type { InspectedDisks } from '../disks/inspect-disks.ts';
import { diskCallError } from '../disks/disk-errors.ts';
import type { Instance } from '../instances/model.ts';
import { quoteWord } from '../report/quote-word.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';
import type { SelectedOs } from '../scripts/select.ts';
import type { OriginalDisk } from './import-checks.ts';
import { assertRoom } from './import-checks.ts';
import type { PlannedDisk } from './new-disk-plan.ts';
import { planNewDisks, withPlanned } from './new-disk-plan.ts';
import { whyOnlyNamed } from './new-disk-places.ts';
import { NewDisks } from './new-disks.ts';
import type { Call, Session } from './session.ts';
import { inspectFor } from './session.ts';

/** What an import may do to the disks of its target. */
export interface TargetOptions {
  /** Creates disks that are missing, and enlarges files that are too short. Fails or is killed: what was created is removed. */
  readonly createDisks?: boolean | undefined;
  /**
   * Indexes of the disks whose places are the user's; absent: all. Of the others only the export says where they are: they must not be
   * there already, they are created only after a confirmation, and never in a directory of the system.
   */
  readonly namedDisks?: readonly number[] | undefined;
}

export interface TargetsOf extends TargetOptions {
  readonly os: SelectedOs;
  readonly instance: Instance;
  /** What is known of the data that will come. */
  readonly originals: readonly OriginalDisk[];
  /** `INSTANCE@EXPORT-ID`. */
  readonly from: string;
}

/** The disks of a target before anything is written. */
export interface ImportTargets {
  /** As it is described: without what was read from its disks. */
  readonly described: Instance;
  /** As they will be: new ones have their sizes. */
  readonly inspected: InspectedDisks;
  readonly planned: readonly PlannedDisk[];
  /** Indexes of those that get data and are there. */
  readonly existing: readonly number[];
  /** Indexes of those that will be created. */
  readonly missing: ReadonlySet<number>;
  /** Those of them that only the export names. */
  readonly unnamed: ReadonlySet<number>;
}

/**
 * Examines the disks that will be written, and decides which will be created or enlarged. Changes nothing.
 *
 * @throws GantryError `DISK_*`, `INSTANCE_INVALID`, `CONFIRM_NEEDED`; the reason of the signal
 */
export async function inspectTargets(call: Call, targets: TargetsOf): Promise<ImportTargets> {
  const { os, instance, originals, from, createDisks = false } = targets;
  const { reporter, signal } = call;
  const planned = createDisks ? await planNewDisks(instance, originals, { isRaw: os.definition.builtin, reporter, signal }) : [];
  const missing = new Set(planned.filter(({ kind }) => kind !== 'longer').map(({ index }) => index));
  const existing = originals.map(({ index }) => index).filter((index) => !missing.has(index));
  try {
    const inspected = withPlanned(await inspectFor(call, instance, { purpose: 'import', disks: existing }), planned);
    assertNamed(instance, existing, targets);
    assertRoom(os, originals, from, inspected, reporter);
    const unnamed = planned.filter((each) => missing.has(each.index) && !isNamed(each.index, targets));
    for (const each of unnamed) await assertNotOfSystem(each, from);
    return { described: instance, inspected, planned, existing, missing, unnamed: new Set(unnamed.map(({ index }) => index)) };
  } catch (error) {
    throw createDisks ? error : withWayOut(error);
  }
}

/** What the new data goes into. Disposing it before `newDisks.commit` removes what was made. */
export interface MadeTargets extends AsyncDisposable {
  readonly newDisks: NewDisks;
  /** With the paths by which the disks are written. */
  readonly session: Session;
}

/** Creates and enlarges what was planned. @throws GantryError `DISK_*`, `BUSY`, `STATE_UNUSABLE`; the reason of the signal */
export async function makeTargets(
  session: Session,
  { described, planned, inspected }: ImportTargets,
  { disks, forceInUse }: { readonly disks: readonly number[]; readonly forceInUse: boolean },
): Promise<MadeTargets> {
  await using scope = new AsyncDisposableStack();
  const newDisks = scope.use(await NewDisks.make(planned, { ...session, forceInUse }));
  const placed = newDisks.place(described);
  const found = planned.length === 0 ? inspected : await inspectDisks(placed, { purpose: 'import', disks, signal: session.signal });
  const all = scope.move();
  return {
    newDisks,
    session: { ...session, instance: found.instance, inspected: found },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** The same path may be the disk of another instance on this host. */
function assertNamed({ disks }: Instance, existing: readonly number[], targets: Pick<TargetsOf, 'from' | 'namedDisks'>): void {
  const { from } = targets;
  const disk = existing.find((index) => !isNamed(index, targets));
  if (disk === undefined) return;
  const { path, uri = '' } = disks[disk] ?? {};
  const other = `For another disk: --disk ${disk}=PATH --create-disks.`;
  throw new GantryError('CONFIRM_NEEDED', {
    message: `disk ${disk} (${path ?? uri}) exists, and only ${from} says that it is a disk of the instance`,
    hint: path === undefined ? other : `To overwrite it: --disk ${disk}=${quoteWord(path)}. ${other}`,
    disk,
  });
}

function isNamed(index: number, { namedDisks }: Pick<TargetsOf, 'namedDisks'>): boolean {
  return namedDisks?.includes(index) ?? true;
}

/** Who can write to a store must not be able to write files of root's on each host that restores from it. */
async function assertNotOfSystem({ index, kind, path }: PlannedDisk, from: string): Promise<void> {
  if (kind === 'volume') return;
  const why = await whyOnlyNamed(path).catch((error: unknown) => {
    throw diskCallError(path, 'create', error);
  });
  if (why === undefined) return;
  throw new GantryError('CONFIRM_NEEDED', {
    message: `disk ${index} (${path}) is not created: ${why}, and only ${from} says that it belongs there`,
    hint: `Name another path, or, if it really belongs there, this one: --disk ${index}=${quoteWord(path)}.`,
    disk: index,
  });
}

const WAYS_OUT: Readonly<Partial<Record<GantryErrorCode, string>>> = {
  DISK_MISSING: 'Or import with --create-disks, which creates it.',
  DISK_TOO_SMALL: 'Or import with --create-disks, which enlarges files.',
};

function withWayOut(error: unknown): unknown {
  const way = error instanceof GantryError ? WAYS_OUT[error.code] : undefined;
  if (!(error instanceof GantryError) || way === undefined) return error;
  const { code, message, hint = '', disk, details } = error;
  return new GantryError(code, { message, hint: `${hint} ${way}`.trim(), disk, details, cause: error });
}
