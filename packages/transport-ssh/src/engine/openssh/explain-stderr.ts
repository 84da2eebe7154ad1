import { PeerError } from '../peer-error.ts';
import type { StoreErrorCode } from '@gantry/transport';

interface Explanation {
  readonly pattern: RegExp;
  readonly code: StoreErrorCode;
  /** @param whom the peer, or the host on the way to it that this is about */
  readonly message: (match: RegExpExecArray, whom: string, shownKey: string) => string;
  readonly hint: string;
}

const COMPARE = "Compare the fingerprint with the peer's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub there)";

/** What OpenSSH's ssh writes to stderr (in English; it has no translations), the most telling first. */
const EXPLANATIONS: readonly Explanation[] = [
  {
    pattern: /REVOKED HOST KEY/,
    code: 'denied',
    message: (_, whom, key) => `the host key of ${whom} is revoked${key}`,
    hint: 'It is marked @revoked in a known_hosts file.',
  },
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED/,
    code: 'denied',
    message: (_, whom, key) => `the host key of ${whom} has changed${key}`,
    hint: `Somebody may be in between, or the peer was installed anew. ${COMPARE}; only then replace the old key in known_hosts.`,
  },
  {
    pattern: /No \S+ host key is known for (\S+)|Host key verification failed/,
    code: 'denied',
    message: (match, whom, key) => `the host key of ${match[1] ?? whom} is not known${key}`,
    hint: `${COMPARE}, then add the key to known_hosts, or use ?hostKeys=accept-new.`,
  },
  {
    pattern: /^.*Permission denied \(([^)]*)\)/m,
    code: 'denied',
    message: (match, whom) => `${whom} refused every key (it would take: ${match[1]})`,
    hint: "Add the public key to the account's authorized_keys, load the key into the agent, or name it with ?identity=FILE; GANTRY_SSH_PASSPHRASE opens a key that is locked.",
  },
  {
    pattern: /Too many authentication failures/,
    code: 'denied',
    message: (_, whom) => `${whom} gave up after too many keys that it does not know`,
    hint: 'Name the key with ?identity=FILE: then no other key of the agent is offered.',
  },
  {
    pattern: /Could not resolve hostname (\S+?):/,
    code: 'unavailable',
    message: (match) => `there is no host ${match[1]}`,
    hint: 'Check the name of the host.',
  },
  {
    pattern: /Connection refused/,
    code: 'unavailable',
    message: () => 'nothing listens on that port of the peer (connection refused)',
    hint: 'Check the port, and that sshd runs there.',
  },
  {
    pattern: /(Connection timed out|Operation timed out|No route to host|Network is unreachable)/,
    code: 'unavailable',
    message: (match) => `the peer cannot be reached (${match[1]})`,
    hint: 'Check the host, the network and firewalls.',
  },
  {
    pattern: /Timeout, server \S+ not responding/,
    code: 'unavailable',
    message: () => 'the peer stopped answering keep-alive messages',
    hint: 'Look at the network and at the peer.',
  },
  {
    pattern: /^.*(Unable to negotiate with .*|no matching .* found.*)$/m,
    code: 'unsupported',
    message: (match) => `the two sides share no algorithm: ${match[1]}`,
    hint: "Update the peer's sshd.",
  },
  {
    pattern: /subsystem request failed/,
    code: 'unsupported',
    message: () => 'the peer offers no SFTP',
    hint: 'Its sshd_config needs a line "Subsystem sftp internal-sftp".',
  },
  {
    pattern:
      /^.*(Bad owner or permissions on .*|Bad configuration option.*|.*terminating, \d+ bad configuration options|Can't open user config file.*)$/m,
    code: 'invalid-address',
    message: (match) => `ssh refuses its configuration: ${match[1]}`,
    hint: 'Correct the file; ?config=FILE names another.',
  },
  {
    pattern: /(kex_exchange_identification|Connection reset|Connection closed|Broken pipe|client_loop: send disconnect|banner exchange)/,
    code: 'unavailable',
    message: () => 'the connection was cut',
    hint: "Look at the network and at the log of the peer's sshd.",
  },
];

/** What was written to stderr, less what ssh tells only because it was asked to (`LogLevel=DEBUG1`). */
export function withoutDebugging(stderr: string): string {
  return stderr
    .split(/\r?\n/)
    .filter((line) => line !== '' && !/^debug\d: |^OpenSSH_|^Authenticated to |^Transferred: |^Bytes per second/.test(line))
    .join('\n');
}

/** What the last words of `ssh` mean. Lines of its debugging are not shown, but for the key that the host has shown. */
export function explainStderr(stderr: string): PeerError {
  const said = withoutDebugging(stderr);
  const shownKey = /^debug1: Server host key: (\S+ \S+)/m.exec(stderr)?.[1];
  for (const { pattern, code, message, hint } of EXPLANATIONS) {
    const match = pattern.exec(said);
    if (match !== null)
      return new PeerError(code, { message: message(match, whom(stderr), shownKey === undefined ? '' : `: ${shownKey}`), hint });
  }
  const last = said.split('\n').at(-1) ?? '';
  return new PeerError('unavailable', { message: `ssh ended the connection${last === '' ? '' : `: ${last.slice(0, 300)}`}` });
}

/** A `ProxyJump` is another run of `ssh`, whose last words come out here; until it has let us through, the peer has said nothing. */
function whom(stderr: string): string {
  const jump = /^debug1: (?:Executing proxy command: |Setting implicit ProxyCommand from ProxyJump: ).* (\S+)$/m.exec(stderr)?.[1];
  return jump === undefined || stderr.includes('debug1: Remote protocol version')
    ? 'the peer'
    : `${jump}, which is on the way to the peer,`;
}
