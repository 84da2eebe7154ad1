import { open, readFile, rm } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';

/** Overwrites `runs` pieces of a file at equal distances, each a thousandth of it, with data that does not compress. */
export async function changeRuns(path: string, runs: number, seed: string): Promise<void> {
  await using file = await open(path, 'r+');
  const { size } = await file.stat();
  const bytes = Math.floor(size / 1000 / 4096) * 4096;
  await makeRandomFile(`${path}.changes`, bytes * runs, seed);
  const changes = await readFile(`${path}.changes`);
  for (let run = 0; run < runs; run += 1) {
    const at = Math.floor(((run + 0.5) * size) / runs / 4096) * 4096;
    await file.write(changes, run * bytes, bytes, at);
  }
  await rm(`${path}.changes`);
}
