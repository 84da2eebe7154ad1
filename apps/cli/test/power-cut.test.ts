import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import process from 'node:process';
import {
  ALL_VARIANTS,
  HOLD_WRITES,
  machineImage,
  makeRandomFile,
  makeSparseFile,
  mountImage,
  pseudoRandom,
  startMachine,
} from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { COMMAND_SHARES, lastLine, MAIN, makeWorkbench } from './workbench.ts';

/*
 * Data that was reported as durable survives a power cut at that very moment: a virtual machine with its own kernel is killed by SIGKILL,
 * and its disks are checked from outside. See docs/how-to/run-test-machines.md.
 */

const MIB = 1024 * 1024;
const IMAGE_LIMIT_MS = 900_000;
/** A machine with two runs of Gantry took two minutes on a host with fifteen runnable processes per processor. */
const MACHINE_LIMIT_MS = 600_000;

/** The disks of the machine, in order: three file systems with targets in them, a target that is a device, and the state of Gantry. */
const FILE_SYSTEMS = {
  ext4: { bytes: 64 * MIB, mkfs: ['mkfs.ext4', '-q', '-F'], options: 'commit=86400' },
  xfs: { bytes: 320 * MIB, mkfs: ['mkfs.xfs', '-q'], options: 'rw' },
  btrfs: { bytes: 128 * MIB, mkfs: ['mkfs.btrfs', '-q'], options: 'commit=86400' },
  state: { bytes: 32 * MIB, mkfs: ['mkfs.ext4', '-q', '-F'], options: 'rw' },
} as const;
type FileSystem = keyof typeof FILE_SYSTEMS;
const WITH_TARGETS = ['ext4', 'xfs', 'btrfs'] as const;
const IMAGES = ['ext4', 'xfs', 'btrfs', 'state', 'device'] as const;

const inEach = (file: string): readonly string[] => WITH_TARGETS.map((name) => `/mnt/${name}/${file}`);

/** Targets in the machine, with other data before. A loop device is backed by the file `loop.img` on the ext4. */
const TARGETS = {
  early: inEach('early.img'),
  'in-place': [...inEach('in-place.img'), '/dev/machine/4', '/dev/loop0'],
  replaced: [...inEach('replaced.img'), '/mnt/ext4/in-place.img'],
} as const;
type Targets = keyof typeof TARGETS;
const TARGET_FILES = ['early.img', 'in-place.img', 'replaced.img'];

/** Scripts that make nothing durable. */
const IMPORT = `case "$IMPORT_DEVICE" in
*/replaced.img) set -e; cat >"$IMPORT_DEVICE.new"; mv "$IMPORT_DEVICE.new" "$IMPORT_DEVICE" ;;
*) exec dd of="$IMPORT_DEVICE" bs=64k iflag=fullblock conv=notrunc status=none ;;
esac`;
const fill = (letter: string, bytes: number): string => `i=0
while [ $i -lt $DISK_COUNT ]; do
  eval "disk=\\$DISK_\${i}_PATH"
  head -c ${bytes} /dev/zero | tr '\\0' ${letter} | dd of="$disk" bs=64k iflag=fullblock conv=notrunc status=none
  i=$((i + 1))
done`;
const RENAMED_BYTES = 8192;

const SOURCE = Buffer.concat([...pseudoRandom('source', MIB)]);
const BEFORE = Buffer.concat([...pseudoRandom('before', MIB)]);

let bench: Workbench;

beforeAll(async () => {
  await machineImage();
  bench = await makeWorkbench();

  await bench.defineOs('careless', {
    export: 'exec cat "$EXPORT_DEVICE"',
    import: IMPORT,
    create: fill('c', MIB),
    rename: fill('r', RENAMED_BYTES),
  });
  for (const os of ['raw', 'careless'] as const) {
    for (const [name, disks] of Object.entries(TARGETS)) {
      await bench.describeInstance(`source-${os}-${name}`, { os, disks: disks.map((_, index) => `source-${index}.img`) });
      await bench.describeInstance(`target-${os}-${name}`, { os, disks });
    }
  }
  for (const index of TARGETS['in-place'].keys()) await makeRandomFile(bench.file(`source-${index}.img`), MIB, 'source');
  await writeFile(bench.file('peer'), `#!/bin/sh\n${gantry('"$@"')}\n`, { mode: 0o755 });
  await mkdir(bench.file('new'));
  for (const name of ['ext4', 'xfs', 'btrfs', 'state'] as const) await makeFileSystem(name);
  await makeRandomFile(bench.file('new/device'), MIB, 'before');
}, IMAGE_LIMIT_MS);

afterAll(() => bench[Symbol.asyncDispose]());

