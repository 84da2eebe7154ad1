import { errorText } from '../../report/error-text.ts';
import { pause } from '../../system/pause.ts';
import type { VolumeReport } from './commands.ts';
import { isGroupThere, runLvm } from './commands.ts';
import { volumeName } from './plan.ts';

/** udev and others open a new device for a moment. */
const REMOVAL_TIMEOUT_MS = 30_000;
const REMOVAL_PAUSE_MS = 250;

/** Names can be given again, and groups can be renamed: so the UUID counts, and the name is for messages. */
export interface VolumeGroup {
  readonly groupUuid: string;
  readonly group: string;
}

/**
 * Removes a volume; as long as somebody has it open that is tried again. Idempotent.
 * @throws Error where it is still there, or its group is not; the signal's reason
 */
export async function removeVolume(
  { groupUuid, group }: VolumeGroup,
  find: (signal: AbortSignal) => Promise<VolumeReport | undefined>,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + REMOVAL_TIMEOUT_MS;
  for (;;) {
    const volume = await find(signal);
    if (volume === undefined) {
      // It may come back, and the volume with it.
      if (!(await isGroupThere(groupUuid, signal))) throw new Error(`volume group ${group} is not there`);
      return;
    }
    try {
      await runLvm(['lvremove', '--force', '--yes', volumeName(volume)], { signal });
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (!/\bin use\b|\bused by\b/.test(errorText(error)) || performance.now() > deadline) throw error;
    }
    await pause(REMOVAL_PAUSE_MS, signal);
  }
}
