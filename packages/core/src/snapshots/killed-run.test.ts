import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';

import type { TemporaryDirectory } from '@gantry/testkit';
import { makeRandomFile, makeTemporaryDirectory, mountNewBtrfs, mountNewXfs, PATIENTLY, readSystemCalls, strace } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import { HOLD_SNAPSHOTS, holdSnapshots } from '../../test/snapshots/holder.ts';
import { identifyGroup, runningMembers } from '../system/process-group.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import type { RecoveryReport } from '../runs/recovery-report.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import { undoHandlers } from '../flow/undo-handlers.ts';

/** Machines that run tests may have much else to do. */

const MiB = 1024 * 1024;

async function recover(state: string, mode?: 'list'): Promise<RecoveryReport> {
  const { signal } = new AbortController();
  return recoverDeadRuns({ stateDirectory: await openStateDirectory(state), undos: undoHandlers(), mode, signal });
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

describe.each([
  ['xfs', mountNewXfs],
  ['btrfs', mountNewBtrfs],
])('the reflinks of a killed run (%s)', (_, mountNew) => {
  test('are there after the kill, named by a list, and cleared by the next run', async () => {
    await using scratch = await makeTemporaryDirectory();
    await using mounted = await mountNew();
    const disks = [mounted.file('a.img'), mounted.file('b.img')];
    for (const disk of disks) await makeRandomFile(disk, MiB, disk);
    const holder = holdSnapshots({ state: scratch.file('state'), mode: 'reflink', disks });
    const snapshots: unknown = JSON.parse(await holder.said);
    expect(await recover(scratch.file('state'))).toMatchObject({ leftovers: [] });
    await holder.kill();
    expect(await readdir(mounted.path)).toHaveLength(4);

    const listed = await recover(scratch.file('state'), 'list');
    expect(listed.leftovers.map(({ message }) => message)).toEqual(
      [0, 1].map((index) =>
        expect.stringContaining(`left snapshot ${Array.isArray(snapshots) ? String(snapshots[index]) : ''} of disk ${index}`),
      ),
    );
    expect(await readdir(mounted.path)).toHaveLength(4);

    const cleared = await recover(scratch.file('state'));
    expect(cleared.leftovers.map(({ outcome }) => outcome)).toEqual(['cleared', 'cleared']);
    expect((await readdir(mounted.path)).toSorted()).toEqual(['a.img', 'b.img']);
    expect(await readdir(scratch.file('state', 'runs'))).toEqual([]);
    expect((await recover(scratch.file('state'))).leftovers).toEqual([]);
  });
});

test('a snapshot is gone for good before the journal forgets it', async () => {
  await using scratch = await makeTemporaryDirectory();
  await using mounted = await mountNewXfs();
  await makeRandomFile(mounted.file('a.img'), MiB, 'a');
  const [program, ...before] = strace({ record: scratch.file('record'), calls: ['unlink', 'fsync', 'write', 'pwrite64'] });
  const node = [
    process.execPath,
    '--conditions=@gantry/source',
    HOLD_SNAPSHOTS,
    scratch.file('state'),
    'reflink',
    '',
    mounted.file('a.img'),
  ];
  await execa(program, [...before, ...node], { input: '' });
  const calls = await readSystemCalls(scratch.file('record'));
  const at = (name: RegExp, text: string, after = -1): number => {
    const found = calls.find((call) => call.began > after && name.test(call.name) && call.parameters.includes(text));
    expect(found, `${name.source} ${text} after ${after}`).toMatchObject({ result: expect.not.stringMatching(/^-1|^\?/) });
    return found?.ended ?? -1;
  };
  const removed = at(/^unlink$/, `"${mounted.path}/.a.img.gantry-`);
  const durable = at(/^fsync$/, `<${mounted.path}>`, removed);
  expect(durable).toBeLessThan(at(/write/, String.raw`\"forget\"`));
});

/** Until the process group stands in the journal. */
async function untilJournalKnows(scratch: TemporaryDirectory, pid: number): Promise<void> {
  const [journal = ''] = await readdir(scratch.file('state', 'runs'));
  await expect.poll(() => readFile(scratch.file('state', 'runs', journal), 'utf8'), PATIENTLY).toContain(`"pgid":${pid}`);
}

describe('a run that is killed while a command runs', () => {
  test('in create: that is ended and the snapshot removed, also when it would have come later', async () => {
    await using scratch = await makeTemporaryDirectory();
    const disk = scratch.file('disk');
    await makeRandomFile(disk, MiB, 'x');
    await writeFile(
      scratch.file('create'),
      `#!/bin/sh\necho $$ > '${scratch.file('pid')}'\nwhile ! test -e '${scratch.file('go')}'; do sleep 0.1; done\ncp "$1" "$1.copy"\n`,
    );
    await chmod(scratch.file('create'), 0o755);
    const config = { create: [scratch.file('create'), '{path}'], remove: ['rm', '-f', '{path}.copy'], device: '{path}.copy' };
    const holder = holdSnapshots({ state: scratch.file('state'), mode: 'command', config, disks: [disk] });
    await expect.poll(() => readFile(scratch.file('pid'), 'utf8').catch(() => ''), PATIENTLY).toMatch(/\n$/);
    const pid = Number(await readFile(scratch.file('pid'), 'utf8'));
    await untilJournalKnows(scratch, pid);
    await holder.kill();
    const group = identifyGroup(pid);
    expect(runningMembers(group)).toContain(pid);

    const { leftovers } = await recover(scratch.file('state'));
    expect(leftovers.map(({ outcome }) => outcome)).toEqual(['cleared']);
    expect(runningMembers(group)).toEqual([]);
    await writeFile(scratch.file('go'), '');
    expect(await isThere(`${disk}.copy`)).toBe(false);
  });

  test('in freeze: the instance is thawed by the next run', async () => {
    await using scratch = await makeTemporaryDirectory();
    await using xfs = await mountNewXfs();
    await makeRandomFile(xfs.file('disk'), MiB, 'x');
    const config = {
      freeze: ['sh', '-c', `touch '${scratch.file('frozen')}'; echo $$ >'${scratch.file('pid')}'; sleep 1000`],
      thaw: ['rm', scratch.file('frozen')],
      timeouts: { freeze: 100 },
    };
    const holder = holdSnapshots({ state: scratch.file('state'), mode: 'reflink', config, disks: [xfs.file('disk')] });
    await expect.poll(() => readFile(scratch.file('pid'), 'utf8').catch(() => ''), PATIENTLY).toMatch(/\n$/);
    const pid = Number(await readFile(scratch.file('pid'), 'utf8'));
    await untilJournalKnows(scratch, pid);
    await holder.kill();
    const group = identifyGroup(pid);
    expect(runningMembers(group)).toContain(pid);
    const { leftovers } = await recover(scratch.file('state'));
    expect(leftovers).toMatchObject([
      { outcome: 'cleared', message: expect.stringContaining('instance web1 frozen, thawed by rm') },
      { outcome: 'cleared', message: expect.stringContaining('.snap of disk 0') },
    ]);
    expect(runningMembers(group)).toEqual([]);
    expect(await isThere(scratch.file('frozen'))).toBe(false);
    expect(await readdir(xfs.path)).toEqual(['disk']);
  });

  test('after create: the snapshot is removed by the next run, without the configuration', async () => {
    await using scratch = await makeTemporaryDirectory();
    const disk = scratch.file('disk');
    await makeRandomFile(disk, MiB, 'x');
    const config = { create: ['cp', '{path}', '{path}.{run}'], remove: ['rm', '{path}.{run}'], device: '{path}.{run}' };
    const holder = holdSnapshots({ state: scratch.file('state'), mode: 'command', config, disks: [disk] });
    const snapshots: unknown = JSON.parse(await holder.said);
    await holder.kill();
    const [snapshot = ''] = Array.isArray(snapshots) ? snapshots.map(String) : [];
    expect(await isThere(snapshot)).toBe(true);
    expect((await recover(scratch.file('state'))).leftovers.map(({ outcome }) => outcome)).toEqual(['cleared']);
    expect(await isThere(snapshot)).toBe(false);
  });
});
