import { resolve } from 'node:path';
import type { ExportSettings } from '@gantry/config';
import type { DescribedInstance, ExportRequest } from '@gantry/core';
import { readSnapshotConfig } from '@gantry/core';
import type { Session } from '../session.ts';

/** How it is said that snapshots are taken. @throws GantryError for a configuration that cannot be read or is not valid */
export async function snapshotChoiceOf(
  { cwd }: Session,
  { guest }: DescribedInstance,
  { snapshot, snapshotConfig, snapshotSize }: ExportSettings,
): Promise<Pick<ExportRequest, 'snapshot' | 'snapshotConfig' | 'snapshotSize' | 'guest'>> {
  const config = snapshotConfig === undefined ? undefined : await readSnapshotConfig(resolve(cwd, snapshotConfig));
  return { snapshot, snapshotConfig: config, snapshotSize, guest };
}

/** What the options say of how disks are read. */
export function snapshotOptionsOf({
  snapshot,
  snapshotConfig,
  snapshotSize,
  parallel,
}: Pick<ExportSettings, 'snapshot' | 'snapshotConfig' | 'snapshotSize' | 'parallel'>): ExportSettings {
  return { snapshot, snapshotConfig, snapshotSize, parallel };
}
