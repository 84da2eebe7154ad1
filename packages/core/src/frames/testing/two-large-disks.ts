/*
 * Encodes and decodes two disks of the given size at the same time, and prints the peak memory use of its process in bytes:
 * two-large-disks.ts CODEC MEBIBYTES DIRECTORY
 */
import { piecesOf, readerOf } from './streams.ts';
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { DeviceReader } from '../../disks/read-device.ts';
import { decodeDump } from '../decode-dump.ts';
import { encodeDump } from '../encode-dump.ts';
import { MemoryBudget } from '../memory-budget.ts';
import type { Codec } from '../codecs/registry.ts';
import type { PlainPiece } from '../types.ts';

const MiB = 1024 * 1024;
const CODECS: readonly Codec[] = ['zstd', 'gzip', 'none'];
const [, , codecName, mebibytes, directory = ''] = process.argv;
const codec = CODECS.find((known) => known === codecName) ?? 'none';
const { signal } = new AbortController();
const budget = new MemoryBudget(64 * MiB);

/** Compresses to about half. */
async function* disk(): AsyncGenerator<PlainPiece, void, undefined> {
  const memory = Buffer.alloc(MiB);
  memory.set(
    createHash('shake256', { outputLength: MiB / 2 })
      .update('seed')
      .digest(),
  );
  for (let piece = 0; piece < Number(mebibytes); piece += 1) {
    await Promise.resolve();
    memory.writeUInt32LE(piece, MiB / 4);
    yield memory;
  }
}

async function encodeAndDecode(name: string): Promise<void> {
  const path = join(directory, name);
  await using file = await open(path, 'w', 0o600);
  const dump = encodeDump(readerOf(disk()), { codec, budget, signal });
  for await (const chunk of dump.stored) await file.write(chunk);
  await using reader = new DeviceReader(path);
  const stored = bytesOnly(piecesOf(reader));
  let plainBytes = 0;
  for await (const piece of decodeDump(stored, { codec, framed: dump.summary(), table: dump.table(), budget, signal })) {
    plainBytes += piece instanceof Uint8Array ? piece.length : piece.zeros;
  }
  if (plainBytes !== Number(mebibytes) * MiB) throw new Error(`${name} came back with ${plainBytes} bytes`);
}

async function* bytesOnly(pieces: AsyncIterable<PlainPiece>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const piece of pieces) yield piece instanceof Uint8Array ? piece : Buffer.alloc(piece.zeros);
}

await Promise.all([encodeAndDecode('disk0'), encodeAndDecode('disk1')]);
process.stdout.write(`${process.resourceUsage().maxRSS * 1024}\n`);
