import { defineLibvirtGuest, makeSparseFile, makeTemporaryDirectory, startLibvirtd } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { pauseByControl, resumeInstance } from './pause-ways.ts';

const signal = new AbortController().signal;
const started = async (): Promise<void> => undefined;

test('a domain of libvirt is paused, and goes on; one that runs is left alone, and one that does not exist is an error', async () => {
  await using directory = await makeTemporaryDirectory();
  await using libvirtd = await startLibvirtd();
  await makeSparseFile(directory.file('disk.img'), 1024 * 1024);
  const { uuid } = await defineLibvirtGuest(libvirtd, { name: 'web1', disks: [{ file: directory.file('disk.img') }], does: 'answers' });
  const way = pauseByControl({ kind: 'libvirt', uri: libvirtd.uri, uuid, targets: ['vda'] });
  await expect(way.pause(signal, started)).rejects.toThrow('not running');
  await libvirtd.virsh('start', uuid);
  await way.pause(signal, started);
  expect(await libvirtd.virsh('domstate', uuid)).toContain('paused');
  for (let times = 0; times < 2; times += 1) {
    await resumeInstance(way.resume, signal);
    expect(await libvirtd.virsh('domstate', uuid)).toContain('running');
  }
  const unknown = pauseByControl({ kind: 'libvirt', uri: libvirtd.uri, uuid: uuid.replace(/^./, 'f'), targets: [] });
  await expect(resumeInstance(unknown.resume, signal)).rejects.toThrow('failed to get domain');
});
