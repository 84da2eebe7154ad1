import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { constants, open } from 'node:fs/promises';
import { errorText, InventoryError } from '@gantry/core/inventory';

/** A keyed digest, as Ganeti adds one to what two clusters tell each other. */
export interface Signature {
  /** HMAC-SHA1 of salt and text, in hexadecimal. */
  readonly digest: string;
  readonly salt: string;
}

/** Bytes; Ganeti's own secret has 40. */
const MAX_SECRET_BYTES = 4096;

/** Permissions that Ganeti's own file lacks: its group may read it. */
const TOO_OPEN = 0o027;

/**
 * The cluster domain secret, which all clusters that exchange instances share (`/var/lib/ganeti/cluster-domain-secret` on every master).
 * The secret itself cannot be had from it.
 */
export class DomainSecret {
  readonly #key: string;

  private constructor(key: string) {
    this.#key = key;
  }

  /** @throws InventoryError `denied`, `failed` where the file cannot be read, others may read it, or it holds something else */
  static async read(path: string): Promise<DomainSecret> {
    const lines = (await readPrivateFile(path)).split(/\r\n|\r|\n/).filter((line) => line !== '');
    const [key, second] = lines;
    if (key !== undefined && second === undefined) return new DomainSecret(key);
    throw unusable(path, key === undefined ? 'it is empty' : 'it has more than one line');
  }

  sign(text: string, salt: string = randomBytes(8).toString('hex')): Signature {
    return {
      digest: createHmac('sha1', this.#key)
        .update(salt + text)
        .digest('hex'),
      salt,
    };
  }

  verify(text: string, { digest, salt }: Signature): boolean {
    const expected = Buffer.from(this.sign(text, salt).digest);
    const given = Buffer.from(digest.toLowerCase());
    return expected.length === given.length && timingSafeEqual(expected, given);
  }
}

async function readPrivateFile(path: string): Promise<string> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) throw unusable(path, 'it is not a regular file');
    if ((stats.mode & TOO_OPEN) !== 0) {
      throw new InventoryError('denied', {
        message: `cannot use the cluster domain secret in ${path}: its mode is ${(stats.mode & 0o777).toString(8)}`,
        hint: `Let its owner alone read it: chmod 600 ${path}`,
      });
    }
    if (stats.size > MAX_SECRET_BYTES) throw unusable(path, `it has ${stats.size} bytes; at most ${MAX_SECRET_BYTES} are allowed`);
    return await file.readFile('utf8');
  } catch (cause) {
    if (cause instanceof InventoryError) throw cause;
    throw new InventoryError('denied', {
      message: `cannot read the cluster domain secret: ${errorText(cause)}`,
      hint: 'Copy /var/lib/ganeti/cluster-domain-secret of the master to a file that you alone can read.',
      cause,
    });
  }
}

function unusable(path: string, why: string): InventoryError {
  return new InventoryError('failed', {
    message: `cannot use the cluster domain secret in ${path}: ${why}`,
    hint: 'It must have one line, as /var/lib/ganeti/cluster-domain-secret has on the master.',
  });
}
