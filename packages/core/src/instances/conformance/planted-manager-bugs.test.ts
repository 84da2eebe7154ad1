import { rm, writeFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import type { InstanceManager, InstanceSource } from '../inventory.ts';
import { InventoryError } from '../inventory-error.ts';
import { parseInstance } from '../parse-instance.ts';
import type { MemoryWorld } from '../testing/memory-inventory.ts';
import { memoryWorld, SECRET } from '../testing/memory-inventory.ts';
import { ConformanceFailure, managerConformance } from './index.ts';

const directory = await makeTemporaryDirectory();
afterAll(() => directory[Symbol.asyncDispose]());
const DISK = directory.file('disk.img');
await writeFile(DISK, 'disk');

const INSTANCE = parseInstance(
  {
    name: 'new1.example.com',
    os: 'raw',
    hypervisor: 'kvm',
    uuid: '11111111-2222-4333-8444-555555555555',
    disks: [{ path: DISK }, { path: `${DISK}.2` }],
    nics: [{ mac: 'aa:00:00:35:4c:99', link: 'br0' }],
  },
  { baseDirectory: '/', hostName: 'here', source: 'the suite' },
);
const OPTIONS = { instance: INSTANCE, stubborn: 'web1.example.com', secrets: [SECRET], patienceMs: 500 };

/** The guest of web1 does not listen. */
function stubborn(manager: InstanceManager): Partial<InstanceManager> {
  return {
    stop: async (name, options) => {
      options.signal?.throwIfAborted();
      if (name === OPTIONS.stubborn) throw new InventoryError('failed', { message: `${name} still runs` });
      await manager.stop(name, options);
    },
  };
}

type Alter = (manager: InstanceManager, world: MemoryWorld) => Partial<InstanceManager>;

function openWith(alter: Alter): () => Promise<InstanceSource> {
  const world = memoryWorld();
  return async () =>
    world.open((right) => {
      const manager = { ...right, ...stubborn(right) };
      return { ...manager, ...alter(manager, world) };
    });
}

describe('a manager that keeps all promises', () => {
  for (const { title, run } of managerConformance(
    openWith(() => ({})),
    { ...OPTIONS, instance: { ...INSTANCE, disks: INSTANCE.disks.slice(0, 1) } },
  ))
    test(title, run);
});

describe('one that cannot undefine', () => {
  const world = memoryWorld();
  const open = async (): Promise<InstanceSource> =>
    world.open(() => ({
      undefine: async (name, { signal } = {}) => {
        signal?.throwIfAborted();
        await world.open().describe(name);
        throw new InventoryError('failed', { message: 'its disks would go too' });
      },
    }));
  const remove = async (name: string): Promise<void> => await world.open().manager?.undefine(name);
  for (const { title, run } of managerConformance(open, {
    ...OPTIONS,
    instance: { ...INSTANCE, disks: INSTANCE.disks.slice(0, 1) },
    stubborn: undefined,
    remove,
  }))
    test(title, run);
});

const BUGS: readonly (readonly [bug: string, caughtBy: string, alter: Alter])[] = [
  [
    'defines when it should only check',
    'checkDefine changes nothing',
    (right) => ({ checkDefine: async (request, options) => void (await right.define(request, options)) }),
  ],
  [
    'starts what it defines',
    'a defined instance is known, stopped, with its disks in order',
    (right) => ({
      define: async (request, options) => {
        const name = await right.define(request, options);
        await right.start(name);
        return name;
      },
    }),
  ],
  [
    'turns the disks round',
    'a defined instance is known, stopped, with its disks in order',
    (right) => ({
      define: ({ instance, ...request }, options) =>
        right.define({ ...request, instance: { ...instance, disks: instance.disks.toReversed() } }, options),
    }),
  ],
  [
    'chokes on a native file that it does not know',
    'a native description of another kind is ignored',
    (right) => ({
      define: async (request, options) => {
        if (request.native.length > 0) throw new InventoryError('failed', { message: 'what is this?' });
        return await right.define(request, options);
      },
    }),
  ],
  [
    'finds out late that a name is taken',
    'a name that another instance has is refused, and nothing changes',
    () => ({ checkDefine: async (_request, { signal } = {}) => signal?.throwIfAborted() }),
  ],
  [
    'keeps the identity',
    'a new identity is a new UUID and new MAC addresses',
    (right) => ({ define: (request, options) => right.define({ ...request, newIdentity: false }, options) }),
  ],
  [
    'does not start',
    'start runs it, and does nothing if it runs',
    () => ({ start: async (_name, { signal } = {}) => signal?.throwIfAborted() }),
  ],
  [
    'does not wait for the end',
    'stop stops it, and does nothing if it is stopped',
    () => ({ stop: async (_name, { signal }) => signal?.throwIfAborted() }),
  ],
  [
    'kills what does not listen',
    'stop gives up after its time, and kills nothing',
    (_manager, world) => ({ stop: async (name, options) => await memoryOf(world).stop(name, options) }),
  ],
  [
    'undefines what runs',
    'what runs is not undefined',
    (right) => ({
      undefine: async (name, options) => {
        await right.stop(name, { timeoutMs: 0 });
        await right.undefine(name, options);
      },
    }),
  ],
  ['does not forget', 'undefine forgets it, and its disks stay', (right) => ({ undefine: notThe(INSTANCE.name, right) })],
  [
    'removes a disk',
    'undefine forgets it, and its disks stay',
    (right) => ({
      undefine: async (name, options) => {
        await right.undefine(name, options);
        await rm(`${DISK}.2`, { force: true });
      },
    }),
  ],
  [
    'starts what is not there',
    'a name that nothing has is not-found',
    () => ({ start: async (_name, { signal } = {}) => signal?.throwIfAborted() }),
  ],
  [
    'does not look at the signal',
    'an aborted signal ends each call, and nothing changes',
    (right) => ({ define: (request) => right.define(request) }),
  ],
];

function memoryOf(world: MemoryWorld): InstanceManager {
  const { manager } = world.open();
  if (manager === undefined) throw new Error('there is none');
  return manager;
}

/** Does nothing for `name` the first time. */
function notThe(name: string, right: InstanceManager): InstanceManager['undefine'] {
  let calls = 0;
  return async (each, options) => {
    options?.signal?.throwIfAborted();
    calls += 1;
    if (each !== name || calls > 1) await right.undefine(each, options);
  };
}

describe('the suite catches a manager that', () => {
  test.each(BUGS)('%s', async (_bug, caughtBy, alter) => {
    await writeFile(`${DISK}.2`, 'disk');
    const found = managerConformance(openWith(alter), OPTIONS).find(({ title }) => title === `managing: ${caughtBy}`);
    await expect(found?.run()).rejects.toThrow(ConformanceFailure);
  });

  test('each of its cases', () => {
    const caught = new Set(BUGS.map(([, caughtBy]) => `managing: ${caughtBy}`));
    const all = managerConformance(
      openWith(() => ({})),
      OPTIONS,
    ).map(({ title }) => title);
    expect(all.filter((title) => !caught.has(title))).toEqual([]);
  });

  test('there is none', async () => {
    const { manager: _manager, ...source } = memoryWorld().open();
    const [first] = managerConformance(async () => source, OPTIONS);
    await expect(first?.run()).rejects.toThrow('the source has no manager');
  });
});
