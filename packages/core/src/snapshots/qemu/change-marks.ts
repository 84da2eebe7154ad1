import { randomBytes } from 'node:crypto';

import { z } from 'zod';

import type { MarksKept } from '../mark-fate.ts';
import type { ChangeMark, SnapshotRequest } from '../provider.ts';
import type { QmpCommand } from './qmp-client.ts';
import { QmpClient, QmpGone } from './qmp-client.ts';

/*
 * What changes on a disk, QEMU keeps in dirty bitmaps: each snapshot that is asked to leaves one, and closes the one before in the same
 * moment. They are not stored anywhere: they go with the QEMU process, and then everything must be read.
 */

/** The bitmaps of one disk in one export, as the journal has them. */
export interface MarkedDisk {
  readonly index: number;
  /** The node that has them: below the filter, and there before and after it. */
  readonly node: string;
  /** Records what changes from this snapshot on. */
  readonly next: string;
  /** Has what changed up to this snapshot. */
  readonly since?: string | undefined;
}

/** A mark as it is planned, and why what changed since the mark that was asked for cannot be said. */
export interface PlannedMark extends MarkedDisk {
  readonly whyAll?: string;
}

/** For each answer of QEMU, where a mark is removed: that is tried again with each export. */
const FORGET_TIMEOUT_MS = 10_000;

/** The names of Gantry's bitmaps; others are never removed. */
export const MARK_NAME: RegExp = /^gantry-mark-[0-9a-f]{16}$/;

const bitmapsSchema = z.array(
  z.object({
    'node-name': z.string(),
    'dirty-bitmaps': z
      .array(z.object({ name: z.string().optional(), recording: z.boolean(), busy: z.boolean(), inconsistent: z.boolean().default(false) }))
      .default([]),
  }),
);
type Bitmap = z.infer<typeof bitmapsSchema>[number]['dirty-bitmaps'][number];

/** Of a bitmap in the QEMU at a QMP socket. */
export function markOf(bitmap: string, qmp: string): ChangeMark {
  return { provider: 'qemu', name: `${bitmap} ${qmp}` };
}

/** Undefined if it is not a mark of Gantry. */
function parseMark({ name }: ChangeMark): { readonly bitmap: string; readonly qmp: string } | undefined {
  const [, bitmap = '', qmp = ''] = /^(\S+) (.+)$/s.exec(name) ?? [];
  return MARK_NAME.test(bitmap) ? { bitmap, qmp } : undefined;
}

/** Decides which bitmaps are used, ahead of the pause. Changes nothing. */
export async function planMark(client: QmpClient, { index, track }: SnapshotRequest, node: string): Promise<PlannedMark | undefined> {
  if (track === undefined) return undefined;
  const next = `gantry-mark-${randomBytes(8).toString('hex')}`;
  if (track.since === undefined) return { index, node, next, whyAll: 'there is no earlier mark' };
  if (track.since.provider !== 'qemu') return { index, node, next, whyAll: `the mark was left by the provider ${track.since.provider}` };
  const since = parseMark(track.since)?.bitmap;
  if (since === undefined) return { index, node, next, whyAll: `"${track.since.name}" is not a mark of Gantry` };
  const whyAll = whyUnusable((await bitmapsOf(client, node)).get(since));
  return whyAll === undefined ? { index, node, next, since } : { index, node, next, whyAll };
}

function whyUnusable(bitmap: Bitmap | undefined): string | undefined {
  if (bitmap === undefined) return 'the mark is gone: the guest was started again since, or the mark was removed';
  if (bitmap.inconsistent) return 'QEMU says that the mark is inconsistent';
  if (bitmap.busy) return 'the mark is in use by something else';
  return bitmap.recording ? undefined : 'the mark was switched off for a time: see "gantry clean"';
}

/** Begins new bitmaps and closes those before them, of all disks or of none: to be carried out in the moment of the snapshot. */
export function turnMarks(marks: readonly MarkedDisk[]): readonly QmpCommand[] {
  if (marks.length === 0) return [];
  const actions = marks.flatMap(({ node, next, since }) => [
    { type: 'block-dirty-bitmap-add', data: { node, name: next } },
    ...(since === undefined ? [] : [{ type: 'block-dirty-bitmap-disable', data: { node, name: since } }]),
  ]);
  return [{ execute: 'transaction', arguments: { actions } }];
}

/**
 * Removes one of each pair of bitmaps, or both. Where the later one goes alone, the earlier gets what it has recorded. What is done already
 * is not done again.
 */
export async function settleMarks(client: QmpClient, marks: readonly MarkedDisk[], kept: MarksKept): Promise<void> {
  for (const { node, next, since } of marks) {
    const there = await bitmapsOf(client, node);
    const remove = (name: string): Promise<unknown> => client.execute('block-dirty-bitmap-remove', { node, name });
    const hasSince = since !== undefined && there.has(since);
    if (kept !== 'earlier' && hasSince) await remove(since);
    if (kept === 'latest' || !there.has(next)) continue;
    if (kept === 'earlier' && hasSince) {
      // In this order nothing that the guest writes meanwhile is in neither.
      await client.execute('block-dirty-bitmap-enable', { node, name: since });
      await client.execute('block-dirty-bitmap-merge', { node, target: since, bitmaps: [next] });
    }
    await remove(next);
  }
}

/**
 * Removes the bitmap of a mark, on the node that has it. With its QEMU it has gone by itself.
 * @throws Error with why it is still there; the signal's reason
 */
export async function forgetMark(mark: ChangeMark, signal: AbortSignal): Promise<void> {
  const { bitmap, qmp } = parseMark(mark) ?? {};
  if (bitmap === undefined || qmp === undefined) return;
  try {
    await using client = await QmpClient.connect(qmp, { timeoutMs: FORGET_TIMEOUT_MS, signal });
    for (const { 'node-name': node, 'dirty-bitmaps': bitmaps } of await queryBitmaps(client))
      if (bitmaps.some(({ name }) => name === bitmap)) await client.execute('block-dirty-bitmap-remove', { node, name: bitmap });
  } catch (error) {
    if (!(error instanceof QmpGone)) throw error;
  }
}

async function queryBitmaps(client: QmpClient): Promise<z.infer<typeof bitmapsSchema>> {
  return bitmapsSchema.parse(await client.execute('query-named-block-nodes', { flat: true }));
}

async function bitmapsOf(client: QmpClient, node: string): Promise<ReadonlyMap<string, Bitmap>> {
  const nodes = await queryBitmaps(client);
  const found = nodes.find((each) => each['node-name'] === node)?.['dirty-bitmaps'] ?? [];
  return new Map(found.flatMap((bitmap) => (bitmap.name === undefined ? [] : [[bitmap.name, bitmap]])));
}
