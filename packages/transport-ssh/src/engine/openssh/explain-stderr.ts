import type { StoreErrorCode } from '@gantry/transport';
import { PeerError } from '../peer-error.ts';
import { shownText } from '../shown-text.ts';

/** What `ssh` wrote, as far as it explains its end. */
interface Said {
  /** Without its debugging. */
  readonly text: string;
  /** The peer; or the host on the way that this is about, for which another `ssh` speaks. */
  readonly whom: string;
  /** `: ` and the type and fingerprint of the key that the host showed, or nothing. */
  readonly shownKey: string;
}

interface Explanation {
  readonly pattern: RegExp;
  readonly code: StoreErrorCode;
  readonly message: (match: RegExpExecArray, said: Said) => string;
  readonly hint: string | ((match: RegExpExecArray, said: Said) => string);
}

const COMPARE = "Compare the fingerprint with the peer's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub there)";
const LOOK = "Look at the network and at the log of the peer's sshd.";
const CHECK_NETWORK = 'Check the host, the network and firewalls.';
const CHECK_PORT = 'Check the port, and that sshd runs there.';

/** What OpenSSH's ssh writes to stderr (in English; it has no translations), the most telling first. */
const EXPLANATIONS: readonly Explanation[] = [
  {
    pattern: /REVOKED HOST KEY/,
    code: 'denied',
    message: (_, { whom, shownKey }) => `the host key of ${whom} is revoked${shownKey}`,
    hint: 'It is marked @revoked in a known_hosts file.',
  },
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED/,
    code: 'denied',
    message: (_, said) => `the host key of ${said.whom} has changed${said.shownKey}${oldKey(said.text)}`,
    hint: (_, { text }) =>
      `Somebody may be in between, or the peer was installed anew. ${COMPARE}; only then replace the old key in known_hosts${removal(text)}.`,
  },
  {
    pattern: /^Certificate invalid: (.*)$/m,
    code: 'denied',
    message: (match, { whom, shownKey }) => `the certificate of the host key of ${whom} is not valid: ${match[1]}${shownKey}`,
    hint: 'Have the authority sign the host key again (ssh-keygen -h -s), with the name that the address has.',
  },
  {
    pattern: /No \S+ host key is known for (\S+)|Host key verification failed/,
    code: 'denied',
    message: (match, { whom, shownKey }) => `the host key of ${match[1] ?? whom} is not known${shownKey}`,
    hint: `${COMPARE}, then add the key to known_hosts, or use ?hostKeys=accept-new.`,
  },
  {
    pattern: /Too many authentication failures/,
    code: 'denied',
    message: (_, { whom }) => `${whom} gave up after too many keys that it does not know`,
    hint: 'Name the key with ?identity=FILE: then no other key of the agent is offered.',
  },
  {
    pattern: /^.*Permission denied \(([^)]*)\)/m,
    code: 'denied',
    message: (match, { whom }) => `${whom} accepted no key (it would take: ${match[1]})`,
    hint: "Add the public key to the account's authorized_keys, load the key into the agent, or name it with ?identity=FILE; GANTRY_SSH_PASSPHRASE opens a key that is locked.",
  },
  {
    pattern: /Could not resolve hostname (\S+?): Temporary failure/,
    code: 'unavailable',
    message: (match) => `the name of the host ${match[1]} cannot be looked up now`,
    hint: 'Check the name server.',
  },
  {
    pattern: /Could not resolve hostname (\S+?):/,
    code: 'unavailable',
    message: (match) => `there is no host ${match[1]}`,
    hint: 'Check the name of the host.',
  },
  {
    pattern: /open failed: administratively prohibited/,
    code: 'denied',
    message: (_, { whom }) => `${whom} does not let connections through`,
    hint: 'Its sshd_config needs AllowTcpForwarding for that account.',
  },
  {
    pattern: /open failed: connect failed: (.*)/,
    code: 'unavailable',
    message: (match, { whom }) => `${whom} cannot reach the peer (${match[1]?.toLowerCase()})`,
    hint: 'Check the name and the port of the peer, as that host sees them.',
  },
  {
    pattern: /Connection refused/,
    code: 'unavailable',
    message: () => 'nothing listens on that port of the peer (connection refused)',
    hint: CHECK_PORT,
  },
  {
    pattern: /timed out during banner exchange|Connection to \S+ port \d+ timed out/,
    code: 'unavailable',
    message: (_, { whom }) => `${whom} takes connections, but did not answer in time`,
    hint: 'Look at the peer: its sshd hangs, or something else has the port. ?connectTimeout=SECONDS allows more.',
  },
  {
    pattern: /(Connection timed out|Operation timed out|No route to host|Network is unreachable)/,
    code: 'unavailable',
    message: (match) => `the peer cannot be reached (${match[1]?.toLowerCase()})`,
    hint: CHECK_NETWORK,
  },
  {
    pattern: /connect to (?:host|address) (\S+) port \d+: (.*)/,
    code: 'unavailable',
    message: (match) => `the peer cannot be reached (${match[2]?.toLowerCase()})`,
    hint: (match) =>
      match[1]?.toLowerCase().startsWith('fe80:') === true && !match[1].includes('%')
        ? 'A link-local address needs its interface: [fe80::1%eth0].'
        : CHECK_NETWORK,
  },
  {
    pattern: /Timeout, server \S+ not responding/,
    code: 'unavailable',
    message: () => 'the peer stopped answering keep-alive messages',
    hint: 'Look at the network and at the peer.',
  },
  {
    pattern: /no matching host key type found.*$/m,
    code: 'unsupported',
    message: (match, { whom }) => `${whom} has no host key of a kind that is allowed here: ${match[0]}`,
    hint: 'Give it a key of another kind (ssh-keygen -A there), or look at HostKeyAlgorithms in the ssh configuration here.',
  },
  {
    pattern: /^.*(Unable to negotiate with .*|no matching .* found.*)$/m,
    code: 'unsupported',
    message: (match) => `the two sides share no algorithm: ${match[1]}`,
    hint: "Update the peer's sshd, or look at the algorithms that the ssh configuration here allows.",
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
    hint: LOOK,
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
  const shownKey = /^debug1: Server host (?:key|certificate): (\S+ \S+)/m.exec(stderr)?.[1]?.replace(/,$/, '');
  const said = {
    text: withoutDebugging(stderr),
    whom: isJumpSpeaking(stderr) ? `${jumpOf(stderr)}, which is on the way to the peer,` : 'the peer',
    shownKey: shownKey === undefined ? '' : `: ${shownKey}`,
  };
  const early = explainEarlyEnd(stderr, said);
  if (early !== undefined) return early;
  for (const { pattern, code, message, hint } of EXPLANATIONS) {
    const match = pattern.exec(said.text);
    if (match !== null)
      return new PeerError(code, { message: message(match, said), hint: typeof hint === 'string' ? hint : hint(match, said) });
  }
  const last = said.text.split('\n').at(-1) ?? '';
  return new PeerError('unavailable', { message: `ssh ended the connection${last === '' ? '' : `: ${shownText(last)}`}` });
}

