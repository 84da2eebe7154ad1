import { spawnSync } from 'node:child_process';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import process from 'node:process';
import { expect, test } from 'vitest';
import { makeRunDirectory } from './run-directory.ts';

test('a directory of a run replaces those of runs that are gone, and no others', async () => {
  const prefix = `gantry-run-directory-${process.pid}`;
  const { pid: gone } = spawnSync('true');
  const place = (name: string): string => join(tmpdir(), `${prefix}-${name}`);
  const kept = [`${process.ppid}-abcdef`, `${gone}-other-name`, `${gone}`].map(place);
  const left = place(`${gone}-abcdef`);
  for (const path of [...kept, left]) {
    await mkdir(path);
    await writeFile(join(path, 'file'), 'x');
  }
  const made = await makeRunDirectory(prefix);
  try {
    expect(basename(made)).toMatch(new RegExp(`^${prefix}-${process.pid}-\\w{6}$`));
    await expect(stat(left)).rejects.toMatchObject({ code: 'ENOENT' });
    for (const path of kept) expect((await stat(path)).isDirectory()).toBe(true);
  } finally {
    for (const path of [...kept, left, made]) await rm(path, { recursive: true, force: true });
  }
});
