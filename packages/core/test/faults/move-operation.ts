import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import type { PeerChannel } from '@gantry/transport';
import { expect } from 'vitest';
import type { MoveRequest } from '../../src/operations/move.ts';
import { moveInstance } from '../../src/operations/move.ts';
import { receiveInstance } from '../../src/operations/receive.ts';
import { DISK_BYTES } from '../operation-bench.ts';
import { channelPair } from '../peer/channel-pair.ts';
import type { Operation, Parts } from './operations.ts';
import { targetPaths } from './operations.ts';
import { faultedChannel } from './faulted-channel.ts';
import { pointsOf } from './faults.ts';
import { MEMORY } from './memory-place.ts';
import type { Medium } from './place.ts';
import { digestsOf } from './world.ts';

/** Faults of the channel to a peer, in both directions. */
export const CHANNEL: Medium = {
  ...MEMORY,
  name: 'channel',
  points: (calls) => pointsOf(calls).filter(({ kind }) => !IMPOSSIBLE.has(kind)),
};

/** A channel has neither rights nor space, and its bytes are protected. */
const IMPOSSIBLE: ReadonlySet<string> = new Set(['is denied', 'denied from then on', 'full from then on', 'a bit is flipped']);

const throughChannel = (parts: Parts): Promise<void> => moveAway(parts, { through: (channel) => faultedChannel(channel, parts.faults) });

export const MOVES: readonly Operation[] = [
  { name: 'move', run: throughChannel },
  { name: 'move of several disks', disks: 3, run: throughChannel },
];

export interface MoveAwayOptions extends Pick<MoveRequest, 'onEvent'> {
  /** What comes between the source and the channel. */
  readonly through?: (channel: PeerChannel) => PeerChannel;
  /** What arrives may be something else. */
  readonly mayDiffer?: boolean;
}

/** Moves the disks to those of another, on a peer in this process. @throws what the source rejects with */
export async function moveAway(
  parts: Parts,
  { through = (channel) => channel, onEvent, mayDiffer = false }: MoveAwayOptions,
): Promise<void> {
  const { bench, now } = parts.world;
  const { directory, instance } = bench;
  const osSearchPath = [directory.file('os')];
  const [paths, peerState] = [targetPaths(parts), directory.file('peer-state')];
  await rm(peerState, { recursive: true, force: true });
  await describeTarget(parts, paths);
  const pair = channelPair();
  const receiving = closing(pair.receiver, (channel) =>
    receiveInstance({ channel, cwd: directory.file('peer'), stateDirectory: peerState, osSearchPath }),
  );
  const sending = closing(through(pair.source), (peer) => {
    const { stateDirectory, signal } = parts;
    return moveInstance({ instance, peer, to: 'web1.yaml', yes: true, snapshot: 'none', stateDirectory, osSearchPath, signal, onEvent });
  });
  const [source, receiver] = await Promise.allSettled([sending, receiving]);
  for (const side of [source, receiver])
    if (side.status === 'fulfilled' && !mayDiffer) expect(await digestsOf(paths), 'a move that succeeds').toEqual(now);
  expect(await readdir(`${peerState}/runs`).catch(() => []), 'journals of the peer').toEqual([]);
  if (source.status === 'rejected') throw source.reason;
}

async function describeTarget({ world: { bench } }: Parts, paths: readonly string[]): Promise<void> {
  await mkdir(bench.directory.file('peer'), { recursive: true });
  for (const path of paths) await writeFile(path, Buffer.alloc(DISK_BYTES, 'x'));
  const { name, os } = bench.instance;
  const disks = paths.map((path) => `  - path: ${path}\n`).join('');
  await writeFile(bench.directory.file('peer', 'web1.yaml'), `name: ${name}\nos: ${os}\nhypervisor: kvm\ndisks:\n${disks}`);
}

/** What comes of `work`, with the channel closed as soon as it does. */
async function closing<T>(channel: PeerChannel, work: (channel: PeerChannel) => Promise<T>): Promise<T> {
  await using _ = channel;
  return await work(channel);
}
