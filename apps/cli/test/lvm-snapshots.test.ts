import { ALL_VARIANTS } from '@gantry/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { SnapshotMachine } from './snapshot-machine.ts';
import { startSnapshotMachine } from './snapshot-machine.ts';
import { lastLine } from './workbench.ts';

/*
 * Snapshots of logical volumes, in a machine with a kernel that has device mapper: one machine for all, since they start slowly.
 */

const MIB = 1024 * 1024;
const IMAGE_LIMIT_MS = 900_000;

/** Volumes: `data` and `copy` are linear, `thin` and `thin-copy` are in a pool, `idle` is not in use. */
const STORAGE = `set -e
for module in dm_mod dm_snapshot dm_thin_pool; do modprobe $module; done
pvcreate -q /dev/machine/0; vgcreate -q vg /dev/machine/0
for name in data copy idle; do lvcreate -q -y -Wn -L 64M -n $name vg; done
lvcreate -q --type thin-pool -L 96M -n pool vg
for name in thin thin-copy; do lvcreate -q -V 64M -T vg/pool -n $name; done
for name in data thin; do mkfs.ext4 -q -E nodiscard /dev/vg/$name; done
mount /dev/vg/data /mnt/a; mount /dev/vg/thin /mnt/b`;

/** More than the space of the snapshots that it is used with. */
const overwrite = (volume: string, mebibytes: number): string =>
  `dd if=/dev/urandom of=/dev/vg/${volume} bs=1M count=${mebibytes} oflag=direct status=none`;

/** Writes to another volume of the pool until so much of its data space is used. Blocks have 64 KiB. */
const fillPool = (percent: number): string => `lvcreate -q -V 128M -T vg/pool -n filler 2>/dev/null
set -- $(dmsetup status vg-pool-tpool); used=\${6%/*}; all=\${6#*/}
${overwrite('filler', 0).replace('count=0', `count=$(((all * ${percent} / 100 - used) / 16))`)}`;

