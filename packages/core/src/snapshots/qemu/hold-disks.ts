import { z } from 'zod';

import { turnMarks } from './change-marks.ts';
import { insertedNodes } from './guest-disks.ts';
import type { Monitor, QmpClient, QmpCommand } from './qmp-client.ts';
import type { QemuRecordData } from './qemu-record.ts';
import { namesOf, socketOf } from './qemu-record.ts';
import type { ScratchFile } from './scratch.ts';

/** For a write of the guest to wait for the copy of what it overwrites; then the snapshot is given up. Seconds. */
const COPY_TIMEOUT_S = 45;
/** States in which the guest does not write (run-state.json of QEMU). Others: it migrates, or QEMU itself has failed. */
const STILL = new Set(['paused', 'prelaunch', 'shutdown', 'suspended', 'guest-panicked', 'io-error', 'watchdog']);
/** States of a QEMU from which the guest is migrated: another one has its disks, or soon will. */
const MIGRATED = new Set(['finish-migrate', 'postmigrate', 'colo']);
/** How a migration stands that is over, or not there (migration.json of QEMU). */
const NOT_MIGRATING = new Set(['none', 'completed', 'failed', 'cancelled']);

const statusSchema = z.object({ status: z.string(), running: z.boolean() });
const migrationSchema = z.object({ status: z.string().default('none') });

/** Whether the guest runs. @throws Error where its disks must not be touched now */
export async function isRunning(client: QmpClient): Promise<boolean> {
  const { status, running } = statusSchema.parse(await client.execute('query-status'));
  if (!running && !STILL.has(status)) throw new Error(`the guest cannot be held still while it is in the state "${status}"`);
  const migration = migrationSchema.parse(await client.execute('query-migrate'));
  if (!NOT_MIGRATING.has(migration.status)) throw new Error(`the guest migrates (${migration.status})`);
  return running;
}

/**
 * Why what was read of the disks may not be of the moment of the snapshot, although QEMU gave it: what another host writes to them, or the
 * guest past the filters, is not kept. One clause; undefined where it is of that moment.
 * @throws Error where QEMU cannot be asked
 */
export async function whyNotOfMoment(
  client: Monitor,
  { prefix, disks }: Pick<QemuRecordData, 'prefix' | 'disks'>,
): Promise<string | undefined> {
  const { status } = statusSchema.parse(await client.execute('query-status'));
  if (MIGRATED.has(status)) return `the guest has migrated (${status}), and another host may have written to its disks`;
  const inserted = await insertedNodes(client);
  const other = disks.find(({ index, qdev }) => inserted.get(qdev) !== namesOf(prefix, index).filter);
  return other === undefined ? undefined : `its QEMU does not keep what the guest overwrites any more (${other.qdev})`;
}

/** Nodes for what the guest overwrites, ahead of the pause. @throws QmpRefusal */
export async function addScratchNodes(client: QmpClient, { prefix, disks }: QemuRecordData, files: readonly ScratchFile[]): Promise<void> {
  for (const [at, { index }] of disks.entries()) {
    const file = { driver: 'file', filename: files[at]?.path, discard: 'unmap' };
    await client.execute('blockdev-add', { driver: 'raw', 'node-name': namesOf(prefix, index).scratch, discard: 'unmap', file });
  }
}

/**
 * Puts a filter before each disk, and turns the marks: the moment of the snapshot. All commands are sent at once, and `cont` is carried out even if those before
 * fail, so that the guest stands still for as long as QEMU takes and no longer.
 *
 * @returns how long the guest stood still, ms
 * @throws QmpRefusal
 */
export async function insertFilters(client: QmpClient, { prefix, disks, paused, marks }: QemuRecordData): Promise<number> {
  const filters = disks.flatMap(({ index, qdev, node }): readonly QmpCommand[] => {
    const { filter, scratch } = namesOf(prefix, index);
    const options = { driver: 'copy-before-write', 'node-name': filter, file: node, target: scratch };
    return [
      // Where what is overwritten cannot be kept, the snapshot breaks, and the guest goes on.
      { execute: 'blockdev-add', arguments: { ...options, 'on-cbw-error': 'break-snapshot', 'cbw-timeout': COPY_TIMEOUT_S } },
      { execute: 'qom-set', arguments: { path: qdev, property: 'drive', value: filter } },
    ];
  });
  const moment = [...filters, ...turnMarks(marks)];
  const before = client.events.length;
  const outcomes = await client.executeAll(paused ? [{ execute: 'stop' }, ...moment, { execute: 'cont' }] : moment);
  const refused = outcomes.find((outcome) => outcome.status === 'rejected');
  if (refused !== undefined) throw refused.reason;
  const at = (name: string): number => client.events.slice(before).find((event) => event.name === name)?.atMs ?? 0;
  return at('RESUME') - at('STOP');
}

/** Offers the snapshots for reading. @throws QmpRefusal */
export async function exportSnapshots(client: QmpClient, { prefix, disks, marks }: QemuRecordData): Promise<void> {
  for (const { index } of disks) {
    const { access, filter } = namesOf(prefix, index);
    await client.execute('blockdev-add', { driver: 'snapshot-access', 'node-name': access, file: filter });
    const bitmaps = marks.flatMap(({ index: at, node, since }) => (at === index && since !== undefined ? [{ node, name: since }] : []));
    await client.execute('block-export-add', { type: 'nbd', id: access, 'node-name': access, name: access, bitmaps });
  }
}

/** @throws QmpRefusal where QEMU serves NBD for somebody else */
export async function startServer(client: QmpClient, data: QemuRecordData): Promise<void> {
  await client.execute('nbd-server-start', { addr: { type: 'unix', data: { path: socketOf(data) } } });
}
