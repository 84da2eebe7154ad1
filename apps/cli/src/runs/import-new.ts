import type { DescribedInstance, Signers } from '@gantry/core';
import { areDisksHere, assertDisksHere, describeFrom, GantryError, importIntoSource } from '@gantry/core';
import type { InstanceSource } from '@gantry/core/inventory';
import { formatBytes, formatDuration } from '@gantry/programs';
import { describeDryRun } from '../consent.ts';
import type { Session } from '../session.ts';
import type { UnsealFlags } from '../unsealing.ts';
import { parallelOf } from './parallel-choice.ts';
import { signersOf } from './signers.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { SIGNERS } from '../command-line/signature-options.ts';

/** Options of an import for a new instance of Ganeti. */
export interface NewInstanceFlags extends Signers {
  /** For others, too. */
  readonly os: string | undefined;
  readonly diskTemplate: string | undefined;
  readonly node: readonly string[] | undefined;
}

/**
 * The instance that is imported into; undefined where its source makes a new one.
 *
 * @throws GantryError `INSTANCE_EXISTS` for one that is there, but whose disks are not, or for which options of a new one are given
 */
export async function describeTarget(
  { signal }: Session,
  { source, name }: { readonly source: InstanceSource; readonly name: string },
  { os, diskTemplate, node }: NewInstanceFlags,
): Promise<DescribedInstance | undefined> {
  const isForNew = [source.transfers && os, diskTemplate, node].some((option) => option !== undefined);
  let found: DescribedInstance;
  try {
    found = await describeFrom(source, name, { signal });
  } catch (error) {
    if (source.transfers !== undefined && error instanceof GantryError && error.code === 'INSTANCE_NOT_FOUND') return undefined;
    throw error;
  }
  const { instance } = found;
  if (isForNew) {
    throw new GantryError('INSTANCE_EXISTS', {
      message: `${instance.name} is in ${source.address} already, and --os, --disk-template and --node are for a new instance`,
      hint: 'Leave them out to overwrite its disks on the host that has them, or give another name.',
    });
  }
  if (source.transfers === undefined) assertDisksHere(found);
  if (areDisksHere(found)) return found;
  throw new GantryError('INSTANCE_EXISTS', {
    message: `${instance.name} is in ${source.address} already, and its disks are on ${found.disksOn}`,
    hint: 'Give another name for a new instance, or run the import there to overwrite its disks.',
  });
}

/** Options that do not go with a new instance of Ganeti, and why. */
const NOT_FOR_NEW = [
  ['disk', '--disk', 'it gets all disks of the export'],
  ['createDisks', '--create-disks', 'Ganeti makes its disks'],
  ['nic', '--nic', 'it gets the NICs of the export'],
  ['parameter', '--parameter', 'it gets the OS parameters of the export'],
  ['define', '--define', 'Ganeti knows it already'],
  ['resume', '--resume', 'there is nothing to go on with'],
] as const;

export type ImportNewFlags = NewInstanceFlags &
  UnsealFlags &
  OptionValues<typeof SIGNERS> & {
    readonly parallel: number | undefined;
    readonly checkFirst: true | undefined;
    readonly dryRun: true | undefined;
  } & { readonly [Option in (typeof NOT_FOR_NEW)[number][0]]: unknown };

/** Runs `gantry import` into a new instance that its source makes. */
export async function importNew(
  session: Session,
  [address, reference]: readonly [string, string],
  { source, name }: { readonly source: InstanceSource; readonly name: string },
  options: ImportNewFlags,
): Promise<void> {
  const started = performance.now();
  const [, flag, why] = NOT_FOR_NEW.find(([option]) => options[option] !== undefined) ?? [];
  if (flag !== undefined)
    throw new GantryError('USAGE', { message: `${flag} does not go with ${name}, a new instance: ${why}`, hint: `Leave ${flag} out.` });
  const signers = await signersOf(session, options, address, 'read');
  await using store = await session.openSealed(address, 'read', options);
  const result = await importIntoSource({
    ...session.operation,
    store,
    export: reference,
    source,
    name,
    os: options.os,
    diskTemplate: options.diskTemplate,
    nodes: options.node,
    parallel: await parallelOf(session, options, address, 'read'),
    checkFirst: options.checkFirst,
    dryRun: options.dryRun,
    ...signers,
  });
  const took = formatDuration(performance.now() - started);
  const done = `imported ${result.reference} into ${name}, a new instance: ${formatBytes(result.plainBytes)} in ${took}`;
  session.output.result({ operation: 'import', ...result }, result.dryRun ? describeDryRun(session, result.plan, result.checks) : done);
}
