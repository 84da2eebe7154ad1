import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { oneIn } from '../all-variants.ts';
import { makeSparseFile } from '../disks/disk-files.ts';
import type { TemporaryDirectory } from '../disks/temporary-directory.ts';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import { machineImage } from './image.ts';
import type { Machine } from './machine.ts';
import { HOLD_WRITES, startMachine } from './machine.ts';

const MIB = 1024 * 1024;
/** Time limit for making the image, ms. */
const IMAGE_LIMIT_MS = 900_000;

beforeAll(async () => {
  await machineImage();
}, IMAGE_LIMIT_MS);

describe.each(oneIn(2, ['uml', 'tcg'] as const))('a machine of the engine %s', (engine) => {
  let scope: AsyncDisposableStack;
  let directory: TemporaryDirectory;
  let machine: Machine;

  beforeAll(async () => {
    scope = new AsyncDisposableStack();
    directory = scope.use(await makeTemporaryDirectory());
    await makeSparseFile(directory.file('disk'), 8 * MIB);
    await makeSparseFile(directory.file('shared'), MIB, [{ offset: 0, bytes: MIB, seed: 'shared' }]);
    machine = scope.use(await startMachine({ engine, disks: [directory.file('disk')], shares: [directory.path] }));
  });

  afterAll(() => scope.disposeAsync());

  test('returns the output of a script, byte for byte, and its status', async () => {
    const script = machine.start('printf "a\\0ü"; printf "not the end" >&2; cat; exit 7');
    expect(await script.outcome).toEqual({ exitCode: 7, stdout: 'a\0ü', stderr: 'not the end' });
    await expect(machine.run('echo why; exit 3')).rejects.toThrow(/status 3[^]*why/);
    expect((await machine.run('head -c 300000 /dev/zero | tr "\\0" x')).stdout).toBe('x'.repeat(300_000));
  });

  test('sees a host directory, and cannot write to it', async () => {
    const { stdout } = await machine.run(`sha256sum <${directory.file('shared')}; ! touch ${directory.path}/new`);
    expect(stdout).toMatch(/^[0-9a-f]{64} /);
  });

  test('has modules for devices that are stacked on disks', async () => {
    await machine.run('modprobe --dry-run --all dm_mod dm_flakey loop raid1 drbd xfs btrfs && modprobe dm_mod');
  });

  test('loses exactly the unflushed data when its power is cut', async () => {
    // Kept open, because the last close of a device flushes it, and udev reads a device that was closed.
    const write = (text: string, at: number): string => `printf ${text} | dd bs=4096 seek=${at} conv=notrunc status=none >&5`;
    await machine.run(HOLD_WRITES);
    await machine.run(`exec 5<>/dev/machine/0; ${write('kept', 1)}; sync /dev/machine/0; ${write('lost', 2)}; sleep 1000000 <&5 &`);
    const script = machine.start('echo now; sleep 1000000');
    await script.printed('now');
    await machine.cutPower();
    await expect(script.outcome).rejects.toThrow('has ended');
    const disk = await readFile(directory.file('disk'));
    expect(disk.toString('utf8', 4096, 4100)).toBe('kept');
    expect(disk.toString('utf8', 8192, 8196)).toBe('\0\0\0\0');
  });
});
