import { resolve } from 'node:path';
import type { DescribedInstance, ExportRequest } from '@gantry/core';
import { readSnapshotConfig } from '@gantry/core';
import type { Session } from '../session.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { SNAPSHOTS } from '../command-line/snapshot-options.ts';

/** How the options say that snapshots are taken. @throws GantryError for a configuration that cannot be read or is not valid */
export async function snapshotChoiceOf(
  { cwd }: Session,
  { guest }: DescribedInstance,
  { snapshot, snapshotConfig, snapshotSize }: OptionValues<typeof SNAPSHOTS>,
): Promise<Pick<ExportRequest, 'snapshot' | 'snapshotConfig' | 'snapshotSize' | 'guest'>> {
  const config = snapshotConfig === undefined ? undefined : await readSnapshotConfig(resolve(cwd, snapshotConfig));
  return { snapshot, snapshotConfig: config, snapshotSize, guest };
}
