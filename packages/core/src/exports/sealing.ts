import { createHash } from 'node:crypto';
import type { NewFile } from '@gantry/age';
import { generateHybridIdentity, generateX25519Identity, Identities, Recipients } from '@gantry/age';
import type { Digest } from '@gantry/transport';

/** Keeps the plain text of small encrypted objects on this machine, which cannot read them back from the store. */
export interface KeptTexts {
  /** Takes the text as it is written; `keep` is called with the digest of the object when that is in the store. Disposing it forgets it. */
  start(instance: string): Promise<KeptText>;
}

export interface KeptText extends AsyncDisposable {
  write(chunk: Uint8Array): Promise<void>;
  keep(object: Digest): Promise<void>;
}

/** How the files of one export are encrypted. */
export class Sealing {
  /** As the user named them; empty with a passphrase. */
  readonly recipients: readonly string[];
  /** The identity that reads all files of this export: see `SealedPart.exportKey`. */
  readonly exportKey: string | undefined;
  readonly kept: KeptTexts | undefined;
  readonly #all: Recipients;

  private constructor(recipients: Recipients, all: Recipients, exportKey: string | undefined, kept: KeptTexts | undefined) {
    this.recipients = recipients.texts;
    this.exportKey = exportKey;
    this.kept = kept;
    this.#all = all;
  }

  /** For a new export. @throws AgeError `invalid-recipient` */
  static async start(recipients: Recipients, kept?: KeptTexts): Promise<Sealing> {
    const { texts } = recipients;
    if (texts.length === 0) return new Sealing(recipients, recipients, undefined, kept);
    const isPostQuantum = texts.some((text) => /^age1(?:pq|tagpq)1/.test(text));
    const exportKey = await (isPostQuantum ? generateHybridIdentity() : generateX25519Identity());
    const own = await Identities.parse(exportKey).recipients();
    return new Sealing(recipients, Recipients.of([...texts, ...own]), exportKey, kept);
  }

  startFile(): Promise<NewFile> {
    return this.#all.startFile();
  }

  /** The encrypted form of a small object. */
  async seal(bytes: Uint8Array): Promise<Uint8Array> {
    const file = await this.startFile();
    return Buffer.concat(await Array.fromAsync(file.encrypt(once(bytes))));
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}

/** What went past, once it has ended. */
export class PassedBytes {
  readonly #hash = createHash('sha256');
  #size = 0;
  #digest: Digest | undefined;

  async *of(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of chunks) {
      this.#hash.update(chunk);
      this.#size += chunk.length;
      yield chunk;
    }
    this.#digest = { size: this.#size, sha256: this.#hash.digest('hex') };
  }

  /** @throws TypeError before the end */
  get digest(): Digest {
    if (this.#digest === undefined) throw new TypeError('the bytes have not all passed');
    return this.#digest;
  }
}
