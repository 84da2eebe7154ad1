import type { StoreErrorCode } from '@gantry/transport';
import { PeerError } from '../peer-error.ts';

/** Why a channel was not opened (RFC 4254, section 5.1). */
const ADMINISTRATIVELY_PROHIBITED = 1;

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
  ETIMEDOUT: unreachable('connection timed out'),
  EHOSTUNREACH: unreachable('no route to host'),
  ENETUNREACH: unreachable('network is unreachable'),
  ECONNRESET: cut(),
  EPIPE: cut(),
};

/** Texts of the library, and of sshd where it takes its leave. */
const TEXTS: readonly (readonly [pattern: RegExp, meaning: Meaning])[] = [
  [
    /Too many authentication failures/,
    {
      code: 'denied',
      message: 'the peer gave up after too many keys that it does not know',
      hint: 'Name the key with ?identity=FILE: then no other key of the agent is offered.',
    },
  ],
  [
    /Invalid identification string/,
    { code: 'unsupported', message: 'what answers there is not an SSH server', hint: 'Check the port, and that sshd runs there.' },
  ],
  [
    /unable to start subsystem|unable to exec/i,
    {
      code: 'unsupported',
      message: 'the peer refuses what was asked of it (SFTP, or a command)',
      hint: 'Its sshd_config needs a line "Subsystem sftp internal-sftp".',
    },
  ],
];

/** What an error of the ssh2 library, or of its socket, means. The library tells kinds apart by `level`, and the rest by text. */
export function explainClientError(error: unknown): PeerError {
  if (error instanceof PeerError) return error;
  const { code, level, message, hostname } = detailsOf(error);
  const meaning = SYSTEM[code] ?? ofName(code, hostname) ?? TEXTS.find(([pattern]) => pattern.test(message))?.[1];
  if (meaning !== undefined) return new PeerError(meaning.code, { ...meaning, cause: error });
  if (level === 'client-timeout' && message.includes('Keepalive'))
    return new PeerError('unavailable', {
      message: 'the peer stopped answering keep-alive messages',
      hint: 'Look at the network and at the peer.',
      cause: error,
    });
  if (level === 'handshake' && /no matching/i.test(message))
    return new PeerError('unsupported', {
      message: `the two sides share no algorithm: ${message}`,
      hint: "Update the peer's sshd, or use ?engine=openssh, which knows more of them.",
      cause: error,
    });
  return new PeerError('unavailable', { message: `the connection failed: ${message}`, cause: error });
}

/** Whether the time of a handshake was over, rather than of keep-alive messages. */
export function isHandshakeTimeout(error: Error): boolean {
  const { level, message } = detailsOf(error);
  return level === 'client-timeout' && !message.includes('Keepalive');
}

/** What an error means of a host on the way that was to connect to the next one. */
export function explainForwardError(error: Error): PeerError {
  if ('reason' in error && error.reason === ADMINISTRATIVELY_PROHIBITED)
    return new PeerError('denied', {
      message: 'a host on the way does not let connections through',
      hint: 'Its sshd_config needs AllowTcpForwarding for that account.',
      cause: error,
    });
  return new PeerError('unavailable', {
    message: `a host on the way cannot reach the peer (${error.message})`,
    hint: 'Check the name and the port of the peer, as that host sees them.',
    cause: error,
  });
}

function ofName(code: string, hostname: string): Meaning | undefined {
  if (code === 'ENOTFOUND') return { code: 'unavailable', message: `there is no host ${hostname}`, hint: 'Check the name of the host.' };
  if (code !== 'EAI_AGAIN') return undefined;
  return { code: 'unavailable', message: `the name of the host ${hostname} cannot be looked up now`, hint: 'Check the name server.' };
}

interface ErrorDetails {
  readonly code: string;
  readonly level: string;
  readonly message: string;
  readonly hostname: string;
}

function detailsOf(error: unknown): ErrorDetails {
  if (!(error instanceof Error)) return { code: '', level: '', message: String(error), hostname: '' };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const level = 'level' in error && typeof error.level === 'string' ? error.level : '';
  // Several addresses were tried, and each failed: the first tells as much as any.
  if (error instanceof AggregateError && error.message === '') return detailsOf(error.errors[0]);
  const hostname = 'hostname' in error && typeof error.hostname === 'string' ? error.hostname : '';
  return { code, level, message: error.message, hostname };
}

function unreachable(why: string): Meaning {
  return { code: 'unavailable', message: `the peer cannot be reached (${why})`, hint: 'Check the host, the network and firewalls.' };
}

function cut(): Meaning {
  return { code: 'unavailable', message: 'the connection was cut', hint: "Look at the network and at the log of the peer's sshd." };
}
