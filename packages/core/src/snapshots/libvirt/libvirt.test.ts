import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, watch, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Libvirtd, LibvirtGuest, TemporaryDirectory } from '@gantry/testkit';
import {
  ALL_VARIANTS,
  countOf,
  defineLibvirtGuest,
  makeExt4Image,
  makeTemporaryDirectory,
  mountNewTmpfs,
  oneIn,
  PATIENTLY,
  startLibvirtd,
  writeOsDefinitions,
  writtenUpTo,
} from '@gantry/testkit';
import { MemoryStore } from '@gantry/transport/testing';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { makeOperationBench } from '../../../test/operation-bench.ts';
import { sampleInstance } from '../../../test/sample-instance.ts';
import { contents, expectSameAfterChanges, marksOf, reasons } from '../../../test/snapshots/changes-bench.ts';
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
import type { ChangeMark, SnapshotRequest } from '../provider.ts';
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
const { GANTRY_LIBVIRT_KILLS } = process.env;
const KILLS = countOf('GANTRY_LIBVIRT_KILLS', 2);

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

function requests(track: (index: number) => SnapshotRequest['track'] = () => undefined): readonly SnapshotRequest[] {
  return described().map((disk, index) => ({ index, disk, instanceName: 'web1', track: track(index) }));
}

const warnings: string[] = [];

function take(taking: Omit<Taking, 'mode' | 'guest' | 'warnings' | 'requests'> & Partial<Pick<Taking, 'requests'>>): Promise<SnapshotSet> {
  return takeInRun({ mode: 'libvirt', guest: control(), requests: requests(), ...taking, warnings });
}

interface HoldOptions {
  readonly through?: readonly string[];
  readonly uri?: string;
  /** The mark of each disk, to say what has changed since then. */
  readonly since?: readonly ChangeMark[];
}

