import { mkdir, writeFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { pathToFileURL } from 'node:url';
import { fileInventory } from '../file-inventory.ts';
import { matchesName } from '../instance-filter.ts';
import type { InstanceDescription, InstanceSource, InstanceSummary } from '../inventory.ts';
import { InventoryError } from '../inventory-error.ts';
import { DESCRIPTIONS, memorySource, SECRET } from '../testing/memory-inventory.ts';
import { ConformanceFailure, inventoryConformance } from './index.ts';

const OPTIONS = { ambiguous: 'db1', secrets: [SECRET], patienceMs: 500 };

describe('an inventory that keeps all promises', () => {
  for (const { title, run } of inventoryConformance(async () => memorySource(), OPTIONS)) test(title, run);
});

describe('a directory of instance files', async () => {
  const directory = await makeTemporaryDirectory();
  afterAll(() => directory[Symbol.asyncDispose]());
  const home = `${directory.path}/instances`;
  await mkdir(home);
  for (const [name, text] of [
    [
      'web1.yaml',
      `name: web1.example.com\nos: raw\nhypervisor: kvm\ntags: [a, b]\nosparams_private: {password: ${SECRET}}\ndisks: [{path: disk0}]\n`,
    ],
    ['web2.yml', 'name: web2.example.com\nos: raw\nhypervisor: kvm\ntags: [b]\n'],
    ['db1.json', '{"name":"db1.example.com","os":"raw","hypervisor":"kvm"}'],
  ] as const)
    await writeFile(`${home}/${name}`, text);
  const open = async (): Promise<InstanceSource> => await fileInventory.open(pathToFileURL(home), { env: {}, warn: () => undefined });
  for (const { title, run } of inventoryConformance(open, { secrets: [SECRET] })) test(title, run);
});

/** The source of the right inventory, with some of its calls made wrong. */
function broken(alter: (source: InstanceSource) => Partial<InstanceSource>): InstanceSource {
  const source = memorySource();
  return { ...source, ...alter(source) };
}

async function* mapped(
  summaries: AsyncIterable<InstanceSummary>,
  map: (summary: InstanceSummary) => readonly InstanceSummary[],
): AsyncGenerator<InstanceSummary> {
  for await (const summary of summaries) yield* map(summary);
}

/** What is described of the first instance, with some of it made wrong. */
function describedAs(alter: Partial<InstanceDescription>): InstanceSource {
  return broken((source) => ({ describe: async (name, options) => ({ ...(await source.describe(name, options)), ...alter }) }));
}

const [WEB1] = DESCRIPTIONS;
let calls = 0;

const BUGS: readonly (readonly [bug: string, caughtBy: string, source: () => InstanceSource])[] = [
  [
    'lists an instance twice',
    'listing: each instance once, by name',
    () => broken((right) => ({ list: (o) => mapped(right.list(o), (each) => [each, each]) })),
  ],
  [
    'lists something else each time',
    'listing: the same from a second call',
    () => broken((right) => ({ list: (o) => mapped(right.list(o), (each) => [{ ...each, name: `${each.name}${(calls += 1)}` }]) })),
  ],
  [
    'ignores patterns',
    'listing: patterns: any of them, with * for anything, over the whole name',
    () => broken((right) => ({ list: (o = {}) => right.list({ ...o, patterns: [] }) })),
  ],
  [
    'takes patterns for beginnings',
    'listing: patterns: any of them, with * for anything, over the whole name',
    () =>
      broken((right) => ({
        list: ({ patterns = [], ...o } = {}) => right.list({ ...o, patterns: patterns.map((pattern) => `${pattern}*`) }),
      })),
  ],
  ['ignores tags', 'listing: tags: all of them, whole', () => broken((right) => ({ list: (o = {}) => right.list({ ...o, tags: [] }) }))],
  [
    'takes any of the tags',
    'listing: tags: all of them, whole',
    () =>
      broken((right) => ({
        list: ({ tags = [], ...o } = {}) =>
          mapped(right.list(o), (each) => (tags.length === 0 || each.tags.some((tag) => tags.includes(tag)) ? [each] : [])),
      })),
  ],
  ['cannot be used after a list that was left', 'listing: a list that is left early leaves the source usable', leftUnusable],
  [
    'lists a secret',
    'listing: no secret in the list or the address',
    () => broken((right) => ({ list: (o) => mapped(right.list(o), (each) => [{ ...each, os: SECRET }]) })),
  ],
  [
    'describes another instance',
    'describing: every listed instance, by its name, as an instance file may say it',
    () => broken((right) => ({ describe: async (name) => await right.describe(name === 'db1.example.net' ? 'db1.example.com' : name) })),
  ],
  [
    'describes what an instance file may not say',
    'describing: every listed instance, by its name, as an instance file may say it',
    () => describedAs({ instance: { name: 'web1.example.com', os: '', hypervisor: 'kvm' } }),
  ],
  [
    'says of running what is not one of the words',
    'describing: every listed instance, by its name, as an instance file may say it',
    // @ts-expect-error -- an inventory in JavaScript can say anything
    () => describedAs({ run: { state: 'up' } }),
  ],
  [
    'guards relative paths',
    'describing: every listed instance, by its name, as an instance file may say it',
    () => describedAs({ guarded: ['disks/web1'] }),
  ],
  [
    'lists other tags than it describes',
    'describing: as the list says: OS, hypervisor, number of disks, tags',
    () => broken((right) => ({ list: (o) => mapped(right.list(o), (each) => [{ ...each, tags: ['x'] }]) })),
  ],
  [
    'gives relative paths',
    'describing: paths are absolute',
    () => describedAs({ instance: { name: 'web1.example.com', os: 'raw', hypervisor: 'kvm', disks: [{ path: 'disk0' }] } }),
  ],
  [
    'describes it in another way each time',
    'describing: the same from a second call',
    () =>
      broken((source) => ({
        describe: async (name) => {
          const { instance, ...rest } = await source.describe(name);
          return { ...rest, instance: { ...instance, beparams: { vcpus: String((calls += 1)) } } };
        },
      })),
  ],
  [
    'leaves a disk of a running instance unguarded',
    'describing: a running instance has its writable disks guarded',
    () =>
      describedAs({
        instance: { name: 'web1.example.com', os: 'raw', hypervisor: 'kvm', disks: [{ path: '/a' }] },
        run: { state: 'running', node: 'n' },
        guarded: ['/b'],
      }),
  ],
  [
    'names a path as the native description',
    'describing: the native description has named files',
    () => describedAs({ native: [{ name: '../x', secret: false, bytes: Buffer.from('x') }] }),
  ],
  [
    'gives a secret away in the native description',
    'describing: native files that hold a secret are marked as such',
    () => describedAs({ native: [{ name: 'web1.json', secret: false, bytes: Buffer.from(`<${SECRET}>`) }] }),
  ],
  [
    'describes nothing as something',
    'describing: a name that nothing has is not-found',
    () => broken(() => ({ describe: async () => WEB1 ?? failing() })),
  ],
  ['takes odd names for failures', 'describing: odd names are not-found, and lead nowhere', oddNamesFail],
  [
    'says the secret in an error',
    'describing: a name that nothing has is not-found',
    () => broken(() => ({ describe: () => Promise.reject(new InventoryError('not-found', { message: SECRET })) })),
  ],
  [
    'takes the first of two',
    'describing: a name of several instances is ambiguous',
    () => broken((source) => ({ describe: async (name) => await source.describe(name === 'db1' ? 'db1.example.com' : name) })),
  ],
  [
    'does not look at the signal',
    'cancelling: list and describe with an aborted signal',
    () => broken((source) => ({ describe: async (name) => await source.describe(name) })),
  ],
  [
    'ends a cancelled list as if it were complete',
    'cancelling: a list in its middle',
    () => broken((source) => ({ list: ({ signal, ...o } = {}) => endsEarly(source.list(o), signal) })),
  ],
  ['cannot be disposed twice', 'cancelling: a source can be disposed twice', disposedOnce],
];

function failing(): never {
  throw new Error('there is none');
}

function leftUnusable(): InstanceSource {
  let isLeft = false;
  return broken((right) => ({
    async *list(options) {
      if (isLeft) throw new InventoryError('failed', { message: 'busy' });
      let isAtEnd = false;
      try {
        yield* right.list(options);
        isAtEnd = true;
      } finally {
        isLeft = !isAtEnd;
      }
    },
  }));
}

function oddNamesFail(): InstanceSource {
  return broken((source) => ({
    describe: async (name, options) => {
      if (!matchesName('*.*', name) && name !== 'db1') throw new InventoryError('failed', { message: 'odd' });
      return await source.describe(name, options);
    },
  }));
}

function disposedOnce(): InstanceSource {
  let isDisposed = false;
  return broken(() => ({
    [Symbol.asyncDispose]: async () => {
      if (isDisposed) throw new Error('disposed already');
      isDisposed = true;
    },
  }));
}

async function* endsEarly(summaries: AsyncIterable<InstanceSummary>, signal: AbortSignal | undefined): AsyncGenerator<InstanceSummary> {
  signal?.throwIfAborted();
  for await (const summary of summaries) {
    yield summary;
    if (signal?.aborted === true) return;
  }
}

describe('the suite catches an inventory that', () => {
  test.each(BUGS)('%s', async (_bug, caughtBy, open) => {
    const found = inventoryConformance(async () => open(), OPTIONS).find(({ title }) => title === caughtBy);
    await expect(found?.run()).rejects.toThrow(ConformanceFailure);
  });

  test('each of its cases', () => {
    const caught = new Set(BUGS.map(([, caughtBy]) => caughtBy));
    const all = inventoryConformance(async () => memorySource()).map(({ title }) => title);
    expect(all.filter((title) => !caught.has(title))).toEqual([]);
  });
});
