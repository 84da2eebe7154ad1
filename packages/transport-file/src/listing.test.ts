import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { isKeyPart } from '@gantry/transport';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FileStore } from './file-store.ts';

/** Few characters, around the slash in the order of bytes, so that names share prefixes and differ by one character. */
const part = fc.string({ unit: fc.constantFrom('a', 'b', '-', '.', '0', '_', '+'), minLength: 1, maxLength: 3 }).filter(isKeyPart);
const key = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));

/** A name cannot be a file and a directory. */
function without(keys: readonly string[]): readonly string[] {
  return [...new Set(keys)].filter((one) => !keys.some((other) => other.startsWith(`${one}/`)));
}

test('any keys are listed in the order of their bytes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(key, { maxLength: 25 }), async (keys) => {
      await using directory = await makeTemporaryDirectory();
      const there = without(keys);
      for (const name of there) {
        await mkdir(dirname(directory.file(name)), { recursive: true });
        await writeFile(directory.file(name), '');
      }
      const listed = await Array.fromAsync(new FileStore(directory.path).list(''));
      const sorted = there.map((name) => Buffer.from(name)).toSorted((a, b) => a.compare(b));
      expect(listed.map((info) => info.key)).toEqual(sorted.map(String));
    }),
    { numRuns: 60 },
  );
});
