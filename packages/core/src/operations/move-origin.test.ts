import { mkdir, readdir, writeFile } from 'node:fs/promises';
import type { PeerChannel } from '@gantry/transport';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeRandomFile, makeSparseFile, makeTemporaryDirectory, sha256File } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import type { ChannelPair } from '../../test/peer/channel-pair.ts';
import { channelPair } from '../../test/peer/channel-pair.ts';
import { loadInstanceFile } from '../instances/load-instance-file.ts';
import type { InstanceDescription, InstanceSource } from '../instances/inventory.ts';
import { InventoryError } from '../instances/inventory-error.ts';
import type { MemoryWorld } from '../instances/testing/memory-inventory.ts';
import { memoryWorld } from '../instances/testing/memory-inventory.ts';
import type { GantryEvent } from '../report/events.ts';
import type { MoveRequest, MoveResult } from './move.ts';
import { moveInstance } from './move.ts';
import type { ReceiveRequest, ReceiveResult } from './receive.ts';
import { receiveInstance } from './receive.ts';

const MIB = 1024 * 1024;
const NAME = 'web1.example.com';
const NATIVE = [
  { name: 'domain.xml', secret: false, bytes: Buffer.from('<domain/>') },
  // More than goes into one message.
  { name: 'tpm.state', secret: true, bytes: Buffer.alloc(300_000, 'tpm') },
];

interface Bench extends AsyncDisposable {
  readonly file: TemporaryDirectory['file'];
  readonly pair: ChannelPair;
  /** What is described on both nodes. */
  readonly here: MemoryWorld;
  readonly there: MemoryWorld;
  readonly warnings: { readonly source: string[]; readonly receiver: string[] };
  move(request: Partial<MoveRequest>, receive?: Partial<ReceiveRequest>): Promise<Outcome>;
  /** What the journals of both nodes still have. */
  journals(): Promise<readonly string[]>;
}

interface Outcome {
  readonly source: PromiseSettledResult<MoveResult>;
  readonly receiver: PromiseSettledResult<ReceiveResult>;
}

