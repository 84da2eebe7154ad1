import { z } from 'zod';

import { pause } from '../../system/pause.ts';
import { removeScratch } from '../scratch-directory.ts';
import { thawGuest } from './agent-freeze.ts';
import { settleMarks } from './change-marks.ts';
import { insertedNodes } from './guest-disks.ts';
import { QmpClient, QmpGone } from './qmp-client.ts';
import type { QemuRecordData } from './qemu-record.ts';
import { namesOf } from './qemu-record.ts';

const exportsSchema = z.array(z.object({ id: z.string(), type: z.string() }));
const nodesSchema = z.array(z.object({ 'node-name': z.string() }));
const statusSchema = z.object({ status: z.string() });

/** Between two looks at whether QEMU has closed an export, ms. */
const LOOK_MS = 20;

/**
 * Undoes all that an export has, or may have, made in a QEMU: what is not there is undone already. First the guest goes on; it is thawed
 * also if its QEMU does not answer.
 * @throws Error with what could not be undone; the signal's reason
 */
export async function releaseDisks(data: QemuRecordData, signal: AbortSignal): Promise<void> {
  const thawing = data.frozen === undefined ? undefined : thawGuest(data.frozen);
  for (const outcome of await Promise.allSettled([thawing, releaseQemu(data, signal)]))
    if (outcome.status === 'rejected') throw outcome.reason;
}

async function releaseQemu(data: QemuRecordData, signal: AbortSignal): Promise<void> {
  try {
    await using client = await QmpClient.connect(data.qmp, { timeoutMs: data.timeoutMs, signal });
    if (data.paused) await resume(client);
    await closeExports(client, data, signal);
    await removeNodes(client, data);
    await settleMarks(client, data.marks, data.marksKept);
  } catch (error) {
    // With the QEMU, all that was in it has gone.
    if (!(error instanceof QmpGone)) throw error;
  }
  await removeScratch(data.directory);
}

/** It was running when we paused it. */
async function resume(client: QmpClient): Promise<void> {
  const { status } = statusSchema.parse(await client.execute('query-status'));
  if (status === 'paused') await client.execute('cont');
}

async function closeExports(client: QmpClient, { prefix, server }: QemuRecordData, signal: AbortSignal): Promise<void> {
  const all = async () => exportsSchema.parse(await client.execute('query-block-exports'));
  const ours = async () => (await all()).filter(({ id }) => id.startsWith(prefix));
  for (const { id } of await ours()) await client.execute('block-export-del', { id, mode: 'hard' });
  while ((await ours()).length > 0) await pause(LOOK_MS, signal);
  // An export that somebody else has added to our server by now is in use.
  if (server && !(await all()).some(({ type }) => type === 'nbd')) await client.execute('nbd-server-stop').catch(ignoreNotRunning);
}

function ignoreNotRunning(error: unknown): void {
  if (!String(error).includes('not running')) throw error;
}

async function removeNodes(client: QmpClient, { prefix, disks }: QemuRecordData): Promise<void> {
  const named = async () =>
    nodesSchema.parse(await client.execute('query-named-block-nodes', { flat: true })).map((node) => node['node-name']);
  const removeIfThere = async (name: string): Promise<void> => {
    if ((await named()).includes(name)) await client.execute('blockdev-del', { 'node-name': name });
  };
  for (const { index, qdev, node } of disks) {
    const { access, filter, scratch } = namesOf(prefix, index);
    await removeIfThere(access);
    if ((await insertedNodes(client)).get(qdev) === filter) await client.execute('qom-set', { path: qdev, property: 'drive', value: node });
    await removeIfThere(filter);
    await removeIfThere(scratch);
  }
}
