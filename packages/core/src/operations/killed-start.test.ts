import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { makeTemporaryDirectory, PATIENTLY, writeOsDefinition } from '@gantry/testkit';
import { execa } from 'execa';
import { expect, test } from 'vitest';

import { undoHandlers } from '../flow/undo-handlers.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';

async function processesOf(path: string): Promise<readonly string[]> {
  const { stdout } = await execa('ps', ['-eo', 'pid=,args=']);
  return stdout.split('\n').filter((line) => line.includes(path) && !line.includes('start-scripts'));
}

/** The first fdatasync is that of the journal's header; `waiting` is the first of them that does not end. */
test.each([
  ['the first', 2, 0],
  ['the second', 3, 1],
])('of two scripts that start together none runs before its line is on disk: %s is waited for', async (_, waiting, running) => {
  await using scratch = await makeTemporaryDirectory();
  const create = `#!/bin/sh\ntouch "$(mktemp -d '${scratch.path}'/ran-XXXXXX)"/now\nsleep 1000\n`;
  await writeOsDefinition(scratch.file('os'), 'mine', { files: { create } });
  const script = scratch.file('os', 'mine', 'create');
  const driver = fileURLToPath(import.meta.resolve('../../test/runs/start-scripts.ts'));
  const parameters = [scratch.file('state'), scratch.file('os'), 'mine', String(waiting)];
  const run = execFile(process.execPath, ['--conditions=@gantry/source', driver, ...parameters]);
  if (run.stdout === null) throw new Error('no output');
  await once(createInterface(run.stdout), 'line');
  const [journal = ''] = await readdir(scratch.file('state', 'runs'));
  const lines = async (): Promise<number> => (await readFile(scratch.file('state', 'runs', journal), 'utf8')).split('\n').length - 1;
  await expect.poll(lines, PATIENTLY).toBe(waiting);
  const marks = async (): Promise<readonly string[]> => (await readdir(scratch.path)).filter((name) => name.startsWith('ran-'));
  await expect.poll(async () => (await processesOf(script)).length, PATIENTLY).toBe(2);
  await expect.poll(async () => (await marks()).length, PATIENTLY).toBe(running);
  run.kill('SIGKILL');
  await once(run, 'exit');

  const stateDirectory = await openStateDirectory(scratch.file('state'));
  await recoverDeadRuns({ stateDirectory, undos: undoHandlers(), signal: new AbortController().signal });
  await expect.poll(() => processesOf(script), PATIENTLY).toEqual([]);
  expect(await marks()).toHaveLength(running);
});
