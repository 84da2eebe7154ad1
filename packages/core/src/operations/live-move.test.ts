import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { access, readFile, readdir, readlink, writeFile } from 'node:fs/promises';
import type { Libvirtd } from '@gantry/testkit';
import {
  attachLoopDevice,
  defineLibvirtGuest,
  holdOpen,
  makeRandomFile,
  makeSparseFile,
  pseudoRandom,
  sha256File,
  startLibvirtd,
  startWritingGuest,
  writeOsDefinition,
  writtenUpTo,
} from '@gantry/testkit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { failFiles, systemError } from '../../test/failing-files.ts';
import type { LiveBench } from '../../test/live-bench.ts';
import { failureOf, makeLiveBench } from '../../test/live-bench.ts';
import type { GuestControl } from '../instances/inventory.ts';
import { memoryWorld } from '../instances/testing/memory-inventory.ts';
import type { GantryEvent } from '../report/events.ts';
import { parseSnapshotConfig } from '../snapshots/snapshot-config.ts';
import { punchHole } from '../system/sparse.ts';
import type { MoveRequest } from './move.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const PAUSED = { stillness: { kind: 'paused' } } as const;

interface Write {
  readonly at: number;
  readonly bytes: number;
  readonly what: 'random' | 'zeros' | 'hole';
  readonly seed: number;
}

function apply(path: string, writes: readonly Write[]): void {
  const fd = openSync(path, 'r+');
  try {
    for (const { at, bytes, what, seed } of writes)
      writeSync(fd, what === 'random' ? Buffer.concat([...pseudoRandom(String(seed), bytes)]) : Buffer.alloc(bytes), 0, bytes, at);
  } finally {
    closeSync(fd);
  }
}

async function punchHoles(path: string, writes: readonly Write[]): Promise<void> {
  const fd = openSync(path, 'r+');
  try {
    for (const { at, bytes, what } of writes) if (what === 'hole') await punchHole(fd, at, bytes);
  } finally {
    closeSync(fd);
  }
}

