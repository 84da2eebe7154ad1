import { z } from 'zod';

import { diskIdentity } from '../../disks/disk-identity.ts';
import { isImageFormat, parseImageUri } from '../../instances/image-uri.ts';
import type { Disk } from '../../instances/model.ts';
import type { Monitor, QmpClient } from './qmp-client.ts';

/** What QEMU says of a guest's block device (query-block). */
const blockSchema = z.array(
  z.object({
    device: z.string(),
    qdev: z.string().optional(),
    inserted: z
      .object({
        'node-name': z.string(),
        drv: z.string(),
        image: z.object({ filename: z.string(), 'virtual-size': z.number() }),
      })
      .optional(),
  }),
);

export interface GuestDisk {
  /** The device's path in QEMU's object tree. */
  readonly qdev: string;
  /** The block node that the device reads and writes. */
  readonly node: string;
  /** The name of QEMU's driver. */
  readonly format: string;
  /** Bytes that the guest sees. */
  readonly size: number;
}

/** Nodes of a guest's devices, by the devices' paths. */
export async function insertedNodes(client: Monitor): Promise<ReadonlyMap<string, string>> {
  const blocks = blockSchema.parse(await client.execute('query-block'));
  return new Map(
    blocks.flatMap(({ qdev, inserted }) => (qdev === undefined || inserted === undefined ? [] : [[qdev, inserted['node-name']]])),
  );
}

/** What a disk of an instance is to QEMU. */
export interface ImageFile {
  readonly path: string;
  /** The name of QEMU's driver. */
  readonly format: string;
}

/** A path is that of a disk with its plain contents. */
export function imageOf({ path, uri }: Disk): ImageFile | undefined {
  return path === undefined ? parseImageUri(uri) : { path, format: 'raw' };
}

/** The guest's device that is this disk. @returns a reason, one clause, where there is none or it cannot be held still */
export async function findGuestDisk(client: QmpClient, { path, format }: ImageFile): Promise<GuestDisk | { readonly reason: string }> {
  const identity = await diskIdentity(path);
  for (const { qdev, inserted } of blockSchema.parse(await client.execute('query-block'))) {
    if (inserted === undefined || (await identityOf(inserted.image.filename)) !== identity) continue;
    if (qdev === undefined) return { reason: 'QEMU has it open, but not as a device of the guest' };
    const node = inserted['node-name'];
    if (node.startsWith('gantry-')) return { reason: `another export holds it still (node ${node}): see "gantry clean"` };
    // What is read over NBD is what the guest sees. A path means the plain contents of a file, which an import would write back.
    if (inserted.drv !== format) return { reason: whyNotFormat(inserted.drv, path, format) };
    if ((await ioThreads(client)) > 0) return { reason: WITH_IO_THREADS };
    return { qdev, node, format, size: inserted.image['virtual-size'] };
  }
  return { reason: 'the QEMU at the QMP socket does not have it as a disk' };
}

function whyNotFormat(now: string, path: string, expected: string): string {
  if (expected !== 'raw') return `QEMU reads it as ${now}, and not as ${expected}`;
  if (!isImageFormat(now)) return `QEMU reads it as ${now}, and only raw, qcow2, vmdk and vhdx can be exported this way`;
  return `QEMU reads it as ${now}: with uri: ${now}:${encodeURI(path)} in place of its path, what the guest sees is exported`;
}

/**
 * QEMU 7.2 aborts, and the guest with it, when an NBD client leaves whose disk is served by an I/O thread (`nbd_blockdev_client_closed:
 * Assertion qemu_in_main_thread()`): seen here, and by others (https://github.com/abbbi/virtnbdbackup/issues/254).
 */
const WITH_IO_THREADS = 'its QEMU has I/O threads (iothread), and could abort when the reading of such a disk ends';

async function ioThreads(client: QmpClient): Promise<number> {
  return z.array(z.unknown()).parse(await client.execute('query-iothreads')).length;
}

/** QEMU may name something other than a file, such as `json:{…}`. */
async function identityOf(filename: string): Promise<string | undefined> {
  return filename.startsWith('/') ? diskIdentity(filename).catch(() => undefined) : undefined;
}
