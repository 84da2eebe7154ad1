import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import { expect, test } from 'vitest';
import { Sealing } from './sealing.ts';

/** More than is encrypted at once. */
const TEXT_BYTES = 5 * 1024 * 1024;
/** What is compared and encrypted at once, and what each adds. */
const PIECE_BYTES = 64 * 1024;
const TAG_BYTES = 16;
const MAX_HEADER_BYTES = 1024;

/** Stores maps of one disk; each text is made twice. */
async function storing(...texts: (readonly string[])[]): Promise<() => Promise<{ readonly bytes: number; readonly failure?: unknown }>> {
  const recipients = Recipients.of(await Identities.parse(await generateX25519Identity()).recipients());
  const sealing = await Sealing.start(recipients);
  const render = (): Iterable<Uint8Array> => (texts.shift() ?? expect.fail()).map((part) => Buffer.from(part));
  return async () => {
    let bytes = 0;
    try {
      await using map = await sealing.sealMap({ instance: 'web1', exportId: '20261123T081500Z', disk: 0 }, render);
      for await (const chunk of map.stored) bytes += chunk.length;
      return { bytes };
    } catch (failure) {
      return { bytes, failure };
    }
  };
}

test.each<[what: string, other: string, encrypted: number]>([
  ['other', 'b'.repeat(TEXT_BYTES), 0],
  ['other from a byte of the second block on', 'a'.repeat(PIECE_BYTES + 7) + 'b'.repeat(TEXT_BYTES - PIECE_BYTES - 7), 1],
  ['shorter', 'a'.repeat(PIECE_BYTES), 1],
  ['longer', 'a'.repeat(TEXT_BYTES + 1), TEXT_BYTES / PIECE_BYTES],
  ['empty', '', 0],
])('of a frame map that is not the same each time, nothing that differs is encrypted: %s', async (_what, other, encrypted) => {
  const text = ['a'.repeat(TEXT_BYTES)];
  const store = await storing(text, text, text, [other]);
  const whole = await store();
  expect(whole).toEqual({ bytes: expect.any(Number) });
  expect(whole.bytes).toBeGreaterThan(TEXT_BYTES);

  const { bytes, failure } = await store();
  expect(failure).toMatchObject({ message: 'the frame map of disk 0 was made twice, and differs' });
  expect(bytes).toBeLessThanOrEqual(MAX_HEADER_BYTES + encrypted * (PIECE_BYTES + TAG_BYTES));
});

test('a text that is cut into other pieces is the same, and one key never has two texts', async () => {
  const store = await storing(['one ', 'text'], ['', 'on', 'e text'], ['another'], ['another'], [], []);
  for (const _text of [1, 2, 3]) expect(await store()).toEqual({ bytes: expect.any(Number) });
});
