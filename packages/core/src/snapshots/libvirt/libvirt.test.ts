import { once } from 'node:events';
import { readdir, watch, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Libvirtd, LibvirtGuest, TemporaryDirectory } from '@gantry/testkit';
import {
  defineLibvirtGuest,
  makeExt4Image,
  makeTemporaryDirectory,
  mountNewTmpfs,
  PATIENTLY,
  startLibvirtd,
  writtenUpTo,
} from '@gantry/testkit';
import { MemoryStore } from '@gantry/transport/testing';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { sampleInstance } from '../../../test/sample-instance.ts';
import type { Holder } from '../../../test/snapshots/holder.ts';
import { holdSnapshots } from '../../../test/snapshots/holder.ts';
import type { Taking } from '../../../test/snapshots/snapshot-bench.ts';
import { contentOf, DISK_BYTES, MiB, takeInRun } from '../../../test/snapshots/snapshot-bench.ts';
import { undoHandlers } from '../../flow/undo-handlers.ts';
import type { Disk } from '../../instances/model.ts';
import { NbdReader } from '../../disks/read-nbd.ts';
import { checkSnapshots } from '../../operations/check-snapshots.ts';
import { exportInstance } from '../../operations/export.ts';
import { recoverDeadRuns } from '../../runs/recover.ts';
import { openStateDirectory } from '../../runs/state-directory.ts';
import { pause } from '../../system/pause.ts';
import { runningMembers } from '../../system/process-group.ts';
import type { SnapshotRequest } from '../provider.ts';
import type { SnapshotConfig } from '../snapshot-config.ts';
import { parseSnapshotConfig } from '../snapshot-config.ts';
import type { SnapshotSet } from '../snapshot-set.ts';
import { backupXml } from './backup-xml.ts';
import { undoFreeze, whileFrozen } from './agent-freeze.ts';
import type { LibvirtGuest as LibvirtControl } from './find-disk.ts';
import { whyNoSpace } from './find-disk.ts';
import type { FreezeRecord } from './libvirt-record.ts';
import { Virsh } from './virsh.ts';
import { createLibvirtProvider } from './libvirt.ts';

/** Debian's guest agent answers by libvirt; what it is asked. */
const FREEZE_STATUS = JSON.stringify({ execute: 'guest-fsfreeze-status' });
const { signal } = new AbortController();
/** How many runs are killed at random moments; see scripts/kills.sh. */
const KILLS = Number(process.env['GANTRY_LIBVIRT_KILLS'] ?? 2);

let stack: AsyncDisposableStack;
let libvirtd: Libvirtd;
let guest: LibvirtGuest;
/** Of scratch files, large enough. */
let scratch: TemporaryDirectory;
/** Mounted before libvirtd starts: it has a mount namespace of its own. */
let tiny: TemporaryDirectory;

const disks = (): readonly [string, string] => [join(libvirtd.directory, 'a.img'), join(libvirtd.directory, 'b.qcow2')];
/** Of an ext4 that the guest has mounted. */
const files = (): string => join(libvirtd.directory, 'files.img');
const control = (): LibvirtControl => ({ kind: 'libvirt', uri: libvirtd.uri, uuid: guest.uuid, targets: ['vda', 'vdb', 'vdc'] });

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  scratch = stack.use(await makeTemporaryDirectory());
  tiny = stack.use(await mountNewTmpfs(4 * MiB));
  libvirtd = stack.use(await startLibvirtd());
  const [raw, qcow2] = disks();
  // Zeros, and not a hole: what is a hole needs no scratch space when it is overwritten.
  await writeFile(raw, Buffer.alloc(DISK_BYTES));
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', qcow2, String(DISK_BYTES)]);
  await makeExt4Image(files(), { bytes: DISK_BYTES, files: 1 });
  guest = await defineLibvirtGuest(libvirtd, {
    name: 'web1',
    disks: [{ file: raw }, { file: qcow2, format: 'qcow2' }],
    agentFiles: files(),
    does: 'writes',
  });
  await libvirtd.virsh('start', guest.uuid);
  await writes(5);
});

afterEach(() => {
  expect(warnings.splice(0)).toEqual([]);
});

afterAll(async () => {
  await stack.disposeAsync();
});

