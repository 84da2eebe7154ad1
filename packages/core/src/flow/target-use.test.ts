import { chmod, mkdir, writeFile } from 'node:fs/promises';
import type { TemporaryDirectory } from '@gantry/testkit';
import {
  attachLoopDevice,
  holdOpen,
  makeExt4Image,
  makeRandomFile,
  makeTemporaryDirectory,
  mountImage,
  oneIn,
  sha256File,
  startGuest,
  useAsSwap,
} from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { channelPair } from '../../test/peer/channel-pair.ts';
import { sampleInstance } from '../../test/sample-instance.ts';
import type { InstanceGuard } from '../instances/instance-source.ts';
import type { Instance } from '../instances/model.ts';
import { GantryError } from '../report/errors.ts';
import type { GantryEvent } from '../report/events.ts';
import { createInstance } from '../operations/create.ts';
import { exportInstance } from '../operations/export.ts';
import { importInstance } from '../operations/import.ts';
import { moveInstance } from '../operations/move.ts';
import type { ReceiveRequest } from '../operations/receive.ts';
import { receiveInstance } from '../operations/receive.ts';
import { renameInstance } from '../operations/rename.ts';

const MIB = 1024 * 1024;
const BYTES = 8 * MIB;

/** An instance to be exported and moved, and its target, whose disk is somebody else's by then. */
class Bench implements AsyncDisposable {
  readonly events: GantryEvent[] = [];
  readonly store: Store = new MemoryStore();
  /** What the source of the target says of it. */
  guard: InstanceGuard | undefined;
  readonly #scratch: TemporaryDirectory;

  private constructor(scratch: TemporaryDirectory) {
    this.#scratch = scratch;
  }

  static async make(): Promise<Bench> {
    const bench = new Bench(await makeTemporaryDirectory());
    await makeRandomFile(bench.file('source.img'), BYTES, 'source');
    await makeExt4Image(bench.file('target.img'), { bytes: BYTES, files: 1 });
    await mkdir(bench.file('os', 'mark'), { recursive: true });
    const script = '#!/bin/sh\nprintf written >>"${DISK_0_PATH:-$IMPORT_DEVICE}"\ncat >/dev/null\n';
    for (const [name, text] of Object.entries({ ganeti_api_version: '20\n', 'parameters.list': '', verify: '#!/bin/sh\n' }))
      await writeFile(bench.file('os', 'mark', name), text);
    for (const name of ['create', 'export', 'import', 'rename']) await writeFile(bench.file('os', 'mark', name), script);
    for (const name of ['create', 'export', 'import', 'rename', 'verify']) await chmod(bench.file('os', 'mark', name), 0o755);
    await exportInstance({ ...bench.options(), instance: bench.instance('raw', 'source.img'), store: bench.store, createStore: true });
    bench.events.length = 0;
    return bench;
  }

  file(...names: readonly string[]): string {
    return this.#scratch.file(...names);
  }

  instance(os: string, disk: string): Instance {
    const path = disk.startsWith('/') ? disk : this.file(disk);
    return sampleInstance({ os, disks: [{ path, access: 'rw' }] });
  }

  options(): {
    stateDirectory: string;
    osSearchPath: string[];
    onEvent: (event: GantryEvent) => void;
    guard: InstanceGuard | undefined;
  } {
    const onEvent = (event: GantryEvent): void => void this.events.push(event);
    return { stateDirectory: this.file('state'), osSearchPath: [this.file('os')], onEvent, guard: this.guard };
  }

  warnings(): string {
    return this.events.flatMap((event) => (event.type === 'warning' ? [event.message] : [])).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scratch[Symbol.asyncDispose]();
  }
}

type Write = (bench: Bench, disk: string, forceInUse: boolean) => Promise<unknown>;

