import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import type { Identity, Recipient } from 'age-encryption';
import { Stanza } from 'age-encryption';
import { CIPHER } from './block-cipher.ts';
import { AgeError } from './errors.ts';
import { TAG_BYTES } from './payload.ts';

/*
 * Passphrases (C2SP age.md, "The scrypt recipient type"): by Node's scrypt, on one of its threads. That of the library takes some times as
 * long, on the main thread, for each file.
 */

/** As `age -p` has it: 256 MiB, and about a second. */
const NEW_WORK_FACTOR = 18;
/** A file with more would take minutes and gigabytes to be refused. */
const MAX_WORK_FACTOR = 20;

const LABEL = 'age-encryption.org/v1/scrypt';
const SALT_BYTES = 16;
const SEALED_KEY_BYTES = 32;
const KEY_BYTES = 32;
/** Each key is used once. */
const NONCE = Buffer.alloc(12);

const derive = promisify<string, Uint8Array, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(scrypt);

/** Everybody who knows the passphrase: alone in a header. */
export class PassphraseRecipient implements Recipient {
  readonly #passphrase: string;

  constructor(passphrase: string) {
    this.#passphrase = passphrase;
  }

  async wrapFileKey(fileKey: Uint8Array): Promise<Stanza[]> {
    const salt = randomBytes(SALT_BYTES);
    const cipher = createCipheriv(CIPHER, await keyOf(this.#passphrase, salt, NEW_WORK_FACTOR), NONCE, { authTagLength: TAG_BYTES });
    const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
    return [new Stanza(['scrypt', unpadded(salt), String(NEW_WORK_FACTOR)], body)];
  }
}

export class PassphraseIdentity implements Identity {
  readonly #passphrase: string;

  constructor(passphrase: string) {
    this.#passphrase = passphrase;
  }

  /** @throws AgeError `damaged` for a stanza of a passphrase that is not valid, not alone, or takes too long */
  async unwrapFileKey(stanzas: Stanza[]): Promise<Uint8Array | null> {
    const stanza = stanzas.find(({ args }) => args[0] === 'scrypt');
    if (stanza === undefined) return null;
    if (stanzas.length > 1) throw new AgeError('damaged', 'there is another recipient beside the passphrase');
    const { args, body } = stanza;
    const [, salt = '', factor = '', ...more] = args;
    const saltBytes = Buffer.from(salt, 'base64');
    const isValid = unpadded(saltBytes) === salt && saltBytes.length === SALT_BYTES && /^[1-9]\d?$/.test(factor);
    if (!isValid || more.length > 0 || body.length !== SEALED_KEY_BYTES)
      throw new AgeError('damaged', 'the recipient of a passphrase is not valid');
    if (Number(factor) > MAX_WORK_FACTOR)
      throw new AgeError('damaged', `deriving the key of the passphrase takes too long: work factor ${factor}, at most ${MAX_WORK_FACTOR}`);
    const key = await keyOf(this.#passphrase, saltBytes, Number(factor));
    const decipher = createDecipheriv(CIPHER, key, NONCE, { authTagLength: TAG_BYTES });
    decipher.setAuthTag(body.subarray(-TAG_BYTES));
    const fileKey = decipher.update(body.subarray(0, -TAG_BYTES));
    try {
      decipher.final();
      return fileKey;
    } catch {
      return null;
    }
  }
}

/** Derivations under way: each takes up to 1 GiB, so there is one at a time. */
let deriving: Promise<unknown> = Promise.resolve();

async function keyOf(passphrase: string, salt: Uint8Array, factor: number): Promise<Buffer> {
  const before = deriving;
  const derived = before.then(() => deriveKey(passphrase, salt, factor));
  deriving = derived.catch(() => undefined);
  return await derived;
}

async function deriveKey(passphrase: string, salt: Uint8Array, factor: number): Promise<Buffer> {
  const N = 2 ** factor;
  const r = 8;
  return await derive(passphrase, Buffer.concat([Buffer.from(LABEL), salt]), KEY_BYTES, { N, r, p: 1, maxmem: 128 * N * r + 1024 ** 2 });
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
