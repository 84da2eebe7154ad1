import { access } from 'node:fs/promises';
import { defineLibvirtGuest, makeSparseFile, makeTemporaryDirectory, startLibvirtd } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { pauseUndo } from './pause.ts';
import { pauseByControl, resumeInstance } from './pause-ways.ts';

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
  const unknown = pauseByControl({ kind: 'libvirt', uri: libvirtd.uri, uuid: uuid.replace(/^./, 'f'), targets: [] });
  await expect(resumeInstance(unknown.resume, signal)).rejects.toThrow('failed to get domain');
});

test('what a killed run paused goes on, but not if its move may be committed', async () => {
  await using directory = await makeTemporaryDirectory();
  const resumed = directory.file('resumed');
  const record = { kind: 'pause', instance: 'web1', resume: { kind: 'commands', resume: ['touch', resumed], timeout: 10 } };
  const undecided = { ...record, undecided: { moveId: '0123', peer: 'ssh://node2' } };
  expect(pauseUndo.describe(undecided)).toContain(`ask ssh://node2 with gantry receive --outcome 0123; if it was not: touch ${resumed}`);
  expect(await pauseUndo.undo(undecided, { instance: 'web1' }, signal)).toBe(true);
  await expect(access(resumed)).rejects.toThrow('ENOENT');
  expect(await pauseUndo.undo(record, { instance: 'web1' }, signal)).toBe(true);
  await access(resumed);
});
