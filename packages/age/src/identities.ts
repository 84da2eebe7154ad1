import { Decrypter, identityToRecipient } from 'age-encryption';
import { AgeError } from './errors.ts';
import { hasPassphrase, headerIn, MAX_HEADER_BYTES } from './header.ts';
import type { KeyLine } from './key-files.ts';
import { isAgeFile, keyLines, withoutArmor } from './key-files.ts';
import { NONCE_BYTES, payloadKey } from './payload.ts';
import { PassphraseIdentity } from './scrypt.ts';
import type { SealedSource } from './sealed-file.ts';
import { SealedFile } from './sealed-file.ts';
import { collect, sourceOf } from './whole-file.ts';

/** How a file with a private key of SSH begins: OpenSSH's own form, and those of PEM. */
const SSH_KEY = /^-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/;

/** Enough for most headers: one request reads them. */
const FIRST_READ_BYTES = 4096;

/** What files can be read with. Holds secrets: never printed. */
export class Identities {
  readonly #decrypter: Decrypter;
  readonly #texts: readonly string[];
  readonly #passphrases: readonly string[];

  private constructor(texts: readonly string[], passphrases: readonly string[]) {
    this.#texts = texts;
    this.#passphrases = passphrases;
    this.#decrypter = new Decrypter();
    for (const text of texts) this.#decrypter.addIdentity(text);
    for (const passphrase of passphrases) this.#decrypter.addIdentity(new PassphraseIdentity(passphrase));
  }

  /**
   * The identities of a file as `age-keygen` writes it: one in each line, empty lines and those that begin with `#` aside.
   *
   * @throws AgeError `invalid-identity`
   */
  static parse(text: string): Identities {
    const lines = keyLines(text);
    // docs/decisions/0189 says why it is refused.
    if (lines[0] !== undefined && SSH_KEY.test(lines[0].text))
      throw new AgeError('invalid-identity', 'it is an SSH key: Gantry opens exports by identities of age alone, such as age-keygen makes');
    for (const line of lines) checkIdentity(line);
    if (lines.length === 0) throw new AgeError('invalid-identity', 'it has no identity');
    return new Identities(
      lines.map((line) => line.text),
      [],
    );
  }

  /**
   * The identities of a file, which may itself be encrypted with a passphrase (`age -p`), in ASCII armor or not.
   *
   * @param askPassphrase called for an encrypted one
   * @throws AgeError `invalid-identity`, also for one that is encrypted to a recipient; `no-identity` for a wrong passphrase; `damaged`; what `askPassphrase` throws
   */
  static async parseFile(bytes: Uint8Array, askPassphrase: () => Promise<string>): Promise<Identities> {
    if (!isAgeFile(bytes)) return Identities.parse(Buffer.from(bytes).toString('utf8'));
    const file = withoutArmor(bytes);
    if (!hasPassphrase(file)) throw new AgeError('invalid-identity', 'it is encrypted to a recipient, and not with a passphrase');
    return Identities.parse((await Identities.passphrase(await askPassphrase()).openBytes(file)).toString('utf8'));
  }

  static passphrase(passphrase: string): Identities {
    return new Identities([], [passphrase]);
  }

  static all(identities: readonly Identities[]): Identities {
    return new Identities(
      identities.flatMap((each) => each.#texts),
      identities.flatMap((each) => each.#passphrases),
    );
  }

  /** The recipients that these identities belong to, in their order. */
  async recipients(): Promise<readonly string[]> {
    return await Promise.all(this.#texts.map((text) => identityToRecipient(text)));
  }

  /**
   * Opens a file: reads its header, and finds its key.
   *
   * @throws AgeError `no-identity`, `damaged`; what the source throws
   */
  async open(source: SealedSource): Promise<SealedFile> {
    let wanted = Math.min(FIRST_READ_BYTES, source.size);
    for (;;) {
      const bytes = await collect(source.read(0, wanted));
      const header = headerIn(bytes);
      if (header !== undefined && bytes.length >= header.length + NONCE_BYTES) {
        const fileKey = await this.#fileKey(header);
        const start = header.length + NONCE_BYTES;
        return new SealedFile(source, start, payloadKey(fileKey, bytes.subarray(header.length, start)));
      }
      if (wanted === source.size || wanted >= MAX_HEADER_BYTES)
        throw new AgeError('damaged', 'the header is cut off, damaged, or too long');
      wanted = Math.min(wanted * 8, source.size, MAX_HEADER_BYTES);
    }
  }

  /** The plain bytes of a small file that is in memory. @throws AgeError `no-identity`, `damaged` */
  async openBytes(file: Uint8Array): Promise<Buffer> {
    return await collect((await this.open(sourceOf(file))).read());
  }

  async #fileKey(header: Uint8Array): Promise<Uint8Array> {
    try {
      return await this.#decrypter.decryptHeader(header);
    } catch (error) {
      if (error instanceof AgeError) throw error;
      // The library has no classes of errors.
      const isOther = error instanceof Error && error.message.startsWith('no identity matched');
      throw isOther
        ? new AgeError('no-identity', 'it is encrypted to other recipients', { cause: error })
        : new AgeError('damaged', 'the header is damaged', { cause: error });
    }
  }
}

/** @throws AgeError `invalid-identity`, without the library's error: that may have the secret in it */
function checkIdentity({ number, text }: KeyLine): void {
  try {
    new Decrypter().addIdentity(text);
  } catch {
    throw new AgeError('invalid-identity', `line ${number} is not an identity of age (AGE-SECRET-KEY-1…, AGE-SECRET-KEY-PQ-1…)`);
  }
}