describe('a move in rounds', () => {
  test('gives the peer what the source holds in the last round, although it changed before and during the others', async () => {
    await using bench = await makeLiveBench();
    const disk = 9 * MIB + 512;
    const write = fc.record({
      at: fc.integer({ min: 0, max: disk - 1 }),
      bytes: fc.integer({ min: 1, max: 700 * KIB }),
      what: fc.constantFrom<Write['what'][]>('random', 'zeros', 'hole'),
      seed: fc.nat(),
    });
    const history = fc.array(fc.array(write, { maxLength: 5 }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(history, fc.boolean(), async (rounds, isSparse) => {
        const fitting = rounds.map((writes) => writes.map((each) => ({ ...each, bytes: Math.min(each.bytes, disk - each.at) })));
        if (isSparse) await makeSparseFile(bench.here, disk);
        else await makeRandomFile(bench.here, disk, 'here');
        await makeRandomFile(bench.there, disk + 100, 'there');
        const before = (await readFile(bench.there)).subarray(disk);
        let round = 0;
        let isStill = false;
        const ask = async (): Promise<boolean> => {
          isStill = true;
          apply(bench.here, fitting.at(-1) ?? []);
          await punchHoles(bench.here, fitting.at(-1) ?? []);
          return true;
        };
        const onEvent = ({ type }: GantryEvent): void => {
          // While a round is under way, and after it.
          if (!isStill && (type === 'progress' || type === 'round')) apply(bench.here, fitting[round] ?? []);
          if (type === 'round') round += 1;
        };
        const { source, receiver } = await bench.move({ rounds: rounds.length, stillness: { kind: 'ask', ask } }, { onEvent });
        expect(source, String(source.status === 'rejected' && source.reason)).toMatchObject({ status: 'fulfilled' });
        expect(receiver.status).toBe('fulfilled');
        const there = readFileSync(bench.there);
        expect(there.subarray(disk).equals(before)).toBe(true);
        expect(there.subarray(0, disk).equals(readFileSync(bench.here))).toBe(true);
      }),
      { numRuns: 8 },
    );
  });

  test('says of each round what it sent, and how long the instance was down', async () => {
    await using bench = await withDisks();
    const onEvent = ({ type }: GantryEvent): void => {
      if (type === 'round') apply(bench.here, [{ at: 5 * MIB + 3, bytes: 10, what: 'random', seed: 1 }]);
    };
    const { source, events } = await bench.move({ rounds: 2, stillness: { kind: 'ask', ask: async () => true } }, { onEvent });
    const rounds = events.flatMap((event) => (event.type === 'round' ? [event] : []));
    expect(rounds).toMatchObject([
      { round: 1, rounds: 2 },
      { round: 2, rounds: 2 },
    ]);
    expect(rounds[0]?.plainBytes).toBeGreaterThan(9 * MIB);
    // One block, and the header of its part.
    expect(rounds[1]?.plainBytes).toBe(64 * KIB + 16);
    const value = source.status === 'fulfilled' ? source.value : undefined;
    expect(value?.rounds).toHaveLength(2);
    expect(value?.downtimeMs).toBeGreaterThanOrEqual(0);
    expect(value?.storedBytes).toBe(rounds.reduce((total, { storedBytes }) => total + storedBytes, 0));
  });

  test('does not warn that a disk without a snapshot may change before the last round', async () => {
    await using bench = await withDisks();
    await using _writer = await holdOpen(bench.here, '<>');
    const { source } = await bench.move(PAUSED, pausing(bench));
    expect(source).toMatchObject({ status: 'fulfilled', value: { warnings: [] } });
  });

  test('is refused for scripts on either side, and for too many rounds', async () => {
    await using bench = await withDisks();
    await writeOsDefinition(bench.file(), 'cat', { files: { export: '#!/bin/sh\n', import: '#!/bin/sh\n' } });
    const more = { osSearchPath: [bench.file()], allowOtherOs: true };
    const raw = await readFile(bench.file('here.yaml'), 'utf8');
    const unsupported = { code: 'OS_OPERATION_UNSUPPORTED', message: expect.stringContaining('has no place on the disk') };
    for (const side of ['there', 'here']) {
      await writeFile(bench.file(`${side}.yaml`), raw.replace('os: raw', 'os: cat').replace('here.img', `${side}.img`));
      expect(failureOf((await bench.move({}, more)).source)).toMatchObject(unsupported);
    }
    expect((await readFile(bench.there)).every((byte) => byte === 0)).toBe(true);
    await writeFile(bench.file('here.yaml'), raw);
    expect(failureOf((await bench.move({ rounds: 21 })).source)).toMatchObject({ code: 'USAGE' });
  });

  test('that was cut goes on from what is on the disk of the target', async () => {
    await using bench = await withDisks();
    const cut = await bench.move({}, { onEvent: ({ type }) => void (type === 'round' && bench.pair().receiverStream.destroy()) });
    expect(failureOf(cut.source)).toMatchObject({ code: 'PEER_LOST' });
    expect(cut.events).toContainEqual(expect.objectContaining({ type: 'warning', message: expect.stringContaining('written in part') }));
    apply(bench.here, [{ at: MIB, bytes: 1, what: 'random', seed: 2 }]);
    const { source, events } = await bench.move({ rounds: 1, resume: true });
    expect(source.status).toBe('fulfilled');
    expect(events).toContainEqual(expect.objectContaining({ type: 'round', plainBytes: 64 * KIB + 16 }));
    expect(await sha256File(bench.there)).toBe(await sha256File(bench.here));
  });

  test('refuses a last round in which somebody writes', async () => {
    await using bench = await withDisks();
    await using _writer = await holdOpen(bench.here, '<>');
    const { source } = await bench.move({ stillness: { kind: 'ask', ask: async () => true } });
    expect(failureOf(source)).toMatchObject({ code: 'BUSY', message: expect.stringContaining('is not still in the last round') });
  });

  test('ends where nobody confirms that the instance is stopped', async () => {
    await using bench = await withDisks();
    const { source, receiver } = await bench.move({ stillness: { kind: 'ask', ask: async () => false } });
    expect(failureOf(source)).toMatchObject({ code: 'CONFIRM_NEEDED' });
    expect(receiver.status).toBe('rejected');
  });
});

describe('an instance that is paused for the last round', () => {
  test('stays paused after the commit', async () => {
    await using bench = await withDisks();
    const { source } = await bench.move(PAUSED, pausing(bench));
    expect(source).toMatchObject({ status: 'fulfilled', value: { downtimeMs: expect.any(Number) } });
    expect(await marks(bench)).toEqual(['paused']);
    expect(await readdir(bench.file('state', 'runs'))).toEqual([]);
  });

  test('is committed on both sides although the journal cannot be written any more', async () => {
    await using bench = await withDisks();
    using _failing = await failFiles('datasync', async (file) => {
      const path = await readlink(`/proc/self/fd/${file.fd}`);
      if (!path.startsWith(bench.file('state', 'runs'))) return undefined;
      const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
      const isAfterCommit = lines.some((line) => line.includes('"undecided-pause"')) && lines.at(-1)?.includes('"forget"') === true;
      return isAfterCommit ? systemError('ENOSPC') : undefined;
    });
    const { source, receiver } = await bench.move(PAUSED, pausing(bench));
    expect(source).toMatchObject({
      status: 'fulfilled',
      value: { warnings: [expect.stringMatching(/^it stays noted that the move of web1.* may be committed/)] },
    });
    expect(receiver).toMatchObject({ status: 'fulfilled', value: { warnings: [] } });
    expect(await marks(bench)).toEqual(['paused']);
  });

  test.each(['while it is paused', 'in the last round', 'before the commit'] as const)('goes on if the move fails %s', async (when) => {
    await using bench = await withDisks();
    let isPaused = false;
    const stop = (): void => void bench.pair().receiverStream.destroy();
    const onEvent = (event: GantryEvent): void => {
      if (event.type === 'stage' && event.message.startsWith('pausing')) isPaused = true;
      if (!isPaused) return;
      if (when === 'while it is paused' || (when === 'in the last round' && event.type === 'progress')) stop();
      if (when === 'before the commit' && event.type === 'round') stop();
    };
    const { source } = await bench.move(PAUSED, { ...pausing(bench), onEvent });
    expect(failureOf(source)).toMatchObject({ code: 'PEER_LOST' });
    expect(await marks(bench)).toContain('resumed');
    expect(await readdir(bench.file('state', 'runs'))).toEqual([]);
  });

  test('goes on if the command that pauses fails: it may have done half of it', async () => {
    await using bench = await withDisks();
    const { source } = await bench.move(PAUSED, pausing(bench, ['false']));
    expect(failureOf(source)).toMatchObject({ code: 'SNAPSHOT_FAILED', message: expect.stringContaining('cannot pause') });
    expect(await marks(bench)).toEqual(['resumed']);
  });

  test('stays paused where only the peer knows whether the move is committed', async () => {
    await using bench = await withDisks();
    const { source, events } = await bench.move(PAUSED, { ...pausing(bench), cutAtCommit: true });
    expect(failureOf(source)).toMatchObject({ code: 'MOVE_UNDECIDED' });
    expect(await marks(bench)).toEqual(['paused']);
    expect(await readdir(bench.file('state', 'runs'))).toEqual([]);
    expect(events).toContainEqual(expect.objectContaining({ type: 'warning', message: expect.stringContaining('stays paused here') }));
  });
});

test('blocks that became zeros between two rounds are zeros on a device too', async () => {
  await using bench = await withDisks();
  await makeRandomFile(bench.file('device.img'), 9 * MIB + 512, 'what was there');
  await using loop = await attachLoopDevice(bench.file('device.img'));
  const yaml = await readFile(bench.file('there.yaml'), 'utf8');
  await writeFile(bench.file('there.yaml'), yaml.replace('there.img', loop.path));
  const onEvent = ({ type }: GantryEvent): void => {
    if (type === 'round') apply(bench.here, [{ at: MIB + 5, bytes: 3 * MIB, what: 'zeros', seed: 0 }]);
  };
  const { source } = await bench.move({ rounds: 2, stillness: { kind: 'ask', ask: async () => true } }, { onEvent });
  expect(source.status).toBe('fulfilled');
  expect(await sha256File(loop.path)).toBe(await sha256File(bench.here));
});

test('a guest whose QEMU is known is paused without commands, and goes on if the move fails', async () => {
  await using bench = await makeLiveBench(2);
  const disks = [bench.here, bench.file('here-1.img')] as const;
  const targets = [bench.there, bench.file('there-1.img')];
  for (const disk of [...disks, ...targets]) await makeSparseFile(disk, 16 * MIB);
  const socket = bench.file('qmp');
  await using guest = await startWritingGuest({ directory: bench.file(), disks, qmp: socket });
  const more = { guest: { kind: 'qmp', socket } } as const;
  let isPaused = false;
  const onEvent = (event: GantryEvent): void => {
    if (event.type === 'stage' && event.message.startsWith('pausing')) isPaused = true;
    if (isPaused && event.type === 'progress') bench.pair().receiverStream.destroy();
  };
  expect(failureOf((await bench.move(PAUSED, { ...more, onEvent })).source)).toMatchObject({ code: 'PEER_LOST' });
  await guest.reaches(guest.written() + 5);

  const { source } = await bench.move({ ...PAUSED, resume: true }, more);
  expect(source).toMatchObject({ status: 'fulfilled', value: { downtimeMs: expect.any(Number) } });
  const [first = 0, second = 0] = await Promise.all(targets.map(async (path) => writtenUpTo(await readFile(path))));
  expect(first - second === 0 || first - second === 1, `${first} ${second}`).toBe(true);
  expect(second).toBeGreaterThanOrEqual(guest.written());
  // It writes no more.
  expect(await Promise.all(targets.map(sha256File))).toEqual(await Promise.all(disks.map(sha256File)));
});

describe('a guest of libvirt, whose disks libvirt held still in the first round,', () => {
  async function withGuest(bench: LiveBench, libvirtd: Libvirtd): Promise<GuestControl & { readonly kind: 'libvirt' }> {
    for (const disk of [bench.here, bench.there]) await makeSparseFile(disk, 4 * MIB);
    const { uuid, name } = await defineLibvirtGuest(libvirtd, { name: 'web1', disks: [{ file: bench.here }], does: 'answers' });
    await libvirtd.virsh('start', name);
    return { kind: 'libvirt', uri: libvirtd.uri, uuid, targets: ['vda'] };
  }

  test('is shut down for the last, which reads them themselves', async () => {
    await using bench = await makeLiveBench();
    await using libvirtd = await startLibvirtd();
    const guest = await withGuest(bench, libvirtd);
    const instance = { name: 'web1.example.com', os: 'raw', hypervisor: 'kvm', disks: [{ path: bench.here }] };
    const world = memoryWorld([{ instance, run: { state: 'running', node: 'here' }, guarded: [] }]);
    const source = world.open((manager) => ({
      stop: async (name, options) => {
        await libvirtd.virsh('destroy', guest.uuid);
        await manager.stop(name, options);
      },
    }));
    const origin = { source, name: instance.name, stop: true };
    const snapshotConfig = parseSnapshotConfig(JSON.stringify({ libvirt: { scratch: bench.file(), reserve: 1 } }), 'test');
    const shutdown = { rounds: 2, stillness: { kind: 'shutdown' } } as const;
    const moved = await bench.move(shutdown, { snapshot: 'libvirt', snapshotConfig, guest, origin });
    expect(moved.source, String(moved.source.status === 'rejected' && moved.source.reason)).toMatchObject({ status: 'fulfilled' });
  });

  test('is paused for the last, and not frozen then', async () => {
    await using bench = await makeLiveBench();
    await using libvirtd = await startLibvirtd();
    const guest = await withGuest(bench, libvirtd);
    const isRunning = `virsh --connect '${libvirtd.uri}' domstate ${guest.uuid} | grep -q running`;
    const libvirt = { scratch: bench.file(), reserve: 1 };
    const snapshotConfig = parseSnapshotConfig(JSON.stringify({ freeze: ['sh', '-c', isRunning], thaw: ['true'], libvirt }), 'test');
    const moved = await bench.move({ ...PAUSED, rounds: 2 }, { snapshot: 'libvirt', guest, snapshotConfig });
    expect(moved.source, String(moved.source.status === 'rejected' && moved.source.reason)).toMatchObject({ status: 'fulfilled' });
  });
});

async function withDisks(): Promise<LiveBench> {
  const bench = await makeLiveBench();
  await makeRandomFile(bench.here, 9 * MIB + 512, 'here');
  await makeSparseFile(bench.there, 9 * MIB + 512);
  return bench;
}

/** Commands that leave a file each. */
function pausing(bench: LiveBench, pause: readonly string[] = ['touch', bench.file('paused')]): Pick<MoveRequest, 'snapshotConfig'> {
  return { snapshotConfig: parseSnapshotConfig(JSON.stringify({ pause, resume: ['touch', bench.file('resumed')] }), 'test') };
}

async function marks(bench: LiveBench): Promise<readonly string[]> {
  const found = await Promise.all(
    ['paused', 'resumed'].map((name) =>
      access(bench.file(name)).then(
        () => [name],
        () => [],
      ),
    ),
  );
  return found.flat();
}
