const MAX_NUMBER_CHARACTERS = 32;

/**
 * Reads what an export script writes to `EXP_SIZE_FD`: the expected size in bytes and a newline. Only the first line counts; if it is
 * missing, endless or not a number, the size is unknown.
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
    this.#text += Buffer.from(bytes.subarray(0, MAX_NUMBER_CHARACTERS + 1)).toString('latin1');
    if (this.#text.includes('\n') || this.#text.length > MAX_NUMBER_CHARACTERS) this.end();
  }

  /** At the end of the file, a number without a newline counts too. */
  end(): void {
    if (this.#done) return;
    this.#done = true;
    const [line = ''] = this.#text.split('\n', 1);
    const bytes = /^[ \t]*\d{1,16}[ \t\r]*$/.test(line) ? Number(line) : undefined;
    if (bytes !== undefined && Number.isSafeInteger(bytes)) this.#bytes = bytes;
  }
}
