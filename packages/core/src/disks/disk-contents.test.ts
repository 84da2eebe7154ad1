import { writeFile } from 'node:fs/promises';
import { attachLoopDevice, makeRandomFile, makeSparseFile, makeTemporaryDirectory } from '@gantry/testkit';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { describeContents } from './disk-contents.ts';

const MIB = 1024 * 1024;
const { signal } = new AbortController();

/** Commands that write to the disk at `$1`, and the description of its contents after that. */
test.each([
  ['mkfs.ext4 -q -L root "$1"', 'ext file system "root"'],
  ['mkfs.ext2 -q "$1"', 'ext file system'],
  ['mkfs.xfs -q -L data "$1"', 'XFS file system "data"'],
  ['mkfs.btrfs -q -L "two words" "$1"', 'Btrfs file system "two words"'],
  ['mkswap -q -L swap "$1"', 'swap space "swap"'],
  ['printf "label: gpt\\nsize=4MiB\\n" | sfdisk -q "$1"', 'GPT partition table'],
  ['printf "label: dos\\nsize=4MiB\\n" | sfdisk -q "$1"', 'MBR partition table'],
  ['qemu-img create -q -f qcow2 "$1" 64M', 'qcow2 image'],
  ['qemu-img create -q -f vmdk "$1" 64M', 'VMDK image'],
  ['qemu-img create -q -f vhdx "$1" 64M', 'VHDX image'],
  ['printf "" >"$1"', 'nothing: it has 0 bytes'],
])('%s makes a disk hold: %s', async (program, holds) => {
  await using directory = await makeTemporaryDirectory();
  await makeSparseFile(directory.file('disk'), 320 * MIB);
  await execa('sh', ['-c', program, 'sh', directory.file('disk')]);
  expect(await describeContents(directory.file('disk'), signal)).toBe(holds);
});

test('a file with only a hole is empty, and so is a device of zeros; other data is of an unknown kind', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeSparseFile(directory.file('disk'), 4 * MIB);
  expect(await describeContents(directory.file('disk'), signal)).toBe('empty');
  await using loop = await attachLoopDevice(directory.file('disk'));
  expect(await describeContents(loop.path, signal)).toBe('empty, or zeros at its start and end');
  await makeRandomFile(directory.file('random'), MIB, 'contents');
  expect(await describeContents(directory.file('random'), signal)).toBe('data of an unknown kind');
  await writeFile(directory.file('small'), 'x');
  expect(await describeContents(directory.file('small'), signal)).toBe('data of an unknown kind');
});

test('a disk with zeros at its start and data at its end is not empty', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeSparseFile(directory.file('disk'), 4 * MIB);
  await execa('sh', ['-c', 'printf left | dd of="$1" bs=1 seek=4190000 conv=notrunc status=none', 'sh', directory.file('disk')]);
  expect(await describeContents(directory.file('disk'), signal)).toBe('data of an unknown kind');
});

test('a label with control characters is escaped', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeSparseFile(directory.file('disk'), 8 * MIB);
  await execa('mkfs.ext4', ['-q', '-L', 'a"\u001B[2J', directory.file('disk')]);
  expect(await describeContents(directory.file('disk'), signal)).toBe('ext file system "a\\"\\u001b[2J"');
});
