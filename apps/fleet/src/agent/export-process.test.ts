import { mkdir, symlink } from 'node:fs/promises';
import process from 'node:process';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { endExport, findExport, startExport } from './export-process.ts';

test('an export is found by the file that its output goes to, through links too', async () => {
  await using home = await makeTemporaryDirectory();
  await mkdir(home.file('real'));
  await symlink('real', home.file('link'));
  const [out, err] = [home.file('link', 'web1.out'), home.file('link', 'web1.err')];
  expect(await findExport(out)).toBeUndefined();
  const { identity, ended } = await startExport({ command: ['sleep', 'infinity'], env: process.env, out, err });
  try {
    for (const directory of ['link', 'real']) expect(await findExport(home.file(directory, 'web1.out'))).toEqual(identity);
    expect(await findExport(home.file('link', 'web1.err'))).toBeUndefined();
  } finally {
    await endExport(identity);
    await ended;
  }
});
