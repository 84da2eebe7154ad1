import { piecesOf } from '../frames/testing/streams.ts';
import { writeFile } from 'node:fs/promises';

import { makeTemporaryDirectory, writeOsDefinition } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { sampleInstance } from '../../test/sample-instance.ts';
import { selectOs } from '../scripts/select.ts';
import { GantryError } from '../report/errors.ts';
import { openDiskSource, untilLost } from './disk-source.ts';

test.each([
  ['before the script starts', 1, ''],
  ['while the script runs', 2, 'data'],
])('a snapshot that was replaced %s fails its export', async (_, failingLook, read) => {
  await using scratch = await makeTemporaryDirectory();
  await writeFile(scratch.file('disk'), 'data');
  await writeOsDefinition(scratch.path, 'cat', { files: { export: '#!/bin/sh\ncat "$EXPORT_DEVICE"\n', import: '#!/bin/sh\n' } });
  const replaced = new Error('somebody else has replaced it');
  let looks = 0;
  const view = {
    path: scratch.file('disk'),
    assertIntact: async () => {
      if ((looks += 1) === failingLook) throw replaced;
    },
  };
  const os = await selectOs('cat', { searchPath: [scratch.path] });
  const instance = sampleInstance({ disks: [{ path: scratch.file('disk'), access: 'rw' }] });
  await using source = openDiskSource(os, { instance, disk: 0, view, diskBytes: 4 });
  let text = '';
  const reading = (async () => {
    for await (const piece of piecesOf(source)) text += piece instanceof Uint8Array ? Buffer.from(piece).toString() : '';
  })();
  await expect(reading).rejects.toBe(replaced);
  expect(text).toBe(read);
});

test.each([
  ['after its last byte', 'disk', 'data'],
  ['while it cannot be read', 'missing', ''],
])('a snapshot that raw reads and that is lost %s fails its export, with that as the reason', async (_, name, read) => {
  await using scratch = await makeTemporaryDirectory();
  await writeFile(scratch.file('disk'), 'data');
  const full = new GantryError('SNAPSHOT_FULL', { message: 'it is full' });
  const view = { path: scratch.file(name), assertIntact: () => Promise.reject(full) };
  const instance = sampleInstance({ disks: [{ path: scratch.file('disk'), access: 'rw' }] });
  await using source = openDiskSource(await selectOs('raw', { searchPath: [] }), { instance, disk: 0, view, diskBytes: 4 });
  let text = '';
  const reading = (async () => {
    for await (const piece of piecesOf(source)) text += piece instanceof Uint8Array ? Buffer.from(piece).toString() : '';
  })();
  await expect(reading).rejects.toBe(full);
  expect(text).toBe(read);
});

test('the work on a disk ends with its snapshot', () => {
  const [all, lost] = [new AbortController(), new AbortController()];
  const signal = untilLost({ index: 0, kind: 'lvm', lost: lost.signal }, all.signal);
  lost.abort(new Error('lost'));
  expect(signal.reason).toEqual(new Error('lost'));
});
