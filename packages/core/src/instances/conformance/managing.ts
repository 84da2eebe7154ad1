import { access } from 'node:fs/promises';
import type { DefineRequest, InstanceDescription, InstanceManager, InstanceSource, NativeFile } from '../inventory.ts';
import { isInventoryError } from '../inventory-error.ts';
import type { Instance } from '../model.ts';
import { ConformanceFailure } from './failure.ts';
import { expect, expectCode, names, rejectionOf } from './fixture.ts';

export interface ManagerConformanceOptions {
  /** An instance that can be defined, and of whose name there is none yet. Its disks exist, and a guest can be started from them. */
  readonly instance: Instance;
  /** Removes the instance where `undefine` never can: then the suite expects that it refuses. */
  readonly remove?: ((name: string) => Promise<void>) | undefined;
  /** A running instance whose guest does not shut down when asked. */
  readonly stubborn?: string | undefined;
  /** As for the suite of the source. */
  readonly secrets?: readonly string[] | undefined;
  /** How long starting or stopping may take, ms; 60 000 where absent. */
  readonly patienceMs?: number | undefined;
}

/** An open source with a manager, and an instance to define. */
export interface ManagerFixture {
  readonly source: InstanceSource;
  readonly manager: InstanceManager;
  readonly options: ManagerConformanceOptions;
  readonly request: DefineRequest;
  readonly patienceMs: number;
  readonly secrets: readonly string[];
}

/** One promise of a manager. */
export interface ManagerCheck {
  readonly title: string;
  readonly check: (fixture: ManagerFixture) => Promise<void>;
}

/** What no source ever wrote. */
const FOREIGN: NativeFile = { name: 'gantry-conformance.bin', secret: false, bytes: Buffer.from([0, 1, 2, 255]) };

async function listed({ source }: ManagerFixture): Promise<string> {
  return names(await Array.fromAsync(source.list()));
}

async function describeIt(fixture: ManagerFixture, name: string): Promise<InstanceDescription> {
  return await fixture.source.describe(name);
}

