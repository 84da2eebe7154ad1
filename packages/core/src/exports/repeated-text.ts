import { createHash } from 'node:crypto';
import type { Digest } from '@gantry/transport';

/** Bytes that are compared at once. Of each piece a digest is kept. */
const PIECE_BYTES = 64 * 1024;

/**
 * A text that is made anew each time, since it may be too large to keep. It is made once for its digest; what is made later has no byte that
 * differs from that: one key encrypts the text each time.
 */
export class RepeatedText {
  readonly digest: Digest;
  readonly #what: string;
  readonly #render: () => Iterable<Uint8Array>;
  /** For each piece, of the text up to its end. */
  readonly #digests: readonly Buffer[];

  /**
   * @param what it is, for errors
   * @param render makes the text, each time the same
   */
  constructor(what: string, render: () => Iterable<Uint8Array>) {
    this.#what = what;
    this.#render = render;
    let size = 0;
    const digests: Buffer[] = [];
    for (const [piece, digest] of digestedPieces(render())) {
      size += piece.length;
      digests.push(digest);
    }
    this.#digests = digests;
    const whole = digests.at(-1) ?? createHash('sha256').digest();
    this.digest = { size, sha256: whole.toString('hex') };
  }

  /** The text, made again. A piece is valid until the next one is requested. @throws TypeError in place of the first piece that differs */
  *again(): Generator<Uint8Array, void, undefined> {
    let pieces = 0;
    for (const [piece, digest] of digestedPieces(this.#render())) {
      if (this.#digests[pieces]?.equals(digest) !== true) throw this.#differs();
      pieces += 1;
      yield piece;
    }
    if (pieces !== this.#digests.length) throw this.#differs();
  }

  #differs(): TypeError {
    return new TypeError(`${this.#what} was made twice, and differs`);
  }
}

/** The text in pieces of one size (the last one may have less), each with the digest of the text up to its end. */
function* digestedPieces(chunks: Iterable<Uint8Array>): Generator<readonly [piece: Uint8Array, digest: Buffer], void, undefined> {
  const hash = createHash('sha256');
  const memory = new Uint8Array(PIECE_BYTES);
  let filled = 0;
  const take = (): readonly [Uint8Array, Buffer] => {
    const piece = memory.subarray(0, filled);
    filled = 0;
    hash.update(piece);
    return [piece, hash.copy().digest()];
  };
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + PIECE_BYTES - filled);
      memory.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled === PIECE_BYTES) yield take();
    }
  }
  if (filled > 0) yield take();
}
