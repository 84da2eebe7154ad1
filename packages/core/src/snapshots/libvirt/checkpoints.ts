import { errorText } from '../../report/error-text.ts';
import { runCommand } from '../../system/run-command.ts';
import type { AskedMark } from '../asked-mark.ts';
import { removeBitmap } from '../qemu/change-marks.ts';
import { escapeXml } from './backup-xml.ts';
import { domainDisks } from './domain.ts';
import { monitorOf } from './monitor.ts';
import type { Virsh } from './virsh.ts';
import { isGone } from './virsh.ts';

/*
 * Checkpoints of libvirt: bitmaps that are kept in qcow2 images, all of one checkpoint, started at one moment. Each records until its
 * checkpoint is deleted, whether or not there are later ones.
 */

/** One checkpoint for all disks of an export whose images can keep bitmaps. */
export interface PlannedCheckpoint {
  readonly name: string;
  readonly disks: readonly CheckpointDisk[];
}

export interface CheckpointDisk {
  readonly index: number;
  /** Such as `vda`. */
  readonly target: string;
  /** As {@link imageIdentity} has it. */
  readonly image: string;
  /** The checkpoint that says what changed; without it, `whyAll` says why everything must be read. */
  readonly since?: string | undefined;
  readonly whyAll?: string;
}

/** The checkpoint that a disk goes on from, if libvirt can still say what changed since then. */
export async function usableCheckpoint(
  virsh: Virsh,
  { uuid, target }: { readonly uuid: string; readonly target: string },
  asked: AskedMark<string>,
  signal: AbortSignal,
): Promise<AskedMark<string>> {
  if ('whyAll' in asked) return asked;
  try {
    const xml = await virsh.run(['checkpoint-dumpxml', uuid, asked.since, '--no-domain', '--size'], { signal });
    // Of a bitmap that is missing or broken, libvirt gives no size.
    const [disk] = xml.match(/<disk [^>]*>/g)?.filter((each) => each.includes(`name='${target}'`)) ?? [];
    return / size='\d+'/.test(disk ?? '') ? asked : { whyAll: `the checkpoint ${asked.since} has no usable bitmap of ${target}` };
  } catch (error) {
    signal.throwIfAborted();
    return { whyAll: isNoCheckpoint(error) ? 'the mark is gone: it was removed' : `libvirt cannot say: ${errorText(error)}` };
  }
}

/** The description of a checkpoint (https://libvirt.org/formatcheckpoint.html). Other disks of the domain are left out. */
export function checkpointXml({ name, disks }: PlannedCheckpoint, targets: readonly string[]): string {
  const lines = targets.map((target) => {
    const isIn = disks.some((disk) => disk.target === target);
    return `<disk name='${escapeXml(target)}' checkpoint='${isIn ? 'bitmap' : 'no'}'/>`;
  });
  return ['<domaincheckpoint>', `<name>${name}</name><disks>`, ...lines, '</disks></domaincheckpoint>', ''].join('\n');
}

/**
 * Deletes a checkpoint with its bitmaps; of a guest that does not run, too. Idempotent.
 * @throws Error with why it is still there; the signal's reason
 */
export async function removeCheckpoint(virsh: Virsh, uuid: string, name: string, signal: AbortSignal): Promise<void> {
  try {
    await virsh.run(['checkpoint-delete', uuid, name], { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (isNoCheckpoint(error) || isNoDomain(error)) return;
    if (/inactive domain/.test(errorText(error))) await removeFromImages(virsh, uuid, name, signal);
    // A QEMU that was killed has left a bitmap that libvirt does not find, and QEMU removes.
    else if (/bitmap '.*' not found/.test(errorText(error))) await removeBitmap(monitorOf(virsh, uuid, signal), name);
    else throw error;
    await virsh.run(['checkpoint-delete', uuid, name, '--metadata'], { signal });
  }
}

/** From images that no QEMU has open: it would have locked them. */
async function removeFromImages(virsh: Virsh, uuid: string, name: string, signal: AbortSignal): Promise<void> {
  for (const { format, path } of await domainDisks(virsh, uuid, { signal })) {
    if (format !== 'qcow2' || path === undefined) continue;
    await runCommand(['qemu-img', 'bitmap', '--remove', '-f', 'qcow2', path, name], { timeoutS: IMAGE_TIMEOUT_S, signal }).catch(
      (error: unknown) => {
        if (!/[Dd]irty bitmap '.*' not found/.test(errorText(error))) throw error;
      },
    );
  }
}

/** For `qemu-img` to remove a bitmap. */
const IMAGE_TIMEOUT_S = 60;

function isNoCheckpoint(error: unknown): boolean {
  return /no domain checkpoint|Domain checkpoint not found/i.test(errorText(error));
}

/** Also a domain that only ran, and is not defined: then its checkpoints have gone with it. */
function isNoDomain(error: unknown): boolean {
  return isGone(error) && !/is not running/.test(errorText(error));
}