/** @returns undefined where the source does not know it */
async function find(fixture: ManagerFixture, name: string): Promise<InstanceDescription | undefined> {
  try {
    return await describeIt(fixture, name);
  } catch (error) {
    if (isInventoryError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function expectState(fixture: ManagerFixture, name: string, state: 'running' | 'stopped', when: string): Promise<void> {
  const { run } = await describeIt(fixture, name);
  expect(run.state === state, `${name} is described as ${run.state} ${when}`);
}

/** Leaves nothing of the suite's instance, running or not. */
export async function cleanUp(fixture: ManagerFixture): Promise<void> {
  const { manager, request, options, patienceMs } = fixture;
  const { name } = request.instance;
  if ((await find(fixture, name)) === undefined) return;
  await manager.stop(name, { timeoutMs: patienceMs });
  await (options.remove ?? ((each) => manager.undefine(each)))(name);
}

export const managing: readonly ManagerCheck[] = [
  {
    title: 'checkDefine changes nothing',
    check: async (fixture) => {
      const before = await listed(fixture);
      await fixture.manager.checkDefine(fixture.request);
      expect((await listed(fixture)) === before, 'something else is listed after checkDefine');
    },
  },
  {
    title: 'a defined instance is known, stopped, with its disks in order',
    check: async (fixture) => {
      const { manager, request } = fixture;
      const name = await manager.define(request);
      const { instance, run } = await describeIt(fixture, name);
      expect(run.state === 'stopped', `${name} is described as ${run.state} after define`);
      const places = (disks: InstanceDescription['instance']['disks'] = []): string =>
        disks.map(({ path, uri }) => path ?? uri ?? '').join(' ');
      const [wanted, got] = [places(request.instance.disks), places(instance.disks)];
      expect(wanted === got, `${name} was defined with the disks ${wanted} and has ${got}`);
    },
  },
  {
    title: 'a native description of another kind is ignored',
    check: async (fixture) => {
      await describeIt(fixture, await fixture.manager.define({ ...fixture.request, native: [FOREIGN] }));
    },
  },
  {
    title: 'a name that another instance has is refused, and nothing changes',
    check: async (fixture) => {
      const { manager, request } = fixture;
      await manager.define(request);
      const before = await listed(fixture);
      for (const newIdentity of [false, true]) {
        await expectCode(() => manager.checkDefine({ ...request, newIdentity }), 'exists', 'checkDefine of a name that is taken', fixture);
        await expectCode(() => manager.define({ ...request, newIdentity }), 'exists', 'define of a name that is taken', fixture);
      }
      expect((await listed(fixture)) === before, 'something else is listed after define was refused');
    },
  },
  {
    title: 'a new identity is a new UUID and new MAC addresses',
    check: async (fixture) => {
      const { manager, request } = fixture;
      const { instance } = await describeIt(fixture, await manager.define({ ...request, newIdentity: true }));
      expect(instance.uuid === undefined || instance.uuid !== request.instance.uuid, 'it has the UUID of the original');
      const macs = new Set(request.instance.nics.map(({ mac }) => mac));
      const kept = (instance.nics ?? []).find(({ mac }) => macs.has(mac));
      expect(kept === undefined, `it has the MAC address ${kept?.mac ?? ''} of the original`);
    },
  },
  {
    title: 'start runs it, and does nothing if it runs',
    check: async (fixture) => {
      const { manager } = fixture;
      const name = await manager.define(fixture.request);
      for (const when of ['after start', 'after a second start']) {
        await manager.start(name);
        await expectState(fixture, name, 'running', when);
      }
    },
  },
  {
    title: 'stop stops it, and does nothing if it is stopped',
    check: async (fixture) => {
      const { manager, patienceMs: timeoutMs } = fixture;
      const name = await manager.define(fixture.request);
      await manager.start(name);
      for (const when of ['after stop', 'after a second stop']) {
        await manager.stop(name, { timeoutMs });
        await expectState(fixture, name, 'stopped', when);
      }
    },
  },
  {
    title: 'stop gives up after its time, and kills nothing',
    check: async (fixture) => {
      const { stubborn } = fixture.options;
      if (stubborn === undefined) return;
      await expectCode(() => fixture.manager.stop(stubborn, { timeoutMs: 500 }), 'failed', `stop of ${stubborn}`, fixture);
      await expectState(fixture, stubborn, 'running', 'after stop gave up');
    },
  },
  {
    title: 'what runs is not undefined',
    check: async (fixture) => {
      const { manager } = fixture;
      const name = await manager.define(fixture.request);
      await manager.start(name);
      await expectCode(() => manager.undefine(name), 'failed', 'undefine of a running instance', fixture);
      await expectState(fixture, name, 'running', 'after undefine was refused');
    },
  },
  {
    title: 'undefine forgets it, and its disks stay',
    check: async (fixture) => {
      const { manager, options } = fixture;
      const name = await manager.define(fixture.request);
      const refuses = options.remove !== undefined;
      if (refuses) await expectCode(() => manager.undefine(name), 'failed', 'undefine', fixture);
      else await manager.undefine(name);
      expect(((await find(fixture, name)) !== undefined) === refuses, `after undefine, ${name} is${refuses ? ' not' : ' still'} known`);
      for (const { path } of fixture.request.instance.disks) {
        if (path === undefined) continue;
        const isThere = await access(path).then(
          () => true,
          () => false,
        );
        expect(isThere, `undefine removed the disk ${path}`);
      }
    },
  },
  {
    title: 'a name that nothing has is not-found',
    check: async (fixture) => {
      const { manager } = fixture;
      const name = 'gantry-no-such-instance.example';
      await expectCode(() => manager.start(name), 'not-found', `start of ${name}`, fixture);
      await expectCode(() => manager.stop(name, { timeoutMs: 1000 }), 'not-found', `stop of ${name}`, fixture);
      await expectCode(() => manager.undefine(name), 'not-found', `undefine of ${name}`, fixture);
    },
  },
  {
    title: 'an aborted signal ends each call, and nothing changes',
    check: async (fixture) => {
      const { manager, request, patienceMs } = fixture;
      const before = await listed(fixture);
      const signal = AbortSignal.abort(new Error('cancelled by the suite'));
      const { name } = request.instance;
      for (const [what, call] of [
        ['checkDefine', () => manager.checkDefine(request, { signal })],
        ['define', () => manager.define(request, { signal })],
        ['start', () => manager.start(name, { signal })],
        ['stop', () => manager.stop(name, { signal, timeoutMs: 1000 })],
        ['undefine', () => manager.undefine(name, { signal })],
      ] as const) {
        const error = await rejectionOf(call, what, patienceMs);
        expect(error === signal.reason, `${what}: rejected with ${String(error)}, not with the very reason of the signal`);
      }
      expect((await listed(fixture)) === before, 'something else is listed after cancelled calls');
    },
  },
];

/** @throws ConformanceFailure where the source has no manager, or knows the suite's instance already */
export async function managerFixture(source: InstanceSource, options: ManagerConformanceOptions): Promise<ManagerFixture> {
  const { manager } = source;
  if (manager === undefined) throw new ConformanceFailure('the source has no manager');
  const { instance, patienceMs = 60_000, secrets = [] } = options;
  const fixture = { source, manager, options, request: { instance, native: [], newIdentity: false }, patienceMs, secrets };
  expect((await find(fixture, instance.name)) === undefined, `the source knows ${instance.name} before the suite defines it`);
  return fixture;
}
