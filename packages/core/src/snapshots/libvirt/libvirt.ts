import { errorText } from '../../report/error-text.ts';
import type { FillWatch } from '../fill-watch.ts';
import type { ProviderOptions, SnapshotProvider, SnapshotRequest, Support } from '../provider.ts';
import type { BackedUpDisk } from './backup.ts';
import { Backup, libvirtFailed, takingFailed } from './backup.ts';
import { forgetMark } from './change-marks.ts';
import type { Domain } from './domain.ts';
import { lookAtDomain } from './domain.ts';
import type { LibvirtGuest, Unsupported } from './find-disk.ts';
import { findDisk, whyNoSpace, whyNotAsked, whyNotGuest } from './find-disk.ts';
import { libvirtSettings } from './libvirt-config.ts';
import { readLibvirtRecord } from './libvirt-record.ts';
import { releaseBackup } from './release-backup.ts';
import { Virsh } from './virsh.ts';

/*
 * Snapshots of the disks of a running guest that libvirt manages: a backup in pull mode, which is read over NBD. See
 * docs/decisions/0106-snapshots-by-libvirt.md.
 */

/** Without a guest of libvirt it can only drop what another run made. */
export function createLibvirtProvider({ config, guest }: ProviderOptions = {}): SnapshotProvider & { readonly name: 'libvirt' } {
  const settings = libvirtSettings(config?.libvirt);
  const watches = new Map<string, FillWatch>();

  const look = async ({ uri, uuid }: LibvirtGuest, signal: AbortSignal): Promise<Domain> =>
    await lookAtDomain(new Virsh(uri, settings.timeout), uuid, { signal });
  let looked: Promise<Domain> | undefined;

  const examine = async (request: SnapshotRequest, domain: Domain, of: LibvirtGuest): Promise<BackedUpDisk | Unsupported> => {
    const found = await findDisk(domain, of, request);
    if ('reason' in found) return found;
    const all = domain.disks.filter(({ target }) => of.targets.includes(target));
    return whyNotGuest(domain) ?? (await whyNoSpace(settings, all)) ?? { request, disk: found };
  };

  return {
    name: 'libvirt',
    async supports(request, signal): Promise<Support> {
      const why = whyNotAsked(guest, request);
      if (why !== undefined || guest?.kind !== 'libvirt') return { ok: false, reason: '', ...why };
      try {
        looked ??= look(guest, signal);
        const found = await examine(request, await looked, guest);
        return 'reason' in found ? { ok: false, ...found } : { ok: true, what: describe(found), isOverNbd: true };
      } catch (error) {
        signal.throwIfAborted();
        return { ok: false, reason: errorText(error) };
      }
    },
    async prepare(requests, context) {
      if (guest?.kind !== 'libvirt') throw libvirtFailed('SNAPSHOT_FAILED', requests, 'libvirt does not have the guest');
      const virsh = new Virsh(guest.uri, settings.timeout);
      try {
        const domain = await look(guest, context.signal);
        const disks: BackedUpDisk[] = [];
        for (const request of requests) {
          const found = await examine(request, domain, guest);
          if ('reason' in found) throw libvirtFailed('SNAPSHOT_FAILED', [request], found.reason);
          disks.push(found);
        }
        return await Backup.prepare({ guest, settings, virsh, domain, disks, context }, (directory, watch) =>
          watches.set(directory, watch),
        );
      } catch (error) {
        context.signal.throwIfAborted();
        throw takingFailed(requests, error);
      }
    },
    async drop(record, signal) {
      const data = readLibvirtRecord(record);
      await watches.get(data.directory)?.[Symbol.asyncDispose]();
      watches.delete(data.directory);
      await releaseBackup(data, signal);
    },
    async forgetMark(mark, signal) {
      await forgetMark(mark, settings.timeout, signal);
    },
  };
}

function describe({ disk: { target, format } }: BackedUpDisk): string {
  const how = format === 'raw' ? 'a backup' : `a backup of what the guest sees in its ${format} image`;
  return `${target} of the running guest, by libvirt: ${how}`;
}
