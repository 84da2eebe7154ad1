import { expect, test, vi } from 'vitest';
import { Identities, Recipients } from './index.ts';
import { sourceOf } from './testing/files.ts';

/** Stands for the derivation, which takes 256 MiB and a second each time: how many are under way is all that is asked here. */
const derivations = vi.hoisted(() => ({ now: 0, most: 0, all: 0 }));
vi.mock('node:crypto', async (importOriginal) => ({
  ...(await importOriginal<typeof import('node:crypto')>()),
  scrypt: (...[, , length, , done]: [unknown, unknown, number, unknown, (error: null, key: Buffer) => void]) => {
    derivations.now += 1;
    derivations.all += 1;
    derivations.most = Math.max(derivations.most, derivations.now);
    setImmediate(() => {
      derivations.now -= 1;
      done(null, Buffer.alloc(length));
    });
  },
}));

test('keys of passphrases are derived one at a time, however many files are opened at once', async () => {
  const files = await Promise.all(
    ['one', 'two', 'three'].map(async (passphrase) => {
      const file = await Recipients.passphrase(passphrase).startFile();
      return { passphrase, bytes: await file.encryptBytes(Buffer.from(passphrase)) };
    }),
  );
  const opened = files.map(async ({ passphrase, bytes }) => (await Identities.passphrase(passphrase).openBytes(bytes)).toString());
  expect(await Promise.all(opened)).toEqual(['one', 'two', 'three']);
  await Promise.all(files.map(({ bytes }) => Identities.passphrase('one').open(sourceOf(bytes))));
  expect(derivations).toEqual({ now: 0, most: 1, all: 9 });
});
