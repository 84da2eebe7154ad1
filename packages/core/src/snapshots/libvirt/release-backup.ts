import { unlink } from 'node:fs/promises';

import { errorText } from '../../report/error-text.ts';
import { errnoName } from '../../system/errno-name.ts';
import { pause } from '../../system/pause.ts';
import { removeScratch } from '../scratch-directory.ts';
import { undoFreeze } from './agent-freeze.ts';
import { settleMarks } from './change-marks.ts';
import { domainJob, domainState } from './domain.ts';
import type { LibvirtRecordData } from './libvirt-record.ts';
import { scratchFilesOf } from './libvirt-record.ts';
import { isGone, Virsh } from './virsh.ts';

/** Between two looks at whether libvirt has ended a backup, ms. */
const LOOK_MS = 100;

/**
 * Undoes all that an export has, or may have, made in a libvirt: what is not there is undone already. First the guest is thawed.
 * @throws Error with what could not be undone; the signal's reason
 */
export async function releaseBackup(data: LibvirtRecordData, signal: AbortSignal): Promise<void> {
  const virsh = new Virsh(data.uri, data.timeoutS);
  const failures: unknown[] = [];
  if (data.freeze !== undefined) await undoFreeze(data.freeze, virsh, data.uuid, signal).catch((error: unknown) => failures.push(error));
  await endBackup(virsh, data, signal);
  await unlinkIfThere(data.socket);
  await removeScratch(scratchFilesOf(data.directory));
  await removeScratch(data.directory);
  // One that was about to begin when its export was killed has either made its files before, or cannot make them any more.
  await endBackup(virsh, data, signal);
  if (data.marks !== undefined) await settleMarks(virsh, data.uuid, data.marks, signal);
  if (failures.length > 0) throw failures[0];
}

/** Ends the backup if it is ours, and lets the guest go on if it had filled the scratch space. */
async function endBackup(virsh: Virsh, data: LibvirtRecordData, signal: AbortSignal): Promise<void> {
  try {
    if (await isOurs(virsh, data, signal)) {
      await virsh.run(['domjobabort', data.uuid], { signal }).catch(ignoreNoJob);
      while (await isOurs(virsh, data, signal)) await pause(LOOK_MS, signal);
    }
    // Also if somebody else has ended our backup: the guest does not go on by that.
    await reviveGuest(virsh, data, signal);
  } catch (error) {
    signal.throwIfAborted();
    // With the guest, its backup has gone.
    if (!isGone(error)) throw error;
  }
}

/** Whether the job under way is our backup. One that is only beginning is not described yet. */
async function isOurs(virsh: Virsh, { uuid, socket }: LibvirtRecordData, signal: AbortSignal): Promise<boolean> {
  while ((await domainJob(virsh, uuid, { signal })) === 'Backup') {
    const description = await virsh.run(['backup-dumpxml', uuid], { signal }).catch((error: unknown) => {
      if (!/no domain backup job|state change lock/.test(errorText(error))) throw error;
    });
    // The names of our sockets have no characters that XML writes in another way, but those of their directories may.
    if (description !== undefined) return description.includes(socket.slice(socket.lastIndexOf('/')));
    await pause(LOOK_MS, signal);
  }
  return false;
}

/** QEMU pauses a guest whose write fails because what it overwrites finds no space. */
async function reviveGuest(virsh: Virsh, { uuid }: LibvirtRecordData, signal: AbortSignal): Promise<void> {
  const { state, reason } = await domainState(virsh, uuid, { signal });
  if (state !== 'paused' || reason !== 'I/O error') return;
  if (!(await virsh.run(['domblkerror', uuid], { signal })).includes('no space')) return;
  await virsh.run(['resume', uuid], { signal });
}

function ignoreNoJob(error: unknown): void {
  if (!errorText(error).includes('no job is active')) throw error;
}

async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (errnoName(error) !== 'ENOENT') throw error;
  });
}
