import { InvalidArgumentError } from 'commander';
import type { SnapshotMode, SnapshotSize } from '@gantry/core';
import { parseSnapshotSize, SNAPSHOT_MODES, SNAPSHOT_SUMMARY, errorText } from '@gantry/core';
import type { OptionSpec } from './options.ts';
import { choice, orVariable, text } from './options.ts';

/** For commands that read disks which may be in use. */
export const SNAPSHOTS: {
  readonly snapshot: OptionSpec<SnapshotMode | undefined>;
  readonly snapshotConfig: OptionSpec<string | undefined>;
  readonly snapshotSize: OptionSpec<SnapshotSize | undefined>;
} = {
  snapshot: orVariable(
    'GANTRY_SNAPSHOT',
    choice(
      '--snapshot <provider>',
      `how disks are snapshotted; auto, the default, uses the first of these that works: ${SNAPSHOT_SUMMARY}`,
      SNAPSHOT_MODES,
    ),
  ),
  snapshotConfig: orVariable(
    'GANTRY_SNAPSHOT_CONFIG',
    text('--snapshot-config <file>', 'YAML file with the commands of --snapshot command'),
  ),
  snapshotSize: orVariable('GANTRY_SNAPSHOT_SIZE', {
    flags: '--snapshot-size <size>',
    description: 'space for each classic snapshot of LVM, such as 5G or 20% of the disk (default 20%, and 256 MiB at least)',
    parse: (value) => {
      try {
        return parseSnapshotSize(value);
      } catch (error) {
        throw new InvalidArgumentError(errorText(error));
      }
    },
  }),
};
