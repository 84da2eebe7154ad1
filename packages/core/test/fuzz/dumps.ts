import { createHash } from 'node:crypto';
import type { FuzzTarget } from '@gantry/testkit';
import type { Codec } from '../../src/frames/codecs/registry.ts';
import { decodeDump } from '../../src/frames/decode-dump.ts';
import { encodeDump } from '../../src/frames/encode-dump.ts';
import { collect, overwritten, readerOf } from '../../src/frames/testing/streams.ts';
import type { FramedDump } from '../../src/frames/types.ts';
import { chunksOf } from '../sample-export.ts';
import { assertRefused } from './refusal.ts';

const FRAME = 60;
/** Three frames with data, one of zeros, and a short one. */
const PLAIN = Buffer.concat([
  Buffer.from('what the disk held, line by line\n'.repeat(5)).subarray(0, 160),
  Buffer.alloc(90),
  Buffer.from('end'),
]);
/** What is read of a dump that says nothing of its size. */
const MAX_PLAIN_BYTES = 64 * 1024 ** 2;

/** A dump that Gantry made, which says that it is the one that is expected: so its frames are looked at, and its seek table. */
export function framedTarget(codec: Codec): FuzzTarget {
  const encode = async (): Promise<{ readonly stored: Buffer; readonly framed: FramedDump }> => {
    const dump = encodeDump(readerOf(overwritten([PLAIN])), { codec, frameSize: FRAME, signal: new AbortController().signal });
    const stored = await collect(dump.stored);
    return { stored, framed: dump.summary() };
  };
  const made = encode();
  return {
    seeds: async () => [(await made).stored],
    maxBytes: 1024,
    async run(input) {
      const { framed } = await made;
      const expected = { ...framed, storedBytes: input.length, sha256: createHash('sha256').update(input).digest('hex') };
      try {
        const plain = await collect(decodeDump(chunksOf(input), { codec, framed: expected, signal: new AbortController().signal }));
        if (plain.length !== framed.plainBytes) throw new Error(`${plain.length} plain bytes`);
      } catch (error) {
        assertRefused(error, 'DUMP_DAMAGED');
      }
    },
  };
}

/** A dump that another tool made, of which nothing is known. */
export function foreignTarget(codec: Codec, seeds: readonly Uint8Array[]): FuzzTarget {
  return {
    seeds: () => seeds,
    maxBytes: 2048,
    async run(input) {
      let bytes = 0;
      try {
        const pieces = decodeDump(chunksOf(input), { codec, framed: undefined, signal: new AbortController().signal });
        for await (const piece of pieces) {
          bytes += piece instanceof Uint8Array ? piece.length : piece.zeros;
          if (bytes > MAX_PLAIN_BYTES) return;
        }
      } catch (error) {
        assertRefused(error, 'DUMP_DAMAGED', 'CODEC_UNKNOWN');
      }
    },
  };
}
