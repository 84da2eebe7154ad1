import type { StoreErrorCode } from '@gantry/transport';
import { PeerError } from '../peer-error.ts';

interface Meaning {
  readonly code: StoreErrorCode;
  readonly message: string;
  readonly hint: string;
}

/** errno names of the connection, and what they tell. */
const SYSTEM: Readonly<Record<string, Meaning>> = {
  ECONNREFUSED: {
    code: 'unavailable',
    message: 'nothing listens on that port of the peer (connection refused)',
    hint: 'Check the port, and that sshd runs there.',
  },
  ENOTFOUND: { code: 'unavailable', message: 'there is no host of that name', hint: 'Check the name of the host.' },
  EAI_AGAIN: { code: 'unavailable', message: 'the name of the host cannot be looked up now', hint: 'Check the name server.' },
  ETIMEDOUT: unreachable('connection timed out'),
  EHOSTUNREACH: unreachable('no route to host'),
  ENETUNREACH: unreachable('network is unreachable'),
  ECONNRESET: cut(),
  EPIPE: cut(),
};

/** What an error of the ssh2 library, or of its socket, means. The library tells kinds apart by `level`, and the rest by text. */
export function explainClientError(error: unknown): PeerError {
  if (error instanceof PeerError) return error;
  const { code, level, message } = detailsOf(error);
  const meaning = SYSTEM[code];
  if (meaning !== undefined) return new PeerError(meaning.code, { ...meaning, cause: error });
  if (level === 'client-timeout' && message.includes('Keepalive'))
    return new PeerError('unavailable', {
      message: 'the peer stopped answering keep-alive messages',
      hint: 'Look at the network and at the peer.',
      cause: error,
    });
  if (level === 'client-timeout')
    return new PeerError('unavailable', {
      message: 'the peer did not finish the handshake in time',
      hint: 'Look at the peer; ?connectTimeout=SECONDS allows more.',
      cause: error,
    });
  if (level === 'handshake' && /no matching/i.test(message))
    return new PeerError('unsupported', {
      message: `the two sides share no algorithm: ${message}`,
      hint: "Update the peer's sshd.",
      cause: error,
    });
  if (/unable to start subsystem|unable to exec/i.test(message))
    return new PeerError('unsupported', {
      message: 'the peer refuses what was asked of it (SFTP, or a command)',
      hint: 'Its sshd_config needs a line "Subsystem sftp internal-sftp".',
      cause: error,
    });
  return new PeerError('unavailable', { message: `the connection failed: ${message}`, cause: error });
}

function detailsOf(error: unknown): { readonly code: string; readonly level: string; readonly message: string } {
  if (!(error instanceof Error)) return { code: '', level: '', message: String(error) };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const level = 'level' in error && typeof error.level === 'string' ? error.level : '';
  // Several addresses were tried, and each failed: the first tells as much as any.
  if (error instanceof AggregateError && error.message === '') return detailsOf(error.errors[0]);
  return { code, level, message: error.message };
}

function unreachable(why: string): Meaning {
  return { code: 'unavailable', message: `the peer cannot be reached (${why})`, hint: 'Check the host, the network and firewalls.' };
}

function cut(): Meaning {
  return { code: 'unavailable', message: 'the connection was cut', hint: "Look at the network and at the log of the peer's sshd." };
}
