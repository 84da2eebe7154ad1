import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { errorText } from '../../report/error-text.ts';
import { errnoName } from '../../system/errno-name.ts';
import { isSocketPathTooLong } from '../../system/socket-path.ts';
import type { SnapshotRequest } from '../provider.ts';
import { describeLack, freeBytes, MIN_RESERVES } from '../scratch-directory.ts';
import type { QemuProcess, QemuProcesses } from './find-monitor.ts';
import type { GuestDisk, ImageFile } from './guest-disks.ts';
import { findGuestDisk, imageOf } from './guest-disks.ts';
import { SAMPLE_PREFIX, socketOf } from './qemu-record.ts';
import { QmpClient } from './qmp-client.ts';
import type { QemuSettings } from './settings.ts';

/** A disk of a guest, and the QEMU that can take a snapshot of it. */
export interface Target {
  readonly request: SnapshotRequest;
  /** The QMP socket. */
  readonly qmp: string;
  /** The process, where it can be seen. */
  readonly pid: number | undefined;
  readonly disk: GuestDisk;
}

type Unsupported = { readonly reason: string };

/** `on-cbw-error` of the filter copy-before-write came with it. */
const FIRST_VERSION = { major: 7, minor: 1 };

/** @returns why the disk is not supported, in one clause. Changes nothing. @throws the signal's reason */
export async function findTarget(
  settings: QemuSettings,
  processes: QemuProcesses,
  request: SnapshotRequest,
  signal: AbortSignal,
): Promise<Target | Unsupported> {
  const image = imageOf(request.disk);
  if (image === undefined) return { reason: 'it has neither a path nor the URI of an image in a file (qcow2:/PATH)' };
  if (isSocketPathTooLong(socketOf({ directory: join(settings.scratch, SAMPLE_PREFIX) })))
    return { reason: `the path of the scratch directory ${settings.scratch} is too long for a socket in it` };
  try {
    const qemu = await processes.find(image.path, signal);
    return (await whyNoSpace(settings)) ?? (await whyNotSeen(settings, qemu)) ?? (await ask(settings, qemu, request, image, signal));
  } catch (error) {
    signal.throwIfAborted();
    return { reason: errorText(error) };
  }
}

/** A directory that the user has named is checked when it is used: if it is too full the export fails, instead of reading the disk itself. */
async function whyNoSpace({ scratch, isDefaultScratch, reserveBytes }: QemuSettings): Promise<Unsupported | undefined> {
  if (!isDefaultScratch) return undefined;
  const free = await freeBytes(scratch);
  return free < MIN_RESERVES * reserveBytes ? { reason: describeLack(scratch, free, reserveBytes) } : undefined;
}

/** Ganeti can put a QEMU into a chroot (`use_chroot`), and others give it mounts of its own. */
async function whyNotSeen({ scratch }: QemuSettings, qemu: QemuProcess | undefined): Promise<Unsupported | undefined> {
  if (qemu === undefined) return undefined;
  const here = await existingPartOf(scratch);
  // Where we may not look, QEMU itself will say.
  const there = await existingPartOf(scratch, `/proc/${qemu.pid}/root`).catch(() => here);
  if (here.dev === there.dev && here.ino === there.ino) return undefined;
  return {
    reason: `its QEMU (process ${qemu.pid}) does not see the scratch directory ${scratch}: it runs in a chroot, or with mounts of its own`,
  };
}

/** What is at the path, or at the nearest directory above that is there. */
async function existingPartOf(path: string, root = ''): Promise<Stats> {
  try {
    return await stat(`${root}${path}`);
  } catch (error) {
    if (errnoName(error) !== 'ENOENT' || path === '/') throw error;
    return await existingPartOf(dirname(path), root);
  }
}

async function ask(
  settings: QemuSettings,
  qemu: QemuProcess | undefined,
  request: SnapshotRequest,
  image: ImageFile,
  signal: AbortSignal,
): Promise<Target | Unsupported> {
  const qmp = settings.socket(request.instanceName ?? '') ?? qemu?.qmp;
  if (qmp === undefined) return { reason: whyNoSocket(qemu) };
  await using client = await QmpClient.connect(qmp, { timeoutMs: settings.timeoutMs, signal });
  const { major, minor } = await client.version;
  if (major < FIRST_VERSION.major || (major === FIRST_VERSION.major && minor < FIRST_VERSION.minor))
    return { reason: `QEMU ${major}.${minor} is too old: 7.1 is needed` };
  const found = await findGuestDisk(client, image);
  return 'reason' in found ? found : { request, qmp, pid: qemu?.pid, disk: found };
}

function whyNoSocket(qemu: QemuProcess | undefined): string {
  if (qemu === undefined) return 'no QEMU has it open for writing, as far as can be seen from here';
  return `the command line of the QEMU that has it open (process ${qemu.pid}) names no QMP socket: name it in the snapshot configuration`;
}
