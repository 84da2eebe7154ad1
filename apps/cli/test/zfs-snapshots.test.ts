import process from 'node:process';
import { zfsMachineImage } from '@gantry/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { SnapshotMachine } from './snapshot-machine.ts';
import { startSnapshotMachine } from './snapshot-machine.ts';
import { lastLine } from './workbench.ts';

/*
 * Snapshots of ZFS, in an emulated machine with its module, which must be compiled: scripts/zfs.sh runs this.
 */

const IS_WANTED = process.env['GANTRY_ZFS'] === '1';
const MIB = 1024 * 1024;
/** Compiling takes five minutes of processor time; ms. */
const IMAGE_LIMIT_MS = 3_600_000;
/** An emulated processor starts the command in some seconds, ms. */
const TEST_LIMIT_MS = 900_000;

/** `data` is a volume, and `data.img` a file on the file system `files` of the same pool, both with an ext4 that is mounted; `tight` is a small pool. */
const STORAGE = `set -e
modprobe zfs; modprobe loop
zpool create -f -O compression=off -O atime=off tank $(readlink -f /dev/machine/0)
zpool create -f -O compression=off -m /tight tight $(readlink -f /dev/machine/1)
for name in data copy; do zfs create -s -V 64M tank/$name; done
zfs create -o mountpoint='/srv/v m' tank/files; mkdir '/srv/v m/sub'
for name in data copy more; do truncate -s 64M "/srv/v m/sub/$name.img"; done
mkdir -p /srv/bound; mount --bind '/srv/v m/sub' /srv/bound
udevadm settle
mkfs.ext4 -q -E nodiscard /dev/zvol/tank/data; mkfs.ext4 -q -F -E nodiscard /srv/bound/data.img
mount /dev/zvol/tank/data /mnt/a; losetup /dev/loop0 /srv/bound/data.img; mount /dev/loop0 /mnt/b`;

/** A mount of Gantry, and not what the machine shares with its host. */
const MOUNTED = '/scratch/gantry-';
const WAITS = 'touch /run/reading; sleep 1000000';

