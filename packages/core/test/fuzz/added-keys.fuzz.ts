import { Identities, inArmor, Recipients } from '@gantry/age';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { assertPrefix } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { readAddedKeys } from '../../src/exports/added-keys.ts';

const KEY = 'AGE-SECRET-KEY-1ZLV0ZXTRXE42NUHAQX8W66Q4RND9WXS0FK70LDY8Z86RSNUFHLNQCAUXRT';
const PREFIX = 'web1/20261122T081500Z/';

/** The text of keys that were added to a sealed export: everybody who has our public key can have written it. */
const target: FuzzTarget = textTarget({
  seeds: () => [`# web1@20261122T081500Z\n${KEY}\n# web1@20261121T081500Z\n${KEY}\n`],
  words: ['# ', 'AGE-SECRET-KEY-1', 'web1@', '../', '@'],
  maxBytes: 1024,
  oneOf: 5,
  async run(text) {
    const identities = Identities.parse(KEY);
    const recipients = Recipients.of(await identities.recipients());
    const sealed = inArmor(await (await recipients.startFile()).encryptBytes(Buffer.from(text)));
    const memory = new Memory();
    memory.objects.set(`${PREFIX}keys-1.age`, { bytes: Buffer.from(sealed), modified: new Date(0) });
    const found = await readAddedKeys(new MemoryStore(memory), PREFIX, identities, {});
    for (const prefix of found.keys()) assertPrefix(prefix);
  },
});

export default target;
