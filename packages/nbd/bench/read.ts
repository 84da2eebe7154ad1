/*
 * Reads an export of qemu-nbd with 1, 8 and 32 requests in flight, and with nbdcopy, in turn; prints MB/s, the median of some rounds.
 *
 *     node --conditions=@gantry/source packages/nbd/bench/read.ts [MiB] [rounds] [KiB of a request]
 */
import { randomFillSync } from 'node:crypto';
import { open } from 'node:fs/promises';

import { makeTemporaryDirectory, startQemuNbd } from '@gantry/testkit';
import { execa } from 'execa';

import { connectNbd } from '../src/index.ts';

const MiB = 1 << 20;
/** As Gantry reads: a few buffers, used again and again. */
const BUFFER_BYTES = 32 * MiB;
const timeoutMs = 60_000;

const [size = 1024, rounds = 5, requestKib = 512] = process.argv.slice(2).map(Number);
await using scratch = await makeTemporaryDirectory();
await fill(scratch.file('disk'), size);
const args = ['--read-only', '--format=raw', '--cache=writeback', scratch.file('disk')];
await using server = await startQemuNbd({ directory: scratch.path, args });

const contestants: Readonly<Record<string, () => Promise<void>>> = {
  '1 in flight': () => read(1),
  '8 in flight': () => read(8),
  '32 in flight': () => read(32),
  'nbdcopy, 1 connection': () => copy('--connections=1'),
  'nbdcopy, as it likes': () => copy(),
};
const speeds = new Map<string, number[]>(Object.keys(contestants).map((name) => [name, []]));
for (let round = 0; round < rounds; round += 1) {
  for (const [name, run] of Object.entries(contestants)) {
    const start = performance.now();
    await run();
    speeds.get(name)?.push((size * MiB) / 1000 / (performance.now() - start));
  }
}
for (const [name, results] of speeds) {
  const sorted = results.toSorted((a, b) => a - b);
  const shown = [sorted[sorted.length >> 1], sorted[0], sorted.at(-1)].map((speed = 0) => speed.toFixed(0));
  console.log(`${name.padEnd(24)}${shown[0]} MB/s (${shown[1]} to ${shown[2]})`);
}

async function read(maxInFlight: number): Promise<void> {
  await using client = await connectNbd({
    address: { path: server.path },
    exportName: '',
    timeoutMs,
    maxInFlight,
    maxRequestBytes: requestKib * 1024,
  });
  const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  for (let at = 0; at < client.size; at += buffer.length)
    await client.read(at, buffer.subarray(0, Math.min(buffer.length, client.size - at)));
}

async function copy(...options: readonly string[]): Promise<void> {
  await execa('nbdcopy', [...options, server.uri, 'null:']);
}

async function fill(path: string, mib: number): Promise<void> {
  await using file = await open(path, 'w');
  const block = Buffer.alloc(MiB);
  for (let at = 0; at < mib; at += 1) {
    randomFillSync(block);
    await file.write(block);
  }
}
