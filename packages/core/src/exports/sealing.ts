import type { NewFile, Recipients } from '@gantry/age';
import type { Digest } from '@gantry/transport';
import type { EncodedDump } from '../frames/encode-dump.ts';
import { StreamDigest } from '../frames/stream-digest.ts';
import { loadAge } from './load-age.ts';
import { RepeatedText } from './repeated-text.ts';
import { digestBytes } from './small-object.ts';

/** Keeps the plain text of frame maps on this machine, which cannot read them back from the store. */
export interface KeptTexts {
  /** Takes a text as it is written. Disposing it forgets what is not kept by then. Never rejects: what is not kept costs a full export. */
  start(text: MapText): Promise<KeptText>;
}

/** A frame map, before it is encrypted. */
export interface MapText extends Digest {
  readonly instance: string;
  readonly exportId: string;
  readonly disk: number;
}

export interface KeptText extends AsyncDisposable {
  write(chunk: Uint8Array): Promise<void>;
  /** @param object the digest of the map as it is stored */
  keep(object: Digest): Promise<void>;
}

/** A frame map on its way into a store. Disposing it forgets what this machine has kept of it, unless `keep` was called. */
export interface SealedMap extends AsyncDisposable {
  /** Its stored bytes; can be iterated once. */
  readonly stored: AsyncIterable<Uint8Array>;
  /** To be called after `stored`, before the export becomes visible. @param object the digest of `stored` */
  keep(object: Digest): Promise<void>;
}

/**
 * How the files of one export are encrypted. Every store that gets the export gets the same bytes: dumps are encrypted once, before the
 * stores part; what each store writes by itself has the same key where it has the same text.
 */
export class Sealing {
  /** As the user named them; empty with a passphrase. */
  readonly recipients: readonly string[];
  /** The identity that reads all files of this export: see `SealedPart.exportKey`. */
  readonly exportKey: string | undefined;
  readonly #kept: KeptTexts | undefined;
  readonly #all: Recipients;
  /** By the name and the digest of the text: one key never encrypts two texts. */
  readonly #files = new Map<string, Promise<NewFile>>();

  private constructor(recipients: Recipients, all: Recipients, exportKey: string | undefined, kept: KeptTexts | undefined) {
    this.recipients = recipients.texts;
    this.exportKey = exportKey;
    this.#kept = kept;
    this.#all = all;
  }

  /** For a new export. @throws AgeError `invalid-recipient` */
  static async start(recipients: Recipients, kept?: KeptTexts): Promise<Sealing> {
    if (recipients.texts.length === 0) return new Sealing(recipients, recipients, undefined, kept);
    const { generateHybridIdentity, generateX25519Identity, Identities } = await loadAge();
    const exportKey = await (recipients.isPostQuantum ? generateHybridIdentity() : generateX25519Identity());
    const [own] = await Identities.parse(exportKey).recipients();
    return new Sealing(recipients, own === undefined ? recipients : recipients.plus(own), exportKey, kept);
  }

  /** The dump as it is stored; one without stored bytes has none either. Its frame map gives places before the encryption. */
  sealDump(dump: EncodedDump): EncodedDump {
    const passed = new PassedBytes();
    return {
      stored: passed.of(encryptUnlessEmpty(dump.stored, () => this.#all.startFile())),
      summary() {
        const { size: storedBytes, sha256 } = passed.digest;
        return { ...dump.summary(), storedBytes, sha256 };
      },
      // Its places would be those in a dump that is not there.
      table: () => undefined,
      map: () => dump.map(),
      failure: () => dump.failure?.(),
    };
  }

  /**
   * The encrypted form of a frame map, which is kept on this machine too.
   *
   * @param render makes its text, each time the same: what differs is refused before a byte of it is encrypted
   */
  async sealMap(owner: Omit<MapText, keyof Digest>, render: () => Iterable<Uint8Array>): Promise<SealedMap> {
    const repeated = new RepeatedText(`the frame map of disk ${owner.disk}`, render);
    const text = { ...owner, ...repeated.digest };
    const file = await this.#fileOf(`map ${owner.exportId} ${owner.disk}`, text);
    const kept = await this.#kept?.start(text);
    const plain = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      for (const piece of repeated.again()) {
        await kept?.write(piece);
        yield piece;
      }
    };
    return {
      stored: file.encrypt(plain()),
      keep: async (object) => await kept?.keep(object),
      [Symbol.asyncDispose]: async () => await kept?.[Symbol.asyncDispose](),
    };
  }

  /** The encrypted form of a small object. @param name of the object */
  async seal(name: string, bytes: Uint8Array): Promise<Uint8Array> {
    const file = await this.#fileOf(`object ${name}`, digestBytes(bytes));
    return await file.encryptBytes(bytes);
  }

  #fileOf(name: string, { sha256 }: Digest): Promise<NewFile> {
    const key = `${name} ${sha256}`;
    const file = this.#files.get(key) ?? this.#all.startFile();
    this.#files.set(key, file);
    return file;
  }
}

/** Nothing, of nothing: a pack without frames has no object. */
async function* encryptUnlessEmpty(
  plain: AsyncIterable<Uint8Array>,
  startFile: () => Promise<NewFile>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = asyncOf(plain);
  try {
    const first = await chunks.next();
    if (first.done !== true) yield* (await startFile()).encrypt(startingWith(first.value, chunks));
  } finally {
    await chunks.return();
  }
}

/** The rest of a stream whose first chunk was taken. */
export async function* startingWith<T>(first: T, rest: AsyncGenerator<T, void, undefined>): AsyncGenerator<T, void, undefined> {
  yield first;
  yield* rest;
}

/** The same chunks as a stream. */
export async function* asyncOf<T>(chunks: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  yield* chunks;
}

/** What went past, once it has ended. */
export class PassedBytes {
  #digest: Digest | undefined;

  async *of(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    using digest = new StreamDigest();
    let size = 0;
    for await (const chunk of chunks) {
      const digested = digest.update(chunk);
      size += chunk.length;
      try {
        yield chunk;
      } finally {
        await digested;
      }
    }
    this.#digest = { size, sha256: await digest.hex() };
  }

  /** @throws TypeError before the end */
  get digest(): Digest {
    if (this.#digest === undefined) throw new TypeError('the bytes have not all passed');
    return this.#digest;
  }
}
