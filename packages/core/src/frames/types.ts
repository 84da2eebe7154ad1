import type { Codec } from './codecs/registry.ts';

/** Plain bytes in one frame: 4 MiB. Readers accept any frame size from a manifest up to {@link MAX_FRAME_SIZE}. */
export const FRAME_SIZE: number = 4 * 1024 * 1024;

/** The largest frame that a reader holds in memory, bytes. */
export const MAX_FRAME_SIZE: number = 64 * 1024 * 1024;

/** A run of zeros that needs no memory: what a disk's hole reads as. */
export interface Hole {
  /** Bytes. */
  readonly zeros: number;
}

/** A piece of a plain stream: bytes, or a run of zeros. The bytes belong to the taker until it asks for the next piece. */
export type PlainPiece = Uint8Array | Hole;

/** What a finished dump comes to. */
export interface DumpSummary {
  readonly codec: Codec;
  /** The codec's level; absent where it does not compress. */
  readonly level?: number;
  /** Plain bytes of every frame but the last. */
  readonly frameSize: number;
  readonly frames: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
  /** SHA-256 of the stored bytes, lower-case hexadecimal. */
  readonly sha256: string;
}

/** What a reader has to know of a dump that Gantry made, to check it frame by frame. A {@link DumpSummary} is one. */
export type FramedDump = Pick<DumpSummary, 'frameSize' | 'frames' | 'plainBytes' | 'storedBytes' | 'sha256'>;

/** Called now and then with how far a dump is. Bytes from the start. */
export type DumpProgress = (plainBytes: number, storedBytes: number) => void;
