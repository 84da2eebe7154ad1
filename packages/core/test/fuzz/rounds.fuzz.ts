import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal } from '@gantry/testkit';
import type { DiskPart } from '../../src/frames/changed-blocks.ts';
import { FormatProblem } from '../../src/frames/damage.ts';
import { PatchReader, readPatches } from '../../src/frames/patch-stream.ts';
import { collect, piecesOf } from '../../src/frames/testing/streams.ts';
import { chunksOf } from '../sample-export.ts';

const DISK = { blockBytes: 64, diskBytes: 1000 };

async function* parts(...all: readonly DiskPart[]): AsyncGenerator<DiskPart, void, undefined> {
  yield* all;
}

/** The parts of a disk that a round of a live move sends. */
const target: FuzzTarget = {
  seeds: async () => {
    const { stored } = {
      stored: parts({ at: 0, data: Buffer.alloc(128, 'a') }, { at: 256, zeros: 64 }, { at: 960, data: Buffer.alloc(40, 'b') }),
    };
    return [await collect(piecesOf(new PatchReader(stored)))];
  },
  maxBytes: 1024,
  async run(input) {
    try {
      let end = 0;
      for await (const part of readPatches(chunksOf(input), DISK)) {
        const length = 'zeros' in part ? part.zeros : part.data.length;
        if (part.at < end || length < 1 || part.at + length > DISK.diskBytes) throw new Error(`a part outside: ${part.at}+${length}`);
        end = part.at + length;
      }
    } catch (error) {
      assertRefusal(error, (each) => each instanceof FormatProblem);
    }
  },
};

export default target;
