import * as vectors from 'cctv-age';
import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { Identities } from './index.ts';
import { withoutArmor } from './key-files.ts';
import { sourceOf } from './testing/files.ts';

/*
 * The test vectors that age publishes (github.com/C2SP/CCTV, age/testdata): how each must be read, or why it must be refused.
 */

interface Vector {
  readonly fields: ReadonlyMap<string, readonly string[]>;
  readonly file: Uint8Array;
}

function parse(bytes: Uint8Array): Vector {
  const buffer = Buffer.from(bytes);
  const end = buffer.indexOf('\n\n');
  const fields = new Map<string, string[]>();
  for (const line of buffer.toString('utf8', 0, end).split('\n')) {
    const [name = '', ...value] = line.split(': ');
    fields.set(name, [...(fields.get(name) ?? []), value.join(': ')]);
  }
  const file = buffer.subarray(end + 2);
  return { fields, file: fields.has('compressed') ? inflateSync(file) : file };
}

function identitiesOf({ fields }: Vector): Identities {
  const passphrases = (fields.get('passphrase') ?? []).map((passphrase) => Identities.passphrase(passphrase));
  const keys = fields.get('identity');
  return Identities.all([...(keys === undefined ? [] : [Identities.parse(keys.join('\n'))]), ...passphrases]);
}

interface Outcome {
  /** All plain bytes that came out before the error. */
  readonly released: Buffer;
  readonly code: string | undefined;
}

async function outcomeOf(chunks: AsyncIterable<Uint8Array>): Promise<Outcome> {
  const released: Buffer[] = [];
  try {
    for await (const chunk of chunks) released.push(Buffer.from(chunk));
    return { released: Buffer.concat(released), code: undefined };
  } catch (error) {
    return { released: Buffer.concat(released), code: error instanceof Error && 'code' in error ? String(error.code) : String(error) };
  }
}

function unarmored({ fields, file }: Vector): Uint8Array {
  return fields.has('armored') ? withoutArmor(file) : file;
}

async function* ours(vector: Vector): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await identitiesOf(vector).open(sourceOf(unarmored(vector)));
  yield* file.read();
}

/** What Debian's age releases: it does not know the size of a file, so that it may find only later that it is cut. */
async function releasedByAge(vector: Vector): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-age-'));
  try {
    await writeFile(join(directory, 'key'), (vector.fields.get('identity') ?? []).join('\n'));
    await writeFile(join(directory, 'file'), unarmored(vector));
    const parameters = ['-d', '-i', join(directory, 'key'), join(directory, 'file')];
    return await new Promise((resolve) => {
      execFile('age', parameters, { encoding: 'buffer', maxBuffer: 10_000_000 }, (_error, stdout) => resolve(stdout));
    });
  } finally {
    await rm(directory, { recursive: true });
  }
}

const CODES = new Map([
  ['success', undefined],
  ['no match', 'no-identity'],
  ['HMAC failure', 'damaged'],
  ['header failure', 'damaged'],
  ['payload failure', 'damaged'],
  ['armor failure', 'damaged'],
]);

const all = Object.entries(vectors).filter(([, bytes]) => bytes instanceof Uint8Array);

describe('age’s published vectors', () => {
  test('are all there', () => expect(all.length).toBeGreaterThanOrEqual(140));

  test.each(all)('%s', async (_name, bytes) => {
    const vector = parse(bytes);
    const { released, code } = await outcomeOf(ours(vector));
    const [expected = ''] = vector.fields.get('expect') ?? [];
    expect(CODES.has(expected)).toBe(true);
    expect(code).toBe(CODES.get(expected));
    const [payload] = vector.fields.get('payload') ?? [];
    if (payload === undefined) expect(released.length).toBe(0);
    else if (hash('sha256', released) !== payload) {
      expect(code).toBe('damaged');
      const more = await releasedByAge(vector);
      expect(hash('sha256', more)).toBe(payload);
      expect(more.subarray(0, released.length).equals(released)).toBe(true);
    }
  });
});
