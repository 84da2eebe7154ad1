import { randomBytes } from 'node:crypto';
import { Encrypter } from 'age-encryption';
import { AgeError } from './errors.ts';
import { keyLines } from './key-files.ts';
import { MAX_RECIPIENTS } from './limits.ts';
import { NewFile } from './new-file.ts';
import { NONCE_BYTES, payloadKey, TAG_BYTES } from './payload.ts';
import { PassphraseRecipient } from './scrypt.ts';

/** Their identities are safe also from a quantum computer, so that one that is not beside them would undo it (C2SP age.md). */
const POST_QUANTUM = /^age1(?:pq|tagpq)1/;

/** Those who can read new files. */
export class Recipients {
  /** Public keys, such as `age1…`, each once; empty with a passphrase. */
  readonly texts: readonly string[];
  readonly #passphrase: string | undefined;

  private constructor(texts: readonly string[], passphrase?: string) {
    this.texts = texts;
    this.#passphrase = passphrase;
  }

  /**
   * Recipients of age: X25519 (`age1…`), post-quantum (`age1pq1…`), those of hardware keys (`age1tag1…`, `age1tagpq1…`).
   *
   * @throws AgeError `invalid-recipient`
   */
  static of(texts: readonly string[]): Recipients {
    const unique = [...new Set(texts.map((text) => text.trim()))];
    if (unique.length === 0) throw new AgeError('invalid-recipient', 'there is no recipient');
    if (unique.length > MAX_RECIPIENTS)
      throw new AgeError('invalid-recipient', `there are ${unique.length} recipients; at most ${MAX_RECIPIENTS} are possible`);
    const safe = unique.filter((text) => POST_QUANTUM.test(text)).length;
    if (safe > 0 && safe < unique.length)
      throw new AgeError('invalid-recipient', 'post-quantum recipients cannot be together with others: the others would make them useless');
    const recipients = new Recipients(unique);
    recipients.#encrypter();
    return recipients;
  }

  /**
   * The recipients of a file as `age -R` takes it: one in each line, empty lines and those that begin with `#` aside.
   *
   * @throws AgeError `invalid-recipient`, with the number of the line
   */
  static parseFile(text: string): readonly string[] {
    const lines = keyLines(text);
    for (const line of lines) addTo(new Encrypter(), line.text, `line ${line.number}`);
    if (lines.length === 0) throw new AgeError('invalid-recipient', 'it has no recipient');
    return lines.map((line) => line.text);
  }

  /** Whether what is beside them must be post-quantum too. */
  get isPostQuantum(): boolean {
    return this.texts.some((text) => POST_QUANTUM.test(text));
  }

  /** The same and one more, which does not count for the most that are possible. @throws AgeError `invalid-recipient` */
  plus(text: string): Recipients {
    const recipients = new Recipients([...this.texts, text]);
    recipients.#encrypter();
    return recipients;
  }

  /** Everybody who knows the passphrase. Deriving the key takes 256 MiB of memory and about a second (scrypt, 2^18) for each file. */
  static passphrase(passphrase: string): Recipients {
    return new Recipients([], passphrase);
  }

  /** A new file, with a key of its own. */
  async startFile(): Promise<NewFile> {
    const encrypter = this.#encrypter();
    let fileKey: Uint8Array | undefined;
    // The library makes headers only together with a payload, and keeps the key: this recipient, which adds nothing, is given it.
    const take = {
      wrapFileKey(key: Uint8Array) {
        fileKey = key;
        return [];
      },
    };
    encrypter.addRecipient(take);
    // As a stream: for bytes, the library makes a Response, for which Node loads all that it has for HTTP.
    const empty = Buffer.concat(await Array.fromAsync(await encrypter.encrypt(ReadableStream.from([new Uint8Array()]))));
    if (fileKey === undefined) throw new TypeError('the library made a header without its recipients');
    const header = empty.subarray(0, empty.length - NONCE_BYTES - TAG_BYTES);
    const nonce = randomBytes(NONCE_BYTES);
    return new NewFile(Buffer.concat([header, nonce]), payloadKey(fileKey, nonce));
  }

  #encrypter(): Encrypter {
    const encrypter = new Encrypter();
    if (this.#passphrase !== undefined) encrypter.addRecipient(new PassphraseRecipient(this.#passphrase));
    for (const text of this.texts) addTo(encrypter, text, JSON.stringify(text.slice(0, 100)));
    return encrypter;
  }
}

/** A public key as it is in `authorized_keys`, also one of a security token. docs/decisions/0189 says why it is refused. */
function isSshKey(text: string): boolean {
  return /^(?:sk-)?(?:ssh|ecdsa)-/.test(text);
}

/** @param what to call it in messages; not used for what is a secret @throws AgeError `invalid-recipient` */
function addTo(encrypter: Encrypter, text: string, what: string): void {
  if (/age-secret-key-/i.test(text))
    throw new AgeError('invalid-recipient', 'an identity, which is secret, was given instead of its recipient (age-keygen -y shows it)');
  if (isSshKey(text))
    throw new AgeError(
      'invalid-recipient',
      `${what} is an SSH key, to which Gantry does not encrypt: age-keygen makes an identity for this`,
    );
  try {
    encrypter.addRecipient(text);
  } catch (error) {
    throw new AgeError('invalid-recipient', `${what} is not a valid recipient of age`, { cause: error });
  }
}