/** A process of its own that takes snapshots and keeps them. */
function hold(state: string, libvirt: SnapshotConfig['libvirt'], { through, uri = libvirtd.uri, since }: HoldOptions = {}): Holder {
  const marks = since === undefined ? {} : { GANTRY_TEST_SINCE: JSON.stringify(since) };
  const env = { GANTRY_TEST_GUEST: JSON.stringify({ ...control(), uri }), ...marks };
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

  test.each(
    // A script, and the provider by its name; the exports of a guest of QEMU are by raw.
    oneIn(2, [
      ['cat', 'libvirt'],
      ['raw', 'auto'],
    ] as const),
  )('is exported by the definition %s with --snapshot %s, and the export has that moment', async (os, snapshot) => {
    await using own = await makeTemporaryDirectory();
    await writeOsDefinitions(own.file('os'), ['cat']);
    const store = new MemoryStore();
    const result = await exportInstance({
      instance: sampleInstance({
        name: 'web1.example.com',
        os,
        disks: described(),
      }),
      osSearchPath: [own.file('os')],
      snapshot,
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

  test.each(
    oneIn<[string, () => Promise<unknown>]>(2, [
      [', also if somebody has ended the backup before', () => libvirtd.virsh('domjobabort', guest.uuid)],
      ['', async () => undefined],
    ]),
  )('that is paused because a killed run has let the scratch space fill up goes on when that is cleared%s', async (_, before) => {
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

describe('what changed since a mark', () => {
  /** Snapshots of both disks that leave marks. */
  const takeTracked = async (state: string, since?: readonly ChangeMark[], notes: string[] = []): Promise<SnapshotSet> =>
    await take({ config: config(scratch.path), state, notes, requests: requests((index) => ({ since: since?.[index] })) });

  /** Contents of both disks, and the marks to go on from. */
  async function first(state: string): Promise<{ readonly copies: readonly Buffer[]; readonly marks: readonly ChangeMark[] }> {
    await using set = await takeTracked(state);
    expect(reasons(set)).toEqual(['there is no earlier mark', 'there is no earlier mark']);
    await set.settleMarks(() => 'latest');
    return { copies: await contents(set), marks: marksOf(set) };
  }

  /** What marks are called, of the disk with a bitmap in memory and of that with a checkpoint. */
  const names = (marks: readonly ChangeMark[]): readonly string[] => marks.map(({ name }) => name.split(' ')[0] ?? '');

  const checkpoints = async (): Promise<readonly string[]> =>
    (await libvirtd.virsh('checkpoint-list', guest.uuid, '--name')).split('\n').filter((line) => line !== '');

  /** Also those of checkpoints. */
  async function bitmaps(): Promise<readonly string[]> {
    const nodes = await libvirtd.virsh('qemu-monitor-command', guest.uuid, '{"execute": "query-named-block-nodes"}');
    return [...new Set([...nodes.matchAll(/"name": ?"(gantry-[^"]*)"/g)].map(([, name = '']) => name))];
  }

  async function forget(marks: readonly ChangeMark[]): Promise<void> {
    for (const mark of marks) await createLibvirtProvider().forgetMark?.(mark, signal);
  }

  test('is all that must be read: by a bitmap in memory, or a checkpoint where the image can keep it', async () => {
    await using own = await makeTemporaryDirectory();
    const { copies, marks: before } = await first(own.path);
    let marks = before;
    for (let round = 0; round < 2; round += 1) {
      await writes(6);
      await using next = await takeTracked(own.path, marks);
      // What it writes from here on belongs to the next round.
      await writes(6);
      expect(reasons(next)).toEqual([]);
      const bytes = await expectSameAfterChanges(next, copies);
      expect(bytes).toBeGreaterThan(0);
      expect(bytes).toBeLessThan(DISK_BYTES / 2);
      marks = marksOf(next);
      await next.settleMarks(() => 'latest');
    }
    expect(marks.map(({ name }) => name.split(' ')[1])).toEqual(['bitmap', expect.stringMatching(/^checkpoint:[0-9a-f]{16}$/)]);
    expect(await checkpoints()).toEqual(names(marks).slice(1));
    expect((await bitmaps()).toSorted()).toEqual(names(marks).toSorted());
    for (let round = 0; round < 2; round += 1) await forget(marks);
    expect([await checkpoints(), await bitmaps()]).toEqual([[], []]);
    await expectUntouched(scratch.path);
  });

  test('is not known, and everything is read, where the marks are gone or not ours; checkpoints of others stay', async () => {
    await using own = await makeTemporaryDirectory();
    await libvirtd.virsh(
      'checkpoint-create-as',
      guest.uuid,
      'theirs',
      '--diskspec',
      'vda,checkpoint=no',
      '--diskspec',
      'vdc,checkpoint=no',
    );
    const { marks } = await first(own.path);
    await forget(marks);
    {
      await using set = await takeTracked(own.path, marks);
      expect(reasons(set)).toEqual([
        expect.stringContaining('the mark is gone: the guest was started again'),
        'the mark is gone: it was removed',
      ]);
    }
    {
      await using set = await takeTracked(own.path, [
        { provider: 'libvirt', name: 'theirs' },
        { provider: 'qemu', name: 'theirs' },
      ]);
      expect(reasons(set)).toEqual(['"theirs" is not a mark of Gantry', 'the mark was left by the provider qemu']);
    }
    expect(await checkpoints()).toEqual(['theirs']);
    await libvirtd.virsh('checkpoint-delete', guest.uuid, 'theirs');
    expect(await bitmaps()).toEqual([]);
  });

  test.skipIf(!ALL_VARIANTS)('is said of that disk alone: in another order, the disks of a checkpoint are read as a whole', async () => {
    await using own = await makeTemporaryDirectory();
    const images = [own.file('one.qcow2'), own.file('two.qcow2')];
    for (const image of images) await execa('qemu-img', ['create', '-q', '-f', 'qcow2', image, String(MiB)]);
    const twins = await defineLibvirtGuest(libvirtd, {
      name: 'twins',
      disks: images.map((file) => ({ file, format: 'qcow2' })),
      does: 'answers',
    });
    const takeOf = async (targets: readonly string[], since: readonly ChangeMark[] = []): Promise<SnapshotSet> =>
      await takeInRun({
        mode: 'libvirt',
        config: config(scratch.path),
        guest: { ...control(), uuid: twins.uuid, targets },
        state: own.file('state'),
        warnings,
        requests: targets.map((target, index) => ({
          index,
          disk: { uri: `qcow2:${images[target === 'vda' ? 0 : 1] ?? ''}`, access: 'rw' },
          instanceName: 'web1',
          track: { since: since[index] },
        })),
      });
    await libvirtd.virsh('start', twins.uuid, '--paused');
    const set = await takeOf(['vda', 'vdb']);
    await set.settleMarks(() => 'latest');
    await set[Symbol.asyncDispose]();
    {
      await using swapped = await takeOf(['vdb', 'vda'], marksOf(set));
      expect(reasons(swapped)).toEqual(['the mark is of another disk', 'the mark is of another disk']);
    }
    {
      await using same = await takeOf(['vda', 'vdb'], marksOf(set));
      expect(reasons(same)).toEqual([]);
    }
    await libvirtd.virsh('destroy', twins.uuid);
  });

  test('decides what incremental exports read', async () => {
    await using bench = await makeOperationBench({});
    const instanceOf = (disks: readonly Disk[]) => sampleInstance({ name: 'web1.example.com', os: 'raw', disks });
    const request = {
      instance: instanceOf(described()),
      snapshot: 'libvirt',
      snapshotConfig: config(scratch.path),
      guest: control(),
    } as const;
    const said: string[] = [];
    for (let round = 0; round < 2; round += 1) {
      await writes(6);
      const written = await guest.written();
      const { reference, warnings: complaints } = await bench.exportDisks({
        ...request,
        incremental: true,
        trackChanges: true,
        onEvent: (event) => event.type === 'stage' && event.message.startsWith('disk ') && said.push(event.message),
      });
      expect(complaints).toEqual([]);
      const copies = [0, 1].map((index) => bench.directory.file(`copy${index}`));
      for (const copy of copies) await writeFile(copy, Buffer.alloc(DISK_BYTES));
      await bench.importDisks(reference, { instance: instanceOf(copies.map((path) => ({ path, access: 'rw' }))) });
      const [a = -1, b = -1] = await Promise.all(copies.map(async (copy) => writtenUpTo(await readFile(copy))));
      expectOneMoment(a, b);
      expect(b).toBeGreaterThanOrEqual(written - 1);
    }
    const known = /^disk \d: [1-9]\d* of \d+ bytes may have changed since web1\S+; \d+ of the other frames/;
    expect(said.filter((each) => known.test(each))).toHaveLength(2);
    await bench.exportDisks(request);
    expect([await checkpoints(), await bitmaps()]).toEqual([[], []]);
    await expectUntouched(scratch.path);
  });

  test('is not known of an image that cannot keep it, and after a guest was killed; what that leaves is removed', async () => {
    await using own = await makeTemporaryDirectory();
    const images = [own.file('v2.qcow2'), own.file('v3.qcow2')] as const;
    for (const [at, image] of images.entries())
      await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', at === 0 ? 'compat=0.10' : 'compat=1.1', image, String(DISK_BYTES)]);
    const still = await defineLibvirtGuest(libvirtd, {
      name: 'still',
      disks: images.map((file) => ({ file, format: 'qcow2' })),
      does: 'answers',
    });
    const start = async (): Promise<void> => {
      await libvirtd.virsh('start', still.uuid, '--paused');
    };
    const notes: string[] = [];
    const takeOf = async (index: number, since?: ChangeMark): Promise<SnapshotSet> =>
      await takeInRun({
        mode: 'libvirt',
        config: config(scratch.path),
        guest: { ...control(), uuid: still.uuid },
        state: own.file('state'),
        warnings,
        notes,
        requests: [{ index, disk: { uri: `qcow2:${images[index] ?? ''}`, access: 'rw' }, instanceName: 'web1', track: { since } }],
      });
    const kept = async (): Promise<string> => (await libvirtd.virsh('checkpoint-list', still.uuid, '--name')).trim();
    await start();
    {
      await using set = await takeOf(0);
      expect(marksOf(set)).toEqual([]);
      expect(notes).toContainEqual(
        expect.stringMatching(/^libvirt cannot make a checkpoint: .*Cannot store dirty bitmaps in qcow2 v2 files/),
      );
      expect((await contentOf(set, 0)).equals(Buffer.alloc(DISK_BYTES))).toBe(true);
    }
    const set = await takeOf(1);
    const [mark] = marksOf(set);
    if (mark === undefined) throw new Error('no mark');
    await set.settleMarks(() => 'latest');
    await set[Symbol.asyncDispose]();
    process.kill((await libvirtd.guestPid('still')) ?? -1, 'SIGKILL');
    await expect.poll(() => libvirtd.virsh('domstate', still.uuid), PATIENTLY).toContain('shut off');
    await start();
    {
      await using next = await takeOf(1, mark);
      expect(reasons(next)).toEqual([`the checkpoint ${names([mark])[0] ?? ''} has no usable bitmap of vdb`]);
    }
    expect(await kept()).toBe(names([mark])[0]);
    await forget([mark]);
    expect(await kept()).toBe('');
    await libvirtd.virsh('destroy', still.uuid);
    expect((await execa('qemu-img', ['info', images[1]])).stdout).not.toContain('gantry-mark');
  });

  test.runIf(ALL_VARIANTS || GANTRY_LIBVIRT_KILLS !== undefined)(
    `is still known after runs that were killed at any moment: the next one clears what they leave, and the guest goes on (${KILLS} times)`,
    { timeout: 600_000 + KILLS * 30_000 },
    async () => {
      await using own = await makeTemporaryDirectory();
      const { copies, marks } = await first(own.path);
      for (let round = 0; round < KILLS; round += 1) {
        await using state = await makeTemporaryDirectory();
        const started = untilSomethingIn(scratch.path);
        const holder = hold(state.path, config(scratch.path, { freeze: 'require', frozen: 60 }).libvirt, { since: marks });
        await Promise.race([started, holder.said]);
        // All steps take some hundred ms; afterwards it waits.
        await pause(Math.random() * 2000);
        await holder.kill();
        expect(await recover(state.path)).toEqual(['cleared']);
        await expectUntouched(scratch.path);
        expect((await bitmaps()).toSorted()).toEqual(names(marks).toSorted());
      }
      {
        await using last = await takeTracked(own.path, marks);
        await expectSameAfterChanges(last, copies);
      }
      await forget(marks);
      expect([await checkpoints(), await bitmaps()]).toEqual([[], []]);
    },
  );

  test.skipIf(!ALL_VARIANTS)(
    'is known over a reboot of the guest; a snapshot stays as it is meanwhile, and if it is not committed, so does the earlier mark',
    async () => {
      await using own = await makeTemporaryDirectory();
      const { copies, marks } = await first(own.path);
      await libvirtd.virsh('set-lifecycle-action', guest.uuid, 'reboot', 'restart', '--live');
      {
        await writes(3);
        await using set = await takeTracked(own.path, marks);
        const before = await contents(set);
        await libvirtd.virsh('reset', guest.uuid);
        await guest.says(/wrote 3\r?\n[^]*wrote 3\r?\n/);
        await expectSameAfterChanges(set, copies);
        expect(copies.every((copy, index) => copy.equals(before[index] ?? Buffer.alloc(0)))).toBe(true);
      }
      expect((await bitmaps()).toSorted()).toEqual(names(marks).toSorted());
      {
        await using next = await takeTracked(own.path, marks);
        await expectSameAfterChanges(next, copies);
      }
      await forget(marks);
      expect([await checkpoints(), await bitmaps()]).toEqual([[], []]);
    },
  );

  test('is known over a restart of the guest where a checkpoint says it; what is left of a guest that is off is removed', async () => {
    await using own = await makeTemporaryDirectory();
    const { copies, marks } = await first(own.path);
    await writes(3);
    await libvirtd.virsh('destroy', guest.uuid);
    await libvirtd.virsh('start', guest.uuid);
    let later: readonly ChangeMark[];
    {
      await using next = await takeTracked(own.path, marks);
      expect(reasons(next)).toEqual([expect.stringContaining('the mark is gone: the guest was started again')]);
      const only = { ...next, snapshots: next.snapshots.slice(1) };
      await expectSameAfterChanges(only, copies.slice(1));
      later = marksOf(next);
      await next.settleMarks(() => 'latest');
    }
    await libvirtd.virsh('destroy', guest.uuid);
    expect(await checkpoints()).toEqual(names(later).slice(1));
    for (let round = 0; round < 2; round += 1) await forget(later);
    expect(await checkpoints()).toEqual([]);
    expect((await execa('qemu-img', ['info', disks()[1]])).stdout).not.toContain('gantry-mark');
    // From here on it need not have booted.
    await libvirtd.virsh('start', guest.uuid);
  });
});

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
    expect(await reason({})).toBe('vda of the running guest, by libvirt: a backup');
    expect(await reason({}, { index: 1, disk: described()[1] })).toBe(
      'vdb of the running guest, by libvirt: a backup of what the guest sees in its qcow2 image',
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

  test('a disk that the guest does not have, or no longer', async () => {
    expect(await reason({ targets: ['vdd'] })).toBe('its guest has no disk vdd now');
    expect(await reason({ targets: [] })).toBe('the source of the instance does not say which disk of the guest it is');
    expect(await reason({ targets: ['vdb'] })).toBe(`the disk vdb of its guest is ${disks()[1]} now`);
  });

  test('an image that is not the one, or not in the format, that the instance names', async () => {
    const [raw, image] = disks();
    const asked = (index: number, uri: string): Promise<string> => reason({}, { index, disk: { uri, access: 'rw' } });
    expect(await asked(1, `qcow2:${raw}`)).toBe(`the disk vdb of its guest is ${image} now`);
    expect(await asked(1, 'qcow2:/nowhere.qcow2')).toBe(`the disk vdb of its guest is ${image} now`);
    expect(await asked(1, 'rbd:pool/image')).toBe(`the disk vdb of its guest is ${image} now`);
    expect(await asked(0, `qcow2:${raw}`)).toBe('the disk vda of its guest is in the format raw, and not qcow2');
    expect(await asked(1, `vmdk:${image}`)).toBe('the disk vdb of its guest is in the format qcow2, and not vmdk');
  });

  test('disks whose guest would see write errors, or whose contents would not be kept; I/O threads', async () => {
    await using own = await makeTemporaryDirectory();
    const names = ['plain.img', 'report.img', 'ignore.img', 'transient.img', 'luks.qcow2'];
    const [plain = '', report = '', ignored = '', transient = '', luks = ''] = names.map((name) => own.file(name));
    for (const file of [plain, report, ignored, transient]) await writeFile(file, Buffer.alloc(MiB));
    const secret = randomUUID();
    const passphrase = [
      '--object',
      'secret,id=key,data=passphrase',
      '-o',
      'encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10',
    ];
    // It measures how fast the processor is, and fails where the time of its thread did not grow meanwhile.
    const create = ['create', '-q', '-f', 'qcow2', ...passphrase, luks, String(MiB)];
    await expect.poll(async () => (await execa('qemu-img', create, { reject: false })).stderr, PATIENTLY).toBe('');
    await writeFile(own.file('secret.xml'), `<secret ephemeral='yes' private='yes'><uuid>${secret}</uuid></secret>`);
    await libvirtd.virsh('secret-define', own.file('secret.xml'));
    await libvirtd.virsh('secret-set-value', secret, '--base64', Buffer.from('passphrase').toString('base64'));
    const encryption = `<encryption format='luks'><secret type='passphrase' uuid='${secret}'/></encryption>`;
    const odd = await defineLibvirtGuest(libvirtd, {
      name: 'odd',
      does: 'answers',
      elements: '<iothreads>1</iothreads>',
      disks: [
        { file: plain },
        { file: report, driver: "error_policy='report'" },
        { file: ignored, driver: "error_policy='ignore'" },
        { file: transient, elements: '<transient/>' },
        { file: luks, format: 'qcow2', elements: encryption },
      ],
    });
    await libvirtd.virsh('start', odd.uuid, '--paused');
    const targets = ['vda', 'vdb', 'vdc', 'vdd', 'vde'];
    const provider = createLibvirtProvider({ config: config(scratch.path), guest: { ...control(), uuid: odd.uuid, targets } });
    const said: string[] = [];
    for (const [index, path] of [plain, report, ignored, transient, luks].entries()) {
      const disk: Disk = path === luks ? { uri: `qcow2:${path}`, access: 'rw' } : { path, access: 'rw' };
      const answer = await provider.supports({ index, disk }, signal);
      said.push(answer.ok ? answer.what : answer.reason);
    }
    expect(said).toEqual([
      'its guest has I/O threads, and its QEMU could abort when the reading of such a disk ends',
      'the error_policy of vdb is "report"',
      'the error_policy of vdc is "ignore"',
      'vdd is transient',
      'vde is encrypted, and its snapshot would not be',
    ]);
    await libvirtd.virsh('destroy', odd.uuid);
  });
});

test('a guest is not migrated while it is read: libvirt refuses that; one that is being migrated is not touched, and goes on', async () => {
  await using other = await startLibvirtd();
  {
    await using during = await makeTemporaryDirectory();
    await using set = await take({ config: config(scratch.path), state: during.path });
    await expect(libvirtd.virsh('migrate', '--live', '--unsafe', guest.uuid, other.uri, '--migrateuri', 'tcp:127.0.0.1')).rejects.toThrow(
      /state change lock|backup job|block job|not supported/,
    );
    expectOneMoment(writtenUpTo(await contentOf(set, 0)), writtenUpTo(await contentOf(set, 1)));
  }
  await expectUntouched(scratch.path);
  await libvirtd.virsh('migrate-setspeed', guest.uuid, '1');
  const migration = libvirtd.virsh('migrate', '--live', '--unsafe', guest.uuid, other.uri, '--migrateuri', 'tcp:127.0.0.1').catch(String);
  await expect.poll(() => libvirtd.virsh('domjobinfo', guest.uuid), PATIENTLY).toContain('Outgoing migration');
  await using own = await makeTemporaryDirectory();
  await expect(take({ config: config(scratch.path), state: own.path })).rejects.toMatchObject({
    code: 'SNAPSHOT_UNSUPPORTED',
    message: expect.stringContaining('libvirt is busy with another job of its guest (Outgoing migration)'),
  });
  expect(await libvirtd.virsh('domjobinfo', guest.uuid)).toContain('Outgoing migration');
  await libvirtd.virsh('domjobabort', guest.uuid);
  expect(await migration).toContain('canceled by client');
  expect(await libvirtd.virsh('domstate', guest.uuid)).toContain('running');
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
