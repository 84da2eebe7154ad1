import { GantryError } from '../report/errors.ts';
import { chooseProviders } from '../snapshots/choose.ts';
import { createProviders } from '../snapshots/registry.ts';
import { refuseUri } from './disk-source.ts';
import type { Session } from './session.ts';
import type { SnapshotChoice } from './take-snapshots.ts';
import { choiceOptions } from './take-snapshots.ts';

/**
 * Refuses what could certainly not be read once its guest is shut down, so that it is not shut down for nothing.
 *
 * @throws GantryError `SNAPSHOT_UNSUPPORTED`, `DISK_KIND`; the signal's reason
 */
export async function assertReadableWithoutGuest(request: SnapshotChoice, { instance, disks, os, signal }: Session): Promise<void> {
  const { mode, config, size } = choiceOptions(request);
  if (mode === 'libvirt' || mode === 'qemu')
    throw new GantryError('SNAPSHOT_UNSUPPORTED', {
      message: `cannot take a ${mode} snapshot of ${instance.name}: it needs a running guest, which is to be shut down before`,
      hint: 'Use --snapshot auto, or leave --stop-source out.',
    });
  if (!os.definition.builtin) return;
  // What has a path can be read there. Who else reads it decides how, but not whether.
  for (const index of disks) {
    const disk = instance.disks[index];
    if (disk === undefined || disk.path !== undefined) continue;
    const providers = await createProviders({ config, size }, mode);
    const plans = await chooseProviders(mode, [{ index, disk, instanceName: instance.name }], providers, signal);
    if (plans.some(({ provider }) => provider.name === 'none')) refuseUri(index);
  }
}
