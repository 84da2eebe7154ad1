import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import { expect, test } from 'vitest';
import { Sealing } from './sealing.ts';

test('a frame map that is not the same each time it is made is not stored', async () => {
  const recipients = Recipients.of(await Identities.parse(await generateX25519Identity()).recipients());
  const sealing = await Sealing.start(recipients);
  const texts = ['one text', 'one text', 'one text', 'another!'];
  const render = (): Iterable<Uint8Array> => [Buffer.from(texts.shift() ?? expect.fail())];
  const store = async (): Promise<unknown> => {
    await using map = await sealing.sealMap({ instance: 'web1', exportId: '20261123T081500Z', disk: 0 }, render);
    return await Array.fromAsync(map.stored, (chunk) => Buffer.from(chunk));
  };
  expect(await store()).not.toEqual([]);
  await expect(store()).rejects.toThrow('the frame map of disk 0 was made twice, and differs');
});