describe.skipIf(!IS_WANTED)('snapshots of ZFS', { timeout: TEST_LIMIT_MS }, () => {
  let bench: SnapshotMachine;

  beforeAll(async () => {
    bench = await startSnapshotMachine([1024 * MIB, 160 * MIB], { engine: 'tcg', image: await zfsMachineImage(), memoryMib: 1536 });
    await bench.machine.run(STORAGE);
  }, IMAGE_LIMIT_MS);

  afterAll(() => bench[Symbol.asyncDispose]());

  afterEach(async () => {
    expect(await remains(), 'what a test left').toBe('');
  });

  /** Snapshots, clones, mounts and directories of Gantry. */
  async function remains(): Promise<string> {
    const found = await bench.machine.run(
      `zfs list -H -t all -o name | grep gantry-; grep '${MOUNTED}' /proc/mounts; ls /var/cache/gantry/scratch 2>/dev/null; :`,
    );
    return found.stdout.trim();
  }

  async function exported(): Promise<string> {
    return (await bench.machine.run('ls -A /run/exports 2>/dev/null | grep -v gantry-store.json; :')).stdout.trim();
  }

  /** Kills an export of both disks at a moment of a script, in which `$gantry` is its process. */
  async function killExport(at: string, ...disks: readonly string[]): Promise<void> {
    await bench.defineOs('waits', WAITS);
    const source = await bench.describe('killed', disks, 'waits');
    const start = `rm -f /run/reading; $GANTRY export ${source} /run/exports >/dev/null 2>&1 & gantry=$!`;
    await bench.script(`${start}\n${at}; kill -KILL $gantry; wait $gantry; :`).outcome;
  }

  const BOTH = ['/dev/zvol/tank/data', '/srv/bound/data.img'];
  /** Both are in the journal; then they are made. */
  const AS_RECORDED = 'until [ "$(cat /run/gantry/runs/*.journal 2>/dev/null | grep -c @gantry-)" -ge 2 ]; do :; done';
  const AS_READ = 'until [ -e /run/reading ]; do sleep 0.1; done';

  test('of a volume and of a file hold what was synced when they were taken, both at one moment, and the file systems recover', async () => {
    const source = await bench.describe('loaded', BOTH);
    const { stdout, stderr } = await bench.exportLoaded(source, ['/mnt/a', '/mnt/b']);
    expect(stderr).toContain('snapshot of 2 disks (zfs)');
    expect(stderr).toMatch(/2 snapshots taken within \d+ ms/);
    const target = await bench.describe('recovered', ['/dev/zvol/tank/copy', '/srv/v m/sub/copy.img']);
    const imported = await bench.gantry(`import /run/exports ${lastLine(stdout)} --to ${target}`);
    expect(imported.exitCode, imported.stderr).toBe(0);
    await bench.machine.run('losetup /dev/loop1 /srv/bound/copy.img');
    const [first = NaN, second = NaN] = await bench.expectRecovered('/dev/zvol/tank/copy', '/dev/loop1');
    await bench.machine.run('losetup -d /dev/loop1');
    // Each number goes to the first before it goes to the second.
    expect([0, 1]).toContain(first - second);
  });

  test('of two files on one file system are one snapshot; scripts can write to that of a volume, and not to that of a file', async () => {
    await bench.defineOs(
      'looks',
      `set -e; case $EXPORT_DEVICE in /dev/*) dd if=/dev/zero of="$EXPORT_DEVICE" bs=4096 count=1 status=none;; *) ! touch "$EXPORT_DEVICE" 2>/dev/null;; esac
zfs list -H -t snapshot -o name | grep -c gantry- >&2; echo "device $EXPORT_DEVICE" >&2; cat "$EXPORT_DEVICE"`,
    );
    const disks = ['/srv/bound/copy.img', '/srv/bound/more.img', '/dev/zvol/tank/copy'];
    const { exitCode, stderr } = await bench.gantry(`export ${await bench.describe('looks', disks, 'looks')} /run/exports`);
    expect(exitCode, stderr).toBe(0);
    expect(stderr).toContain('snapshot of 3 disks (zfs)');
    expect(stderr).toMatch(/device \/var\/cache\/gantry\/scratch\/gantry-\S+-0\.zfs\/fs\/sub\/copy\.img/);
    expect(stderr).toMatch(/device \/var\/cache\/gantry\/scratch\/gantry-\S+-1\.zfs\/fs\/sub\/more\.img/);
    expect(stderr).toMatch(/device \/dev\/zvol\/tank\/gantry-\S+-2\b/);
    expect(stderr).toMatch(/^.*\b2$/m);
    await bench.machine.run('rm -r /run/exports');
  });

  describe('of a killed run are named, and cleared by clean,', () => {
    test.each([
      ['when they are read', AS_READ],
      ['when they are made', `${AS_RECORDED}; until pidof zfs; do :; done`],
      [
        'when the clone is made',
        `${AS_RECORDED}; until zfs list -H -t snapshot | grep -q @gantry-; do :; done; until pidof zfs; do :; done`,
      ],
    ])('%s', async (_, at) => {
      await killExport(at, ...BOTH);
      const listed = await bench.gantry('clean --dry-run');
      expect(listed.stdout + listed.stderr).toMatch(
        /snapshot tank\/data@gantry-\S+-0 of disk 0, which the interrupted export .* left[^]*snapshot tank\/files@gantry-\S+-1 of disk 1/,
      );
      const cleaned = await bench.gantry('clean /run/exports');
      expect(cleaned.exitCode, cleaned.stderr).toBe(0);
      expect(await remains()).toBe('');
      await bench.machine.run('echo written >/mnt/a/after; sync /mnt/a/after; [ "$(ls /run/gantry/runs)" = "" ]');
    });

    test('also if the dataset has another name by then; not as long as its pool is away', async () => {
      await bench.machine.run('zfs create -s -V 8M tight/old; udevadm settle');
      await killExport(AS_READ, '/dev/zvol/tight/old');
      await bench.machine.run('set -e; zfs rename tight/old tight/new; zpool export tight');
      const away = await bench.gantry('clean /run/exports');
      expect(away.stdout + away.stderr).toContain('pool tight is not imported');
      await bench.machine.run('zpool import -d /dev tight; udevadm settle');
      expect(await remains()).toMatch(/^tight\/gantry-\S+-0\s+tight\/new@gantry-\S+-0$/);
      const cleaned = await bench.gantry('clean /run/exports');
      expect(cleaned.exitCode, cleaned.stderr).toBe(0);
      expect(await remains()).toBe('');
      await bench.machine.run('zfs destroy tight/new');
    });
  });

  test('that cannot be removed are named, and removed by a later run', async () => {
    await bench.defineOs('keeps', `zfs snapshot \${EXPORT_DEVICE#/dev/zvol/}@theirs; cat "$EXPORT_DEVICE"`);
    const { exitCode, stderr } = await bench.gantry(
      `export ${await bench.describe('kept', ['/dev/zvol/tank/copy'], 'keeps')} /run/exports`,
    );
    expect(exitCode, stderr).toBe(0);
    expect(stderr).toMatch(/could not undo: snapshot tank\/copy@gantry-\S+-0 of disk 0: .*has children.*; the next run tries again/s);
    await bench.machine.run('zfs destroy $(zfs list -H -t snapshot -o name | grep @theirs)');
    const cleaned = await bench.gantry('clean /run/exports');
    expect(cleaned.exitCode, cleaned.stderr).toBe(0);
    await bench.machine.run('rm -r /run/exports');
  });

  describe('that cannot be taken', () => {
    /** What `snapshots check` says of a disk, and whether it is possible. */
    async function check(disk: string): Promise<{ readonly text: string; readonly exitCode: number }> {
      const { stdout, exitCode } = await bench.gantry(`snapshots check ${await bench.describe('checked', [disk])}`);
      return { text: stdout, exitCode };
    }

    test('are explained: what a disk is, and which space lacks', async () => {
      expect((await check('/dev/zvol/tank/data')).text).toContain(
        'disk 0 (/dev/zvol/tank/data): zfs: a snapshot of the volume tank/data, and a clone of it',
      );
      expect((await check('/srv/bound/data.img')).text).toContain(
        'disk 0 (/srv/bound/data.img): zfs: a snapshot of the file system tank/files, in which it is sub/data.img',
      );
      await bench.machine.run(`set -e; zfs create -o quota=100M tank/limited; zfs create -V 64M tank/limited/thick; udevadm settle
dd if=/dev/urandom of=/dev/zvol/tank/limited/thick bs=1M count=64 oflag=direct status=none; zpool sync
addpart /dev/zvol/tank/copy 1 2048 4096; zfs set snapdev=visible tank/copy; zfs snapshot tank/copy@mine; udevadm settle`);
      const idle = await check('/dev/zvol/tank/limited/thick');
      expect(idle.text).toMatch(
        /disk 0 \(\S+\): none: the disk itself[^]*not: zfs: tank\/limited\/thick has \d+ MiB available, and the reservations \(refreservation\) need \d+ MiB/,
      );
      await bench.machine.run('exec 5<>/dev/zvol/tank/limited/thick; sleep 1000000 <&5 >/dev/null 2>&1 & echo $! >/run/holder');
      const used = await check('/dev/zvol/tank/limited/thick');
      await bench.machine.run('kill $(cat /run/holder)');
      expect(used.text).toContain('no snapshot is possible: zfs is the way for it, but tank/limited/thick has');
      expect(used.exitCode).toBe(5);
      expect((await check('/dev/zvol/tank/copy-part1')).text).toContain('not: zfs: it is a partition of a volume of ZFS');
      expect((await check('/dev/zvol/tank/copy@mine')).text).toContain('not: zfs: it is a snapshot of ZFS itself (tank/copy@mine)');
      await bench.machine.run('delpart /dev/zvol/tank/copy 1; zfs destroy tank/copy@mine; zfs destroy -r tank/limited');
      const user = await bench.script(`chmod 644 /run/checked.yaml; exec setpriv --reuid 65534 --regid 65534 --clear-groups \
env HOME=/tmp $GANTRY snapshots check ${await bench.describe('checked', ['/srv/bound/data.img'])}`).outcome;
      expect(user.stdout, user.stderr).toContain('not: zfs: only root can take snapshots of ZFS');
      await bench.machine.run('mv /usr/sbin/zfs /usr/sbin/zfs.away');
      const lacks = await check('/srv/bound/data.img');
      await bench.machine.run('mv /usr/sbin/zfs.away /usr/sbin/zfs');
      expect(lacks.text).toContain('not: zfs: zfs is not installed (Debian package zfsutils-linux)');
    });
  });

  test('are given up before the space is used up, and the guest can write on', async () => {
    const overwrite = (mebibytes: number): string =>
      `dd if=/dev/urandom of=/dev/zvol/tank/limited/disk bs=1M count=${mebibytes} oflag=direct status=none; zpool sync`;
    await bench.machine.run(
      `set -e; zfs create -o quota=100M tank/limited; zfs create -s -V 64M tank/limited/disk; udevadm settle; ${overwrite(48)}`,
    );
    await bench.defineOs('fills', `${overwrite(48)}; sleep 1000000`);
    const source = await bench.describe('full', ['/dev/zvol/tank/limited/disk'], 'fills');
    const { exitCode, stderr } = await bench.gantry(`export ${source} /run/exports`);
    expect(stderr).toMatch(/was lost while it was read: the space of tank\/limited\/disk is 9\d % full \[SNAPSHOT_FULL\]/);
    expect(exitCode).toBe(5);
    expect(await exported()).toBe('');
    await bench.machine.run(`set -e; ${overwrite(20)}; zfs destroy -r tank/limited`);
  });
});