/** Resolves when the guest has written `count` numbers more. */
async function writes(more: number): Promise<void> {
  await guest.says(new RegExp(String.raw`wrote ${(await guest.written()) + more}\r?\n`));
}

function config(directory: string, more: object = {}): SnapshotConfig {
  return parseSnapshotConfig(JSON.stringify({ libvirt: { scratch: directory, reserve: 1, ...more } }), 'test');
}

/** As the inventory of libvirt describes them. */
function described(): readonly [Disk, Disk] {
  const [path, image] = disks();
  return [
    { path, access: 'rw' },
    { uri: `qcow2:${image}`, access: 'rw' },
  ];
}

function requests(): readonly SnapshotRequest[] {
  return described().map((disk, index) => ({ index, disk, instanceName: 'web1' }));
}

const warnings: string[] = [];

function take(taking: Omit<Taking, 'mode' | 'guest' | 'warnings' | 'requests'> & Partial<Pick<Taking, 'requests'>>): Promise<SnapshotSet> {
  return takeInRun({ mode: 'libvirt', guest: control(), requests: requests(), ...taking, warnings });
}

/** A process of its own that takes snapshots and keeps them. */
function hold(
  state: string,
  libvirt: SnapshotConfig['libvirt'],
  { through, uri = libvirtd.uri }: { readonly through?: readonly string[]; readonly uri?: string } = {},
): Holder {
  const env = { GANTRY_TEST_GUEST: JSON.stringify({ ...control(), uri }) };
  return holdSnapshots({ state, mode: 'libvirt', config: { libvirt }, disks: disks(), env, ...(through === undefined ? {} : { through }) });
}

/** What became of each thing that a killed run had left. */
async function recover(state: string): Promise<readonly string[]> {
  const report = await recoverDeadRuns({ stateDirectory: await openStateDirectory(state), undos: undoHandlers(), signal });
  for (const { message } of report.leftovers) expect(message).toContain('snapshot of disk 0, 1 of the libvirt domain');
  return report.leftovers.map(({ outcome, message }) => (outcome === 'cleared' ? outcome : `${outcome}: ${message}`));
}

/** Nothing of ours is left in libvirt, and the guest writes on. */
async function expectUntouched(directory: string): Promise<void> {
  expect(await libvirtd.virsh('domstate', guest.uuid)).toContain('running');
  expect(await libvirtd.virsh('domjobinfo', guest.uuid)).toContain('None');
  expect(await libvirtd.virsh('qemu-agent-command', guest.uuid, FREEZE_STATUS)).toContain('thawed');
  expect(await readdir(directory)).toEqual([]);
  for (const name of await readdir(join(libvirtd.stateDirectory, 'qemu')))
    if (name.startsWith('domain-'))
      expect(await readdir(join(libvirtd.stateDirectory, 'qemu', name))).not.toContainEqual(expect.stringMatching(/^gantry/));
  await writes(3);
}

function expectOneMoment(first: number, second: number): void {
  expect(first - second === 0 || first - second === 1, `${first} and ${second}`).toBe(true);
}

