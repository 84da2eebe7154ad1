import type { Algorithms, ServerHostKeyAlgorithm } from 'ssh2';

/** The allowed signature algorithms for each type of host key: none with SHA-1. */
const ALGORITHMS_BY_TYPE: readonly (readonly [type: string, algorithms: readonly ServerHostKeyAlgorithm[]])[] = [
  ['ssh-ed25519', ['ssh-ed25519']],
  ['ecdsa-sha2-nistp256', ['ecdsa-sha2-nistp256']],
  ['ecdsa-sha2-nistp384', ['ecdsa-sha2-nistp384']],
  ['ecdsa-sha2-nistp521', ['ecdsa-sha2-nistp521']],
  ['ssh-rsa', ['rsa-sha2-512', 'rsa-sha2-256']],
];

/**
 * The algorithms to offer to a peer: only modern ones, with the ciphers that processors support first. The types of the peer's known host
 * keys come first, or else a known host would look like an unknown one.
 */
export function algorithmsFor(knownTypes: ReadonlySet<string>): Algorithms {
  const byKnown = ALGORITHMS_BY_TYPE.toSorted(([a], [b]) => Number(knownTypes.has(b)) - Number(knownTypes.has(a)));
  return {
    kex: [
      'curve25519-sha256',
      'curve25519-sha256@libssh.org',
      'ecdh-sha2-nistp256',
      'ecdh-sha2-nistp384',
      'ecdh-sha2-nistp521',
      'diffie-hellman-group16-sha512',
      'diffie-hellman-group18-sha512',
      'diffie-hellman-group14-sha256',
    ],
    serverHostKey: byKnown.flatMap(([, algorithms]) => algorithms),
    cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes128-ctr', 'aes256-ctr'],
    hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
    compress: ['none'],
  };
}
