import { codecsForReading } from '../frames/decode-dump.ts';
import type { FrameCodec } from '../frames/frame-codec.ts';
import type { MapEntry, PackPlace, PatchBase } from '../frames/frame-map.ts';
import { FrameMap } from '../frames/frame-map.ts';
import { MAX_FRAME_BYTES } from '../frames/types.ts';
import type { PackRecord } from './packs.ts';
import { packPath } from './packs.ts';

/*
 * The object that says where each frame of one disk is (docs/reference/formats/frame-maps.md): lines of text, so that a shell can read a
 * disk by it.
 */

/** The version of the format, which is written and read. */
export const FRAME_MAP_VERSION = 1;
const HEADER = `gantry-frame-map ${FRAME_MAP_VERSION}`;
/** The longest line is that of a pack, with three names. */
export const MAX_LINE_BYTES = 1024;
/**
 * More than a text of 2 GiB has where zeros follow each other in one run, as they are written. Short runs one after another could be many
 * more, and each entry takes 60 bytes of memory.
 */
const MAX_ENTRIES = 50_000_000;
/** Lines that are rendered at once. */
const LINES_AT_ONCE = 4096;

/** What a map belongs to. */
export interface MapOwner {
  readonly instance: string;
  readonly exportId: string;
  /** In the order of their numbers. */
  readonly packs: readonly PackRecord[];
}

/** Thrown for a map that is not valid: one clause. */
export class FrameMapProblem extends Error {
  override readonly name = 'FrameMapProblem';
}

export function* renderFrameMap(map: FrameMap, owner: MapOwner): Generator<Uint8Array, void, undefined> {
  const packs = owner.packs.map((pack, number) => `pack ${number} ${packPath(pack, owner)} ${pack.codec} ${pack.size} ${pack.sha256}`);
  let lines = [HEADER, ...packs];
  for (const entry of map) {
    lines.push(lineOf(entry));
    if (lines.length < LINES_AT_ONCE) continue;
    yield Buffer.from(`${lines.join('\n')}\n`);
    lines = [];
  }
  yield Buffer.from(`${[...lines, `end ${map.length} ${map.plainBytes}`].join('\n')}\n`);
}

function lineOf(entry: MapEntry): string {
  if (entry.kind === 'zeros') return `zeros ${entry.plainBytes}`;
  const whole = `${entry.plainBytes} ${Buffer.from(entry.sha256).toString('hex')} ${textOf(entry.place)}`;
  return entry.kind === 'frame' ? `frame ${whole}` : `patch ${whole} ${textOf(entry.base)} ${entry.base.plainBytes}`;
}

function textOf({ pack, offset, storedBytes }: PackPlace): string {
  return `${pack} ${offset} ${storedBytes}`;
}

/** Reads a frame map piece by piece, and checks everything that can be checked without its packs. */
export class FrameMapParser {
  readonly #owner: MapOwner;
  readonly #plainBytes: number | undefined;
  readonly #maxEntries: number;
  /** By the number of the pack. */
  readonly #codecs: readonly FrameCodec[];
  readonly #map = new FrameMap();
  #header = 0;
  #left = '';
  #ended = false;

  /**
   * @param plainBytes of the disk: a map of another one is refused, and one that is longer as soon as it is; undefined if only the map
   *   says it
   * @param maxEntries a map with more is refused
   */
  constructor(owner: MapOwner, plainBytes: number | undefined, maxEntries: number = MAX_ENTRIES) {
    this.#owner = owner;
    this.#plainBytes = plainBytes;
    this.#maxEntries = maxEntries;
    this.#codecs = codecsForReading(owner.packs.map(({ codec }) => codec));
  }

