import { z } from 'zod';

import { diskIdentity } from '../../disks/disk-identity.ts';
import type { QmpClient } from './qmp-client.ts';

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
  /** Bytes. */
  readonly size: number;
}

/** Nodes of a guest's devices, by the devices' paths. */
export async function insertedNodes(client: QmpClient): Promise<ReadonlyMap<string, string>> {
  const blocks = blockSchema.parse(await client.execute('query-block'));
  return new Map(
    blocks.flatMap(({ qdev, inserted }) => (qdev === undefined || inserted === undefined ? [] : [[qdev, inserted['node-name']]])),
  );
}

/** The guest's device that is this disk. @returns a reason, one clause, where there is none or it cannot be held still */
export async function findGuestDisk(client: QmpClient, path: string): Promise<GuestDisk | { readonly reason: string }> {
  const identity = await diskIdentity(path);
  for (const { qdev, inserted } of blockSchema.parse(await client.execute('query-block'))) {
    if (inserted === undefined || (await identityOf(inserted.image.filename)) !== identity) continue;
    if (qdev === undefined) return { reason: 'QEMU has it open, but not as a device of the guest' };
    const node = inserted['node-name'];
    if (node.startsWith('gantry-')) return { reason: `another export holds it still (node ${node}): see "gantry clean"` };
    // What is read over NBD is what the guest sees; the disk's file would hold an image of another format.
    if (inserted.drv !== 'raw') return { reason: `QEMU reads it as ${inserted.drv}, and only raw disks can be exported this way` };
    if ((await ioThreads(client)) > 0) return { reason: WITH_IO_THREADS };
    return { qdev, node, size: inserted.image['virtual-size'] };
  }
  return { reason: 'the QEMU at the QMP socket does not have it as a disk' };
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