/** A file system with targets that hold other data, and `canary`, which is written in the machine and never flushed. */
async function makeFileSystem(name: FileSystem): Promise<void> {
  const { bytes, mkfs } = FILE_SYSTEMS[name];
  const [program, ...options] = mkfs;
  await makeSparseFile(bench.file('new', name), bytes);
  await execa(program, [...options, bench.file('new', name)]);
  if (name === 'state') return;
  await using mounted = await mountImage(bench.file('new', name));
  for (const file of [...TARGET_FILES, 'loop.img', 'canary']) await makeRandomFile(mounted.file(file), MIB, 'before');
}

/** The canaries are overwritten in place, so that no journal commit flushes them. */
const SET_UP = [
  HOLD_WRITES,
  ...(['ext4', 'xfs', 'btrfs', 'state'] as const).map(
    (name, index) => `mkdir -p /mnt/${name} && mount -o ${FILE_SYSTEMS[name].options} /dev/machine/${index} /mnt/${name}`,
  ),
  'modprobe loop; losetup /dev/loop0 /mnt/ext4/loop.img',
  ...WITH_TARGETS.map((name) => `head -c ${MIB} /dev/zero | dd of=/mnt/${name}/canary bs=64k conv=notrunc status=none`),
];

/** Each boot is of the same host, as this says: without it, nobody could know that a process of an earlier boot is dead. */
const SAME_HOST = 'echo 6f2c1d7e9a8b4c3d8e5f0a1b2c3d4e5f >/etc/machine-id';

/** An sshd in the machine, which is its own peer. */
const START_SSHD = `umask 077; mkdir -p /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
printf '127.0.0.1 %s\\n' "$(cat /root/.ssh/id_ed25519.pub)" >/root/.ssh/known_hosts
printf 'HostKey /root/.ssh/id_ed25519\\nPermitRootLogin yes\\n' >/run/sshd_config
/usr/sbin/sshd -f /run/sshd_config`;

const gantry = (...args: readonly string[]): string => {
  const program = `${process.execPath} ${MAIN}`;
  return `GANTRY_YES=1 GANTRY_STATE_DIR=/mnt/state GANTRY_OS_PATH=${bench.file('os')} ${program} ${args.join(' ')}`;
};

/** Runs commands in a machine with new disks, and cuts the power when the last prints its result. @returns the directory of the disks */
async function cutAtSuccess(name: string, before: readonly string[], last: string): Promise<string> {
  const directory = bench.file(`disks-${name}`);
  await execa('cp', ['-r', '--sparse=always', bench.file('new'), directory]);
  const shares = [...COMMAND_SHARES, bench.path];
  await using machine = await startMachine({ disks: IMAGES.map((image) => `${directory}/${image}`), shares });
  await machine.run(['set -e', ...SET_UP, ...before].join('\n'));
  const script = machine.start(`${last} --json`);
  await script.printed('"type":"result"');
  await machine.cutPower();
  return directory;
}

/** What the disks in a directory hold, by their paths in the machine; journals are replayed as the next start would. */
async function readTargets(directory: string): Promise<ReadonlyMap<string, Buffer>> {
  const found = new Map<string, Buffer>([['/dev/machine/4', await readFile(`${directory}/device`)]]);
  for (const name of WITH_TARGETS) {
    await using mounted = await mountImage(`${directory}/${name}`);
    for (const file of [...TARGET_FILES, 'canary']) {
      found.set(`/mnt/${name}/${file}`, await readFile(mounted.file(file)));
    }
    if (name === 'ext4') found.set('/dev/loop0', await readFile(mounted.file('loop.img')));
  }
  return found;
}

/** Expects the reported data on every target. The canaries show that the cut was real. */
async function expectDisks(directory: string, expected: ReadonlyMap<Targets, Buffer>): Promise<void> {
  const found = await readTargets(directory);
  const wrong = [...expected].flatMap(([name, contents]) => TARGETS[name].filter((path) => found.get(path)?.equals(contents) !== true));
  expect(wrong).toEqual([]);
  for (const canary of inEach('canary')) expect(found.get(canary)?.equals(BEFORE), `power cut, ${canary}`).toBe(true);
}

async function expectCommitted(directory: string): Promise<void> {
  await using state = await mountImage(`${directory}/state`);
  const [record = ''] = await readdir(state.file('moves'));
  expect(JSON.parse(await readFile(state.file('moves', record), 'utf8'))).toMatchObject({ state: 'committed' });
}

const target = (os: string, targets: Targets): string => bench.file(`target-${os}-${targets}.yaml`);

async function exportOf(os: string, targets: Targets): Promise<string> {
  const exported = await bench.gantry('export', bench.file(`source-${os}-${targets}.yaml`), bench.store, '--snapshot', 'none');
  expect(exported.exitCode, exported.stderr).toBe(0);
  return lastLine(exported.stdout);
}