const WRITES: Readonly<Record<string, Write>> = {
  import: (bench, disk, forceInUse) =>
    importInstance({
      ...bench.options(),
      store: bench.store,
      export: 'web1.example.com',
      instance: bench.instance('raw', disk),
      forceInUse,
    }),
  'import by a script': (bench, disk, forceInUse) =>
    importInstance({
      ...bench.options(),
      store: bench.store,
      export: 'web1.example.com',
      instance: bench.instance('mark', disk),
      allowOtherOs: true,
      forceInUse,
    }),
  move,
  create: (bench, disk, forceInUse) => createInstance({ ...bench.options(), instance: bench.instance('mark', disk), forceInUse }),
  rename: (bench, disk, forceInUse) =>
    renameInstance({ ...bench.options(), instance: bench.instance('mark', disk), newName: 'web2.example.com', forceInUse }),
};

/** The peer's own inventory, where the target is known to one. */
function describeThere(bench: Bench, disk: string): ReceiveRequest['describe'] {
  const { guard } = bench;
  if (guard === undefined) return undefined;
  return async (address) => {
    expect(address).toBe('there.yaml');
    return await Promise.resolve({ ...guard, instance: bench.instance('raw', disk), native: [], guest: undefined, disksOn: undefined });
  };
}

async function move(bench: Bench, disk: string, forceInUse: boolean): Promise<unknown> {
  const pair = channelPair();
  await writeFile(bench.file('there.yaml'), `name: web1.example.com\nos: raw\nhypervisor: kvm\ndisks:\n  - path: ${disk}\n`);
  const receiver = receiveInstance({
    channel: pair.receiver,
    cwd: bench.file(),
    stateDirectory: bench.file('state-there'),
    osSearchPath: [bench.file('os')],
    describe: describeThere(bench, disk),
  });
  const sender = moveInstance({
    ...bench.options(),
    instance: bench.instance('raw', 'source.img'),
    peer: pair.source,
    to: 'there.yaml',
    // Not possible here: a source that came to it before it was refused would fail with that.
    snapshot: forceInUse || bench.guard !== undefined ? 'none' : 'reflink',
    forceInUse,
  });
  const [sent, received] = await Promise.allSettled([sender, receiver]);
  await pair.source[Symbol.asyncDispose]();
  await pair.receiver[Symbol.asyncDispose]();
  if (sent.status === 'rejected') throw sent.reason;
  if (received.status === 'rejected') throw received.reason;
  return sent.value;
}

/** Puts the target to use: gives the disk's path as the instance has it, and the clause that names the user. */
type Use = (bench: Bench, stack: AsyncDisposableStack) => Promise<{ readonly disk: string; readonly user: RegExp }>;

const USES: Readonly<Record<string, Use>> = {
  'a running guest': async (bench, stack) => {
    const guest = stack.use(await startGuest(bench.file('target.img')));
    return { disk: bench.file('target.img'), user: new RegExp(`process ${guest.pid} \\(qemu-system-x86\\) has it open for writing`) };
  },
  'a guest that has it as its backing file': async (bench, stack) => {
    const overlay = bench.file('overlay.qcow2');
    await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', bench.file('target.img'), overlay]);
    const guest = stack.use(await startGuest(overlay, { format: 'qcow2' }));
    return { disk: bench.file('target.img'), user: new RegExp(`process ${guest.pid} \\(qemu-system-x86\\) has it open for reading`) };
  },
  'a loop device of the image': async (bench, stack) => {
    const loop = stack.use(await attachLoopDevice(bench.file('target.img')));
    return { disk: bench.file('target.img'), user: new RegExp(`it is attached to ${loop.path}`) };
  },
  'a mount of a loop device of the image': async (bench, stack) => {
    const loop = stack.use(await attachLoopDevice(bench.file('target.img')));
    const mounted = stack.use(await mountImage(loop.path));
    return { disk: bench.file('target.img'), user: new RegExp(`${loop.path} is mounted writable on ${mounted.path}`) };
  },
  'a mount of the device, for reading alone': async (bench, stack) => {
    const loop = stack.use(await attachLoopDevice(bench.file('target.img')));
    const mounted = stack.use(await mountImage(loop.path, { readOnly: true }));
    return { disk: loop.path, user: new RegExp(`it is mounted read-only on ${mounted.path}`) };
  },
  'a mount of a partition': async (bench, stack) => {
    const loop = stack.use(await attachLoopDevice(bench.file('target.img'), { partitions: true }));
    await execa('addpart', [loop.path, '1', '2048', '8192']);
    await execa('mkfs.ext4', ['-q', `${loop.path}p1`]);
    const mounted = stack.use(await mountImage(`${loop.path}p1`));
    return { disk: loop.path, user: new RegExp(`${loop.path}p1 is mounted writable on ${mounted.path}`) };
  },
  swap: async (bench, stack) => {
    const loop = stack.use(await attachLoopDevice(bench.file('target.img')));
    stack.use(await useAsSwap(loop.path));
    return { disk: loop.path, user: /it is used as swap/ };
  },
};