describe('snapshots of logical volumes', () => {
  let bench: SnapshotMachine;

  beforeAll(async () => {
    bench = await startSnapshotMachine([640 * MIB, 32 * MIB]);
    await bench.machine.run(STORAGE);
  }, IMAGE_LIMIT_MS);

  afterAll(() => bench[Symbol.asyncDispose]());

  afterEach(async () => {
    expect(await snapshots(), 'what a test left').toBe('');
  });

  /** The snapshots that are there, by their tag, and devices upon them. */
  async function snapshots(): Promise<string> {
    return (await bench.machine.run('lvs --noheadings -o lv_name @gantry; dmsetup ls | grep ^gantry; :')).stdout.trim();
  }

  async function exportedNames(): Promise<string> {
    return (await bench.machine.run('ls -A /run/exports 2>/dev/null | grep -v gantry-store.json; :')).stdout.trim();
  }

  test('hold what was synced when they were taken, classic and thin ones, and the file systems recover', async () => {
    const source = await bench.describe('loaded', ['/dev/vg/data', '/dev/vg/thin']);
    const { stdout, stderr } = await bench.exportLoaded(source, ['/mnt/a', '/mnt/b'], '--snapshot-size 32M');
    expect(stderr).toContain('snapshot of 2 disks (lvm)');
    expect(stderr).toMatch(/2 snapshots taken within \d+ ms/);

    const target = await bench.describe('recovered', ['/dev/vg/copy', '/dev/vg/thin-copy']);
    const imported = await bench.gantry(`import /run/exports ${lastLine(stdout)} --to ${target}`);
    expect(imported.exitCode, imported.stderr).toBe(0);
    await bench.expectRecovered('/dev/vg/copy', '/dev/vg/thin-copy');
  });

  describe('that overflow fail the export, and nothing of it is visible,', () => {
    test.skipIf(!ALL_VARIANTS)('where the disk is read as it is', async () => {
      const config = await bench.configure({ thaw: overwrite('copy', 16) });
      const source = await bench.describe('full', ['/dev/vg/copy']);
      const { exitCode, stderr } = await bench.gantry(`export ${source} /run/exports --snapshot-size 8M ${config}`);
      expect(stderr).toMatch(/the snapshot of disk 0 was lost while it was read: vg\/gantry-\S+-0 is full \[SNAPSHOT_FULL\]/);
      expect(exitCode).toBe(5);
      expect(await exportedNames()).toBe('');
    });

    const variants: [string, string][] = [
      ['while a script waits', `${overwrite('copy', 16)}; sleep 1000000`],
      ['after a script has read all of it', `cat "$EXPORT_DEVICE"; ${overwrite('copy', 16)}`],
      ['and the script fails for it', `${overwrite('copy', 16)}; cat "$EXPORT_DEVICE"`],
    ];
    test.each(ALL_VARIANTS ? variants : variants.slice(0, 1))('%s', async (_, exportScript) => {
      await bench.defineOs('overflow', exportScript);
      const source = await bench.describe('full', ['/dev/vg/copy'], 'overflow');
      const { exitCode, stderr } = await bench.gantry(`export ${source} /run/exports --snapshot-size 8M`);
      expect(stderr).toMatch(/was lost while it was read: .* is full.*\[SNAPSHOT_FULL\]/s);
      expect(exitCode).toBe(5);
      expect(await exportedNames()).toBe('');
    });
  });

  test.skipIf(!ALL_VARIANTS)('that are nearly full are warned of', async () => {
    const config = await bench.configure({ thaw: overwrite('copy', 7) });
    const source = await bench.describe('nearly', ['/dev/vg/copy']);
    const { exitCode, stderr } = await bench.gantry(`export ${source} /run/exports --snapshot-size 8M ${config}`);
    expect(stderr).toMatch(/warning: disk 0: vg\/gantry-\S+-0 is \d\d % full/);
    expect(exitCode, stderr).toBe(0);
    await bench.machine.run('rm -r /run/exports');
  });

  describe('of a killed run are named, and cleared by clean,', () => {
    const variants: [string, string][] = [
      ['when they are read', 'until [ -e /run/reading ]; do sleep 0.1; done; kill -KILL $gantry'],
      ['when they are made', 'until pidof lvcreate; do :; done; kill -KILL $gantry'],
      // As after a power cut: a volume without an origin is left.
      [
        'when they are half made',
        `until lvcreate=$(pidof lvcreate); do :; done
until set -- /dev/mapper/vg-gantry*; [ -e "$1" ]; do :; done; kill -KILL $gantry $lvcreate`,
      ],
    ];
    test.each(ALL_VARIANTS ? variants : variants.slice(0, 1))('%s', async (_, kill) => {
      await bench.defineOs('waits', 'touch /run/reading; sleep 1000000');
      const source = await bench.describe('killed', ['/dev/vg/data'], 'waits');
      const start = `rm -f /run/reading; $GANTRY export ${source} /run/exports --snapshot-size 16M >/dev/null 2>&1 & gantry=$!`;
      await bench.script(`${start}\n${kill}; wait $gantry`).outcome;
      const listed = await bench.gantry('clean --dry-run');
      expect(listed.stdout + listed.stderr).toMatch(
        /snapshot vg\/gantry-\S+-0 of disk 0 \(vg\/data\), which the interrupted export .* left/,
      );
      const cleaned = await bench.gantry('clean /run/exports');
      expect(cleaned.exitCode, cleaned.stderr).toBe(0);
      expect(await snapshots()).toBe('');
      // The volume goes on: nothing has left it suspended.
      await bench.machine.run('echo written >/mnt/a/after-kill; sync /mnt/a/after-kill; [ "$(ls /run/gantry/runs)" = "" ]');
    });
  });

  test.skipIf(!ALL_VARIANTS)('that somebody else removes while they are read fail the export', async () => {
    const config = await bench.configure({ thaw: 'true' });
    await bench.defineOs('removes', 'cat "$EXPORT_DEVICE"; dmsetup remove --force --retry $(basename $(ls /dev/mapper/vg-gantry*[0-9]))');
    const source = await bench.describe('removed', ['/dev/vg/idle'], 'removes');
    const { exitCode, stderr } = await bench.gantry(`export ${source} /run/exports ${config} --snapshot-size 8M`);
    expect(stderr).toMatch(/the snapshot of disk 0 was lost while it was read.*\[SNAPSHOT_FAILED\]/s);
    expect(exitCode).toBe(5);
    expect(await exportedNames()).toBe('');
  });

  test('of thin volumes are given up before their pool is full, and guests go on', async () => {
    const config = await bench.configure({ thaw: fillPool(97) });
    const { exitCode, stderr } = await bench.gantry(`export ${await bench.describe('thin', ['/dev/vg/thin'])} /run/exports ${config}`);
    expect(stderr).toMatch(/was lost while it was read: the data space of thin pool vg\/pool is 9\d % full \[SNAPSHOT_FULL\]/);
    expect(exitCode).toBe(5);
    expect(await exportedNames()).toBe('');
    await bench.machine.run('echo written >/mnt/b/after; sync /mnt/b/after');
    const again = await bench.gantry(`export ${await bench.describe('thin', ['/dev/vg/thin'])} /run/exports`);
    expect(again.stderr).toMatch(
      /data space of thin pool vg\/pool is 9\d\.\d+ % full: a snapshot could fill it up \[SNAPSHOT_UNSUPPORTED\]/,
    );
    await bench.machine.run('lvremove -q -y vg/filler');
  });

  describe('that cannot be taken', () => {
    test('for lack of space are refused where the volume is in use, and the disk itself is read where not', async () => {
      await bench.machine.run('lvcreate -q -y -Wn -l 100%FREE -n rest vg; lvreduce -q -y -L -8M vg/rest');
      const inUse = await bench.gantry(`export ${await bench.describe('in-use', ['/dev/vg/data'])} /run/exports`);
      expect(inUse.stderr).toContain(
        'cannot take an lvm snapshot of disk 0 (/dev/vg/data): volume group vg has 8 MiB free, and 72 MiB are wanted (--snapshot-size)',
      );
      expect(inUse.stderr).toContain('[SNAPSHOT_UNSUPPORTED]');
      expect(inUse.exitCode).toBe(5);
      const idle = await bench.gantry(`export ${await bench.describe('idle', ['/dev/vg/idle'])} /run/exports`);
      expect(idle.exitCode, idle.stderr).toBe(0);
      expect(idle.stderr).toContain('no snapshot of 1 disk');
      const both = await bench.gantry(
        `export ${await bench.describe('both', ['/dev/vg/data', '/dev/vg/idle'])} /run/exports --snapshot-size 8M`,
      );
      expect(both.stderr).toMatch(/volume group vg has 8 MiB free, and 16 MiB are wanted \(--snapshot-size\) \[SNAPSHOT_FULL\]/);
      await bench.machine.run('rm -r /run/exports; lvremove -q -y vg/rest');
    });

    test.skipIf(!ALL_VARIANTS)('because the group is read-only are refused', async () => {
      await bench.machine.run(`set -e; pvcreate -q /dev/machine/1; vgcreate -q ro /dev/machine/1; lvcreate -q -y -Wn -L 8M -n disk ro
vgcfgbackup -q -f /run/ro.conf ro; sed -i 's/"RESIZEABLE", "READ", "WRITE"/"RESIZEABLE", "READ"/' /run/ro.conf; vgcfgrestore -q -y -f /run/ro.conf ro`);
      const { stderr, exitCode } = await bench.gantry(`export ${await bench.describe('ro', ['/dev/ro/disk'])} /run/exports --snapshot lvm`);
      expect(stderr).toContain('cannot take an lvm snapshot of disk 0 (/dev/ro/disk): volume group ro is read-only [SNAPSHOT_UNSUPPORTED]');
      expect(exitCode).toBe(5);
    });

    test.skipIf(!ALL_VARIANTS)('because the volume has vanished say so', async () => {
      await bench.machine.run('lvcreate -q -y -Wn -L 8M -n gone vg');
      const config = await bench.configure({ freeze: 'lvremove -q -y vg/gone' });
      const { stderr, exitCode } = await bench.gantry(`export ${await bench.describe('gone', ['/dev/vg/gone'])} /run/exports ${config}`);
      expect(stderr).toMatch(
        /cannot take a snapshot of disk 0 \(\/dev\/vg\/gone\): lvcreate failed .*LV gone not found in Volume group vg/,
      );
      expect(stderr).toContain('[SNAPSHOT_FAILED]');
      expect(exitCode).toBe(5);
      expect(await exportedNames()).toBe('');
    });
  });

  describe('beside them, the volumes that an import creates', () => {
    const made = async (): Promise<string> =>
      (await bench.machine.run('lvs --noheadings -o lv_name vg | grep -e made -e new; :')).stdout.trim();

    test.skipIf(!ALL_VARIANTS)('have the size of the disk and its data, and zeros in the rest of the last extent', async () => {
      // What a new volume would show of an old one, if nothing wrote to it.
      await bench.machine.run(`lvcreate -q -y -Wn -L 64M -n old vg; ${overwrite('old', 64)}; lvremove -q -y vg/old
head -c 9000000 /dev/urandom >/run/odd.img`);
      const exported = await bench.gantry(`export ${await bench.describe('odd', ['/run/odd.img'])} /run/exports`);
      const imported = await bench.gantry(`import /run/exports ${lastLine(exported.stdout)} --disk 0=/dev/vg/made --create-disks`);
      expect(imported.exitCode, imported.stderr).toBe(0);
      await bench.machine.run(`set -e; cmp -n 9000000 /run/odd.img /dev/vg/made
[ $(blockdev --getsize64 /dev/vg/made) = 12582912 ]; tail -c +9000001 /dev/vg/made | cmp -n 3582912 - /dev/zero`);
      expect(await made()).toBe('made');
      const again = await bench.gantry(`import /run/exports ${lastLine(exported.stdout)} --disk 0=/dev/vg/huge --create-disks --dry-run`);
      expect(again.stderr).toContain('/dev/vg/huge (8.58 MiB, now: nothing: it will be a new logical volume)');
      await bench.machine.run('lvchange -q -a n vg/made');
      const inactive = await bench.gantry(`import /run/exports ${lastLine(exported.stdout)} --disk 0=/dev/vg/made --create-disks`);
      expect(inactive.stderr).toContain('the logical volume exists, and is not active');
      await bench.machine.run('lvremove -q -y vg/made');
    });

    test.skipIf(!ALL_VARIANTS)('show nothing of an old volume where the script does not write', async () => {
      await bench.machine.run(`lvcreate -q -y -Wn -L 64M -n old vg; ${overwrite('old', 64)}; lvremove -q -y vg/old`);
      await bench.defineOs('sparse', 'cat "$EXPORT_DEVICE"');
      await bench.machine.run(
        `printf '#!/bin/sh\\nexec cat >/dev/null\\n' >/run/os/sparse/import; chmod 755 /run/os/sparse/import; truncate -s 8M /run/sparse.img`,
      );
      const exported = await bench.gantry(`export ${await bench.describe('sparse', ['/run/sparse.img'], 'sparse')} /run/exports`);
      const imported = await bench.gantry(`import /run/exports ${lastLine(exported.stdout)} --disk 0=/dev/vg/made --create-disks`);
      expect(imported.exitCode, imported.stderr).toBe(0);
      await bench.machine.run('set -e; cmp -n 8388608 /dev/vg/made /dev/zero; lvremove -q -y vg/made; rm /run/sparse.img');
    });

    test.skipIf(!ALL_VARIANTS)('are removed by their UUIDs: one that somebody has made in the place of another stays', async () => {
      await bench.defineOs('replaced', 'cat "$EXPORT_DEVICE"');
      await bench.machine.run(
        `printf '#!/bin/sh\\ncat >/dev/null; n=$(lvs --noheadings -o lv_name vg | grep -o "gantry-.*-new0-.*"); lvrename -q vg $n moved; lvcreate -q -y -Wn -L 8M -n made vg; lvcreate -q -y -Wn -L 8M -n $n vg; exit 3\\n' >/run/os/replaced/import; chmod 755 /run/os/replaced/import; truncate -s 8M /run/replaced.img`,
      );
      const exported = await bench.gantry(`export ${await bench.describe('replaced', ['/run/replaced.img'], 'replaced')} /run/exports`);
      const imported = await bench.gantry(`import /run/exports ${lastLine(exported.stdout)} --disk 0=/dev/vg/made --create-disks`);
      expect(imported.exitCode, imported.stderr).toBe(6);
      expect((await made()).split(/\s+/).toSorted()).toEqual([expect.stringMatching(/^gantry-.*-new0-/), 'made']);
      await bench.machine.run(
        'lvremove -q -y $(lvs --noheadings -o lv_full_name vg | grep -e made -e moved -e new0); rm /run/replaced.img',
      );
    });

    test('are removed if it fails, and after a kill by the next run', async () => {
      await bench.defineOs('waits', 'cat "$EXPORT_DEVICE"');
      await bench.machine.run(
        `printf '#!/bin/sh\\ntouch /run/reading; sleep 1000000\\n' >/run/os/waits/import; chmod 755 /run/os/waits/import`,
      );
      await bench.machine.run('truncate -s 8M /run/small.img');
      const source = await bench.describe('small', ['/run/small.img'], 'waits');
      const exported = await bench.gantry(`export ${source} /run/exports`);
      const call = `import /run/exports ${lastLine(exported.stdout)} --disk 0=/dev/vg/made --create-disks`;
      await bench.script(`rm -f /run/reading; $GANTRY ${call} >/dev/null 2>&1 & gantry=$!
until [ -e /run/reading ]; do sleep 0.1; done; kill -KILL $gantry; wait $gantry`).outcome;
      expect(await made()).toMatch(/^gantry-\S+-new0-[0-9a-f]{8}$/);
      const cleaned = await bench.gantry('clean /run/exports');
      expect(cleaned.stdout + cleaned.stderr).toContain('unfinished new disks (/dev/vg/made)');
      expect(await made()).toBe('');
      await bench.machine.run(`printf '#!/bin/sh\\nexit 3\\n' >/run/os/waits/import`);
      const failed = await bench.gantry(call);
      expect([failed.exitCode, await made()]).toEqual([6, '']);
      await bench.machine.run('lvcreate -q -y -Wn -l 100%FREE -n rest vg');
      const full = await bench.gantry(call);
      await bench.machine.run('lvremove -q -y vg/rest; rm -r /run/exports');
      expect(full.stderr).toMatch(/volume group vg has 0 bytes free, and the new volumes need 8388608 \[DISK_NOT_CREATED\]/);
    });
  });

  describe('of the volume below a device of DRBD', () => {
    beforeAll(async () => {
      // Both sides in one kernel: drbd1 is the source of the other, later.
      await bench.machine.run(`set -e; modprobe drbd; modprobe loop; echo /bin/true >/sys/module/drbd/parameters/usermode_helper
for minor in 1 2; do
  lvcreate -q -y -Wn -L 32M -n back$minor vg; drbdmeta --force $minor v08 /dev/vg/back$minor internal create-md
  drbdsetup new-resource r$minor; drbdsetup new-minor r$minor $minor 0
  drbdsetup attach $minor /dev/vg/back$minor /dev/vg/back$minor internal --resync-rate=100 --c-plan-ahead=0
done
drbdsetup primary 1 --force; mkfs.ext4 -q /dev/drbd1; mkdir -p /mnt/drbd; mount /dev/drbd1 /mnt/drbd`);
    });

    afterAll(async () => {
      await bench.machine.run('umount /mnt/drbd; for minor in 1 2; do drbdsetup down r$minor; lvremove -q -y vg/back$minor; done');
    });

    test('hold what was synced on the primary when they were taken, and have the size of the disk', async () => {
      const { stdout, stderr } = await bench.exportLoaded(
        await bench.describe('drbd', ['/dev/drbd1']),
        ['/mnt/drbd'],
        '--snapshot-size 32M',
      );
      expect(stderr).toContain('snapshot of 1 disk (drbd)');
      // The volume is larger, by the metadata of DRBD at its end.
      await bench.machine.run('truncate -s $(blockdev --getsize64 /dev/drbd1) /run/copy.img');
      const target = await bench.describe('drbd-copy', ['/run/copy.img']);
      const imported = await bench.gantry(`import /run/exports ${lastLine(stdout)} --to ${target}`);
      expect(imported.exitCode, imported.stderr).toBe(0);
      await bench.machine.run('losetup /dev/loop0 /run/copy.img');
      await bench.expectRecovered('/dev/loop0');
      await bench.machine.run('losetup -d /dev/loop0; rm /run/copy.img');
    });

    test.skipIf(!ALL_VARIANTS)('are named and cleared after a kill, with what stands upon them', async () => {
      await bench.defineOs('waits', 'touch /run/reading; sleep 1000000');
      const source = await bench.describe('drbd', ['/dev/drbd1'], 'waits');
      await bench.script(`rm -f /run/reading; $GANTRY export ${source} /run/exports --snapshot-size 16M >/dev/null 2>&1 & gantry=$!
until [ -e /run/reading ]; do sleep 0.1; done; kill -KILL $gantry; wait $gantry`).outcome;
      expect(await snapshots()).toMatch(/gantry-\S+-0\s+gantry-\S+-0/);
      const cleaned = await bench.gantry('clean /run/exports');
      expect(cleaned.stdout + cleaned.stderr).toMatch(/snapshot vg\/gantry-\S+-0 of disk 0 \(vg\/back1\)/);
      expect(cleaned.exitCode, cleaned.stderr).toBe(0);
    });

    test('are refused on a secondary, and where the data is not up to date', async () => {
      // The target of the synchronization becomes the primary: what it has on its own disk is old and new.
      await bench.machine.run(`set -e; umount /mnt/drbd
for minor in 1 2; do drbdsetup connect r$minor ipv4:127.0.0.1:700$minor ipv4:127.0.0.1:700$((3 - minor)) --protocol=C; done
until drbdsetup cstate 2 | grep -q SyncTarget; do sleep 0.1; done; drbdsetup secondary 1; drbdsetup primary 2`);
      const syncing = await bench.gantry(`export ${await bench.describe('syncing', ['/dev/drbd2'])} /run/exports`);
      expect(syncing.stderr).toContain(
        'cannot take a drbd snapshot of disk 0 (/dev/drbd2): the data of r2 on this node is Inconsistent (SyncTarget): wait until it is UpToDate',
      );
      expect(syncing.exitCode).toBe(5);
      const secondary = await bench.gantry(`export ${await bench.describe('secondary', ['/dev/drbd1'])} /run/exports`);
      expect(secondary.stderr).toContain('cannot open disk 0 (/dev/drbd1): it is a DRBD secondary here (EMEDIUMTYPE) [DISK_DENIED]');
      expect(secondary.exitCode).toBe(5);
    });
  });

  describe('are checked by gantry snapshots check, which', () => {
    test('says what would be taken, what not, and why', async () => {
      const instance = await bench.describe('checked', ['/dev/vg/data', '/dev/vg/thin']);
      const { exitCode, stdout, stderr } = await bench.gantry(`snapshots check ${instance} --snapshot-size 16M`);
      expect(exitCode, stderr).toBe(0);
      expect(stdout).toMatch(
        /^disk 0 \(\/dev\/vg\/data\): lvm: a classic snapshot of vg\/data with 16 MiB of the \d+ MiB that are free in group vg$/m,
      );
      expect(stdout).toMatch(
        /^disk 1 \(\/dev\/vg\/thin\): lvm: a thin snapshot of vg\/thin in pool vg\/pool \(data \d+\.\d\d % full, metadata \d+\.\d\d %\)$/m,
      );
      expect(stdout).toContain('\n  not: reflink: it is not a regular file\n');
      expect(stdout).toContain('\n  not: drbd: it is not a device of DRBD\n');
      expect(stdout).toContain('\n  possible too: none: the disk itself');
    });

    test.skipIf(!ALL_VARIANTS)('says when an export would fail, with status 5, and what all disks need together', async () => {
      const both = await bench.describe('both', ['/dev/vg/data', '/dev/vg/idle']);
      await bench.machine.run('lvcreate -q -y -Wn -l 100%FREE -n rest vg; lvreduce -q -y -L -8M vg/rest');
      const refused = await bench.gantry(`snapshots check ${both}`);
      expect(refused.stdout).toContain(
        'disk 0 (/dev/vg/data): no snapshot is possible: lvm is the way for it, but volume group vg has 8 MiB free',
      );
      expect(refused.stdout).toContain('disk 1 (/dev/vg/idle): none: the disk itself');
      expect(refused.exitCode).toBe(5);
      const { stdout, exitCode } = await bench.gantry(`snapshots check ${both} --snapshot-size 8M --json`);
      expect(JSON.parse(lastLine(stdout))).toMatchObject({
        operation: 'snapshots-check',
        possible: false,
        disks: [{ provider: 'lvm' }, { provider: 'lvm' }],
        problems: ['lvm: volume group vg has 8 MiB free, and 16 MiB are wanted (--snapshot-size)'],
      });
      expect(exitCode).toBe(5);
      await bench.machine.run('lvremove -q -y vg/rest');
    });

    test.skipIf(!ALL_VARIANTS)('names the package that lacks, and who may take snapshots', async () => {
      const instance = await bench.describe('lacks', ['/dev/vg/idle']);
      await bench.machine.run('mv /sbin/lvs /sbin/lvs.away');
      const lacks = await bench.gantry(`snapshots check ${instance}`);
      await bench.machine.run('mv /sbin/lvs.away /sbin/lvs');
      expect(lacks.stdout).toContain('lvs is not installed (Debian package lvm2)');
      const user = await bench.script(`chmod 644 $(readlink -f /dev/vg/idle) /run/lacks.yaml
exec setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/tmp $GANTRY snapshots check ${instance}`).outcome;
      expect(user.stdout, user.stderr).toContain('not: lvm: only root can take snapshots of logical volumes');
    });
  });
});
