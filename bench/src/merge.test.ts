import { writeFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { mergeContests, readContests } from './merge.ts';

const contest = (key: string, bytes: number) => ({ key, bytes, title: key, results: [] });

test('a later run replaces what it repeats, and all contests are in order', async () => {
  await using directory = await makeTemporaryDirectory();
  const path = directory.file('results.json');
  await writeFile(path, JSON.stringify({ contests: [contest('size-2', 1), contest('s3', 1), contest('dense', 1)] }));
  const merged = mergeContests(await readContests(path), [contest('size-0.5', 2), contest('dense', 2), contest('mixed', 2)]);
  expect(merged.map(({ key, bytes }) => [key, bytes])).toEqual([
    ['dense', 2],
    ['mixed', 2],
    ['s3', 1],
    ['size-0.5', 2],
    ['size-2', 1],
  ]);
});

test('a file without results is refused', async () => {
  await using directory = await makeTemporaryDirectory();
  await writeFile(directory.file('results.json'), '{"contests": [{}]}');
  await expect(readContests(directory.file('results.json'))).rejects.toThrow('does not contain results of a benchmark');
});
