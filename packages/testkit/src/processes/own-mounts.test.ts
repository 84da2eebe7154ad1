import { execa } from 'execa';
import { expect, test } from 'vitest';
import { makeSparseFile } from '../disks/disk-files.ts';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import { OWN_MOUNTS } from './own-mounts.ts';

/** Mounts an image, has another namespace made then, unmounts it, and mounts it again, read-only. */
const SCRIPT = `set -e
mkfs.ext4 -q -F "$1/disk.img"
mkdir "$1/first" "$1/second"
mount -o loop "$1/disk.img" "$1/first"
mkfifo "$1/ready"
directory=$1; shift
unshare "$@" sh -c ': >"$0/ready"; exec sleep 1000' "$directory" & other=$!
trap 'kill $other; umount "$directory/first" "$directory/second" 2>/dev/null || :' EXIT
: <"$directory/ready"
umount "$directory/first"
mount -o loop,ro "$directory/disk.img" "$directory/second"
umount "$directory/second"`;

async function mountAgainBeside(...options: readonly string[]): Promise<string> {
  await using directory = await makeTemporaryDirectory();
  await makeSparseFile(directory.file('disk.img'), 16 * 1024 * 1024);
  const { stderr } = await execa('unshare', ['--mount', '--propagation', 'shared', 'sh', '-c', SCRIPT, 'sh', directory.path, ...options], {
    reject: false,
    stdin: 'ignore',
  });
  return stderr;
}

test('what is unmounted while a namespace has a copy of it can be mounted again', async () => {
  expect(await mountAgainBeside(...OWN_MOUNTS)).toBe('');
  // Otherwise this would show nothing.
  expect(await mountAgainBeside('--mount')).toContain('already mounted');
});
