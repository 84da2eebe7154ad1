import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzTarget } from '@gantry/testkit';
import type { PeerChannel } from '@gantry/transport';
import { loadInstanceFile } from '../../src/instances/load-instance-file.ts';
import { moveInstance } from '../../src/operations/move.ts';
import { receiveInstance } from '../../src/operations/receive.ts';
import { ERROR_EXIT_CODES } from '../../src/report/errors.ts';
import type { GantryErrorCode } from '../../src/report/errors.ts';
import { channelPair } from '../peer/channel-pair.ts';
import { assertRefused, assertShowable } from './refusal.ts';

const DISK_BYTES = 1024 ** 2;
const CODES = Object.keys(ERROR_EXIT_CODES).filter((code): code is GantryErrorCode => code in ERROR_EXIT_CODES);

interface Bench {
  readonly there: string;
  /** All that the source sends when an instance is moved. */
  readonly sent: Buffer;
}

let bench: Promise<Bench> | undefined;

async function makeBench(): Promise<Bench> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-fuzz-'));
  const [here, there] = [join(directory, 'here'), join(directory, 'there')];
  for (const [side, content] of [
    [here, Buffer.concat([Buffer.from('what the disk held\n'.repeat(100)), Buffer.alloc(DISK_BYTES)]).subarray(0, DISK_BYTES)],
    [there, Buffer.alloc(DISK_BYTES)],
  ] as const) {
    await mkdir(side);
    await writeFile(join(side, '0.img'), content);
    await writeFile(join(side, 'web1.yaml'), 'name: web1\nos: raw\nhypervisor: kvm\ndisks: [{path: 0.img}]\n');
  }
  const { source, receiver } = channelPair();
  const sent: Buffer[] = [];
  const heard: PeerChannel = { ...receiver, input: copied(receiver.input, sent) };
  const instance = await loadInstanceFile(join(here, 'web1.yaml'));
  const common = { osSearchPath: [], onEvent: () => undefined };
  const [moved, received] = await Promise.allSettled([
    moveInstance({
      ...common,
      instance,
      peer: source,
      to: 'web1.yaml',
      yes: true,
      snapshot: 'none',
      stateDirectory: join(directory, 'state-here'),
    }),
    receiveInstance({ ...common, channel: heard, cwd: there, stateDirectory: join(directory, 'state-there') }),
  ]);
  if (moved.status === 'rejected') throw moved.reason;
  if (received.status === 'rejected') throw received.reason;
  return { there, sent: Buffer.concat(sent) };
}

async function* copied(input: AsyncIterable<Uint8Array>, into: Buffer[]): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of input) {
    into.push(Buffer.from(chunk));
    yield chunk;
  }
}

/** A source that says what the input says, takes everything, and ends. */
function channelOf(input: Uint8Array): PeerChannel {
  return {
    address: 'the source',
    input: (async function* () {
      for (let at = 0; at < input.length; at += 4096) yield input.subarray(at, at + 4096);
    })(),
    write: async () => undefined,
    ended: Promise.resolve({ exitCode: undefined, error: undefined, text: '' }),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** All that a source says to the receiver of a move, from its greeting to the commit: it is refused, or the move is complete. */
const target: FuzzTarget = {
  seeds: async () => [(await (bench ??= makeBench())).sent],
  words: [
    '"kind":"order"',
    '"dryRun":true',
    '"rename":true',
    '"live":{"blockBytes":65536,"compare":false}',
    '"kind":"prepare"',
    '"kind":"commit"',
    '"kind":"round"',
  ],
  oneOf: 20,
  async run(input) {
    const { there } = await (bench ??= makeBench());
    const stateDirectory = join(there, 'state');
    // The limit keeps orders in the directory: they may name any instance file otherwise.
    const limits = { instanceDirectory: there };
    try {
      const request = { channel: channelOf(input), cwd: there, limits, stateDirectory, osSearchPath: [] };
      await receiveInstance({ ...request, onEvent: (event) => assertShowable('message' in event ? [event.message] : []) });
    } catch (error) {
      assertRefused(error, ...CODES);
    } finally {
      await rm(stateDirectory, { recursive: true, force: true });
    }
  },
};

export default target;
