const LONGEST_NUMBER = 32;

/**
 * Reads what an export script writes to `EXP_SIZE_FD`: the size that it expects, in bytes, and a newline. Only the first line counts;
 * rubbish, nothing, or no end at all mean that the size is not known.
 */
export class ExpectedSize {
  #text = '';
  #done = false;
  #bytes: number | undefined;

  get bytes(): number | undefined {
    return this.#bytes;
  }

  write(bytes: Uint8Array): void {
    if (this.#done) return;
    this.#text += Buffer.from(bytes.subarray(0, LONGEST_NUMBER + 1)).toString('latin1');
    if (this.#text.includes('\n') || this.#text.length > LONGEST_NUMBER) this.end();
  }

  /** A number without its newline counts too, when nothing more can come. */
  end(): void {
    if (this.#done) return;
    this.#done = true;
    const [line = ''] = this.#text.split('\n', 1);
    const bytes = /^[ \t]*\d{1,16}[ \t\r]*$/.test(line) ? Number(line) : undefined;
    if (bytes !== undefined && Number.isSafeInteger(bytes)) this.#bytes = bytes;
  }
}