describe.each(Object.entries(WRITES))('%s', (name, write) => {
  // All ask in the same place: others than import need to show no more than that they do.
  const uses = oneIn(name === 'import' ? 1 : 4, Object.entries(USES), Object.keys(WRITES).indexOf(name));
  test.each(uses)('refuses a disk that is in use by %s, names it, and writes nothing', async (_, use) => {
    await using bench = await Bench.make();
    await using stack = new AsyncDisposableStack();
    const { disk, user } = await use(bench, stack);
    await execa('sync', [disk]);
    const before = await sha256File(disk);
    const failure: unknown = await write(bench, disk, false).catch((error: unknown) => error);
    if (!(failure instanceof GantryError)) throw new Error('it was not refused', { cause: failure });
    expect(failure).toMatchObject({ code: 'BUSY', exitCode: 10, hint: expect.stringContaining('--force-in-use') });
    expect([failure.message, ...failure.details].join('\n')).toMatch(user);
    expect(await sha256File(disk)).toBe(before);
  });

  test.each([
    ['a process', false],
    ['a mount of the device', true],
  ])('--force-in-use insists, with a warning that names %s', async (_, mounts) => {
    await using bench = await Bench.make();
    await using stack = new AsyncDisposableStack();
    const loop = mounts ? stack.use(await attachLoopDevice(bench.file('target.img'))) : undefined;
    const disk = loop?.path ?? bench.file('target.img');
    const mounted = loop === undefined ? undefined : stack.use(await mountImage(loop.path));
    const holder = mounts ? undefined : stack.use(await holdOpen(disk, '<>'));
    await write(bench, disk, true);
    expect(bench.warnings()).toContain(
      `is in use and is written anyway (--force-in-use): ${
        holder === undefined ? `it is mounted writable on ${mounted?.path}` : `process ${holder.pid} (sh) has it open for writing`
      }`,
    );
  });
});

describe.each(['import', 'move', 'create', 'rename'] as const)('%s, into an instance that its source knows', (name) => {
  const write = WRITES[name] ?? move;
  const makeBench = async (guard: Pick<InstanceGuard, 'run'> & { readonly guards?: string }): Promise<Bench> => {
    const bench = await Bench.make();
    bench.guard = { source: 'ganeti:', run: guard.run, guarded: [guard.guards ?? bench.file('target.img')] };
    return bench;
  };

  test.each([
    ['the instance runs on node2.example.com, says ganeti:', { state: 'running', node: 'node2.example.com' }],
    ['ganeti: cannot tell whether the instance runs', { state: 'unknown' }],
  ] as const)('refuses a guarded disk (%s), and writes it with --force-in-use', async (why, run) => {
    await using bench = await makeBench({ run });
    const before = await sha256File(bench.file('target.img'));
    const message = expect.stringContaining(`is in use: ${why}`);
    await expect(write(bench, 'target.img', false)).rejects.toMatchObject({ code: 'BUSY', message });
    expect(await sha256File(bench.file('target.img'))).toBe(before);
    await write(bench, 'target.img', true);
    expect(bench.warnings()).toContain(`is written anyway (--force-in-use): ${why}`);
  });

  test.each([
    ['of a stopped instance', { run: { state: 'stopped' } }],
    ['that is not guarded', { run: { state: 'running', node: 'n' }, guards: '/another/disk' }],
  ] as const)('writes a disk %s', async (_title, guard) => {
    await using bench = await makeBench(guard);
    await write(bench, 'target.img', false);
    expect(bench.warnings()).not.toContain('ganeti:');
  });
});