describe('a guest that writes numbered blocks to a raw disk and to one in qcow2', () => {
  test('is read at one moment of both, while it writes on; nothing is left', async () => {
    await using own = await makeTemporaryDirectory();
    const notes: string[] = [];
    const before = await guest.written();
    const set = await take({ config: config(scratch.path), state: own.path, notes });
    const after = await guest.written();
    // All that it overwrites now must not be seen.
    await writes(6);
    const [first, second] = [writtenUpTo(await contentOf(set, 0)), writtenUpTo(await contentOf(set, 1))];
    expectOneMoment(first, second);
    expect(first).toBeGreaterThanOrEqual(before);
    // One more may have been written and not said yet.
    expect(first).toBeLessThanOrEqual(after + 2);
    expect(notes).toEqual([
      'snapshot of 2 disks (libvirt)',
      'disk 1 is a qcow2 image: its export is a plain image of what the guest sees',
      expect.stringMatching(/^2 snapshots taken within \d+ ms$/),
    ]);
    await set[Symbol.asyncDispose]();
    await expectUntouched(scratch.path);
  });

  test('is exported by the definition raw as `auto` chooses, and the export has that moment', async () => {
    await using own = await makeTemporaryDirectory();
    const store = new MemoryStore();
    const result = await exportInstance({
      instance: sampleInstance({
        name: 'web1.example.com',
        os: 'raw',
        disks: described(),
      }),
      store,
      snapshotConfig: config(scratch.path),
      guest: control(),
      stateDirectory: own.path,
      createStore: true,
    });
    expect(result.warnings).toEqual([]);
    const [first = -1, second = -1] = await Promise.all(
      result.dumps.map(async ({ name, snapshot }) => {
        expect(snapshot).toBe('libvirt');
        await using dump = await store.read(`${result.instance}/${result.exportId}/${name}`);
        const input = Buffer.concat(await Array.fromAsync(dump, (chunk) => Buffer.from(chunk)));
        const { stdout } = await execa('zstd', ['--decompress', '--stdout'], { input, encoding: 'buffer', maxBuffer: 2 * DISK_BYTES });
        expect(stdout.length).toBe(DISK_BYTES);
        return writtenUpTo(Buffer.from(stdout));
      }),
    );
    expectOneMoment(first, second);
    await expectUntouched(scratch.path);
  });

  test('goes on when the scratch space is used up: the export fails, and says why', async () => {
    await using own = await makeTemporaryDirectory();
    const set = await take({ config: config(tiny.path, { reserve: 1.9 }), state: own.path });
    // Each number takes up to two clusters of 64 KiB.
    await once(set.snapshots[0]?.lost ?? signal, 'abort');
    await expect(contentOf(set, 0)).rejects.toMatchObject({
      code: 'SNAPSHOT_FULL',
      message: expect.stringMatching(/^the snapshots of disks 0, 1 were lost while they were read: .* less than 2 MiB are free in/),
    });
    await set[Symbol.asyncDispose]();
    await expectUntouched(tiny.path);
    // Before it was full; whether a watch saw that depends on when it looked.
    for (const warning of warnings.splice(0)) expect(warning).toMatch(/^the scratch space in .* is \d+ % full/);
  });

  test.each([
    ['', async () => undefined],
    [', also if somebody has ended the backup before', () => libvirtd.virsh('domjobabort', guest.uuid)],
  ])('that is paused because a killed run has let the scratch space fill up goes on when that is cleared%s', async (_, before) => {
    await using own = await makeTemporaryDirectory();
    const holder = hold(own.path, config(tiny.path).libvirt);
    await holder.said;
    await holder.kill();
    await expect.poll(() => libvirtd.virsh('domstate', guest.uuid, '--reason'), PATIENTLY).toContain('paused (I/O error)');
    await before();
    expect(await recover(own.path)).toEqual(['cleared']);
    await expectUntouched(tiny.path);
  });

  test('is not touched where the scratch space is too small before, or holds less than the disks and nobody chose it', async () => {
    await using own = await makeTemporaryDirectory();
    await expect(take({ config: config(tiny.path, { reserve: 64 }), state: own.path })).rejects.toMatchObject({
      code: 'SNAPSHOT_UNSUPPORTED',
      message: expect.stringMatching(/only \d MiB are free in the scratch directory .*, 128 are needed at least/),
    });
    const space = { scratch: tiny.path, reserve: 1, isDefaultScratch: true };
    expect(await whyNoSpace(space, [{ capacity: 1024 * MiB, physical: 100 * MiB }, { capacity: 5 * MiB }])).toEqual({
      reason: expect.stringMatching(/^only \d MiB are free in .*, 106 are needed for all that its disks have: name a scratch directory/),
    });
    expect(await whyNoSpace(space, [{ capacity: MiB }])).toBeUndefined();
    await expectUntouched(tiny.path);
  });

  test('is not touched where libvirt backs it up for somebody else, and that backup goes on', async () => {
    await using own = await makeTemporaryDirectory();
    const description = own.file('backup.xml');
    await writeFile(description, backupXml(own.file('theirs'), [{ target: 'vda', scratch: own.file('vda') }]));
    await libvirtd.virsh('backup-begin', guest.uuid, description);
    const check = await checkSnapshots({
      instance: sampleInstance({ disks: described() }),
      snapshotConfig: config(scratch.path),
      guest: control(),
    });
    expect(check.disks.map(({ provider, what }) => ({ provider, what }))).toEqual(
      Array.from({ length: 2 }, () => ({ what: 'libvirt is the way for it, but libvirt is busy with another job of its guest (Backup)' })),
    );
    await expect(take({ config: config(scratch.path), state: own.file('state') })).rejects.toMatchObject({
      code: 'SNAPSHOT_UNSUPPORTED',
      message: expect.stringContaining('libvirt is busy with another job of its guest (Backup)'),
    });
    expect(await libvirtd.virsh('backup-dumpxml', guest.uuid)).toContain('theirs');
    await libvirtd.virsh('domjobabort', guest.uuid);
    await expectUntouched(scratch.path);
  });

  test('is read to its end while libvirtd is dead; what is left then is cleared when it is back', async () => {
    await using own = await makeTemporaryDirectory();
    const set = await take({ config: config(scratch.path, { timeout: 20 }), state: own.path });
    await libvirtd.kill();
    const nbd = set.snapshots[0]?.nbd;
    if (nbd === undefined) throw new Error('no view');
    await using reader = new NbdReader({ ...nbd, bytes: DISK_BYTES }, signal);
    expect(await reader.read(Buffer.alloc(4096))).toBeDefined();
    await set[Symbol.asyncDispose]();
    expect(warnings.splice(0)).toEqual([
      expect.stringMatching(/^could not undo: snapshot of disk 0, 1 of the libvirt domain .* Failed to connect/),
    ]);
    await libvirtd.start();
    expect(await recover(own.path)).toEqual(['cleared']);
    await expectUntouched(scratch.path);
  });

  test('has its NBD socket where AppArmor allows it, if libvirt is the one of the system', async () => {
    await using own = await makeTemporaryDirectory();
    const holder = hold(own.path, config(scratch.path).libvirt, { through: libvirtd.enter, uri: 'qemu:///system' });
    const socket: unknown = JSON.parse(await holder.said);
    const expected = expect.stringMatching(/^\/var\/lib\/libvirt\/qemu\/domain-\d+-web1\/gantry-[0-9a-f]{12}\.sock$/);
    expect(socket).toEqual([expected, expected]);
    expect(await holder.end()).toEqual([0, null]);
    await expectUntouched(scratch.path);
  });
});