/** Whether a host would take a key, but none that it was shown. */
export function isRefusal(stderr: string): boolean {
  return /^.*Permission denied \(/m.test(withoutDebugging(stderr));
}

/** What the peer has not yet done, where time ran out. */
export function explainSlowness(stderr: string): string {
  const proxy = proxyCommandOf(stderr);
  if (stderr.includes('debug1: Server host key:')) return 'the peer did not finish the login';
  if (hasGreeted(stderr)) return 'the peer did not finish the key exchange';
  if (isJumpSpeaking(stderr)) return `the peer did not answer by way of ${jumpOf(stderr)}`;
  if (proxy !== undefined) return `the peer did not answer by way of the ProxyCommand ${shownText(proxy)}`;
  if (stderr.includes('debug1: Connection established')) return 'the peer takes connections, but did not answer';
  return 'the peer did not answer';
}

/** Whether the end came before the peer said anything: then it is the way there that failed, or what answers is another server. */
function explainEarlyEnd(stderr: string, { text }: Said): PeerError | undefined {
  if (!/^kex_exchange_identification: |^Connection (?:closed|reset) by /m.test(text) || hasGreeted(stderr)) return undefined;
  const proxy = proxyCommandOf(stderr);
  if (proxy !== undefined && jumpOf(stderr) === undefined) {
    const words = text.replaceAll(/^(?:kex_exchange_identification: |Connection (?:closed|reset) by ).*$/gm, '');
    return new PeerError('unavailable', {
      message: `the ProxyCommand ${shownText(proxy)} ended before the peer answered${words.trim() === '' ? '' : `: ${shownText(words)}`}`,
      hint: 'Run it by hand, or correct ProxyCommand in the ssh configuration.',
    });
  }
  const banner = /^debug1: kex_exchange_identification: banner line 0: (.*)$/m.exec(stderr)?.[1];
  if (banner === undefined) return undefined;
  return new PeerError('unsupported', {
    message: `what answers there is not an SSH server: it says ${shownText(banner)}`,
    hint: CHECK_PORT,
  });
}

function hasGreeted(stderr: string): boolean {
  return stderr.includes('debug1: Remote protocol version');
}

function proxyCommandOf(stderr: string): string | undefined {
  return /^debug1: Executing proxy command: exec (.*)$/m.exec(stderr)?.[1];
}

/** The last host of a `ProxyJump`. */
function jumpOf(stderr: string): string | undefined {
  return /^debug1: Setting implicit ProxyCommand from ProxyJump: .* (\S+)$/m.exec(stderr)?.[1];
}

/** A `ProxyJump` is another run of `ssh`, whose last words come out here; until it has let us through, the peer has said nothing. */
export function isJumpSpeaking(stderr: string): boolean {
  return jumpOf(stderr) !== undefined && !hasGreeted(stderr);
}

/** Where the key stands that the host had before. */
function oldKey(text: string): string {
  const at = /^Offending (\S+) key in (.*):(\d+)$/m.exec(text);
  return at === null ? '' : `; line ${at[3]} of ${at[2]} has another`;
}

function removal(text: string): string {
  const command = /^\s*(ssh-keygen -f .*)$/m.exec(text)?.[1];
  return command === undefined ? '' : ` (${command})`;
}
