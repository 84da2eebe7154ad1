import { InventoryError } from '@gantry/core/inventory';

/** Where libvirt is spoken to. */
export interface Connection {
  /** As `virsh --connect` takes it. */
  readonly uri: string;
  /** Whether its guests run on this host, so that their files are here. */
  readonly isLocal: boolean;
}

const DEFAULT_URI = 'qemu:///system';
/** Options of libvirt's URIs that an address may have too (https://libvirt.org/uri.html). */
const SSH_OPTIONS: ReadonlySet<string> = new Set(['keyfile', 'proxy', 'socket']);
const HINT = 'Examples: libvirt:, libvirt:?connect=qemu:///session, libvirt+ssh://root@host.';

/**
 * The connection that an address of a source means.
 * @throws InventoryError `invalid-address`
 */
export function connectionOf(address: URL, env: Readonly<Record<string, string | undefined>>): Connection {
  if (address.password !== '') throw invalid('an address never has a password');
  return address.protocol === 'libvirt+ssh:' ? overSsh(address) : here(address, env);
}

function here(address: URL, env: Readonly<Record<string, string | undefined>>): Connection {
  if (address.host !== '') throw invalid(`libvirt: is the libvirt of this host; for another one write libvirt+ssh://${address.host}`);
  if (address.pathname.replaceAll('/', '') !== '') throw invalid(`${shown(address.pathname)} is not part of a source`);
  const { connect, ...others } = Object.fromEntries(address.searchParams);
  assertNoOther(others);
  const uri = connect ?? env['LIBVIRT_DEFAULT_URI'] ?? '';
  return checked(uri === '' ? DEFAULT_URI : uri);
}

function overSsh(address: URL): Connection {
  const { hostname, username, port, pathname, searchParams } = address;
  if (hostname === '') throw invalid('the host is missing');
  const path = pathname === '' || pathname === '/' ? '/system' : pathname;
  if (path !== '/system' && path !== '/session') throw invalid(`${shown(path)} is neither /system nor /session`);
  assertNoOther(Object.fromEntries([...searchParams].filter(([name]) => !SSH_OPTIONS.has(name))));
  const options = new URLSearchParams(searchParams);
  // Without a terminal nobody answers a question of ssh.
  options.set('no_tty', '1');
  const user = username === '' ? '' : `${username}@`;
  return checked(`qemu+ssh://${user}${hostname}${port === '' ? '' : `:${port}`}${path}?${options.toString()}`);
}

function assertNoOther(options: Readonly<Record<string, string>>): void {
  const [other] = Object.keys(options);
  if (other !== undefined) throw invalid(`${shown(other)} is not an option of such an address`);
}

function checked(uri: string): Connection {
  const problem = 'the connection URI of libvirt is not valid';
  if (!URL.canParse(uri)) throw invalid(problem);
  const { password, hostname, username } = new URL(uri);
  if (password !== '') throw invalid('the connection URI of libvirt must not have a password');
  // ssh would take such a name for an option. libvirt decodes %2D.
  if ([hostname, username].some((name) => decode(name).startsWith('-'))) throw invalid('neither host nor user may start with a dash');
  return { uri, isLocal: hostname === '' };
}

/** The start of a part of an address, for messages. */
function shown(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('a % in it is not followed by two hexadecimal digits of valid UTF-8');
  }
}

function invalid(message: string): InventoryError {
  return new InventoryError('invalid-address', { message, hint: HINT });
}