describe('its agent', () => {
  const withFiles = (): readonly SnapshotRequest[] => [
    ...requests(),
    { index: 2, disk: { path: files(), access: 'rw' }, instanceName: 'web1' },
  ];
  /** Whether an ext4 was in use, or frozen: the feature `needs_recovery` of its superblock. */
  const needsRecovery = (ext4: Buffer): boolean => (ext4.readUInt32LE(1024 + 0x60) & 4) !== 0;

  interface Freezing {
    readonly records: (FreezeRecord | undefined)[];
    readonly virsh: Virsh;
    readonly run: (settings: { freeze: 'try' | 'require'; frozen: number }, work: () => Promise<void>) => Promise<void>;
  }

  function freezing(): Freezing {
    const records: (FreezeRecord | undefined)[] = [];
    const virsh = new Virsh(libvirtd.uri, 60);
    return {
      records,
      virsh,
      run: ({ freeze, frozen }, work) =>
        whileFrozen(
          {
            virsh,
            uuid: guest.uuid,
            settings: { freeze, frozen, timeout: 60 },
            remember: async (record) => void records.push(record),
            warn: (message) => warnings.push(message),
            signal,
          },
          work,
        ),
    };
  }

  const status = async (): Promise<string> => await libvirtd.virsh('qemu-agent-command', guest.uuid, FREEZE_STATUS);

  /** Stops the agent when the console gets a line, and says so; until it gets another. */
  async function hangsAtLine(saying: string): Promise<void> {
    const words = `read line </dev/ttyS0; kill -STOP $PPID; echo ${saying} >/dev/ttyS0; read line </dev/ttyS0; kill -CONT $PPID`;
    const command = { execute: 'guest-exec', arguments: { path: '/bin/busybox', arg: ['sh', '-c', words] } };
    await libvirtd.virsh('qemu-agent-command', guest.uuid, JSON.stringify(command));
  }

  test('freezes it around the moment only: a mounted file system is clean then, and in use otherwise', async () => {
    await using own = await makeTemporaryDirectory();
    const notes: string[] = [];
    const moments: boolean[] = [];
    for (const freeze of ['never', 'require']) {
      await using set = await take({ config: config(scratch.path, { freeze, frozen: 60 }), state: own.path, notes, requests: withFiles() });
      expect(await status()).toContain('thawed');
      moments.push(needsRecovery(await contentOf(set, 2)));
    }
    expect(moments).toEqual([true, false]);
    const note = notes.find((each) => each.startsWith('the file systems'));
    expect(note).toMatch(/^the file systems of the guest were frozen for \d+ ms$/);
    console.log(note);
    await expectUntouched(scratch.path);
  });

  test('thaws it when the time is over, although the run that froze it does nothing more', async () => {
    const { records, run } = freezing();
    const work = Promise.withResolvers<void>();
    const outcome = run({ freeze: 'require', frozen: 3 }, async () => {
      expect(await status()).toContain('frozen');
      await work.promise;
    });
    await expect.poll(status, PATIENTLY).toContain('frozen');
    await expect.poll(status, PATIENTLY).toContain('thawed');
    work.resolve();
    await expect(outcome).rejects.toThrow('the guest was thawed after 3 s, before its snapshot was taken');
    expect(records).toEqual([{}, { guard: expect.anything() }, { guard: expect.anything(), freezing: expect.anything() }]);
  });

  test('thaws it when what a killed run has left is undone, and nothing is left to thaw it later', async () => {
    const { records, run, virsh } = freezing();
    const frozen = Promise.withResolvers<void>();
    const work = Promise.withResolvers<void>();
    const outcome = run({ freeze: 'require', frozen: 60 }, async () => {
      frozen.resolve();
      await work.promise;
    });
    await frozen.promise;
    expect(await status()).toContain('frozen');
    const record = records.at(-1);
    if (record?.guard === undefined) throw new Error('no guard');
    expect(runningMembers(record.guard)).not.toEqual([]);
    await undoFreeze(record, virsh, guest.uuid, signal);
    expect(await status()).toContain('thawed');
    expect(runningMembers(record.guard)).toEqual([]);
    work.resolve();
    await outcome;
  });

  test.each<[string, () => Promise<void>, () => Promise<unknown>]>([
    [
      'hangs',
      async () => {
        // libvirt then says that the agent is not available for now. By default it waits for longer than Gantry does.
        await libvirtd.virsh('guest-agent-timeout', guest.uuid, '--timeout', '2');
        await guest.tell('stop');
        await guest.says(/it hangs while frozen/);
      },
      async () => {
        await libvirtd.virsh('guest-agent-timeout', guest.uuid);
        await guest.tell('go on');
      },
    ],
    [
      'is in a guest that is paused',
      async () => void (await libvirtd.virsh('suspend', guest.uuid)),
      () => libvirtd.virsh('resume', guest.uuid),
    ],
  ])(
    'that %s while the guest is frozen is an error; what thaws the guest later stays, and so does the record',
    async (what, stop, goOn) => {
      if (what === 'hangs') await hangsAtLine('it hangs while frozen');
      const { records, run, virsh } = freezing();
      await expect(run({ freeze: 'try', frozen: 60 }, stop)).rejects.toThrow(/^cannot thaw the guest: /);
      const record = records.at(-1);
      if (record?.guard === undefined) throw new Error('no guard');
      await expect(undoFreeze(record, virsh, guest.uuid, signal)).rejects.toThrow(/^cannot thaw the guest: /);
      expect(runningMembers(record.guard)).not.toEqual([]);
      await goOn();
      await expect.poll(() => undoFreeze(record, virsh, guest.uuid, signal).then(() => 'thawed', String), PATIENTLY).toBe('thawed');
      expect(await status()).toContain('thawed');
      expect(runningMembers(record.guard)).toEqual([]);
    },
  );

  test('that hangs fails the export; when it goes on, and freezes, the guest is thawed all the same', { timeout: 300_000 }, async () => {
    await hangsAtLine('it hangs before');
    await guest.tell('stop');
    await guest.says(/it hangs before/);
    await using own = await makeTemporaryDirectory();
    const set = take({ config: config(scratch.path, { freeze: 'try', frozen: 1, timeout: 8 }), state: own.path });
    await expect(set).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: expect.stringContaining('the guest agent does not answer, and could still freeze the guest: '),
    });
    expect(warnings.splice(0)).toEqual([expect.stringMatching(/^could not undo: .* its file systems maybe frozen/)]);
    await guest.tell('go on');
    await expect.poll(() => status().catch(String), PATIENTLY).toContain('thawed');
    expect(await recover(own.path)).toEqual(['cleared']);
    await expectUntouched(scratch.path);
  });
});

