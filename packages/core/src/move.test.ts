import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeRandomFile, makeSparseFile, makeTemporaryDirectory, sha256File } from '@gantry/testkit';
import { describe, expect, it } from 'vitest';
import type { ChannelPair } from '../test/pipe/channel-pair.ts';
import { channelPair } from '../test/pipe/channel-pair.ts';
import type { GantryEvent } from './events.ts';
import { GantryError } from './errors.ts';
import { loadInstanceFile } from './instance/load-instance-file.ts';
import type { MoveRequest, MoveResult } from './move.ts';
import { moveInstance } from './move.ts';
import type { ReceiveRequest, ReceiveResult } from './receive.ts';
import { receiveInstance } from './receive.ts';
import { moveOutcome } from './state/move-ledger.ts';

const MIB = 1024 * 1024;
const SCRIPTS = new Set(['create', 'export', 'import', 'rename', 'verify']);

interface Bench extends AsyncDisposable {
  readonly file: TemporaryDirectory['file'];
  readonly pair: ChannelPair;
  readonly events: { readonly source: GantryEvent[]; readonly receiver: GantryEvent[] };
  /** Both sides, to their ends. */
  move(request?: Partial<MoveRequest>, receive?: Partial<ReceiveRequest>): Promise<Outcome>;
  warnings(side: 'source' | 'receiver'): string;
}

interface Outcome {
  readonly source: PromiseSettledResult<MoveResult>;
  readonly receiver: PromiseSettledResult<ReceiveResult>;
}

/** `web1` with as many disks of random bytes as said, and its target; definitions as given, on each side. */
async function makeBench(
  disks: number,
  { source = {}, target = {}, os = 'raw', name = 'web1.example.com', targetDisks = disks, targetMib = 9 }: {
    readonly source?: Readonly<Record<string, string>>;
    readonly target?: Readonly<Record<string, string>>;
    readonly os?: string;
    readonly name?: string;
    readonly targetDisks?: number;
    readonly targetMib?: number;
  } = {},
): Promise<Bench> {
  const directory = await makeTemporaryDirectory();
  const { file } = directory;
  for (const [side, scripts, count, instance] of [
    ['here', source, disks, 'web1.example.com'],
    ['there', target, targetDisks, name],
  ] as const) {
    await mkdir(file(side));
    if (os !== 'raw') await defineOs(file(side, 'os', os), scripts);
    for (let disk = 0; disk < count; disk += 1) {
      if (side === 'here') await makeRandomFile(file(side, `${disk}.img`), 9 * MIB, `disk ${disk}`);
      else await makeSparseFile(file(side, `${disk}.img`), targetMib * MIB);
    }
    const list = Array.from({ length: count }, (_, disk) => `  - path: ${disk}.img\n`).join('');
    await writeFile(file(side, 'web1.yaml'), `name: ${instance}\nos: ${os}\nhypervisor: kvm\ndisks:\n${list}`);
  }
  const pair = channelPair();
  const events = { source: [] as GantryEvent[], receiver: [] as GantryEvent[] };
  const move: Bench['move'] = async (request, receive) => {
    const receiving = receiveInstance({
      channel: pair.receiver,
      cwd: file('there'),
      stateDirectory: file('there', 'state'),
      osSearchPath: [file('there', 'os')],
      onEvent: (event) => events.receiver.push(event),
      ...receive,
    }).finally(() => pair.receiver[Symbol.asyncDispose]());
    const sending = moveInstance({
      instance: await loadInstanceFile(file('here', 'web1.yaml')),
      peer: pair.source,
      to: 'web1.yaml',
      snapshot: 'none',
      stateDirectory: file('here', 'state'),
      osSearchPath: [file('here', 'os')],
      onEvent: (event) => events.source.push(event),
      ...request,
    }).finally(() => pair.source[Symbol.asyncDispose]());
    const [source, receiver] = await Promise.allSettled([sending, receiving]);
    return { source, receiver };
  };
  return {
    file,
    pair,
    events,
    move,
    warnings: (side) => events[side].flatMap((event) => (event.type === 'warning' ? [`${event.disk ?? ''} ${event.message}`] : [])).join('\n'),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

async function defineOs(home: string, scripts: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(home, { recursive: true });
  const files = { ganeti_api_version: '20\n', 'parameters.list': '', create: 'exit 0', verify: 'exit 0', ...scripts };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(home, name), SCRIPTS.has(name) ? `#!/bin/sh\n${text}\n` : text);
    if (SCRIPTS.has(name)) await chmod(join(home, name), 0o755);
  }
}

const CAT = { export: 'cat "$EXPORT_DEVICE"', import: 'cat >"$IMPORT_DEVICE"' };

/** The error that one side failed with. */
function failureOf(result: PromiseSettledResult<unknown>): GantryError {
  if (result.status === 'rejected' && result.reason instanceof GantryError) return result.reason;
  throw new Error('no GantryError', { cause: result });
}

function moveIdOf(bench: Bench): Promise<string> {
  return readFile(bench.file('id'), 'utf8');
}

describe('a move', () => {
  it('makes the disks there equal, and both sides agree on every digest', async () => {
    await using bench = await makeBench(3);
    const { source, receiver } = await bench.move();
    expect(source, JSON.stringify(bench.events)).toMatchObject({ status: 'fulfilled', value: { target: 'web1.example.com', plainBytes: 27 * MIB } });
    expect(receiver).toMatchObject({ status: 'fulfilled', value: { disks: [0, 1, 2] } });
    for (const disk of [0, 1, 2]) {
      expect(await sha256File(bench.file('there', `${disk}.img`))).toBe(await sha256File(bench.file('here', `${disk}.img`)));
    }
    const id = source.status === 'fulfilled' ? source.value.moveId : '';
    expect(await moveOutcome(id, { stateDirectory: bench.file('there', 'state') })).toMatchObject({ state: 'committed' });
  });
});
