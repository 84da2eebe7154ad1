import { rm } from 'node:fs/promises';
import process from 'node:process';
import { makeRunDirectory } from '../src/disks/run-directory.ts';

/**
 * Has all Node processes of a run of the tests share what Node compiles: a program that starts from the source does so in a third of the
 * processor time. A directory for each run, as nothing ever removes old code from one.
 */
export default async function setup(): Promise<() => Promise<void>> {
  if (process.env['NODE_COMPILE_CACHE'] !== undefined) return async () => undefined;
  const directory = await makeRunDirectory('gantry-compiled');
  process.env['NODE_COMPILE_CACHE'] = directory;
  return () => rm(directory, { recursive: true, force: true, maxRetries: 5 });
}