function move(os: string, targets: Targets, ...options: readonly string[]): string {
  const peer = ['--snapshot', 'none', '--peer-program', bench.file('peer')];
  return gantry(
    'move',
    bench.file(`source-${os}-${targets}.yaml`),
    'ssh://root@127.0.0.1',
    '--to',
    target(os, targets),
    ...peer,
    ...options,
  );
}

/*
 * Starting a machine takes time, so two commands run in each. The early one writes files in place, which only a flush of these very
 * files makes durable: the second command does not flush them.
 */
describe('if the power is cut as success is reported, the disks hold the reported data', { timeout: MACHINE_LIMIT_MS }, () => {
  test('of an import and a move by raw, and the move is recorded as committed', async () => {
    const early = gantry('import', bench.store, await exportOf('raw', 'early'), '--to', target('raw', 'early'));
    const directory = await cutAtSuccess('raw', [START_SSHD, early], move('raw', 'in-place'));
    await expectDisks(
      directory,
      new Map<Targets, Buffer>([
        ['early', SOURCE],
        ['in-place', SOURCE],
      ]),
    );
    await expectCommitted(directory);
  });

  test('of create, and of an import by scripts', async () => {
    const early = gantry('create', target('careless', 'early'));
    const last = gantry('import', bench.store, await exportOf('careless', 'in-place'), '--to', target('careless', 'in-place'));
    const directory = await cutAtSuccess('import', [early], last);
    await expectDisks(
      directory,
      new Map<Targets, Buffer>([
        ['early', Buffer.alloc(MIB, 'c')],
        ['in-place', SOURCE],
      ]),
    );
  });

  test.skipIf(!ALL_VARIANTS)('of rename, and of a move by scripts with --rename, and the move is recorded as committed', async () => {
    const early = gantry('rename', target('careless', 'early'), 'new.example.com');
    const directory = await cutAtSuccess('move', [START_SSHD, early], move('careless', 'replaced', '--rename'));
    const renamed = (before: Buffer): Buffer => Buffer.from(before).fill('r', 0, RENAMED_BYTES);
    await expectDisks(
      directory,
      new Map<Targets, Buffer>([
        ['early', renamed(BEFORE)],
        ['replaced', renamed(SOURCE)],
      ]),
    );
    await expectCommitted(directory);
  });
});

/** Takes minutes: the replays of power cuts of a store (packages/directory-store) try every step of what it rests on. */
test.runIf(ALL_VARIANTS)(
  'an incremental export goes on from what one had synced that was under way when the power was cut',
  { timeout: MACHINE_LIMIT_MS },
  async () => {
    await makeRandomFile(bench.file('cut.img'), 48 * MIB, 'cut');
    await bench.defineOs('hanging', {
      export: 'cat "$EXPORT_DEVICE"; if [ -e /run/hang ]; then exec sleep 1000; fi',
      import: 'cat >"$IMPORT_DEVICE"',
    });
    const source = await bench.describeInstance('cut', { os: 'hanging', disks: ['cut.img'] });
    const copy = await bench.describeInstance('copy', { os: 'hanging', disks: ['/mnt/xfs/copy.img'] });
    const directory = bench.file('disks-cut');
    await execa('cp', ['-r', '--sparse=always', bench.file('new'), directory]);
    const machineOptions = { disks: IMAGES.map((image) => `${directory}/${image}`), shares: [...COMMAND_SHARES, bench.path] };
    const store = '/mnt/xfs/store';
    const exporting = gantry('export', source, store, '--create-store', '--incremental', '--json');
    {
      await using machine = await startMachine(machineOptions);
      await machine.run(['set -e', ...SET_UP, SAME_HOST, 'touch /run/hang'].join('\n'));
      const allocated = async (): Promise<number> => (await stat(`${directory}/xfs`)).blocks * 512;
      const before = await allocated();
      const script = machine.start(exporting);
      // Nothing is written but what is synced: a store in a directory does so after 32 MiB.
      const ended = script.outcome.then(({ stderr }) => expect.unreachable(stderr));
      await Promise.race([ended, expect.poll(allocated, { timeout: MACHINE_LIMIT_MS, interval: 200 }).toBeGreaterThan(before + 32 * MIB)]);
      ended.catch(() => undefined);
      await machine.cutPower();
    }
    await using machine = await startMachine(machineOptions);
    const next = await machine.run(['set -e', ...SET_UP, SAME_HOST, exporting].join('\n'));
    expect(next.stdout).toMatch(/disk 0: going on with what cut@\S+, which was cut off, has stored/);
    const { incremental } = Object(JSON.parse(lastLine(next.stdout)));
    expect(incremental.known.bytes).toBeGreaterThan(24 * MIB);
    const importing = gantry('import', store, 'cut', '--to', copy);
    await machine.run(['set -e', ': >/mnt/xfs/copy.img', importing, `cmp ${bench.file('cut.img')} /mnt/xfs/copy.img`].join('\n'));
  },
);
