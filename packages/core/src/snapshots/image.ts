import { open as openFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { diskIdentity } from '../disks/disk-identity.ts';
import { describeUsers, findDiskWriters } from '../disks/disk-users.ts';
import type { Image, ImageFormat } from '../instances/image-uri.ts';
import { parseImageUri } from '../instances/image-uri.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { ProcessGroup } from '../system/process-group.ts';
import { endCommandOfKilledRun, processGroupSchema } from '../system/run-command.ts';
import { isSocketPathTooLong } from '../system/socket-path.ts';
import { unexpectedFiles } from './opened-files.ts';
import type { Snapshot, SnapshotContext, SnapshotProvider, SnapshotRecord, SnapshotRequest, Support } from './provider.ts';
import { QemuImgMissingError, runQemuImg } from './qemu-img.ts';
import type { ImageServer } from './rbd/image-server.ts';
import { socketIn, startImageServer } from './rbd/image-server.ts';
import { defaultScratch, makeDefaultScratch, removeScratch } from './scratch-directory.ts';

/*
 * Images of QEMU that nobody uses, read as a guest would see them. The format is what the description of the instance says: a guest can
 * write any header into a raw disk. What the header of an image refers to is not followed (docs/reference/snapshots.md).
 */

/** Formats, and whether QEMU can leave out a backing file. */
const HAS_BACKING: Readonly<Record<ImageFormat, boolean>> = { qcow2: true, vmdk: true, vhdx: false };
const TIMEOUT_S = 60;
/** As long as the name of any directory here. */
const SAMPLE_NAME = 'gantry-20261123T081500Z-4194304-999-255';

/** https://www.qemu.org/docs/master/interop/qcow2.html: the incompatible features are bytes 72 to 79, big-endian. */
const QCOW2_MAGIC = 0x51_46_49_fb;
const QCOW2_FEATURES_END = 80;
const QCOW2_HAS_DATA_FILE = 4;

/** What `qemu-img info` says of an image, as far as it matters here. */
const infoSchema = z.object({
  'virtual-size': z.int().nonnegative(),
  'backing-filename': z.string().optional(),
  encrypted: z.boolean().optional(),
  'format-specific': z
    .object({
      data: z.object({
        'data-file': z.string().optional(),
        extents: z.array(z.object({ filename: z.string() })).optional(),
        corrupt: z.boolean().optional(),
      }),
    })
    .optional(),
});

const dataSchema = z.object({ directory: z.string(), process: processGroupSchema.optional() });

/** @param scratch Gantry's own directory, for sockets; not one that others may write to, as root removes files in it */
export function createImageProvider(scratch: string = defaultScratch()): SnapshotProvider & { readonly name: 'image' } {
  return {
    name: 'image',
    supports: (request, signal) => supports(request, scratch, signal),
    async prepare(requests, context) {
      const records = requests.map((request) => recordOf(request, context, scratch));
      for (const record of records) await context.remember(record);
      return {
        take: async () => undefined,
        async open() {
          const snapshots: Snapshot[] = [];
          for (const [at, request] of requests.entries()) {
            const record = records[at];
            if (record !== undefined) snapshots.push(await open(request, record, context));
          }
          return snapshots;
        },
      };
    },
    async drop(record) {
      const { directory, process } = dataSchema.parse(record.data);
      if (process !== undefined) await endCommandOfKilledRun(process);
      await removeScratch(directory);
    },
  };
}

async function supports({ disk }: SnapshotRequest, scratch: string, signal: AbortSignal): Promise<Support> {
  const image = parseImageUri(disk.uri);
  if (image === undefined) return no('its URI does not name an image: qcow2:, vmdk: or vhdx:, and an absolute path');
  if (disk.path !== undefined) return no('it has a path too, which is read as it is');
  if (isSocketPathTooLong(socketIn(join(scratch, SAMPLE_NAME))))
    return { ok: false, reason: `the path of the scratch directory ${scratch} is too long for a socket in it`, isObstacle: true };
  try {
    const { users } = await findDiskWriters(image.path, signal);
    if (users.length > 0) return { ok: false, reason: `${image.path} is in use: ${describeUsers(users)}`, isObstacle: true };
    await readInfo(image, signal);
    return { ok: true, what: `the ${image.format} image itself, as a guest sees it`, isOverNbd: true };
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, reason: errorText(error), isObstacle: !(error instanceof QemuImgMissingError) };
  }
}

function no(reason: string): Support {
  return { ok: false, reason };
}

