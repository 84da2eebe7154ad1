import { isAbsolute } from 'node:path';
import type { DescribedInstance } from '../instance-source.ts';
import { describeFrom } from '../instance-source.ts';
import type { InstanceSource } from '../inventory.ts';
import { isNativeName } from '../native-files.ts';
import { ConformanceFailure } from './failure.ts';
import type { Check } from './fixture.ts';
import { describeAll, expect, expectCode } from './fixture.ts';

/** What no instance is called, and what a careless source might hand on to a path, a shell, an option or a query. */
const ODD_NAMES = [
  '',
  '.',
  '..',
  '../etc/passwd',
  '/etc/passwd',
  'a b',
  'a\nb',
  'a\0b',
  '-h',
  '--help',
  '$(id)',
  "a' or '1'='1",
  '*',
  '%00',
  'a'.repeat(5000),
];

/** As Gantry takes it: checked with the schema of instance files. */
async function describeChecked(source: InstanceSource, name: string): Promise<DescribedInstance> {
  try {
    return await describeFrom(source, name);
  } catch (error) {
    throw error instanceof Error ? new ConformanceFailure(`${name}: ${error.message}`, { cause: error }) : error;
  }
}

export const describing: readonly Check[] = [
  {
    title: 'every listed instance, by its name, as an instance file may say it',
    check: async ({ source, summaries }) => {
      for (const { name } of summaries) {
        const { instance } = await describeChecked(source, name);
        expect(instance.name === name, `${name} was listed, and described as ${instance.name}`);
      }
    },
  },
  {
    title: 'as the list says: OS, hypervisor, number of disks, tags',
    check: async ({ source, summaries }) => {
      for (const { name, os, hypervisor, disks, tags } of summaries) {
        const { instance } = await describeChecked(source, name);
        const [listed, described] = [
          JSON.stringify([os ?? instance.os, hypervisor ?? instance.hypervisor, disks ?? instance.disks.length, tags.toSorted()]),
          JSON.stringify([instance.os, instance.hypervisor, instance.disks.length, instance.tags.toSorted()]),
        ];
        expect(listed === described, `${name}: listed with ${listed}, described with ${described}`);
      }
    },
  },
  {
    title: 'paths are absolute',
    check: async (fixture) => {
      for (const { instance } of await describeAll(fixture)) {
        const relative = (instance.disks ?? []).find(({ path }) => path !== undefined && !isAbsolute(path))?.path;
        expect(relative === undefined, `${instance.name} has a disk at the relative path ${relative ?? ''}`);
      }
    },
  },
  {
    title: 'the same from a second call',
    check: async (fixture) => {
      const [first, second] = [await describeAll(fixture), await describeAll(fixture)];
      for (const [index, { instance }] of first.entries())
        expect(JSON.stringify(instance) === JSON.stringify(second[index]?.instance), `${instance.name} was described in another way`);
    },
  },
  {
    title: 'a running instance has its writable disks guarded',
    check: async (fixture) => {
      for (const { instance, run, guarded } of await describeAll(fixture)) {
        if (run.state !== 'running') continue;
        expect(run.node !== '', `${instance.name} runs, and on which node is not said`);
        for (const { path, uri, access } of instance.disks ?? []) {
          const open = [path, uri].some((place) => place !== undefined && !guarded.includes(place));
          expect(access === 'ro' || !open, `${instance.name} runs, and its disk ${path ?? uri ?? ''} is not guarded`);
        }
      }
    },
  },
  {
    title: 'the native description has named files',
    check: async (fixture) => {
      for (const { instance, native = [] } of await describeAll(fixture))
        for (const { name, bytes } of native) {
          expect(isNativeName(name), `${instance.name}: ${JSON.stringify(name)} is not a file name`);
          expect(bytes.length > 0, `${instance.name}: ${name} of its native description is empty`);
        }
    },
  },
  {
    title: 'native files that hold a secret are marked as such',
    check: async (fixture) => {
      for (const { instance, native = [] } of await describeAll(fixture))
        for (const { name, bytes, secret } of native) {
          expect(typeof secret === 'boolean', `${instance.name}: whether ${name} is secret is not said`);
          const held = secret || !fixture.secrets.some((text) => Buffer.from(bytes).includes(text));
          expect(held, `${instance.name}: ${name} of its native description holds a secret and is not marked as secret`);
        }
    },
  },
  {
    title: 'a name that nothing has is not-found',
    check: async (fixture) => {
      const name = 'gantry-no-such-instance.example';
      await expectCode(() => fixture.source.describe(name), 'not-found', `describe of ${name}`, fixture);
    },
  },
  {
    title: 'odd names are not-found, and lead nowhere',
    check: async (fixture) => {
      for (const name of ODD_NAMES)
        await expectCode(() => fixture.source.describe(name), 'not-found', `describe of ${JSON.stringify(name.slice(0, 20))}`, fixture);
    },
  },
  {
    title: 'a name of several instances is ambiguous',
    check: async (fixture) => {
      const { ambiguous, source } = fixture;
      if (ambiguous !== undefined) await expectCode(() => source.describe(ambiguous), 'ambiguous', `describe of ${ambiguous}`, fixture);
    },
  },
];
