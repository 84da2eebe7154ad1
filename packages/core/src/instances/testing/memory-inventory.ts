import { isListed } from '../instance-filter.ts';
import type { InstanceDescription, InstanceSource, InstanceSummary, ListInstancesOptions } from '../inventory.ts';
import { InventoryError } from '../inventory-error.ts';

/** The value of a private OS parameter. */
export const SECRET = 'correct-horse-battery';

/** Two instances, of which one runs, and a third whose short name is that of the second. */
export const DESCRIPTIONS: readonly InstanceDescription[] = [
  {
    instance: {
      name: 'web1.example.com',
      os: 'debootstrap+default',
      hypervisor: 'kvm',
      tags: ['web', 'prod'],
      disks: [
        { path: '/srv/disks/web1-0.img', size: 20_480 },
        { path: '/srv/iso/rescue.iso', access: 'ro' },
      ],
      nics: [{ mac: 'aa:00:00:35:4c:01', link: 'br0' }],
      osparams_private: { root_password: SECRET },
    },
    run: { state: 'running', node: 'node1.example.com' },
    guarded: ['/srv/disks/web1-0.img', '/srv/disks/base.img'],
    native: [{ name: 'web1.json', secret: true, bytes: Buffer.from(`{"password":"${SECRET}"}`) }],
  },
  {
    instance: { name: 'db1.example.com', os: 'raw', hypervisor: 'kvm', tags: ['prod'], disks: [{ uri: 'rbd:pool/db1' }] },
    run: { state: 'stopped' },
    guarded: [],
  },
  { instance: { name: 'db1.example.net', os: 'raw', hypervisor: 'kvm' }, run: { state: 'unknown' }, guarded: [] },
];

/** Instances in memory: an inventory that keeps all promises. */
export function memorySource(descriptions: readonly InstanceDescription[] = DESCRIPTIONS): InstanceSource {
  const byName = (name: string): readonly InstanceDescription[] => {
    const exact = descriptions.filter(({ instance }) => instance.name === name);
    return exact.length > 0 || name === '' ? exact : descriptions.filter(({ instance }) => instance.name.split('.')[0] === name);
  };
  return {
    address: 'memory:',
    async *list(options: ListInstancesOptions = {}) {
      for (const description of descriptions) {
        options.signal?.throwIfAborted();
        const summary = summaryOf(description);
        if (isListed(summary, options)) yield summary;
      }
      options.signal?.throwIfAborted();
    },
    describe: async (name, { signal } = {}) => {
      signal?.throwIfAborted();
      const [first, ...more] = byName(name);
      if (first === undefined) throw new InventoryError('not-found', { message: `there is no instance ${JSON.stringify(name)}` });
      if (more.length === 0) return await Promise.resolve(first);
      throw new InventoryError('ambiguous', {
        message: `${more.length + 1} instances are called ${name}`,
        details: [first, ...more].map(({ instance }) => instance.name),
      });
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function summaryOf({ instance, run }: InstanceDescription): InstanceSummary {
  const { name, os, hypervisor, disks = [], tags = [] } = instance;
  return { name, run, os, hypervisor, disks: disks.length, tags };
}
