import { createHmac } from 'node:crypto';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import {
  fingerprint,
  judgeHostKey,
  keyTypeOf,
  knownHostName,
  knownKeyTypes,
  knownLine,
  parseKnownHosts,
} from '../../src/trust/known-hosts.ts';

function keyOf(type: string, content: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(type.length);
  return Buffer.concat([length, Buffer.from(type), Buffer.from(content)]);
}

const KEY = keyOf('ssh-ed25519', 'the key of the host');
const OTHER = keyOf('ssh-rsa', 'another key');
const NAME = knownHostName('Peer.example.com', 2222);
const salt = Buffer.alloc(20, 's');
const hashed = `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(NAME).digest('base64')}`;
const [line, other] = [`ssh-ed25519 ${KEY.toString('base64')}`, `ssh-rsa ${OTHER.toString('base64')}`];

/** The files that say which keys hosts have. A key that no line has is never known. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    `${NAME} ${line}\n*.example.com,!x ${other} remark\n# ${line}\n`,
    `${hashed} ${line}\n@revoked * ${other}\n@cert-authority *.example.com ${line}\n`,
    `peer.example.com,192.0.2.1 ${line}\r\n[peer.example.com]:2222 ${other}\n`,
  ],
  words: ['@revoked ', '@cert-authority ', '*', '?', '!', '|1|', NAME, line, ' ssh-ed25519 '],
  run(text) {
    const known = parseKnownHosts(text, '~/.ssh/known_hosts');
    for (const key of [KEY, OTHER]) {
      const verdict = judgeHostKey(known, NAME, key);
      const isThere = known.some((each) => each.key.equals(key));
      if ((verdict === 'known' || verdict === 'revoked') && !isThere) throw new Error(`${fingerprint(key)} is ${verdict}`);
      if (verdict === 'changed' && knownLine(known, NAME, key) === undefined) throw new Error('changed, and no line has another key');
    }
    for (const type of knownKeyTypes(known, NAME))
      if (!known.some(({ key }) => keyTypeOf(key) === type)) throw new Error(`no key of type ${type}`);
  },
});

export default target;
