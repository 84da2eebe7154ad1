import { open } from 'node:fs/promises';
import { makeRandomFile, makeSparseFile, sha256File } from '@gantry/testkit';
import { expect } from 'vitest';
import { ok } from './three-disks.ts';
import type { Workbench } from './workbench.ts';
import { lastLine } from './workbench.ts';

const MIB = 1024 * 1024;
/** A service copies only ranges of at least 16 MiB by itself. */
const DISK_BYTES = 40 * MIB;

/** Exports a disk twice, incrementally, with a change in between. @returns the second export, which refers to the first */
export async function makeIncrement(bench: Workbench, store: string): Promise<string> {
  await makeRandomFile(bench.file('disk.img'), DISK_BYTES, 'disk');
  const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
  await ok(bench.gantry('export', instance, store, '--incremental'));
  {
    await using disk = await open(bench.file('disk.img'), 'r+');
    await disk.write(Buffer.alloc(MIB, 'changed'), 0, MIB, 33 * MIB);
  }
  return await ok(bench.gantry('export', instance, store, '--incremental'));
}

/** What an export is called when it is consolidated; two exports of one second have a number already. */
export function consolidatedName(reference: string): string {
  const [, first = reference, number = '1'] = /^(.*Z)-(\d+)$/.exec(reference) ?? [];
  return `${first}-${Number(number) + 1}`;
}

/** Consolidates the second of two exports in a store whose service copies by itself, and expects the very disk of it. */
export async function expectConsolidated(bench: Workbench, store: string): Promise<void> {
  const second = await makeIncrement(bench, store);
  const { stdout } = await bench.gantry('consolidate', store, second, '--json');
  const result: unknown = JSON.parse(lastLine(stdout));
  const reference = consolidatedName(second);
  expect(result).toMatchObject({ from: second, reference, consolidated: true, removed: true, plainBytes: DISK_BYTES });
  expect(Number(/"copiedBytes":(\d+)/.exec(stdout)?.[1])).toBeGreaterThan(16 * MIB);
  expect(await ok(bench.gantry('verify', store, reference))).toContain('every frame and digest is correct');
  expect((await bench.gantry('list', store)).stdout).not.toContain(`${second} `);
  await makeSparseFile(bench.file('target.img'), DISK_BYTES);
  const target = await bench.describeInstance('target.example.com', { disks: ['target.img'] });
  await ok(bench.gantry('import', store, reference, '--to', target));
  expect(await sha256File(bench.file('target.img'))).toBe(await sha256File(bench.file('disk.img')));
}
