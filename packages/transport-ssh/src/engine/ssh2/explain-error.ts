import type { StoreErrorCode } from '@gantry/transport';
import { PeerError } from '../peer-error.ts';

/** A reason for not opening a channel (RFC 4254, section 5.1). */
const ADMINISTRATIVELY_PROHIBITED = 1;

interface Meaning {
  readonly code: StoreErrorCode;
  readonly message: string;
  readonly hint: string;
}

/** The meaning of errno names from the connection. */
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

/** Messages of the library, and of sshd when it disconnects. */
const TEXTS: readonly (readonly [pattern: RegExp, meaning: Meaning])[] = [
  [
    /Too many authentication failures/,
    {
      code: 'denied',
      message: 'the peer refused the login after too many unknown keys',
      hint: 'Give the key with ?identity=FILE: then no other key of the agent is offered.',
    },
  ],
  [
    /Invalid identification string/,
    { code: 'unsupported', message: 'another kind of server answers there, not SSH', hint: 'Check the port, and that sshd runs there.' },
  ],
  [
    /unable to start subsystem|unable to exec/i,
    {
      code: 'unsupported',
      message: 'the peer refuses to start SFTP or the command',
      hint: 'Its sshd_config needs a line "Subsystem sftp internal-sftp".',
    },
  ],
];

/** The meaning of an error of the ssh2 library or its socket. The library classifies errors by `level`, and otherwise only by text. */
export function explainClientError(error: unknown): PeerError {
  if (error instanceof PeerError) return error;
  const { code, level, message, hostname } = detailsOf(error);
  const meaning = SYSTEM[code] ?? ofName(code, hostname) ?? TEXTS.find(([pattern]) => pattern.test(message))?.[1];
  if (meaning !== undefined) return new PeerError(meaning.code, { ...meaning, cause: error });
  if (level === 'client-timeout' && message.includes('Keepalive'))
    return new PeerError('unavailable', {
      message: 'the peer stopped answering keep-alive messages',
      hint: 'Check the network and the peer.',
      cause: error,
    });
  if (level === 'handshake' && /no matching/i.test(message))
    return new PeerError('unsupported', {
      message: `the two sides have no algorithm in common: ${message}`,
      hint: "Update the peer's sshd, or use ?engine=openssh, which supports more algorithms.",
      cause: error,
    });
  return new PeerError('unavailable', { message: `the connection failed: ${message}`, cause: error });
}

/** Whether the handshake timed out, rather than keep-alive messages. */
export function isHandshakeTimeout(error: Error): boolean {
  const { level, message } = detailsOf(error);
  return level === 'client-timeout' && !message.includes('Keepalive');
}

/** The meaning of a jump host's error when it should connect to the next host. */
export function explainForwardError(error: Error): PeerError {
  if ('reason' in error && error.reason === ADMINISTRATIVELY_PROHIBITED)
    return new PeerError('denied', {
      message: 'the jump host does not allow forwarding',
      hint: 'Its sshd_config needs AllowTcpForwarding for that account.',
      cause: error,
    });
  return new PeerError('unavailable', {
    message: `the jump host cannot reach the peer (${error.message})`,
    hint: 'Check the name and port of the peer as seen from that host.',
    cause: error,
  });
}

function ofName(code: string, hostname: string): Meaning | undefined {
  if (code === 'ENOTFOUND') return { code: 'unavailable', message: `unknown host ${hostname}`, hint: 'Check the name of the host.' };
  if (code !== 'EAI_AGAIN') return undefined;
  return {
    code: 'unavailable',
    message: `cannot look up the host ${hostname}: the name server does not answer`,
    hint: 'Check the name server.',
  };
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
  // Several addresses were tried, and each failed: the first error is as good as any.
  if (error instanceof AggregateError && error.message === '') return detailsOf(error.errors[0]);
  const hostname = 'hostname' in error && typeof error.hostname === 'string' ? error.hostname : '';
  return { code, level, message: error.message, hostname };
}

function unreachable(why: string): Meaning {
  return { code: 'unavailable', message: `the peer cannot be reached (${why})`, hint: 'Check the host, the network and firewalls.' };
}

function cut(): Meaning {
  return { code: 'unavailable', message: 'the connection was cut', hint: "Check the network and the log of the peer's sshd." };
}
