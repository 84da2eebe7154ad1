import { createHash } from 'node:crypto';
import type { FuzzTarget } from '@gantry/testkit';
import type { MapOwner } from '../../src/exports/frame-map-text.ts';
import { FrameMapParser, renderFrameMap } from '../../src/exports/frame-map-text.ts';
import type { Codec } from '../../src/frames/codecs/registry.ts';
import { codecNamed } from '../../src/frames/codecs/registry.ts';
import type { CutOffPack } from '../../src/frames/cut-off-pack.ts';
import { readCutOffPack } from '../../src/frames/cut-off-pack.ts';
import { DEFAULT_BUDGET_BYTES, encodeDump } from '../../src/frames/encode-dump.ts';
import type { FrameInMap } from '../../src/frames/frame-map.ts';
import { MemoryBudget } from '../../src/frames/memory-budget.ts';
import { collect, inChunks, overwritten, readerOf } from '../../src/frames/testing/streams.ts';
import { FRAME_SIZE } from '../../src/frames/types.ts';

const SMALL_FRAME = 60;
/** Two frames with data, one of zeros, and a short one. */
const PLAIN = Buffer.concat([
  Buffer.from('what the disk held, line by line\n'.repeat(4)).subarray(0, 120),
  Buffer.alloc(60),
  Buffer.from('end'),
]);

/**
 * What is durable of a killed export, and may be anything after a power cut: reading it finds frames that are certainly there, and never
 * fails, since that would fail every later export.
 */
export function cutOffTarget(name: Codec): FuzzTarget {
  const codec = codecNamed(name).frames(3);
  // Its memory is used again for each input.
  const budget = new MemoryBudget(DEFAULT_BUDGET_BYTES);
  const read = (input: Uint8Array, chunk: number): Promise<CutOffPack> =>
    readCutOffPack(inChunks(input, chunk), { codec, budget, signal: new AbortController().signal });
  return {
    async seeds() {
      const dump = encodeDump(readerOf(overwritten([PLAIN])), {
        codec: name,
        frameSize: SMALL_FRAME,
        signal: new AbortController().signal,
      });
      const stored = await collect(dump.stored);
      return [stored, stored.subarray(0, Math.ceil(stored.length / 2)), Buffer.concat([stored.subarray(0, -1), Buffer.alloc(64)])];
    },
    maxBytes: 1024,
    // It takes the memory of the largest frames for each.
    oneOf: 10,
    async run(input) {
      const found = await read(input, input.length);
      if (found.size !== input.length || found.sha256 !== sha256Of(input)) throw new Error('it is said to be another object');
      let end = 0;
      for (const entry of found.map) {
        if (entry.kind !== 'frame') continue;
        const { offset, storedBytes } = entry.place;
        if (offset < end || offset + storedBytes > input.length) throw new Error('a frame is where none can be');
        end = offset + storedBytes;
        await assertIsThere(entry, input.subarray(offset, end));
      }
      const text = textOf(found);
      if (textOf(await read(input, 7)) !== text) throw new Error('it depends on how it is divided');
      assertIsRead(found, text);
    },
  };

  async function assertIsThere({ plainBytes, sha256 }: FrameInMap, stored: Uint8Array): Promise<void> {
    if (plainBytes === 0 || plainBytes > FRAME_SIZE) throw new Error(`a frame of ${plainBytes} bytes`);
    using _contexts = codec.use();
    codec.inspect(stored, plainBytes);
    const plain = await codec.decompress(stored, Buffer.alloc(plainBytes));
    if (plain.length !== plainBytes || sha256Of(plain) !== Buffer.from(sha256).toString('hex'))
      throw new Error('a frame is something else than its map says');
  }

  function ownerOf({ size, sha256 }: CutOffPack): MapOwner {
    const place = { instance: 'web1.example.com', exportId: '20261122T081500Z' };
    return { ...place, packs: [{ ...place, name: `disk0.pack${codecNamed(name).suffix}`, codec: name, size, sha256 }] };
  }

  function textOf(pack: CutOffPack): string {
    return Buffer.concat([...renderFrameMap(pack.map, ownerOf(pack))]).toString();
  }

  /** The next export reads the map that was made. */
  function assertIsRead(pack: CutOffPack, text: string): void {
    const parser = new FrameMapParser(ownerOf(pack), undefined);
    parser.push(Buffer.from(text));
    if (parser.end().plainBytes !== pack.map.plainBytes) throw new Error('the map is read as another one');
  }
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
