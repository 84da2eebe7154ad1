import { inspectDisks } from '../disks/inspect-disks.ts';
import type { InspectedDisks } from '../disks/inspect-disks.ts';
import type { Instance } from '../instances/model.ts';
import { quoteWord } from '../report/quote-word.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';
import type { SelectedOs } from '../scripts/select.ts';
import type { OriginalDisk } from './import-checks.ts';
import { assertRoom } from './import-checks.ts';
import type { PlannedDisk } from './new-disk-plan.ts';
import { planNewDisks, withPlanned } from './new-disk-plan.ts';
import { NewDisks } from './new-disks.ts';
import type { Call, Session } from './session.ts';
import { inspectFor } from './session.ts';

/** What an import may do to the disks of its target. */
export interface TargetOptions {
  /** Creates disks that are missing, and enlarges files that are too short. Fails or is killed: what was created is removed. */
  readonly createDisks?: boolean | undefined;
  /** Only these disks, by index, may be there already: of the others, only the export says where they are. Absent: all. */
  readonly overwrites?: readonly number[] | undefined;
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
}

/**
 * Examines the disks that will be written, and decides which will be created or enlarged. Changes nothing.
 *
 * @throws GantryError `DISK_*`, `INSTANCE_INVALID`, `CONFIRM_NEEDED`; the reason of the signal
 */
export async function inspectTargets(call: Call, targets: TargetsOf): Promise<ImportTargets> {
  const { os, instance, originals, from, createDisks = false, overwrites } = targets;
  const { reporter, signal } = call;
  const planned = createDisks ? await planNewDisks(instance, originals, { isRaw: os.definition.builtin, reporter, signal }) : [];
  const missing = new Set(planned.filter(({ kind }) => kind !== 'longer').map(({ index }) => index));
  const existing = originals.map(({ index }) => index).filter((index) => !missing.has(index));
  try {
    const inspected = withPlanned(await inspectFor(call, instance, { purpose: 'import', disks: existing }), planned);
    assertNamed(instance, existing, { from, overwrites });
    assertRoom(os, originals, from, inspected, reporter);
    return { described: instance, inspected, planned, existing, missing };
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
  disks: readonly number[],
): Promise<MadeTargets> {
  await using scope = new AsyncDisposableStack();
  const newDisks = scope.use(await NewDisks.make(planned, session));
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
function assertNamed({ disks }: Instance, existing: readonly number[], { from, overwrites }: Pick<TargetsOf, 'from' | 'overwrites'>): void {
  if (overwrites === undefined) return;
  const disk = existing.find((index) => !overwrites.includes(index));
  if (disk === undefined) return;
  const { path, uri = '' } = disks[disk] ?? {};
  const other = `For another disk: --disk ${disk}=PATH --create-disks.`;
  throw new GantryError('CONFIRM_NEEDED', {
    message: `disk ${disk} (${path ?? uri}) exists, and only ${from} says that it is a disk of the instance`,
    hint: path === undefined ? other : `To overwrite it: --disk ${disk}=${quoteWord(path)}. ${other}`,
    disk,
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
