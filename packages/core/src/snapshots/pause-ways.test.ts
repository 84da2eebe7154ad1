import { access, readFile, readdir } from 'node:fs/promises';
import { defineLibvirtGuest, makeSparseFile, makeTemporaryDirectory, startLibvirtd } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { openRun } from '../runs/journal.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import { HeldRecords } from './held-records.ts';
import { Pause, pauseUndo, undecidedPauseNotice } from './pause.ts';
import { pauseByCommands, pauseByControl, resumeInstance } from './pause-ways.ts';
import { parseSnapshotConfig } from './snapshot-config.ts';

const signal = new AbortController().signal;
const started = async (): Promise<void> => undefined;

test('a domain of libvirt is paused, and goes on; one that runs is left alone, and one that does not exist is an error', async () => {
  await using directory = await makeTemporaryDirectory();
  await using libvirtd = await startLibvirtd();
  await makeSparseFile(directory.file('disk.img'), 1024 * 1024);
  const { uuid } = await defineLibvirtGuest(libvirtd, { name: 'web1', disks: [{ file: directory.file('disk.img') }], does: 'answers' });
  const way = pauseByControl({ kind: 'libvirt', uri: libvirtd.uri, uuid, targets: ['vda'] });
  await expect(way.check(signal)).rejects.toThrow('its state is "shut off"');
  await expect(way.pause(signal, started)).rejects.toThrow('not running');
  await libvirtd.virsh('start', uuid);
  await way.check(signal);
  await way.pause(signal, started);
  expect(await libvirtd.virsh('domstate', uuid)).toContain('paused');
  await expect(way.check(signal)).rejects.toThrow('its state is "paused"');
  for (let times = 0; times < 2; times += 1) {
    await resumeInstance(way.resume, signal);
    expect(await libvirtd.virsh('domstate', uuid)).toContain('running');
  }
  const unknown = pauseByControl({ kind: 'libvirt', uri: libvirtd.uri, uuid: '00000000-0000-4000-8000-000000000000', targets: [] });
  await expect(resumeInstance(unknown.resume, signal)).rejects.toThrow('failed to get domain');
});

test('a domain of libvirt goes on although it was paused after the command that pauses had been given up', async () => {
  await using directory = await makeTemporaryDirectory();
  await using libvirtd = await startLibvirtd();
  await makeSparseFile(directory.file('disk.img'), 1024 * 1024);
  const { uuid, name } = await defineLibvirtGuest(libvirtd, {
    name: 'web1',
    disks: [{ file: directory.file('disk.img') }],
    does: 'answers',
  });
  await libvirtd.virsh('start', uuid);
  const qemu = (await libvirtd.guestPid(name)) ?? expect.fail('there is no QEMU');
  const way = pauseByControl({ kind: 'libvirt', uri: libvirtd.uri, uuid, targets: ['vda'] });
  const enough = new AbortController();
  // QEMU does not answer: libvirtd waits, with the request to pause in its hands.
  process.kill(qemu, 'SIGSTOP');
  const pausing = way.pause(enough.signal, started);
  while (!(await libvirtd.virsh('domcontrol', uuid)).startsWith('occupied'));
  enough.abort(new Error('enough'));
  await expect(pausing).rejects.toThrow('enough');
  const over = new AbortController();
  const resuming = resumeInstance(way.resume, signal).finally(() => over.abort());
  while (!over.signal.aborted && !(await isCalled('resume', uuid)));
  process.kill(qemu, 'SIGCONT');
  await resuming;
  while ((await libvirtd.virsh('domcontrol', uuid)) !== 'ok');
  expect(await libvirtd.virsh('domstate', uuid)).toBe('running');
});

/** Whether a process has these words in its command line. */
async function isCalled(...words: readonly string[]): Promise<boolean> {
  for (const pid of await readdir('/proc')) {
    const line = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words.every((word) => line.includes(word))) return true;
  }
  return false;
}

test('what a killed run paused goes on, but not if its move may be committed', async () => {
  await using directory = await makeTemporaryDirectory();
  const resumed = directory.file('resumed');
  const record = { kind: 'pause', instance: 'web1', resume: { kind: 'commands', resume: ['touch', resumed], timeout: 10 } };
  const stateDirectory = await openStateDirectory(directory.file('state'));
  {
    await using run = await openRun({ stateDirectory, operation: 'move', instance: 'web1' });
    const held = new HeldRecords(run, { instance: 'web1' }, [pauseUndo], () => undefined);
    const pause = pauseByCommands(parseSnapshotConfig(JSON.stringify({ pause: ['true'], resume: ['touch', resumed] }), 'test'), {
      instance: 'web1',
      run: run.id,
    });
    await new Pause('web1', pause ?? expect.fail('there are commands'), held).mayBeCommitted({ moveId: '0123', peer: 'ssh://node2' });
  }
  for (const [endNotices, left] of [
    [false, 1],
    [true, 1],
    [false, 0],
  ] as const) {
    const { leftovers } = await recoverDeadRuns({ stateDirectory, undos: [pauseUndo, undecidedPauseNotice], signal, endNotices });
    expect(leftovers.map(({ outcome }) => outcome)).toEqual(Array.from({ length: left }, () => 'noted'));
    for (const { what } of leftovers)
      expect(what).toContain(`ask ssh://node2 with gantry receive --outcome 0123; if it was not: touch ${resumed}`);
  }
  await expect(access(resumed)).rejects.toThrow('ENOENT');
  expect(await pauseUndo.undo(record, { instance: 'web1' }, signal)).toBe(true);
  await access(resumed);
});
