import { open, readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PATIENTLY } from '../patience.ts';
import { makeAccount } from '../servers/account.ts';
import { processTree } from '../servers/process-tree.ts';
import { defineLibvirtGuest } from './libvirt-guest.ts';
import type { Libvirtd } from './libvirtd.ts';
import { startLibvirtd } from './libvirtd.ts';

let libvirtd: Libvirtd;

beforeAll(async () => {
  libvirtd = await startLibvirtd();
});

afterAll(async () => {
  await libvirtd[Symbol.asyncDispose]();
});

async function makeDisk(name: string, text: string): Promise<string> {
  const file = join(libvirtd.directory, name);
  await using handle = await open(file, 'wx', 0o600);
  await handle.write(text);
  await truncate(file, 1024 * 1024);
  return file;
}

test('a guest boots, answers, survives the end of libvirtd, shuts down, and ends with its owner', async () => {
  const disks = [{ file: await makeDisk('a.img', 'first disk\n') }, { file: await makeDisk('b.img', 'second disk\n') }];
  const guest = await defineLibvirtGuest(libvirtd, { name: "it's <odd> & 1", disks, does: 'answers' });
  await libvirtd.virsh('start', guest.uuid);
  await guest.says(/vdb says: second disk/);
  await guest.says(/ready/);

  const pid = await libvirtd.guestPid(guest.name);
  expect(pid).toBeDefined();
  await libvirtd.kill();
  await expect(libvirtd.virsh('version')).rejects.toThrow('Failed to connect');
  await guest.tell('a question');
  await guest.says(/answer: a question/);
  // Another test makes an account: the one for guests stays.
  await using _account = await makeAccount();
  await libvirtd.start();
  expect(await libvirtd.virsh('domstate', guest.uuid)).toContain('running');
  expect(await libvirtd.guestPid(guest.name)).toBe(pid);
  const [program = '', ...args] = libvirtd.enter;
  expect((await execa(program, [...args, 'ls', '/var/lib/libvirt/qemu'])).stdout).toContain('domain-1-');

  await libvirtd.virsh('shutdown', guest.uuid);
  await expect.poll(() => libvirtd.virsh('domstate', guest.uuid), PATIENTLY).toContain('shut off');
  await libvirtd.virsh('start', guest.uuid);
  const last = await libvirtd.guestPid(guest.name);
  await libvirtd[Symbol.asyncDispose]();
  expect(await processTree(last ?? -1)).toHaveLength(1);
  await expect(stat(`/proc/${last}`)).rejects.toThrow('ENOENT');
  await expect(stat(libvirtd.directory)).rejects.toThrow('ENOENT');
  expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain('/etc/libvirt');
}, 300_000);
