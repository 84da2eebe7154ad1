import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal } from '@gantry/testkit';
import { AgeError, Identities, inArmor, Recipients, withoutArmor } from '../../src/index.ts';
import { isAgeFile } from '../../src/key-files.ts';

const KEY = 'AGE-SECRET-KEY-1ZLV0ZXTRXE42NUHAQX8W66Q4RND9WXS0FK70LDY8Z86RSNUFHLNQCAUXRT';
let identities: Identities | undefined;

/** A file that is encrypted, in ASCII armor or not: header, stanzas and payload. */
const target: FuzzTarget = {
  seeds: async () => {
    const recipients = Recipients.of(await Identities.parse(KEY).recipients());
    const file = await (await recipients.startFile()).encryptBytes(Buffer.from('what nobody is to read'));
    const other = Buffer.from(file.toString('latin1').replace('-> X25519', '-> ssh-ed25519 abcd'), 'latin1');
    return [file, inArmor(file), other];
  },
  words: [
    '-> X25519 ',
    '-> scrypt ',
    '\n--- ',
    'age-encryption.org/v1\n',
    '-----BEGIN AGE ENCRYPTED FILE-----',
    '-----END AGE ENCRYPTED FILE-----',
  ],
  async run(input) {
    identities ??= Identities.parse(KEY);
    try {
      const file = withoutArmor(input);
      const plain = await identities.openBytes(file);
      if (plain.length > file.length || !isAgeFile(input)) throw new Error(`${plain.length} plain bytes of ${file.length}`);
    } catch (error) {
      assertRefusal(error, (each) => each instanceof AgeError);
    }
  },
};

export default target;