test(
  `a run that is killed at any moment leaves what the next one clears, and the guest goes on (${KILLS} times)`,
  { timeout: 600_000 + KILLS * 30_000 },
  async () => {
    for (let round = 0; round < KILLS; round += 1) {
      await using state = await makeTemporaryDirectory();
      const started = untilSomethingIn(scratch.path);
      const holder = hold(state.path, config(scratch.path, { freeze: 'require', frozen: 60 }).libvirt);
      await Promise.race([started, holder.said]);
      // All steps take some hundred ms; afterwards it waits.
      await pause(Math.random() * 2000);
      await holder.kill();
      expect(await recover(state.path)).toEqual(['cleared']);
      await expectUntouched(scratch.path);
    }
  },
);

async function untilSomethingIn(directory: string): Promise<void> {
  for await (const _ of watch(directory, { signal: AbortSignal.timeout(PATIENTLY.timeout) })) return;
}

describe('what cannot be held still this way is refused with the reason', () => {
  const reason = async (other: Partial<LibvirtControl>, more: Partial<SnapshotRequest> = {}): Promise<string> => {
    const [request] = requests();
    if (request === undefined) throw new Error('no disk');
    const provider = createLibvirtProvider({
      config: config(scratch.path),
      guest: { ...control(), ...other },
    });
    const answer = await provider.supports({ ...request, ...more }, signal);
    return answer.ok ? answer.what : answer.reason;
  };

  test('but for what is supported: that says what would be made', async () => {
    expect(await reason({})).toBe('vda of the running guest, by libvirt: a full backup; no checkpoint, as its format is raw');
    expect(await reason({}, { index: 1, disk: described()[1] })).toBe(
      'vdb of the running guest, by libvirt: a full backup of what the guest sees in its qcow2 image',
    );
  });

  test('a guest that is elsewhere, unknown, or not of libvirt; a libvirtd that is not there', async () => {
    expect(await reason({ uri: 'qemu+ssh://node2/system' })).toBe(
      'the libvirt of its guest is on another host (qemu+ssh://node2/system): run Gantry there',
    );
    expect(await reason({ uuid: '00000000-0000-4000-8000-000000000000' })).toMatch(/failed to get domain/);
    expect(await reason({ uri: 'qemu+unix:///system?socket=/nowhere' })).toMatch(/Failed to connect socket to '\/nowhere'/);
    expect(await createLibvirtProvider().supports({ index: 0, disk: { path: '/x', access: 'rw' } }, signal)).toEqual({
      ok: false,
      reason: 'the source of the instance does not say that libvirt has its guest',
    });
  });

  test('scripts; a disk that the guest does not have, or no longer', async () => {
    expect(await reason({}, { needsPath: true })).toMatch(/scripts cannot/);
    expect(await reason({ targets: ['vdd'] })).toBe('its guest has no disk vdd now');
    expect(await reason({ targets: [] })).toBe('the source of the instance does not say which disk of the guest it is');
    expect(await reason({ targets: ['vdb'] })).toBe(`the disk vdb of its guest is ${disks()[1]} now`);
  });
});

test('when the guest is destroyed the export fails with that reason, and nothing is left', async () => {
  await using own = await makeTemporaryDirectory();
  const set = await take({ config: config(scratch.path), state: own.path });
  await libvirtd.virsh('destroy', guest.uuid);
  await expect(contentOf(set, 0)).rejects.toMatchObject({
    code: 'SNAPSHOT_FAILED',
    message: expect.stringContaining('its guest does not run any more (shut off: destroyed)'),
  });
  await set[Symbol.asyncDispose]();
  expect(await readdir(scratch.path)).toEqual([]);
  const { ok, ...answer } = await createLibvirtProvider({ config: config(scratch.path), guest: control() }).supports(
    { index: 0, disk: { path: disks()[0], access: 'rw' } },
    signal,
  );
  expect({ ok, ...answer }).toEqual({ ok: false, reason: 'its guest does not run (shut off)' });
});
