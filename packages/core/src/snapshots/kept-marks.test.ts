import { readdir, rm, stat, writeFile } from 'node:fs/promises';

import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { openStateDirectory } from '../runs/state-directory.ts';
import { DISTRUST, KeptFile, MARKS } from './kept-marks.ts';

const KEPT = {
  disks: [{ index: 0, mark: { provider: 'qemu', name: 'gantry-mark-0123456789abcdef /run/web1.qmp' }, map: 'a'.repeat(64), partial: 3 }],
  stale: [{ index: 1, mark: { provider: 'rbd', name: '4 gantry-1 rbd:disks/a' } }],
};
const NOTHING = { disks: [], stale: [] };
const DISTRUSTED = { distrusted: [{ provider: 'reflink', since: '2026-11-23T08:15:00.000Z', reason: 'it was wrong' }] };

test('marks are kept for each instance in each store, for their owner alone, and the file goes when it would say nothing', async () => {
  await using directory = await makeTemporaryDirectory();
  const state = await openStateDirectory(directory.path);
  const owners = [
    { store: 'one', instance: 'web1' },
    { store: 'one', instance: 'web2' },
    { store: 'two', instance: 'web1' },
  ];
  const files = owners.map((owner) => new KeptFile(state, owner, MARKS));
  const [first] = files;
  if (first === undefined) throw new Error('there is no file');
  expect(await first.read()).toEqual(NOTHING);
  await first.write(KEPT);
  expect(await Promise.all(files.map((file) => file.read()))).toEqual([expect.objectContaining(KEPT), NOTHING, NOTHING]);
  expect((await stat(first.path)).mode & 0o777).toBe(0o600);
  expect((await stat(directory.file('marks'))).mode & 0o777).toBe(0o700);
  await first.write({ ...KEPT, disks: [] });
  expect(await new KeptFile(state, { store: 'one', instance: 'web1' }, MARKS).read()).toMatchObject({ disks: [], stale: KEPT.stale });
  for (let round = 0; round < 2; round += 1) await first.write(NOTHING);
  expect(await readdir(directory.file('marks'))).toEqual([]);
});

test('what is not trusted is kept by itself: who removes it loses no mark', async () => {
  await using directory = await makeTemporaryDirectory();
  const state = await openStateDirectory(directory.path);
  const owner = { store: 'one', instance: 'web1' };
  const [marks, distrust] = [new KeptFile(state, owner, MARKS), new KeptFile(state, owner, DISTRUST)];
  await marks.write(KEPT);
  await distrust.write(DISTRUSTED);
  expect([await marks.read(), await distrust.read()]).toEqual([KEPT, DISTRUSTED]);
  await rm(distrust.path);
  expect([await marks.read(), await distrust.read()]).toEqual([KEPT, { distrusted: [] }]);
});

test('of several writes at once, the last one stays', async () => {
  await using directory = await makeTemporaryDirectory();
  const file = new KeptFile(await openStateDirectory(directory.path), { store: 'one', instance: 'web1' }, MARKS);
  await Promise.all([file.write(KEPT), file.write(NOTHING), file.write(KEPT), file.write({ ...KEPT, stale: [] })]);
  expect(await file.read()).toEqual({ ...KEPT, stale: [] });
});

test.each([
  ['half of it', '{"format":"gantry-marks","version":1,'],
  ['of a later version', JSON.stringify({ format: 'gantry-marks', version: 2, store: 'one', instance: 'web1', ...KEPT })],
  ['of something else', JSON.stringify({ format: 'gantry-marks', version: 1, store: 'two', instance: 'web1', ...KEPT })],
])('a file that is %s says nothing: everything is read', async (_, text) => {
  await using directory = await makeTemporaryDirectory();
  const file = new KeptFile(await openStateDirectory(directory.path), { store: 'one', instance: 'web1' }, MARKS);
  await file.write(KEPT);
  await writeFile(file.path, text);
  expect(await file.read()).toEqual(NOTHING);
});