/** web1 runs here; there its disk is described by a file alone. */
async function makeBench(run: InstanceDescription['run'] = { state: 'running', node: 'here' }): Promise<Bench> {
  const directory = await makeTemporaryDirectory();
  const { file } = { file: (...names: readonly string[]) => directory.file(...names) };
  for (const side of ['here', 'there']) {
    await mkdir(file(side));
    await writeFile(file(side, 'web1.yaml'), `name: ${NAME}\nos: raw\nhypervisor: kvm\ndisks: [{path: disk.img}]\n`);
  }
  await makeRandomFile(file('here', 'disk.img'), 2 * MIB, 'disk');
  await makeSparseFile(file('there', 'disk.img'), 2 * MIB);
  const instance = { name: NAME, os: 'raw', hypervisor: 'kvm', disks: [{ path: file('here', 'disk.img') }] };
  const here = memoryWorld([{ instance, run, guarded: [file('here', 'disk.img')], native: NATIVE }]);
  const there = memoryWorld([]);
  const pair = channelPair();
  const warnings = { source: [] as string[], receiver: [] as string[] };
  const listen = (side: keyof typeof warnings) => (event: GantryEvent) => {
    if (event.type === 'warning') warnings[side].push(event.message);
  };
  const move: Bench['move'] = async (request, receive) => {
    const receiving = receiveInstance({
      channel: pair.receiver,
      cwd: file('there'),
      stateDirectory: file('there', 'state'),
      onEvent: listen('receiver'),
      openSource: async () => there.open(),
      ...receive,
    });
    const sending = moveInstance({
      instance: await loadInstanceFile(file('here', 'web1.yaml')),
      native: NATIVE,
      peer: pair.source,
      to: 'web1.yaml',
      yes: true,
      snapshot: 'none',
      stateDirectory: file('here', 'state'),
      onEvent: listen('source'),
      ...request,
    });
    const [source, receiver] = await Promise.allSettled([closing(pair.source, sending), closing(pair.receiver, receiving)]);
    return { source, receiver };
  };
  return {
    file,
    pair,
    here,
    there,
    warnings,
    move,
    journals: async () => (await Promise.all(['here', 'there'].map((side) => readdir(file(side, 'state', 'runs'))))).flat(),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

/** What comes of `work`, with the channel closed as soon as it does. */
async function closing<T>(channel: PeerChannel, work: Promise<T>): Promise<T> {
  await using _ = channel;
  return await work;
}

function originOf(source: InstanceSource, options: Partial<MoveRequest['origin']> = {}): MoveRequest['origin'] {
  return { source, name: NAME, stop: true, undefine: true, ...options };
}

const DEFINE = { source: 'memory:', start: true };

function runState({ descriptions }: MemoryWorld): string {
  return descriptions.map(({ run }) => run.state).join();
}

describe('a move with its instance', () => {
  test('stops it, defines and starts it on the peer with its native description, and then forgets it here', async () => {
    await using bench = await makeBench();
    const { here, there, file } = bench;
    const { source, receiver } = await bench.move({ define: DEFINE, origin: originOf(here.open()) });
    const defined = { source: 'memory:', name: NAME, started: true };
    expect(source).toMatchObject({
      status: 'fulfilled',
      value: { defined, origin: { source: 'memory:', stopped: true, undefined: true }, warnings: [] },
    });
    expect(receiver).toMatchObject({ status: 'fulfilled', value: { defined } });
    expect(here).toMatchObject({ calls: [`stop ${NAME}`, `undefine ${NAME}`], descriptions: [] });
    expect(there.calls).toEqual([`checkDefine ${NAME}`, `define ${NAME}`, `start ${NAME}`]);
    const [arrived] = there.descriptions;
    expect(arrived).toMatchObject({ run: { state: 'running' }, instance: { disks: [{ path: file('there', 'disk.img') }] } });
    expect(arrived?.native?.map(({ name, secret, bytes }) => [name, secret, Buffer.from(bytes)])).toEqual(
      NATIVE.map(({ name, secret, bytes }) => [name, secret, bytes]),
    );
    expect(await sha256File(file('there', 'disk.img'))).toBe(await sha256File(file('here', 'disk.img')));
    expect(await bench.journals()).toEqual([]);
  });

  test('in live rounds is stopped for the last one', async () => {
    await using bench = await makeBench();
    const { here, file } = bench;
    const stages: string[] = [];
    const onEvent = (event: GantryEvent): void => void (event.type === 'stage' && stages.push(event.message));
    const live = { rounds: 2, stillness: { kind: 'shutdown' as const } };
    const { source } = await bench.move({ live, origin: originOf(here.open()), onEvent });
    expect(source).toMatchObject({ status: 'fulfilled', value: { origin: { stopped: true }, rounds: [{}, {}] } });
    expect(stages.findIndex((stage) => stage.startsWith('shutting web1'))).toBeGreaterThan(
      stages.findIndex((stage) => stage.includes('round 1')),
    );
    expect(await sha256File(file('there', 'disk.img'))).toBe(await sha256File(file('here', 'disk.img')));
  });

  test('takes its native description anew once it is stopped', async () => {
    await using bench = await makeBench();
    const { here, there } = bench;
    const changed = { name: 'nvram.fd', secret: false, bytes: Buffer.from('written at shutdown') };
    const origin = here.open((manager) => ({
      stop: async (name, options) => {
        await manager.stop(name, options);
        const [now] = here.descriptions;
        if (now !== undefined) here.descriptions[0] = { ...now, native: [changed] };
      },
    }));
    expect(await bench.move({ define: DEFINE, origin: originOf(origin) })).toMatchObject({ source: { status: 'fulfilled' } });
    expect(there.descriptions[0]?.native).toEqual([{ ...changed, bytes: Buffer.from(changed.bytes) }]);
  });

  test('only defines it where no more was asked for, and stops what was not stopped', async () => {
    await using bench = await makeBench();
    const { here, there } = bench;
    await bench.move({ define: { source: 'memory:' }, origin: originOf(here.open(), { stop: false, undefine: false }) });
    expect([here.calls, runState(here), runState(there)]).toEqual([[], 'running', 'stopped']);
    expect(there.calls).toEqual([`checkDefine ${NAME}`, `define ${NAME}`]);
  });

  test('stops nothing in a dry run, but asks the peer whether it could be defined', async () => {
    await using bench = await makeBench();
    const { here, there } = bench;
    await bench.move({ define: DEFINE, origin: originOf(here.open()), dryRun: true });
    expect([here.calls, there.calls]).toEqual([[], [`checkDefine ${NAME}`]]);
  });

  test.each([
    ['start', { define: DEFINE, origin: { stop: false, undefine: false } }, 'is to be started on the peer'],
    ['undefine', { origin: { stop: false } }, 'is to be removed here'],
  ] as const)('refuses to %s what runs here and is not to be stopped', async (_, { origin, ...request }, message) => {
    await using bench = await makeBench();
    const { source } = await bench.move({ ...request, origin: originOf(bench.here.open(), origin) });
    expect(source).toMatchObject({ status: 'rejected', reason: { code: 'USAGE', message: expect.stringContaining(message) } });
    expect([bench.here.calls, bench.there.calls]).toEqual([[], []]);
  });

  test('refuses to remove what may run here, and warns where that is to be started on the peer', async () => {
    await using bench = await makeBench({ state: 'unknown' });
    const removing = originOf(bench.here.open(), { stop: false });
    const { source } = await bench.move({ origin: removing });
    expect(source).toMatchObject({ status: 'rejected', reason: { code: 'USAGE', message: expect.stringContaining('may run') } });

    await using other = await makeBench({ state: 'unknown' });
    await other.move({ define: DEFINE, origin: originOf(other.here.open(), { stop: false, undefine: false }) });
    expect(other.warnings.source).toEqual([expect.stringContaining('it is not known whether web1')]);
  });

  test.each([
    ['is not started', DEFINE, false],
    ['is not forgotten here', undefined, true],
    ['is only defined, with a warning', { source: 'memory:' }, false],
  ] as const)('whose other disks are not moved %s', async (_, define, undefine) => {
    await using bench = await makeBench();
    for (const side of ['here', 'there']) {
      const list = 'disks: [{path: disk.img}, {path: other.img}]';
      await writeFile(bench.file(side, 'web1.yaml'), `name: ${NAME}\nos: raw\nhypervisor: kvm\n${list}\n`);
      await makeSparseFile(bench.file(side, 'other.img'), MIB);
    }
    const { source } = await bench.move({ define, disks: [0], origin: originOf(bench.here.open(), { undefine }) });
    if (define === DEFINE || undefine) {
      expect(source).toMatchObject({
        status: 'rejected',
        reason: { code: 'USAGE', message: expect.stringContaining('1 would stay here') },
      });
      return;
    }
    expect(source.status).toBe('fulfilled');
    for (const side of ['source', 'receiver'] as const)
      expect(bench.warnings[side]).toContainEqual(`${NAME} will be defined with disks that are not moved: 1`);
  });

  test('lets a copy with a new identity start beside what runs here', async () => {
    await using bench = await makeBench();
    const origin = originOf(bench.here.open(), { stop: false, undefine: false });
    await bench.move({ define: { ...DEFINE, newIdentity: true }, origin });
    expect([runState(bench.here), runState(bench.there)]).toEqual(['running', 'running']);
  });
});

describe('a move that fails', () => {
  const failing = (code: 'failed' | 'exists') => (): Promise<never> => Promise.reject(new InventoryError(code, { message: 'no' }));

  test('because the instance cannot be defined there: before it is stopped and any byte is written', async () => {
    await using bench = await makeBench();
    const { here, there, file } = bench;
    const openSource = async (): Promise<InstanceSource> => there.open(() => ({ checkDefine: failing('exists') }));
    const { source } = await bench.move({ define: DEFINE, origin: originOf(here.open()) }, { openSource });
    expect(source).toMatchObject({ status: 'rejected', reason: { code: 'INSTANCE_EXISTS' } });
    expect([here.calls, runState(here)]).toEqual([[], 'running']);
    expect(await sha256File(file('there', 'disk.img'))).not.toBe(await sha256File(file('here', 'disk.img')));
  });

  test('because defining it fails after all: it is started again here, and nothing is left', async () => {
    await using bench = await makeBench();
    const { here, there } = bench;
    const openSource = async (): Promise<InstanceSource> => there.open(() => ({ define: failing('failed') }));
    const { source, receiver } = await bench.move({ define: DEFINE, origin: originOf(here.open()) }, { openSource });
    expect(source).toMatchObject({ status: 'rejected', reason: { code: 'INVENTORY_FAILED' } });
    expect(receiver).toMatchObject({ status: 'rejected' });
    expect([here.calls, runState(here), there.descriptions]).toEqual([[`stop ${NAME}`, `start ${NAME}`], 'running', []]);
    expect(await bench.journals()).toEqual([]);
  });

  test('after it was defined there: it is taken back there, and started again here', async () => {
    await using bench = await makeBench();
    const { here, there } = bench;
    let takesBack: boolean | undefined;
    const enough = new AbortController();
    const openSource = async (): Promise<InstanceSource> =>
      there.open((manager) => ({
        define: async (request, options) => {
          const name = await manager.define(request, options);
          enough.abort(new Error('enough'));
          return name;
        },
        undefine: async (name, options) => {
          takesBack = options?.takesBack;
          await manager.undefine(name, options);
        },
      }));
    const { source } = await bench.move({ define: DEFINE, origin: originOf(here.open()), signal: enough.signal }, { openSource });
    expect(source).toMatchObject({ status: 'rejected', reason: enough.signal.reason });
    expect([runState(here), there.descriptions, there.calls.at(-1), takesBack]).toEqual(['running', [], `undefine ${NAME}`, true]);
    expect(await bench.journals()).toEqual([]);
  });

  test('because the guest does not shut down: it goes on, no byte is written, and it is said that it may still shut down', async () => {
    await using bench = await makeBench();
    const { here, file } = bench;
    const before = await sha256File(file('there', 'disk.img'));
    const { source } = await bench.move({
      origin: originOf(
        here.open(() => ({ stop: failing('failed') })),
        { stopTimeout: 1 },
      ),
    });
    expect(source).toMatchObject({ status: 'rejected', reason: { code: 'INVENTORY_FAILED', message: 'memory: no' } });
    expect([here.calls, runState(here)]).toEqual([[], 'running']);
    expect(bench.warnings.source).toContainEqual(expect.stringMatching(/web1\S* of memory: was asked to shut down .* start it then/));
    expect(await bench.journals()).toHaveLength(1);
    expect(await sha256File(file('there', 'disk.img'))).toBe(before);
  });

  test.each(['after its time', 'after a signal'] as const)('and whose guest shuts down %s: it is started again then', async (when) => {
    await using bench = await makeBench();
    const { here } = bench;
    const enough = new AbortController();
    let looksUntilDown: number | undefined;
    const source = here.open((manager) => ({
      stop: async () => {
        looksUntilDown = 2;
        if (when === 'after a signal') enough.abort(new Error('enough'));
        await failing('failed')();
      },
      start: async (name, options) => {
        // As a guest that still runs is left alone.
        if (runState(here) === 'stopped') await manager.start(name, options);
      },
    }));
    const describe: InstanceSource['describe'] = async (...parameters) => {
      if (looksUntilDown !== undefined) looksUntilDown -= 1;
      if (looksUntilDown === 0) await here.open().manager?.stop(NAME, { timeoutMs: 1000 });
      return await source.describe(...parameters);
    };
    const outcome = await bench.move({ origin: originOf({ ...source, describe }), signal: enough.signal });
    expect(outcome.source.status).toBe('rejected');
    expect([here.calls, runState(here)]).toEqual([[`stop ${NAME}`, `start ${NAME}`], 'running']);
    expect(await bench.journals()).toEqual([]);
  });

  test('because it is not known whether the guest has shut down', async () => {
    await using bench = await makeBench({ state: 'unknown' });
    const origin = originOf(
      bench.here.open(() => ({ stop: async () => undefined })),
      { stopTimeout: 1 },
    );
    const { source } = await bench.move({ origin });
    expect(source).toMatchObject({ status: 'rejected', reason: { message: expect.stringContaining('may still run') } });
    expect(bench.here.calls).toEqual([]);
  });

  test.each([
    ['a snapshot needs the guest', { snapshot: 'libvirt' }, 'path: disk.img', 'SNAPSHOT_UNSUPPORTED'],
    ['a disk has no path', { snapshot: 'auto' }, 'uri: "file:/srv/web1.qcow2"', 'DISK_KIND'],
  ] as const)('certainly, because %s: before the guest is stopped', async (_, request, disk, code) => {
    await using bench = await makeBench();
    await writeFile(bench.file('here', 'web1.yaml'), `name: ${NAME}\nos: raw\nhypervisor: kvm\ndisks: [{${disk}}]\n`);
    const { source } = await bench.move({ ...request, origin: originOf(bench.here.open(), { undefine: false }) });
    expect(source).toMatchObject({ status: 'rejected', reason: { code } });
    expect(bench.here.calls).toEqual([]);
  });

  test('names what to do when it cannot be started again', async () => {
    await using bench = await makeBench();
    const { here, there } = bench;
    const openSource = async (): Promise<InstanceSource> => there.open(() => ({ define: failing('failed') }));
    await bench.move({ define: DEFINE, origin: originOf(here.open(() => ({ start: failing('failed') }))) }, { openSource });
    expect(bench.warnings.source).toContainEqual(expect.stringMatching(/web1.*could not be started again \(memory: no\): start it there/));
  });

  test('with an outcome that only the peer knows: it stays stopped, and is not forgotten', async () => {
    await using bench = await makeBench();
    const { here } = bench;
    const { source: channel, receiverStream } = bench.pair;
    const { address, input, ended } = channel;
    const peer: PeerChannel = {
      address,
      input,
      ended,
      write: async (parts, options) => {
        if (Buffer.concat(parts).includes('{"kind":"commit"}')) receiverStream.destroy();
        else await channel.write(parts, options);
      },
      [Symbol.asyncDispose]: () => channel[Symbol.asyncDispose](),
    };
    const { source } = await bench.move({ origin: originOf(here.open()), peer });
    expect(source).toMatchObject({ status: 'rejected', reason: { code: 'MOVE_UNDECIDED' } });
    expect([here.calls, runState(here)]).toEqual([[`stop ${NAME}`], 'stopped']);
    expect(bench.warnings.source).toContainEqual(expect.stringMatching(/web1\S* of memory: stays stopped: the peer may have it/));
  });

  test('because the source only describes', async () => {
    await using bench = await makeBench();
    const { manager: _manager, ...source } = bench.here.open();
    const outcome = await bench.move({ origin: originOf(source) });
    expect(outcome.source).toMatchObject({ status: 'rejected', reason: { code: 'INVENTORY_READ_ONLY' } });
  });

  test.each([
    [{ instances: ['web*'] }, 'PEER_REFUSED'],
    [{ instances: ['web*'], defineSources: ['libvirt:'] }, 'PEER_REFUSED'],
    [{ instances: ['web*'], defineSources: ['mem*'] }, undefined],
    [{ defineSources: ['other:'] }, 'PEER_REFUSED'],
  ])('unless the limits %o of the receiver allow that it is defined', async (limits, code) => {
    await using bench = await makeBench({ state: 'stopped' });
    const { source } = await bench.move({ define: DEFINE }, { limits });
    expect(source).toMatchObject(code === undefined ? { status: 'fulfilled' } : { status: 'rejected', reason: { code } });
    expect(bench.there.calls.length > 0).toBe(code === undefined);
  });
});

describe('what fails after the commit is a warning', () => {
  const failing = (): Promise<never> => Promise.reject(new InventoryError('failed', { message: 'no' }));

  test('if it cannot be started there: it is not forgotten here', async () => {
    await using bench = await makeBench();
    const { here, there } = bench;
    const openSource = async (): Promise<InstanceSource> => there.open(() => ({ start: failing }));
    const { source, receiver } = await bench.move({ define: DEFINE, origin: originOf(here.open()) }, { openSource });
    expect(source).toMatchObject({
      status: 'fulfilled',
      value: { defined: { started: false }, origin: { stopped: true, undefined: false } },
    });
    expect(receiver).toMatchObject({ status: 'fulfilled', value: { defined: { started: false } } });
    expect([runState(here), runState(there)]).toEqual(['stopped', 'stopped']);
    expect(bench.warnings.source).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/committed, but web1\S* may not run in memory: on the peer \(memory: no\): start it there/),
        expect.stringMatching(/committed, but web1\S* of memory: was not removed there .*do not start it/),
      ]),
    );
    expect(await bench.journals()).toEqual([]);
  });

  test('if it cannot be forgotten here', async () => {
    await using bench = await makeBench();
    const { source } = await bench.move({ origin: originOf(bench.here.open(() => ({ undefine: failing }))) });
    expect(source).toMatchObject({ status: 'fulfilled', value: { origin: { undefined: false } } });
    expect(bench.warnings.source).toContainEqual(
      expect.stringMatching(/was not removed there \(memory: no\): remove it, and do not start it/),
    );
    expect(runState(bench.here)).toBe('stopped');
  });
});
