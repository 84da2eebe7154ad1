import { abortable } from '@gantry/transport';
import type { DamagePlace } from './damage.ts';
import { dumpDamaged, locate, OTHER_FRAME } from './damage.ts';
import type { DecodeJob, DecodeJobs, FramePlace } from './decode-job.ts';
import { DumpReader } from './dump-reader.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { FramePlan, FrameTotals } from './frame-plan.ts';
import type { FrameEntry } from './frame-table.ts';
import { FrameTable } from './frame-table.ts';
import { StreamDigest } from './stream-digest.ts';

export interface WalkOptions {
  readonly codec: FrameCodec;
  readonly plan: FramePlan;
  /** What is known of the frames, to be compared with what is found. */
  readonly expected?: FrameTable | undefined;
}

/** The frames of a dump that is read from its start to its end; then checks the dump as a whole. */
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
      const plainBytes = await locate({ frame, offset }, this.#plan.next(this.#reader, frame));
      if (plainBytes === undefined) break;
      const place = { frame, offset, plainBytes };
      const job = await this.#jobs.start(place, (output) => this.#read(place, output));
      this.#plainBytes += plainBytes;
      yield { ...job, storedEnd: this.#reader.offset };
    }
    const { frameSize } = this.#plan;
    const { offset } = this.#reader;
    await locate({ offset }, this.#codec.readTrailer(this.#reader, frameSize, this.#plainBytes, this.#found));
  }

  async #read(place: FramePlace, output: Uint8Array): Promise<Uint8Array> {
    const bytes = await this.#codec.read(this.#reader, place.plainBytes, output);
    this.#list({ storedBytes: bytes.length, isZeros: false, checksum: await this.#codec.checksum(bytes) }, place);
    return bytes;
  }

  /** Full frames of zeros, known by their bytes, as many as come next. */
  async #zeroFrames(): Promise<DecodeJob | undefined> {
    const { frameSize } = this.#plan;
    const left = this.#plan.fullFramesLeft(this.#found.length);
    if (left === 0) return undefined;
    const zeroFrame = this.#codec.zeroFrame(frameSize);
    const { offset } = this.#reader;
    const count = this.#reader.passRepeated(zeroFrame, left);
    if (count === 0) return undefined;
    const entry = { storedBytes: zeroFrame.length, isZeros: true, checksum: await this.#codec.checksum(zeroFrame) };
    for (let index = 0; index < count; index += 1) {
      this.#list(entry, { frame: this.#found.length, offset: offset + index * zeroFrame.length });
    }
    this.#plainBytes += count * frameSize;
    return { zeros: count * frameSize, storedEnd: this.#reader.offset };
  }

  /** @throws GantryError `DUMP_DAMAGED` where another frame should be at this place */
  #list(entry: FrameEntry, place: DamagePlace): void {
    const expected = this.#expected?.at(this.#found.length);
    this.#found.push(entry);
    if (this.#expected === undefined) return;
    if (expected?.storedBytes !== entry.storedBytes || expected.checksum !== entry.checksum) throw dumpDamaged(OTHER_FRAME, place);
  }
}
