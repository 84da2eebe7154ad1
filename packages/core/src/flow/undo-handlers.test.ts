import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';

import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { openRun } from '../runs/journal.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import { identifyGroup } from '../system/process-group.ts';
import { undoHandlers } from './undo-handlers.ts';

test('what a killed run left is undone in an order that is safe: what writes, what stands still, what is read', async () => {
  await using scratch = await makeTemporaryDirectory();
  const stateDirectory = await openStateDirectory(scratch.file('state'));
  const script = spawn('/bin/sh', ['-c', 'sleep 1000; true'], {
    detached: true,
    stdio: 'ignore',
    env: { PATH: '/usr/bin:/bin', INSTANCE_NAME: 'web1', OS_API_VERSION: '20' },
  });
  const ended = once(script, 'exit');
  const group = identifyGroup(script.pid ?? 0);
  await writeFile(scratch.file('frozen'), '');
  {
    await using run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
    const removeWhenSafe = ['sh', '-c', `! kill -0 ${group.pgid} && ! test -e ${scratch.file('frozen')}`];
    const data = { remove: removeWhenSafe, timeout: 60 };
    await run.remember({ kind: 'freeze', description: 'web1 frozen', thaw: ['rm', scratch.file('frozen')], timeout: 60 });
    await run.remember({ kind: 'script', ...group, script: 'export', operation: 'export' });
    await run.remember({ kind: 'snapshot', record: { provider: 'command', index: 0, description: 'a snapshot', data } });
  }
  const { leftovers } = await recoverDeadRuns({ stateDirectory, undos: undoHandlers(), signal: new AbortController().signal });
  await ended;
  expect(leftovers.map(({ record, outcome }) => `${record.kind} ${outcome}`)).toEqual([
    'script cleared',
    'freeze cleared',
    'snapshot cleared',
  ]);
});
