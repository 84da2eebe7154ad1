import type { InstanceDescription, InstanceSource } from '@gantry/core/inventory';
import { inventoryConformance } from '@gantry/core/inventory-conformance';
import { countOf, oneIn } from '@gantry/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Lab } from '../test/lab.ts';
import { startLab, TOKEN } from '../test/lab.ts';

/*
 * A real cluster, described through RAPI and through LUXI. Its hypervisor `fake` is Ganeti's own for tests: it says of an instance that it
 * runs, and nothing does.
 */

/** `scripts/ganeti-fleet.sh` asks for more. */
const FAKE_INSTANCES = countOf('GANTRY_GANETI_INSTANCES', 1);
const FAKES = Array.from({ length: FAKE_INSTANCES }, (_, index) => `inst${index + 10}.example.com`);

/** The base system of the cluster may have to be made first. */
const SETUP_TIMEOUT_MS = 1_800_000;
const TIMEOUT_MS = 300_000 + FAKE_INSTANCES * 10_000;
let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
  const disks = ['--disk-template=file', '--disk=0:size=8M,name=root', '--disk=1:size=4M'];
  const nics = ['--net=0:link=br0,name=front', '--net=1:network=lan78,ip=10.78.0.77'];
  const parameters = [
    '--os-parameters=filesystem=xfs,boot-size=010',
    `--os-parameters-private=token=${TOKEN}`,
    '--backend-parameters=memory=64',
  ];
  await lab.add('inst1.example.com', '--hypervisor=kvm', ...disks, ...nics, ...parameters);
  const fake = ['--hypervisor=fake', '--tags=web,prod', '--net=0:link=br0', '--disk-template=file', '--disk=0:size=4M,mode=ro'];
  for (const name of FAKES) await lab.add(name, ...fake);
  await lab.cluster.master.run('gnt-instance', 'start', FAKES[0] ?? '');
}, SETUP_TIMEOUT_MS);
afterAll(async () => await lab[Symbol.asyncDispose]());

const WAYS: readonly (readonly [way: string, open: () => Promise<InstanceSource>])[] = [
  ['RAPI', async () => await lab.openRapi()],
  ['LUXI', async () => await lab.openLuxi()],
];

for (const [way, open] of WAYS) {
  describe(`the conformance suite, through ${way}`, () => {
    // Both give the same descriptions; the test after this one compares them.
    const contract = inventoryConformance(open, { secrets: [TOKEN], patienceMs: 60_000 });
    for (const { title, run } of oneIn(way === 'RAPI' ? 1 : 3, contract)) test(title, run, TIMEOUT_MS);
  });
}

test(
  'every instance is described in the same way through both; LUXI knows private parameters besides',
  async () => {
    await using rapi = await lab.openRapi();
    await using luxi = await lab.openLuxi();
    const summaries = await Array.fromAsync(luxi.list());
    expect(summaries.map(({ name }) => name).toSorted()).toEqual(['inst1.example.com', ...FAKES].toSorted());
    for (const { name } of summaries) {
      const [one, other] = [await rapi.describe(name), await luxi.describe(name)];
      const { osparams_private: hidden, ...facts } = one.instance;
      const { osparams_private: known, ...same } = other.instance;
      expect(facts).toEqual(same);
      expect([hidden, known]).toEqual([{}, name === 'inst1.example.com' ? { token: TOKEN } : {}]);
      expect({ ...one, instance: undefined, native: undefined }).toEqual({ ...other, instance: undefined, native: undefined });
      expect(facts.disks?.map(({ access }) => access)).toEqual(name === 'inst1.example.com' ? ['rw', 'rw'] : ['ro']);
      for (const { native = [] } of [one, other]) expect(Buffer.concat(native.map(({ bytes }) => bytes)).toString()).not.toContain(TOKEN);
    }
  },
  TIMEOUT_MS,
);