  /** @throws FrameMapProblem */
  push(chunk: Uint8Array): void {
    const lines = `${this.#left}${Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1')}`.split('\n');
    this.#left = lines.pop() ?? '';
    if (this.#left.length > MAX_LINE_BYTES) throw new FrameMapProblem(`a line has more than ${MAX_LINE_BYTES} bytes`);
    for (const line of lines) this.#line(line);
  }

  /** @throws FrameMapProblem */
  end(): FrameMap {
    if (!this.#ended || this.#left !== '') throw new FrameMapProblem('it ends early');
    return this.#map;
  }

  #line(line: string): void {
    if (this.#ended) throw new FrameMapProblem('there is something after its end');
    const { packs } = this.#owner;
    if (this.#header <= packs.length) this.#headerLine(line);
    else if (line.startsWith('end ')) this.#endLine(line);
    else this.#add(this.#entry(line.split(' ')));
  }

  #add(entry: MapEntry): void {
    const map = this.#map;
    if (map.length === this.#maxEntries) throw new FrameMapProblem(`it has more than ${this.#maxEntries} entries`);
    map.push(entry);
    const most = this.#plainBytes ?? Number.MAX_SAFE_INTEGER;
    if (map.plainBytes > most) throw new FrameMapProblem(`it has more than the ${most} bytes of the disk`);
  }

  #headerLine(line: string): void {
    const number = this.#header - 1;
    const pack = this.#owner.packs[number];
    const expected =
      pack === undefined ? HEADER : `pack ${number} ${packPath(pack, this.#owner)} ${pack.codec} ${pack.size} ${pack.sha256}`;
    if (line === expected) this.#header += 1;
    else if (pack === undefined) throw new FrameMapProblem(`it does not begin with "${HEADER}"`);
    else throw new FrameMapProblem(`it does not have the pack ${number} that the manifest has`);
  }

  #endLine(line: string): void {
    const { length, plainBytes } = this.#map;
    if (line !== `end ${length} ${plainBytes}`) throw new FrameMapProblem('its end does not fit what comes before');
    if (this.#plainBytes !== undefined && plainBytes !== this.#plainBytes)
      throw new FrameMapProblem(`it has ${plainBytes} bytes, and the disk has ${this.#plainBytes}`);
    this.#ended = true;
  }

  #entry([kind, plain, sha256, ...places]: readonly string[]): MapEntry {
    const frame = this.#map.length;
    const plainBytes = parseNumber(plain, frame);
    if (kind === 'zeros' && sha256 === undefined && plainBytes > 0) return { kind, plainBytes };
    const isFrame = kind === 'frame' && places.length === 3;
    const isPatch = kind === 'patch' && places.length === 7;
    if (!(isFrame || isPatch) || sha256 === undefined || !/^[0-9a-f]{64}$/.test(sha256)) {
      throw new FrameMapProblem(`entry ${frame} is not one that this version knows`);
    }
    assertFrameSize(plainBytes, frame);
    const whole = { plainBytes, sha256: Buffer.from(sha256, 'hex'), place: this.#place(places, plainBytes, frame) };
    if (isPatch && this.#codecs[whole.place.pack]?.patches === undefined)
      throw new FrameMapProblem(`entry ${frame} is a patch, which its pack cannot have`);
    return isFrame ? { kind: 'frame', ...whole } : { kind: 'patch', ...whole, base: this.#base(places.slice(3), frame) };
  }

  #base([pack, offset, stored, plain]: readonly (string | undefined)[], frame: number): PatchBase {
    const plainBytes = parseNumber(plain, frame);
    assertFrameSize(plainBytes, frame);
    return { ...this.#place([pack, offset, stored], plainBytes, frame), plainBytes };
  }

  #place(numbers: readonly (string | undefined)[], plainBytes: number, frame: number): PackPlace {
    const [pack = -1, offset = -1, storedBytes = 0] = numbers.slice(0, 3).map((number) => parseNumber(number, frame));
    const size = this.#owner.packs[pack]?.size ?? 0;
    if (storedBytes < 1 || offset + storedBytes > size) throw new FrameMapProblem(`entry ${frame} is outside of its pack`);
    // A reader takes memory by these sizes.
    const bound = Math.max(plainBytes, this.#codecs[pack]?.storedBound(plainBytes) ?? 0);
    if (storedBytes > bound) throw new FrameMapProblem(`entry ${frame} has an impossible size: ${storedBytes} stored bytes`);
    return { pack, offset, storedBytes };
  }
}

function assertFrameSize(plainBytes: number, frame: number): void {
  if (plainBytes < 1 || plainBytes > MAX_FRAME_BYTES)
    throw new FrameMapProblem(`entry ${frame} has an impossible size: ${plainBytes} bytes`);
}

function parseNumber(text: string | undefined, frame: number): number {
  const number = text !== undefined && /^(?:0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw new FrameMapProblem(`entry ${frame} has a number that is not valid`);
  return number;
}
