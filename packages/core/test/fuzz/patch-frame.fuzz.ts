import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal } from '@gantry/testkit';
import { FormatProblem } from '../../src/frames/damage.ts';
import { decompress } from '../../src/frames/decode-job.ts';
import type { FramePatches } from '../../src/frames/frame-codec.ts';
import { zstdCodec } from '../../src/frames/zstd-codec.ts';

const codec = zstdCodec(3);
const BASE = Buffer.from('what the disk held, line by line\n'.repeat(30));
const PLAIN = Buffer.from(BASE.toString().replace('held', 'has now'));

function patchesOf(): FramePatches {
  if (codec.patches === undefined) throw new Error('no patches');
  return codec.patches;
}

/** A frame that is stored as its difference from another one. */
const target: FuzzTarget = {
  seeds: async () => [await patchesOf().compress(PLAIN, BASE, Buffer.alloc(codec.storedBound(PLAIN.length)))],
  maxBytes: 512,
  async run(input) {
    const patches = patchesOf();
    try {
      codec.inspect(input, PLAIN.length);
      const decoding = { decompress: (stored: Uint8Array, output: Uint8Array) => patches.decompress(stored, BASE, output) };
      const plain = await decompress(decoding, input, Buffer.alloc(PLAIN.length));
      if (plain.length !== PLAIN.length) throw new Error(`${plain.length} plain bytes`);
    } catch (error) {
      assertRefusal(error, (each) => each instanceof FormatProblem);
    }
  },
};

export default target;