test(
  'an instance with disks, networks and parameters, as the cluster has them',
  async () => {
    await using source = await lab.openRapi();
    const { instance, run, disksOn, guarded } = await source.describe('inst1');
    const directory = '/srv/ganeti/file-storage/inst1.example.com/';
    expect(instance).toMatchObject({
      primary_node: 'node1.example.com',
      secondary_nodes: [],
      disk_template: 'file',
      disks: [
        {
          path: expect.stringContaining(directory),
          size: 8,
          access: 'rw',
          name: 'root',
          backend_type: 'file:loop',
          frontend_type: 'paravirtual',
        },
        { path: expect.stringContaining(directory), size: 4, access: 'rw' },
      ],
      nics: [
        { link: 'br0', mode: 'bridged', name: 'front' },
        {
          ip: '10.78.0.77',
          link: 'br1',
          network: { name: 'lan78', subnet: '10.78.0.0/24', mac_prefix: 'aa:11:22', tags: ['prod', 'vlan78'] },
        },
      ],
      osparams: { filesystem: 'xfs', 'boot-size': '010' },
      beparams: { maxmem: '64', auto_balance: 'True' },
      hvparams: { acpi: 'True', migration_port: '8102' },
    });
    expect({ run, disksOn, guarded }).toEqual({
      run: { state: 'stopped' },
      disksOn: 'node1.example.com',
      guarded: instance.disks?.map(({ path }) => path),
    });
  },
  TIMEOUT_MS,
);

describe('users of RAPI', () => {
  test('a wrong password is refused, and a user who may not write cannot start anything', async () => {
    await using wrong = await lab.openRapi({ GANTRY_GANETI_USER: 'gantry', GANTRY_GANETI_PASSWORD: 'guessed' });
    await expect(wrong.manager?.start('inst1')).rejects.toMatchObject({ code: 'denied', message: expect.stringContaining('not accepted') });
    await using nobody = await lab.openRapi();
    await expect(nobody.manager?.start('inst1')).rejects.toMatchObject({
      code: 'denied',
      message: expect.stringContaining('it wants a user and a password'),
    });
  });
});

describe('instances are started and stopped', () => {
  test.each([
    [
      'RAPI',
      async () => await lab.openRapi({ GANTRY_GANETI_USER: lab.cluster.rapi.user, GANTRY_GANETI_PASSWORD: lab.cluster.rapi.password }),
    ],
    ['LUXI', async () => await lab.openLuxi()],
  ])(
    'through %s',
    async (_way, open) => {
      await using source = await open();
      const name = FAKES[0] ?? '';
      const state = async (): Promise<InstanceDescription['run']> => (await source.describe(name)).run;
      await source.manager?.stop(name, { timeoutMs: 60_000 });
      await source.manager?.stop(name, { timeoutMs: 60_000 });
      await expect(source.manager?.undefine(name)).rejects.toMatchObject({ code: 'failed' });
      expect(await state()).toEqual({ state: 'stopped' });
      await source.manager?.start(name);
      await source.manager?.start(name);
      expect(await state()).toEqual({ state: 'running', node: 'node1.example.com' });
    },
    TIMEOUT_MS,
  );
});

test(
  'a guest that KVM runs is controlled through its socket on its node, and its disks are guarded',
  async () => {
    await using source = await lab.openLuxi();
    await source.manager?.start('inst1.example.com');
    const { run, guest, instance, guarded } = await source.describe('inst1.example.com');
    expect(run).toEqual({ state: 'running', node: 'node1.example.com' });
    expect(guest).toEqual({ kind: 'qmp', socket: lab.cluster.master.path('/run/ganeti/kvm-hypervisor/ctrl/inst1.example.com.qmp') });
    expect(guarded).toEqual(instance.disks?.map(({ path }) => path));
    await using elsewhere = await lab.openRapi();
    expect((await elsewhere.describe('inst1.example.com')).guest).toBeUndefined();
  },
  TIMEOUT_MS,
);
