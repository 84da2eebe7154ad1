import { join } from 'node:path';

import { errorText } from '../../report/error-text.ts';
import { expand } from '../placeholders.ts';
import type { SnapshotRequest } from '../provider.ts';
import type { QemuSnapshotConfig } from '../snapshot-config.ts';
import type { QemuProcess } from './find-monitor.ts';
import { findQemu } from './find-monitor.ts';
import type { GuestDisk } from './guest-disks.ts';
import { findGuestDisk } from './guest-disks.ts';
import { SAMPLE_PREFIX, socketOf } from './qemu-record.ts';
import type { QmpOptions } from './qmp-client.ts';
import { QmpClient } from './qmp-client.ts';

/** A disk of a guest, and the QEMU that can take a snapshot of it. */
export interface Target {
  readonly request: SnapshotRequest;
  /** The QMP socket. */
  readonly qmp: string;
  /** The process, where it can be seen. */
  readonly pid: number | undefined;
  readonly disk: GuestDisk;
}

/** What is known ahead of QEMU's own answers. */
export interface QemuSettings {
  readonly config: QemuSnapshotConfig | undefined;
  /** The QMP socket, as the source of the instance says. */
  readonly socket: string | undefined;
}

type Unsupported = { readonly reason: string };

/** unix(7): the path of a socket, without the NUL at its end. */
const MAX_SOCKET_PATH_BYTES = 107;
/** `on-cbw-error` of the filter copy-before-write came with it. */
const FIRST_VERSION = { major: 7, minor: 1 };

/** @returns why the disk is not supported, in one clause. Changes nothing. @throws the signal's reason */
export async function findTarget(
  { config, socket }: QemuSettings,
  request: SnapshotRequest,
  signal: AbortSignal,
): Promise<Target | Unsupported> {
  const { disk, needsPath = false } = request;
  if (config === undefined) return { reason: 'the snapshot configuration (--snapshot-config) has no section qemu' };
  if (needsPath) return { reason: 'the snapshot is read over NBD, which the built-in definition raw can do, but scripts cannot' };
  if (disk.path === undefined) return { reason: 'it has a URI and no path' };
  if (Buffer.byteLength(socketOf({ directory: join(config.scratch, SAMPLE_PREFIX) })) > MAX_SOCKET_PATH_BYTES)
    return { reason: `the path of the scratch directory ${config.scratch} is too long for a socket in it` };
  try {
    return await ask(namedSocket(config, socket, request), request, disk.path, { timeoutMs: config.timeout * 1000, signal });
  } catch (error) {
    signal.throwIfAborted();
    return { reason: errorText(error) };
  }
}

/** What the user says goes before what the source of the instance says. */
function namedSocket({ qmp }: QemuSnapshotConfig, socket: string | undefined, { instanceName = '' }: SnapshotRequest): string | undefined {
  return qmp === undefined ? socket : expand(qmp, { instance: instanceName });
}

async function ask(socket: string | undefined, request: SnapshotRequest, path: string, options: QmpOptions): Promise<Target | Unsupported> {
  const qemu = await findQemu(path, options.signal);
  const qmp = socket ?? qemu?.qmp;
  if (qmp === undefined) return { reason: whyNoSocket(qemu) };
  await using client = await QmpClient.connect(qmp, options);
  const { major, minor } = await client.version;
  if (major < FIRST_VERSION.major || (major === FIRST_VERSION.major && minor < FIRST_VERSION.minor))
    return { reason: `QEMU ${major}.${minor} is too old: 7.1 is needed` };
  const found = await findGuestDisk(client, path);
  return 'reason' in found ? found : { request, qmp, pid: qemu?.pid, disk: found };
}

function whyNoSocket(qemu: QemuProcess | undefined): string {
  if (qemu === undefined) return 'no QEMU has it open for writing, as far as can be seen from here';
  return `the command line of the QEMU that has it open (process ${qemu.pid}) names no QMP socket: name it in the snapshot configuration`;
}
