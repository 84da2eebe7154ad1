import type { DumpReader } from '../dump-reader.ts';
import type { FrameCodec } from '../frame-codec.ts';

/** The compression levels of a codec. */
export interface CodecLevels {
  readonly lowest: number;
  readonly highest: number;
  readonly usual: number;
}

/** One codec: its name, how it stores frames, and how it reads dumps that other tools made. */
export interface CodecDefinition<Name extends string = string> {
  /** As written in manifests, in `config.ini` and on the command line. */
  readonly name: Name;
  /** The extension of a dump's file name, such as `.zst`. */
  readonly suffix: `.${string}`;
  /** docs/reference/formats/dumps.md says what they cost. Absent for a codec that stores the plain stream unchanged. */
  readonly levels?: CodecLevels;
  /** How frames are stored. @param level only used for writing; one of `levels`, or 0 for a codec without levels */
  readonly frames: (level: number) => FrameCodec;
  /** The plain stream of any dump in this format that the standard tools can make. @throws FormatProblem; GantryError `CODEC_UNKNOWN` */
  readonly readForeign: (reader: DumpReader) => AsyncGenerator<Uint8Array, void, undefined>;
}
