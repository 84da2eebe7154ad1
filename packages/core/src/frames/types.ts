import type { Codec } from './codecs/registry.ts';

/** Plain bytes in one frame: 4 MiB. Readers accept any frame size from a manifest up to {@link MAX_FRAME_BYTES}. */
export const FRAME_SIZE: number = 4 * 1024 * 1024;

/** The largest frame that a reader accepts, plain bytes: it must fit in memory. */
export const MAX_FRAME_BYTES: number = 64 * 1024 * 1024;

/** A run of zeros without memory for them, such as a hole of a disk. */
export interface Hole {
  /** Bytes. */
  readonly zeros: number;
}

/** A piece of a plain stream: bytes, or a run of zeros. The bytes are valid until the next piece is requested. */
export type PlainPiece = Uint8Array | Hole;

/** The next part of a disk has not changed since the parent export: it is what the parent's frame map says there. */
export interface Unchanged {
  /** Bytes: whole frames of the parent, from where one of them begins. */
  readonly unchanged: number;
}

/** Codec, sizes and digest of a finished dump. */
export interface DumpSummary {
  readonly codec: Codec;
  /** The codec's level; absent if it does not compress. */
  readonly level?: number;
  /** Plain bytes of every frame except the last. */
  readonly frameSize: number;
  readonly frames: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
  /** SHA-256 of the stored bytes, lower-case hexadecimal. */
  readonly sha256: string;
}

/** What a reader needs to know about a dump that Gantry made, to check it frame by frame. Every {@link DumpSummary} is one. */
export type FramedDump = Pick<DumpSummary, 'frameSize' | 'frames' | 'plainBytes' | 'storedBytes' | 'sha256'>;

/** Called from time to time with the progress of a dump: bytes from its start. */
export type DumpProgress = (plainBytes: number, storedBytes: number) => void;
