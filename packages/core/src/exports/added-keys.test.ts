import { generateX25519Identity, Identities, inArmor, Recipients } from '@gantry/age';
import { MemoryStore } from '@gantry/transport/testing';
import { expect, test } from 'vitest';
import { put } from '../../test/sample-export.ts';
import { readAddedKeys, sealKeys } from './added-keys.ts';

const PREFIX = 'web1/20261122T081500Z/';

test.each(['w@1@', 'w@', '../x@1', 'w', '@'])(
  'a file of keys in which somebody wrote %j is read for the exports that it has',
  async (reference) => {
    const key = await generateX25519Identity();
    const identities = Identities.parse(key);
    const recipients = Recipients.of(await identities.recipients());
    const text = `# ${reference}\n${key}\n# web1@20261122T081500Z\n${key}\n`;
    const store = new MemoryStore();
    await put(store, `${PREFIX}keys-1.age`, inArmor(await (await recipients.startFile()).encryptBytes(Buffer.from(text))));
    expect([...(await readAddedKeys(store, PREFIX, identities, {})).keys()]).toEqual([PREFIX]);
  },
);

test('a file of keys is read as it was written', async () => {
  const key = await generateX25519Identity();
  const identities = Identities.parse(key);
  const store = new MemoryStore();
  const keys = [{ instance: 'web1', exportId: '20261121T081500Z', key }];
  await put(store, `${PREFIX}keys-1.age`, await sealKeys(keys, Recipients.of(await identities.recipients())));
  expect([...(await readAddedKeys(store, PREFIX, identities, {})).keys()]).toEqual(['web1/20261121T081500Z/']);
});
