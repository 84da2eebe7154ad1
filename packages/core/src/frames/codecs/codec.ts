import type { DumpReader } from '../dump-reader.ts';
import type { FrameCodec } from '../frame-codec.ts';

/** The levels that a codec has. */
export interface CodecLevels {
  readonly lowest: number;
  readonly highest: number;
  readonly usual: number;
}

/** All that is to be known of one codec: what it is called, and how it stores frames and reads what other tools made. */
export interface CodecDefinition<Name extends string = string> {
  /** In manifests, in `config.ini` and on the command line. */
  readonly name: Name;
  /** What the file name of a dump ends with, such as `.zst`. */
  readonly suffix: `.${string}`;
  /** docs/reference/formats/dumps.md says what they cost. Absent for a codec that stores the plain stream as it is. */
  readonly levels?: CodecLevels;
  /** How frames are stored. @param level matters to a writer alone; one of `levels`, or 0 where there are none */
  readonly frames: (level: number) => FrameCodec;
  /** The plain stream of any dump that the standard tools make in this format. @throws FormatProblem; GantryError `CODEC_UNKNOWN` */
  readonly readForeign: (reader: DumpReader) => AsyncGenerator<Uint8Array, void, undefined>;
}
