import process from 'node:process';
import type { Machine } from '@gantry/testkit';
import { machineImage, makeRandomFile, makeSparseFile, startMachine } from '@gantry/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { COMMAND_SHARES, lastLine, MAIN, makeWorkbench } from './workbench.ts';

/*
 * Devices that are stacked on a target disk need modules that the kernel of the tests may lack: they are made in a machine.
 */

const MIB = 1024 * 1024;
const IMAGE_LIMIT_MS = 900_000;

const DRBD = `resource r0 {
  device /dev/drbd0; disk /dev/machine/3; meta-disk internal;
  on machine { address 127.0.0.1:7789; }
  on other { address 127.0.0.2:7789; }
}`;

/** What is stacked, on which disk, and how the refusal names it. */
const HOLDERS = [
  {
    holder: 'a device of device mapper',
    disk: '/dev/machine/0',
    stack: 'dmsetup create held --table "0 2048 linear /dev/machine/0 0"',
    names: '/dev/mapper/held is stacked on it',
  },
  {
    holder: 'a logical volume, mounted',
    disk: '/dev/machine/1',
    stack: `pvcreate -q /dev/machine/1; vgcreate -q vg /dev/machine/1; lvcreate -q -Wn -n lv -L 8M vg
mkfs.ext4 -q /dev/vg/lv; mkdir -p /mnt/lv; mount /dev/vg/lv /mnt/lv`,
    names: '/dev/mapper/vg-lv is mounted writable on /mnt/lv',
  },
  {
    holder: 'an array of md, and a device on it',
    disk: '/dev/machine/2',
    stack: `modprobe raid1; mdadm --quiet --create /dev/md0 --run --level=1 --metadata=1.2 --raid-devices=2 /dev/machine/2 missing
dmsetup create upon-md --table '0 2048 linear /dev/md0 0'`,
    names: '/dev/mapper/upon-md is stacked on',
  },
  {
    holder: 'DRBD, as secondary',
    disk: '/dev/machine/3',
    stack: `printf '%s' '${DRBD}' >/etc/drbd.d/r0.res; modprobe drbd; drbdadm create-md --force r0; drbdadm up r0`,
    names: '/dev/drbd0 is stacked on it',
  },
  {
    holder: 'a device on a loop device of the file',
    disk: '/run/disk.img',
    stack: `truncate -s 16M /run/disk.img; losetup /dev/loop0 /run/disk.img
dmsetup create upon-loop --table '0 2048 linear /dev/loop0 0'`,
    names: '/dev/mapper/upon-loop is stacked on',
  },
] as const;

describe('a target disk is refused, and stays as it is, under', () => {
  let scope: AsyncDisposableStack;
  let bench: Workbench;
  let machine: Machine;
  let reference: string;

  beforeAll(async () => {
    await machineImage();
    scope = new AsyncDisposableStack();
    bench = scope.use(await makeWorkbench());
    await makeRandomFile(bench.file('source.img'), MIB, 'source');
    const exported = await bench.gantry(
      'export',
      await bench.describeInstance('source', { disks: ['source.img'] }),
      bench.store,
      '--snapshot',
      'none',
    );
    expect(exported.exitCode, exported.stderr).toBe(0);
    reference = lastLine(exported.stdout);
    const disks = [0, 1, 2, 3].map((index) => bench.file(`disk-${index}.img`));
    for (const disk of disks) await makeSparseFile(disk, 32 * MIB);
    machine = scope.use(await startMachine({ disks, shares: [...COMMAND_SHARES, bench.path] }));
    await machine.run('modprobe dm_mod; modprobe loop');
  }, IMAGE_LIMIT_MS);

  afterAll(() => scope.disposeAsync());

  test.each(HOLDERS)('$holder', async ({ disk, stack, names }) => {
    await machine.run(`set -e\n${stack}\nsync ${disk}`);
    const digest = `sha256sum ${disk}`;
    const before = await machine.run(digest);
    const command = `${process.execPath} ${MAIN}`;
    // Of a name of its own: the machine may remember what it read of a file.
    const target = await bench.describeInstance(`target${disk.replaceAll('/', '-')}`, { disks: [disk] });
    const args = `import ${bench.store} ${reference} --to ${target}`;
    const { exitCode, stderr } = await machine.start(`GANTRY_YES=1 GANTRY_STATE_DIR=/run/gantry exec ${command} ${args}`).outcome;
    expect(stderr).toContain(names);
    expect(stderr).toMatch(new RegExp(`disk 0 \\(${disk}\\) is in use: [^]*\\[BUSY\\]`));
    expect(exitCode).toBe(10);
    expect((await machine.run(digest)).stdout).toBe(before.stdout);
  });
});