/**
 * Bytes that a guest sees. Only an image that is complete by itself counts: else its header would decide which other files of this host
 * are read.
 *
 * @throws QemuImgMissingError, Error with the reason
 */
async function readInfo({ format, path }: Image, signal: AbortSignal): Promise<number> {
  if (format === 'qcow2') await assertNoDataFile(path);
  const text = await runQemuImg(['info', '--output=json', '--format', format, path], { signal, timeoutS: TIMEOUT_S });
  const { 'virtual-size': bytes, 'backing-filename': backing, encrypted, 'format-specific': specific } = infoSchema.parse(JSON.parse(text));
  const { 'data-file': dataFile, extents = [], corrupt } = specific?.data ?? {};
  const others = [backing, dataFile, ...extents.map(({ filename }) => filename)].filter((file) => file !== undefined && file !== path);
  if (others.length > 0) throw refersTo(path, others.join(', '));
  if (encrypted === true) throw new Error(`${path} is encrypted`);
  if (corrupt === true) throw new Error(`${path} is marked as corrupt (qemu-img check)`);
  return bytes;
}

/** Before QEMU sees the image: some versions open a data file even to say that there is one (CVE-2024-4467). */
async function assertNoDataFile(path: string): Promise<void> {
  await using file = await openFile(path, 'r');
  const { buffer: header, bytesRead } = await file.read(Buffer.alloc(QCOW2_FEATURES_END), 0, QCOW2_FEATURES_END, 0);
  const hasFeatures = bytesRead === QCOW2_FEATURES_END && header.readUInt32BE(0) === QCOW2_MAGIC && header.readUInt32BE(4) >= 3;
  if (hasFeatures && (header.readUInt32BE(QCOW2_FEATURES_END - 4) & QCOW2_HAS_DATA_FILE) !== 0) throw refersTo(path, 'a data file');
}

function refersTo(path: string, others: string): Error {
  return new Error(`${path} refers to ${others}, and only an image that is complete by itself is read (qemu-img convert)`);
}

function recordOf({ index, disk }: SnapshotRequest, { runId }: SnapshotContext, scratch: string): SnapshotRecord {
  const directory = join(scratch, `${runId}-${index}`);
  return { provider: 'image', index, description: `server that reads ${disk.uri ?? ''} (disk ${index})`, data: { directory } };
}

async function open({ index, disk }: SnapshotRequest, record: SnapshotRecord, context: SnapshotContext): Promise<Snapshot> {
  const { signal } = context;
  const { directory } = dataSchema.parse(record.data);
  const image = parseImageUri(disk.uri);
  try {
    if (image === undefined) throw new Error(`${disk.uri ?? ''} does not name an image`);
    const identity = await diskIdentity(image.path);
    const bytes = await readInfo(image, signal);
    await makeDefaultScratch(dirname(directory));
    const exportName = `disk${index}`;
    const started = (process: ProcessGroup): Promise<void> => context.remember({ ...record, data: { ...record.data, process } });
    const server = await startImageServer({ directory, exportName, uri: uriForQemu(image), started, signal });
    await assertReadsOnly(identity, server);
    const assertIntact = async (): Promise<void> => {
      const reason = server.whyEnded();
      if (reason !== undefined) throw new GantryError('SNAPSHOT_FAILED', { message: `cannot read disk ${index}: ${reason}`, disk: index });
    };
    return { index, kind: 'image', uri: disk.uri ?? '', bytes, nbd: { socket: server.socket, exportName }, assertIntact };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof GantryError) throw error;
    throw new GantryError('SNAPSHOT_FAILED', {
      message: `cannot read disk ${index} (${disk.uri ?? ''}): ${errorText(error)}`,
      hint: 'gantry snapshots check says what would be read.',
      disk: index,
      cause: error,
    });
  }
}

/** The header may have changed since {@link readInfo}. @throws Error if the server reads something else than the image that was checked */
async function assertReadsOnly(image: string, { pid, socket }: ImageServer): Promise<void> {
  const others = await unexpectedFiles(pid, { image, socket });
  if (others.length > 0) throw new Error(`the image changed after it was checked, and now refers to ${others.join(', ')}`);
}

/** Names the format, so that none is guessed, and no backing file, even if the header names one by now. */
function uriForQemu({ format, path }: Image): string {
  const backing = HAS_BACKING[format] ? { backing: null } : {};
  return `json:${JSON.stringify({ driver: format, ...backing, file: { driver: 'file', filename: path } })}`;
}
