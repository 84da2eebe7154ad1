import type { StoreErrorCode } from '@gantry/transport';
import { PeerError } from '../peer-error.ts';
import { shownText } from '../shown-text.ts';

/** The output of `ssh` that explains its end. */
interface SshOutput {
  /** Its stderr without debug messages. */
  readonly text: string;
  /** The host that it is about: the peer, or a jump host, whose own `ssh` writes here. */
  readonly host: string;
  /** `: ` with the type and fingerprint of the host's key, or the empty string. */
  readonly shownKey: string;
}

interface Explanation {
  readonly pattern: RegExp;
  readonly code: StoreErrorCode;
  readonly message: (match: RegExpExecArray, output: SshOutput) => string;
  readonly hint: string | ((match: RegExpExecArray, output: SshOutput) => string);
}

const COMPARE = "Compare the fingerprint with the peer's own (run ssh-keygen -lf on /etc/ssh/ssh_host_*_key.pub there)";
const CHECK_LOG = "Check the network and the log of the peer's sshd.";
const CHECK_NETWORK = 'Check the host, the network and firewalls.';
const CHECK_PORT = 'Check the port, and that sshd runs there.';

/** What OpenSSH's ssh writes to stderr (always in English), the most specific first. */
const EXPLANATIONS: readonly Explanation[] = [
  {
    pattern: /REVOKED HOST KEY/,
    code: 'denied',
    message: (_, { host, shownKey }) => `the host key of ${host} is revoked${shownKey}`,
    hint: 'It is marked @revoked in a known_hosts file: do not trust the host, or remove that line if it is wrong.',
  },
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED/,
    code: 'denied',
    message: (_, { host, shownKey, text }) => `the host key of ${host} has changed${shownKey}${oldKey(text)}`,
    hint: (_, { text }) =>
      `An attacker may intercept the connection, or the peer was reinstalled. ${COMPARE}; only then replace the old key in known_hosts${removal(text)}.`,
  },
  {
    pattern: /^Certificate invalid: (.*)$/m,
    code: 'denied',
    message: (match, { host, shownKey }) => `the certificate of the host key of ${host} is not valid: ${match[1]}${shownKey}`,
    hint: 'Have the authority sign the host key again (ssh-keygen -h -s), with the name that the address has.',
  },
  {
    pattern: /No \S+ host key is known for (\S+)|Host key verification failed/,
    code: 'denied',
    message: (match, { host, shownKey }) => `the host key of ${match[1] ?? host} is unknown${shownKey}`,
    hint: `${COMPARE}, then add the key to known_hosts, or use ?hostKeys=accept-new.`,
  },
  {
    pattern: /Too many authentication failures/,
    code: 'denied',
    message: (_, { host }) => `${host} refused the login after too many unknown keys`,
    hint: 'Give the key with ?identity=FILE: then no other key of the agent is offered.',
  },
  {
    pattern: /^.*Permission denied \(([^)]*)\)/m,
    code: 'denied',
    message: (match, { host }) => `${host} accepted no key (it allows: ${match[1]})`,
    hint: "Add the public key to the account's authorized_keys, load the key into the agent, or give it with ?identity=FILE; GANTRY_SSH_PASSPHRASE opens a locked key.",
  },
  {
    pattern: /Could not resolve hostname (\S+?): Temporary failure/,
    code: 'unavailable',
    message: (match) => `cannot look up the host ${match[1]}: the name server does not answer`,
    hint: 'Check the name server.',
  },
  {
    pattern: /Could not resolve hostname (\S+?):/,
    code: 'unavailable',
    message: (match) => `unknown host ${match[1]}`,
    hint: 'Check the name of the host.',
  },
  {
    pattern: /open failed: administratively prohibited/,
    code: 'denied',
    message: (_, { host }) => `${host} does not allow forwarding`,
    hint: 'Its sshd_config needs AllowTcpForwarding for that account.',
  },
  {
    pattern: /open failed: connect failed: (.*)/,
    code: 'unavailable',
    message: (match, { host }) => `${host} cannot reach the peer (${match[1]?.toLowerCase()})`,
    hint: 'Check the name and port of the peer as seen from that host.',
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
    message: (_, { host }) => `${host} accepts connections, but did not answer in time`,
    hint: 'Check the peer: its sshd hangs, or another program uses the port. ?connectTimeout=SECONDS allows more time.',
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
    hint: 'Check the network and the peer.',
  },
  {
    pattern: /no matching host key type found.*$/m,
    code: 'unsupported',
    message: (match, { host }) => `${host} has no host key of an allowed type: ${match[0]}`,
    hint: 'Create a key of another type there (ssh-keygen -A), or check HostKeyAlgorithms in the ssh configuration here.',
  },
  {
    pattern: /^.*(Unable to negotiate with .*|no matching .* found.*)$/m,
    code: 'unsupported',
    message: (match) => `the two sides have no algorithm in common: ${match[1]}`,
    hint: "Update the peer's sshd, or check which algorithms the ssh configuration here allows.",
  },
  {
    pattern: /subsystem request failed/,
    code: 'unsupported',
    message: () => 'the peer does not offer SFTP',
    hint: 'Its sshd_config needs a line "Subsystem sftp internal-sftp".',
  },
  {
    pattern:
      /^(?:.*(Bad owner or permissions on .*|Bad configuration option.*|Can't open user config file.*)|(.*terminating, \d+ bad configuration options))$/m,
    code: 'invalid-address',
    message: (match) => `ssh refuses its configuration: ${match[1] ?? match[2]}`,
    hint: 'Correct the file, or give another with ?config=FILE.',
  },
  {
    pattern: /(kex_exchange_identification|Connection reset|Connection closed|Broken pipe|client_loop: send disconnect|banner exchange)/,
    code: 'unavailable',
    message: () => 'the connection was cut',
    hint: CHECK_LOG,
  },
];

/** The stderr without the messages that ssh writes only because of `LogLevel=DEBUG1`. */
export function withoutDebugging(stderr: string): string {
  return stderr
    .split(/\r?\n/)
    .filter((line) => line !== '' && !/^debug\d: |^OpenSSH_|^Authenticated to |^Transferred: |^Bytes per second/.test(line))
    .join('\n');
}

/** ssh reads that the other end is gone, or learns it while it greets, and then says so of the "banner exchange" (kex.c, OpenSSH 9.2). */
const EARLY_END =
  /^(?:kex_exchange_identification: |Connection (?:closed|reset) by |banner exchange: .*(?:Broken pipe|Connection reset by peer)).*$/m;

/** The meaning of what `ssh` wrote last. Its debug messages are not shown, except for the host's key. */
export function explainStderr(stderr: string): PeerError {
  const shownKey = /^debug1: Server host (?:key|certificate): (\S+ \S+)/m.exec(stderr)?.[1]?.replace(/,$/, '');
  const output: SshOutput = {
    text: withoutDebugging(stderr),
    host: isFromJumpHost(stderr) ? `the jump host ${jumpOf(stderr)}` : 'the peer',
    shownKey: shownKey === undefined ? '' : `: ${shownKey}`,
  };
  const early = explainEarlyEnd(stderr, output);
  if (early !== undefined) return early;
  for (const { pattern, code, message, hint } of EXPLANATIONS) {
    const match = pattern.exec(output.text);
    if (match !== null)
      return new PeerError(code, { message: message(match, output), hint: typeof hint === 'string' ? hint : hint(match, output) });
  }
  const last = output.text.split('\n').at(-1) ?? '';
  return new PeerError('unavailable', { message: `ssh ended the connection${last === '' ? '' : `: ${shownText(last)}`}` });
}

/** Whether a host refused every key that it was offered. */
export function isRefusal(stderr: string): boolean {
  return /^.*Permission denied \(/m.test(withoutDebugging(stderr));
}

/** What the peer had not done when the time was up. */
export function explainSlowness(stderr: string): string {
  const proxy = proxyCommandOf(stderr);
  if (stderr.includes('debug1: Server host key:')) return 'the peer did not finish the login';
  if (hasGreeted(stderr)) return 'the peer did not finish the key exchange';
  if (isFromJumpHost(stderr)) return `the peer did not answer through the jump host ${jumpOf(stderr)}`;
  if (proxy !== undefined) return `the peer did not answer through the ProxyCommand ${shownText(proxy)}`;
  if (stderr.includes('debug1: Connection established')) return 'the peer accepts connections, but did not answer';
  return 'the peer did not answer';
}

/** An end before the peer said anything: the ProxyCommand failed, or another kind of server answers. */
function explainEarlyEnd(stderr: string, { text }: SshOutput): PeerError | undefined {
  if (!EARLY_END.test(text) || hasGreeted(stderr)) return undefined;
  const proxy = proxyCommandOf(stderr);
  if (proxy !== undefined && jumpOf(stderr) === undefined) {
    const words = text.replaceAll(new RegExp(EARLY_END, 'gm'), '');
    return new PeerError('unavailable', {
      message: `the ProxyCommand ${shownText(proxy)} ended before the peer answered${words.trim() === '' ? '' : `: ${shownText(words)}`}`,
      hint: 'Run it by hand, or correct ProxyCommand in the ssh configuration.',
    });
  }
  const banner = /^debug1: kex_exchange_identification: banner line 0: (.*)$/m.exec(stderr)?.[1];
  if (banner === undefined) return undefined;
  return new PeerError('unsupported', {
    message: `another kind of server answers there, not SSH: it says ${shownText(banner)}`,
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

/** A `ProxyJump` runs another `ssh`, which writes to the same stderr; before it connects through, the peer cannot have said anything. */
export function isFromJumpHost(stderr: string): boolean {
  return jumpOf(stderr) !== undefined && !hasGreeted(stderr);
}

/** The position of the host's previous key. */
function oldKey(text: string): string {
  const at = /^Offending (\S+) key in (.*):(\d+)$/m.exec(text);
  return at === null ? '' : `; line ${at[3]} of ${at[2]} has another key`;
}

function removal(text: string): string {
  const command = /^\s*(ssh-keygen -f .*)$/m.exec(text)?.[1];
  return command === undefined ? '' : ` (${command})`;
}
