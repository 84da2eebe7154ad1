import { abortable } from '@gantry/transport';
import type { DamagePlace } from './damage.ts';
import { dumpDamaged, atPlace, WRONG_FRAME } from './damage.ts';
import type { DecodeJob, DecodeJobs, FramePlace } from './decode-job.ts';
import { DumpReader } from './dump-reader.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { FramePlan, FrameTotals } from './frame-plan.ts';
import type { FrameEntry } from './frame-table.ts';
import { FrameTable } from './frame-table.ts';
import { framesOfTable } from './listed-frames.ts';
import { StreamDigest } from './stream-digest.ts';

export interface WalkOptions {
  readonly codec: FrameCodec;
  readonly plan: FramePlan;
  /** The frames that are expected; those that are found are compared with it. */
  readonly expected?: FrameTable | undefined;
}

/** Yields the frames of a dump that is read from start to end; then checks the complete dump. */
export async function* walkFrames(
  stored: AsyncIterable<Uint8Array>,
  options: WalkOptions,
  jobs: DecodeJobs,
  signal: AbortSignal,
): AsyncGenerator<DecodeJob, void, undefined> {
  using digest = new StreamDigest();
  await using reader = new DumpReader(abortable(stored, signal), digest);
  const walk = new Walk(reader, options, jobs);
  yield* walk.frames();
  await options.plan.finish(reader, digest, walk.totals);
}

class Walk {
  readonly #reader: DumpReader;
  readonly #codec: FrameCodec;
  readonly #plan: FramePlan;
  readonly #expected: FrameTable | undefined;
  readonly #jobs: DecodeJobs;
  readonly #found = new FrameTable();
  #plainBytes = 0;

  constructor(reader: DumpReader, { codec, plan, expected }: WalkOptions, jobs: DecodeJobs) {
    this.#reader = reader;
    this.#codec = codec;
    this.#plan = plan;
    this.#expected = expected;
    this.#jobs = jobs;
  }

  get totals(): FrameTotals {
    return { frames: this.#found.length, plainBytes: this.#plainBytes };
  }

  async *frames(): AsyncGenerator<DecodeJob, void, undefined> {
    for (;;) {
      const zeros = await this.#zeroFrames();
      if (zeros !== undefined) {
        yield zeros;
        continue;
      }
      const { offset } = this.#reader;
      const frame = this.#found.length;
      const plainBytes = await atPlace({ frame, offset }, this.#plan.next(this.#reader, frame));
      if (plainBytes === undefined) break;
      const place = { frame, offset, plainBytes };
      const job = await this.#jobs.start(place, (output) => this.#read(place, output));
      this.#plainBytes += plainBytes;
      yield { ...job, storedEnd: this.#reader.offset };
    }
    const { frameSize } = this.#plan;
    const { offset } = this.#reader;
    await atPlace({ offset }, this.#codec.readTrailer(this.#reader, framesOfTable(frameSize, this.#plainBytes, this.#found)));
  }

  async #read(place: FramePlace, output: Uint8Array): Promise<Uint8Array> {
    const bytes = await this.#codec.read(this.#reader, place.plainBytes, output);
    this.#addToTable({ storedBytes: bytes.length, isZeros: false, checksum: await this.#codec.checksum(bytes) }, place);
    return bytes;
  }

  /** The full frames of zeros that come next, recognized by their bytes. */
  async #zeroFrames(): Promise<DecodeJob | undefined> {
    const { frameSize } = this.#plan;
    const left = this.#plan.fullFramesLeft(this.#found.length);
    if (left === 0) return undefined;
    const zeroFrame = this.#codec.zeroFrame(frameSize);
    const { offset } = this.#reader;
    const count = this.#reader.skipRepeated(zeroFrame, left);
    if (count === 0) return undefined;
    const entry = { storedBytes: zeroFrame.length, isZeros: true, checksum: await this.#codec.checksum(zeroFrame) };
    for (let index = 0; index < count; index += 1) {
      this.#addToTable(entry, { frame: this.#found.length, offset: offset + index * zeroFrame.length });
    }
    this.#plainBytes += count * frameSize;
    return { zeros: count * frameSize, storedEnd: this.#reader.offset };
  }

  /** @throws GantryError `DUMP_DAMAGED` if the expected frame is another one */
  #addToTable(entry: FrameEntry, place: DamagePlace): void {
    const expected = this.#expected?.at(this.#found.length);
    this.#found.push(entry);
    if (this.#expected === undefined) return;
    if (expected?.storedBytes !== entry.storedBytes || expected.checksum !== entry.checksum) throw dumpDamaged(WRONG_FRAME, place);
  }
}
