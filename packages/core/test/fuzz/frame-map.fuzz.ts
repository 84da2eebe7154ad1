import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal } from '@gantry/testkit';
import { FrameMapParser, FrameMapProblem, renderFrameMap } from '../../src/exports/frame-map-text.ts';
import { FrameMap } from '../../src/frames/frame-map.ts';
import { sha256 } from '../sample-export.ts';
import { OWNER } from './samples.ts';

/** A text of a few lines has no more. */
const MAX_ENTRIES = 100_000;

function sample(): Uint8Array {
  const map = new FrameMap();
  const digest = Buffer.from(sha256('frame'), 'hex');
  map.push({ kind: 'frame', plainBytes: 65_536, sha256: digest, place: { pack: 1, offset: 0, storedBytes: 30_000 } });
  map.push({ kind: 'zeros', plainBytes: 131_072 });
  const base = { pack: 1, offset: 30_000, storedBytes: 40_000, plainBytes: 65_536 };
  map.push({ kind: 'patch', plainBytes: 65_536, sha256: digest, place: { pack: 0, offset: 0, storedBytes: 500 }, base });
  return Buffer.concat([...renderFrameMap(map, OWNER)]);
}

function parse(input: Uint8Array, chunk: number): FrameMap | FrameMapProblem {
  const parser = new FrameMapParser(OWNER, undefined, MAX_ENTRIES);
  try {
    for (let at = 0; at < input.length; at += chunk) parser.push(input.subarray(at, at + chunk));
    return parser.end();
  } catch (error) {
    assertRefusal(error, (each) => each instanceof FrameMapProblem);
    if (error instanceof FrameMapProblem) return error;
    throw error;
  }
}

/** The text that says where the frames of a disk are. */
const target: FuzzTarget = {
  seeds: () => [sample()],
  words: ['gantry-frame-map 1\n', 'frame ', 'patch ', 'zeros ', 'end ', 'pack '],
  run(input) {
    const whole = parse(input, input.length);
    const pieces = parse(input, 61);
    if (whole instanceof FrameMapProblem || pieces instanceof FrameMapProblem) {
      if (whole instanceof FrameMapProblem !== pieces instanceof FrameMapProblem) throw new Error('it depends on how it is divided');
      return;
    }
    const text = Buffer.concat([...renderFrameMap(whole, OWNER)]);
    if (!text.equals(input)) throw new Error('another text means the same');
  },
};

export default target;
