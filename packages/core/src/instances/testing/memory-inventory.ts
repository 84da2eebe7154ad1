import { randomUUID } from 'node:crypto';
import { isListed } from '../instance-filter.ts';
import type {
  DefineRequest,
  InstanceDescription,
  InstanceManager,
  InstanceSource,
  InstanceSummary,
  ListInstancesOptions,
} from '../inventory.ts';
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

/** Instances in memory that can be changed. */
export interface MemoryWorld {
  /** As they are now. */
  readonly descriptions: InstanceDescription[];
  /** Every call of the manager, such as `stop web1.example.com`. */
  readonly calls: string[];
  /** Opens the same instances each time. `alter` replaces calls of the manager. */
  open(alter?: (manager: InstanceManager) => Partial<InstanceManager>): InstanceSource;
}

/** Instances in memory, with a manager that keeps all promises. */
export function memoryWorld(initial: readonly InstanceDescription[] = DESCRIPTIONS): MemoryWorld {
  const descriptions = [...initial];
  const calls: string[] = [];
  const manager = memoryManager(descriptions, calls);
  return {
    descriptions,
    calls,
    open: (alter = () => ({})) => {
      const source = memorySource(descriptions);
      return { ...source, manager: { ...manager, ...alter(manager) } };
    },
  };
}

function memoryManager(descriptions: InstanceDescription[], calls: string[]): InstanceManager {
  const find = (name: string): number => {
    const at = descriptions.findIndex(({ instance }) => instance.name === name);
    if (at === -1) throw new InventoryError('not-found', { message: `there is no instance ${JSON.stringify(name)}` });
    return at;
  };
  const replace = (at: number, change: Partial<InstanceDescription>): void => {
    const old = descriptions[at];
    if (old !== undefined) descriptions[at] = { ...old, ...change };
  };
  const begin = (call: string, name: string, signal: AbortSignal | undefined): void => {
    signal?.throwIfAborted();
    calls.push(`${call} ${name}`);
  };
  const assertFree = ({ instance, newIdentity }: DefineRequest): void => {
    const macs = new Set(instance.nics.map(({ mac }) => mac));
    const taken = descriptions.some(
      ({ instance: other }) =>
        other.name === instance.name ||
        (!newIdentity && ((other.uuid !== undefined && other.uuid === instance.uuid) || other.nics?.some(({ mac }) => macs.has(mac)))),
    );
    if (taken) throw new InventoryError('exists', { message: `there is an instance with the name or identity of ${instance.name}` });
  };
  return {
    checkDefine: async (request, { signal } = {}) => {
      begin('checkDefine', request.instance.name, signal);
      assertFree(request);
    },
    define: async (request, { signal } = {}) => {
      const { instance, native, newIdentity } = request;
      begin('define', instance.name, signal);
      assertFree(request);
      const nics = instance.nics.map((nic, at) => ({ ...nic, mac: newIdentity ? newMac(descriptions.length, at) : nic.mac }));
      const uuid = newIdentity ? randomUUID() : instance.uuid;
      descriptions.push({ instance: { ...instance, nics, uuid }, run: { state: 'stopped' }, guarded: [], native });
      return instance.name;
    },
    start: async (name, { signal } = {}) => {
      begin('start', name, signal);
      const at = find(name);
      const disks = descriptions[at]?.instance.disks ?? [];
      replace(at, { run: { state: 'running', node: 'node1.example.com' }, guarded: disks.flatMap(({ path, uri }) => path ?? uri ?? []) });
    },
    stop: async (name, { signal }) => {
      begin('stop', name, signal);
      replace(find(name), { run: { state: 'stopped' } });
    },
    undefine: async (name, { signal } = {}) => {
      begin('undefine', name, signal);
      const at = find(name);
      if (descriptions[at]?.run.state !== 'stopped') throw new InventoryError('failed', { message: `${name} runs` });
      descriptions.splice(at, 1);
    },
  };
}

function newMac(...numbers: readonly [number, number]): string {
  return `aa:00:01:00:${numbers.map((number) => number.toString(16).padStart(2, '0')).join(':')}`;
}
