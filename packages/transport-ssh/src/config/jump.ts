import { PeerError } from '../engine/peer-error.ts';
import type { PeerQuestion } from './peer-settings.ts';

const JUMP =
  /^(?:ssh:\/\/)?(?:(?<user>[^@]+)@)?(?:\[(?<ipv6>[0-9A-Fa-f:.%]+)\]|(?<host>[A-Za-z0-9_][A-Za-z0-9_.-]*))(?::(?<port>\d{1,5}))?\/?$/;

/**
 * Parses one host of a ProxyJump line, `[user@]host[:port]` (ssh_config(5)).
 *
 * @throws PeerError `invalid-address`
 */
export function parseJump(text: string): Pick<PeerQuestion, 'host' | 'user' | 'port'> {
  const groups = JUMP.exec(text)?.groups;
  const host = groups?.['ipv6'] ?? groups?.['host'];
  if (host === undefined)
    throw new PeerError('invalid-address', {
      message: `${JSON.stringify(text)} is not a valid jump host`,
      hint: 'Correct ProxyJump in the ssh configuration.',
    });
  const port = groups?.['port'];
  return { host, user: groups?.['user'], port: port === undefined ? undefined : Number(port) };
}
