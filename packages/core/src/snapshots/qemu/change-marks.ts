import { randomBytes } from 'node:crypto';

import { z } from 'zod';

import type { MarksKept } from '../mark-fate.ts';
import type { ChangeMark, SnapshotRequest } from '../provider.ts';
import type { AskedMark } from '../asked-mark.ts';
import { askedMark } from '../asked-mark.ts';
import type { Monitor, QmpCommand } from './qmp-client.ts';
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

const markName = z.string().regex(MARK_NAME);
export const markedDiskSchema: z.ZodType<MarkedDisk> = z.object({
  index: z.int(),
  node: z.string(),
  next: markName,
  since: markName.optional(),
});

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
  return await planBitmap(
    client,
    index,
    node,
    askedMark(track, 'qemu', (mark) => parseMark(mark)?.bitmap),
  );
}

/** Plans the bitmaps of one disk, where a mark is the name of an earlier bitmap. Changes nothing. */
export async function planBitmap(client: Monitor, index: number, node: string, asked: AskedMark<string>): Promise<PlannedMark> {
  const planned = { index, node, next: newMarkName() };
  if ('whyAll' in asked) return { ...planned, ...asked };
  const whyAll = whyUnusable((await bitmapsOf(client, node)).get(asked.since));
  return whyAll === undefined ? { ...planned, ...asked } : { ...planned, whyAll };
}

/** No other mark has the same. */
export function newMarkName(): string {
  return `gantry-mark-${randomBytes(8).toString('hex')}`;
}

function whyUnusable(bitmap: Bitmap | undefined): string | undefined {
  if (bitmap === undefined) return 'the mark is gone: the guest was started again since, or the mark was removed';
  if (bitmap.inconsistent) return 'QEMU says that the mark is inconsistent';
  if (bitmap.busy) return 'the mark is in use by something else';
  return bitmap.recording ? undefined : 'the mark was switched off for a time: see "gantry clean"';
}

interface Action {
  readonly type: string;
  readonly data: { readonly node: string; readonly name: string };
}

/** Begins new bitmaps and closes those before them, of all disks or of none: to be carried out in the moment of the snapshot. */
export function turnMarks(marks: readonly MarkedDisk[]): readonly QmpCommand[] {
  return transaction([...beginning(marks), ...closing(marks)]);
}

/** Where the moment of the snapshot is not ours: begins new bitmaps, ahead of it. They have more than what changes from then on. */
export function beginMarks(marks: readonly MarkedDisk[]): readonly QmpCommand[] {
  return transaction(beginning(marks));
}

/** Closes the earlier bitmaps, after the moment of the snapshot. */
export function closeMarks(marks: readonly MarkedDisk[]): readonly QmpCommand[] {
  return transaction(closing(marks));
}

function beginning(marks: readonly MarkedDisk[]): readonly Action[] {
  return marks.map(({ node, next }) => ({ type: 'block-dirty-bitmap-add', data: { node, name: next } }));
}

function closing(marks: readonly MarkedDisk[]): readonly Action[] {
  return marks.flatMap(({ node, since }) =>
    since === undefined ? [] : [{ type: 'block-dirty-bitmap-disable', data: { node, name: since } }],
  );
}

function transaction(actions: readonly Action[]): readonly QmpCommand[] {
  return actions.length === 0 ? [] : [{ execute: 'transaction', arguments: { actions } }];
}

/**
 * Removes one of each pair of bitmaps, or both. Where the later one goes alone, the earlier gets what it has recorded. What is done already
 * is not done again.
 */
export async function settleMarks(client: Monitor, marks: readonly MarkedDisk[], kept: MarksKept): Promise<void> {
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
    await removeBitmap(client, bitmap);
  } catch (error) {
    if (!(error instanceof QmpGone)) throw error;
  }
}

/** Removes a bitmap of that name on every node that has one. */
export async function removeBitmap(client: Monitor, name: string): Promise<void> {
  for (const { 'node-name': node, 'dirty-bitmaps': bitmaps } of await queryBitmaps(client))
    if (bitmaps.some((each) => each.name === name)) await client.execute('block-dirty-bitmap-remove', { node, name });
}

async function queryBitmaps(client: Monitor): Promise<z.infer<typeof bitmapsSchema>> {
  return bitmapsSchema.parse(await client.execute('query-named-block-nodes', { flat: true }));
}

async function bitmapsOf(client: Monitor, node: string): Promise<ReadonlyMap<string, Bitmap>> {
  const nodes = await queryBitmaps(client);
  const found = nodes.find((each) => each['node-name'] === node)?.['dirty-bitmaps'] ?? [];
  return new Map(found.flatMap((bitmap) => (bitmap.name === undefined ? [] : [[bitmap.name, bitmap]])));
}
