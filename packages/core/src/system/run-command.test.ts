import { existsSync } from 'node:fs';

import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import type { ProcessGroup } from './process-group.ts';
import { runningMembers } from './process-group.ts';
import { runCommand } from './run-command.ts';

const { signal } = new AbortController();

test('a command does not begin before its process group is remembered', async () => {
  await using scratch = await makeTemporaryDirectory();
  let groupsBefore: readonly number[] = [];
  await runCommand(['touch', scratch.file('ran')], {
    timeoutS: 60,
    signal,
    started: async (group) => {
      groupsBefore = runningMembers(group);
      // What a program does in a moment would be done by now.
      await runCommand(['true'], { timeoutS: 60, signal });
      expect(existsSync(scratch.file('ran'))).toBe(false);
    },
  });
  expect(groupsBefore).toHaveLength(1);
  expect(existsSync(scratch.file('ran'))).toBe(true);
});

test('a command whose process group cannot be remembered never begins', async () => {
  await using scratch = await makeTemporaryDirectory();
  const failure = new Error('no space in the journal');
  const groups: ProcessGroup[] = [];
  const running = runCommand(['touch', scratch.file('ran')], {
    timeoutS: 60,
    signal,
    started: async (group) => {
      groups.push(group);
      throw failure;
    },
  });
  await expect(running).rejects.toBe(failure);
  expect(groups.map(runningMembers)).toEqual([[]]);
  expect(existsSync(scratch.file('ran'))).toBe(false);
});
