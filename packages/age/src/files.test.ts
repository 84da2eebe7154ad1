import { randomBytes } from 'node:crypto';
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Identities, MAX_RECIPIENTS, Recipients } from './index.ts';
import { sealHere } from './seal-here.ts';
import { sealOnThread } from './seal-on-thread.ts';
import { chunksOf, collect, sourceOf } from './testing/files.ts';

const BLOCK = 65_536;

const identity = await generateX25519Identity();
const identities = Identities.parse(`# created: today\n${identity}\n`);
const recipients = Recipients.of(await identities.recipients());

async function seal(plain: Uint8Array, chunk = 100_000): Promise<Buffer> {
  const file = await recipients.startFile();
  const sealed = await collect(file.encrypt(chunksOf(plain, chunk)));
  expect(sealed.length).toBe(file.size(plain.length));
  return sealed;
}

describe('a file', () => {
  test.each([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1, 5 * BLOCK + 7])(
    'of %i bytes comes back, in chunks of any size',
    async (size) => {
      const plain = randomBytes(size);
      for (const chunk of [1000, BLOCK, BLOCK + 1, 3 * BLOCK]) {
        const sealed = await identities.open(sourceOf(await seal(plain, chunk), chunk + 3));
        expect(sealed.plainBytes).toBe(size);
        expect((await collect(sealed.read())).equals(plain)).toBe(true);
      }
    },
  );

  test('is the same by the thread and without it, in chunks of any size', async () => {
    const file = await recipients.startFile();
    const sizes = [0, 1, BLOCK, BLOCK + 1, 31 * BLOCK - 1, 31 * BLOCK, 31 * BLOCK + 1, 62 * BLOCK, 70 * BLOCK + 7];
    for (const size of sizes) {
      const plain = randomBytes(size);
      const onThread = await collect(file.encrypt(chunksOf(plain, 100_000), sealOnThread));
      expect(onThread.length).toBe(file.size(size));
      for (const chunk of [1000, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5, 100 * BLOCK])
        expect((await collect(file.encrypt(chunksOf(plain, chunk), sealHere))).equals(onThread), `${size} in ${chunk}`).toBe(true);
    }
  });

  test('any range of it can be read alone', async () => {
    const plain = randomBytes(5 * BLOCK + 7);
    const sealed = await identities.open(sourceOf(await seal(plain)));
    await fc.assert(
      fc.asyncProperty(fc.nat(plain.length), fc.nat(plain.length), async (a, b) => {
        const [from, to] = a < b ? [a, b] : [b, a];
        expect((await collect(sealed.read(from, to - from))).equals(plain.subarray(from, to))).toBe(true);
      }),
    );
  });

  test('is read by nobody else, and not after any bit of it changed', async () => {
    const file = await seal(randomBytes(2 * BLOCK + 10));
    const others = Identities.parse(await generateX25519Identity());
    await expect(others.open(sourceOf(file))).rejects.toMatchObject({ code: 'no-identity' });
    await fc.assert(
      fc.asyncProperty(fc.nat(file.length - 1), fc.nat(7), async (at, bit) => {
        const changed = Buffer.from(file);
        changed[at] = (changed[at] ?? 0) ^ (1 << bit);
        const reading = identities.open(sourceOf(changed)).then((sealed) => collect(sealed.read()));
        await expect(reading).rejects.toMatchObject({ code: expect.stringMatching(/^(?:damaged|no-identity)$/) });
      }),
    );
  });

  test('is read by each of its recipients, also post-quantum ones', async () => {
    const both = [await generateHybridIdentity(), await generateHybridIdentity()];
    const file = await Recipients.of(await Promise.all(both.map(identityToRecipient))).startFile();
    const sealed = await collect(file.encrypt(chunksOf(Buffer.from('hello'), 2)));
    for (const one of both) {
      expect((await collect((await Identities.parse(one).open(sourceOf(sealed))).read())).toString()).toBe('hello');
    }
  });
});

describe('recipients', () => {
  test('are at most 64, each counted once', async () => {
    const keys = await Promise.all(
      Array.from({ length: MAX_RECIPIENTS + 1 }, async () => identityToRecipient(await generateX25519Identity())),
    );
    expect(Recipients.of([...keys.slice(1), ...keys.slice(1)]).texts).toEqual(keys.slice(1));
    expect(() => Recipients.of(keys)).toThrow(expect.objectContaining({ code: 'invalid-recipient' }));
  });

  test('that are none are refused, and those that would weaken others', async () => {
    const [text = ''] = recipients.texts;
    for (const wrong of [[], ['age1x'], [text.toUpperCase()], [text.slice(0, -1)], ['ssh-ed25519 AAAA']]) {
      expect(() => Recipients.of(wrong)).toThrow(expect.objectContaining({ code: 'invalid-recipient' }));
    }
    const safe = await identityToRecipient(await generateHybridIdentity());
    expect(() => Recipients.of([text, safe])).toThrow(/post-quantum/);
  });

  test.each(['ssh-ed25519 AAAA host', 'ssh-rsa AAAA', 'ecdsa-sha2-nistp256 AAAA', 'sk-ssh-ed25519@openssh.com AAAA'])(
    'that are keys of SSH are refused, with what to use: %s',
    (key) => {
      for (const parse of [() => Recipients.of([key]), () => Recipients.parseFile(`# a host\n${key}\n`)])
        expect(parse).toThrow(
          expect.objectContaining({ code: 'invalid-recipient', message: expect.stringMatching(/is an SSH key, .*age-keygen/) }),
        );
    },
  );
});

test.each(['OPENSSH PRIVATE KEY', 'RSA PRIVATE KEY', 'PRIVATE KEY'])('a file with an SSH key (%s) is not one with identities', (kind) => {
  expect(() => Identities.parse(`-----BEGIN ${kind}-----\nb3BlbnNzaC1rZXk=\n-----END ${kind}-----\n`)).toThrow(
    expect.objectContaining({ code: 'invalid-identity', message: expect.stringMatching(/^it is an SSH key: .*age-keygen/) }),
  );
});

test('what is not an identity is named by its line, never by its text', () => {
  const misspelled = `${identity.slice(0, -1)}${identity.endsWith('Q') ? 'P' : 'Q'}`;
  expect(() => Identities.parse(`\n${misspelled}`)).toThrow(
    expect.objectContaining({ code: 'invalid-identity', message: expect.not.stringContaining('AGE-SECRET-KEY-1Q') }),
  );
  expect(() => Identities.parse('# nothing\n')).toThrow(expect.objectContaining({ code: 'invalid-identity' }));
});
