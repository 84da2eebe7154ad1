import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { AgeError, Identities, Recipients } from '../../src/index.ts';

const KEY = 'AGE-SECRET-KEY-1ZLV0ZXTRXE42NUHAQX8W66Q4RND9WXS0FK70LDY8Z86RSNUFHLNQCAUXRT';
const SECRET = /AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{20}/i;

/** Files of identities and of recipients, and recipients as an option has them. */
const target: FuzzTarget = textTarget({
  seeds: async () => {
    const [recipient = ''] = await Identities.parse(KEY).recipients();
    return [
      `# created\n# public key: ${recipient}\n${KEY}\n`,
      `${recipient}\n# a remark\n\n${recipient}\r\n`,
      `\uFEFF${recipient}`,
      'ssh-ed25519 AAAA x',
    ];
  },
  words: ['age1', 'age1pq1', 'age1tag1', 'AGE-SECRET-KEY-1', 'AGE-SECRET-KEY-PQ-1', 'ssh-rsa ', '# '],
  maxBytes: 1024,
  async run(text) {
    const works: readonly (() => unknown)[] = [
      () => Identities.parse(text),
      () => Identities.parseFile(Buffer.from(text), async () => 'passphrase'),
      () => Recipients.parseFile(text),
      () => Recipients.of([text]),
    ];
    for (const work of works) {
      try {
        await work();
      } catch (error) {
        assertRefusal(error, (each) => each instanceof AgeError);
        if (error instanceof Error && SECRET.test(error.message)) throw new Error('a secret in a message', { cause: error });
      }
    }
  },
});

export default target;
