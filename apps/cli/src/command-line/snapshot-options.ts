import type { SnapshotMode } from '@gantry/core';
import { SNAPSHOT_MODES, SNAPSHOT_SUMMARY } from '@gantry/core';
import type { OptionSpec } from './options.ts';
import { choice, text } from './options.ts';

/** For commands that read disks which may be in use. */
export const SNAPSHOTS: { readonly snapshot: OptionSpec<SnapshotMode>; readonly snapshotConfig: OptionSpec<string | undefined> } = {
  snapshot: choice(
    '--snapshot <provider>',
    `how disks are snapshotted; auto uses the first of these that works: ${SNAPSHOT_SUMMARY}`,
    SNAPSHOT_MODES,
    'auto',
  ),
  snapshotConfig: text('--snapshot-config <file>', 'YAML file with the commands of --snapshot command'),
};
