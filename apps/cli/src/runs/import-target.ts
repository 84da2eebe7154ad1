import type { DescribedInstance, ImportRequest } from '@gantry/core';
import { assertOpened, GantryError, openExport, overrideInstance, restoredInstance } from '@gantry/core';
import type { Store } from '@gantry/transport';
import type { OptionValues } from '../command-line/command.ts';
import type { DEFINE } from '../command-line/options.ts';
import type { TARGET } from '../command-line/target-options.ts';
import { overridesOf } from '../command-line/target-options.ts';
import type { Session } from '../session.ts';

export type TargetFlags = OptionValues<typeof TARGET & typeof DEFINE> & {
  readonly to: string | undefined;
  readonly os: string | undefined;
};

/** The instance that is imported into, and what is allowed with it. */
export type ImportTarget = Pick<ImportRequest, 'instance' | 'export' | 'opened' | 'guard' | 'namedDisks'>;

/** @throws GantryError `USAGE` */
export function assertTargetFlags({ to, name, nic, define }: TargetFlags): void {
  const hint = 'gantry help import shows its options and examples.';
  if (to !== undefined && name !== undefined)
    throw new GantryError('USAGE', { message: '--name does not go with --to: the instance that --to names has its own name', hint });
  if (nic === undefined || define === undefined) return;
  throw new GantryError('USAGE', {
    message: '--nic does not go with --define: what is defined has the NICs that the native description of the export says',
    hint: 'For new MAC addresses there: --new-identity.',
  });
}

/** The instance that `--to` names, with what the options replace of it. */
export function describedTarget(session: Session, guard: DescribedInstance, reference: string, options: TargetFlags): ImportTarget {
  const overrides = overridesOf(options);
  const source = options.to ?? guard.source;
  const instance =
    overrides === undefined ? guard.instance : overrideInstance(guard.instance, overrides, { baseDirectory: session.cwd, source });
  return { instance, guard, export: reference };
}

/**
 * The exported instance, with what the options replace of it. Of its disks, only those that the options name are the user's. A store may give
 * another manifest at a second reading, so the import goes by the one that was opened here, and checks its signature.
 */
export async function exportedTarget(
  { cwd, signal }: Pick<Session, 'cwd' | 'signal'>,
  store: Store,
  reference: string,
  options: Parameters<typeof overridesOf>[0],
): Promise<ImportTarget> {
  const found = await openExport(store, reference, { signal });
  assertOpened(store, found);
  const overrides = overridesOf(options) ?? {};
  const instance = restoredInstance(found, overrides, { baseDirectory: cwd });
  return { instance, export: found.reference, opened: found, namedDisks: [...(overrides.disks?.keys() ?? [])] };
}
