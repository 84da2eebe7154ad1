import type { InventoryErrorCode } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import { ExecaError } from 'execa';

type Meaning = readonly [pattern: RegExp, code: InventoryErrorCode, hint?: string];

/** What libvirt and ssh write where there is no connection, in the locale C. Anything else means that it is unavailable. */
const NOT_CONNECTED: readonly Meaning[] = [
  [/Could not resolve hostname|Name or service not known/, 'source-not-found', 'Check the name of the host.'],
  [
    /Host key verification failed/,
    'denied',
    'Connect once with ssh as the same user, compare the key, and accept it; or put it in the file known_hosts.',
  ],
  [/Permission denied \(/, 'denied', 'Give the user who runs Gantry a key for that host that needs no passphrase.'],
  [
    /Permission denied|authentication (failed|unavailable)|access denied|Operation not permitted/i,
    'denied',
    'Run Gantry as root, or add its user to the group libvirt.',
  ],
  [/no connection driver available|invalid (connection )?URI|parse URI|unsupported transport|transport in URI/i, 'invalid-address'],
  [/./, 'unavailable', 'Start libvirtd there, or look at its log: systemctl status libvirtd.'],
];

/** What libvirt answers. */
const ANSWERS: readonly Meaning[] = [
  [/already exists|already defined/i, 'exists'],
  [/Domain not found|no domain with matching|failed to get domain/i, 'not-found'],
  [/access denied by policy|read only access/i, 'denied'],
  [/End of file while reading data|Disconnected from/i, 'unavailable', 'Look at its log: systemctl status libvirtd.'],
];

/** What a command of virsh failed with, as an inventory says it. */
export function asVirshFailure(error: unknown, { uri, timeoutMs }: { readonly uri: string; readonly timeoutMs: number }): InventoryError {
  if (!(error instanceof ExecaError)) throw error;
  if (error.code === 'ENOENT') {
    const hint = 'Install it: apt-get install libvirt-clients (Debian), dnf install libvirt-client (Fedora).';
    return new InventoryError('unavailable', { message: 'cannot run virsh: it is not installed', hint, cause: error });
  }
  if (error.timedOut) {
    const message = `libvirt (${uri}) did not answer within ${timeoutMs / 1000} s`;
    return new InventoryError('unavailable', { message, hint: 'Look at it: systemctl status libvirtd.', cause: error });
  }
  if (error.isMaxBuffer) return new InventoryError('failed', { message: 'virsh wrote more than Gantry reads', cause: error });
  const said = linesOf(error.stderr);
  const meanings = /failed to connect to the hypervisor/i.test(said) ? NOT_CONNECTED : ANSWERS;
  const [, code = 'failed', hint] = meanings.find(([pattern]) => pattern.test(said)) ?? [];
  return new InventoryError(code, { message: `libvirt (${uri}): ${said === '' ? error.shortMessage : said}`, hint, cause: error });
}

/** What it said, in one line. */
function linesOf(stderr: unknown): string {
  const lines = typeof stderr === 'string' ? stderr.split('\n') : [];
  const said = lines.map((line) => line.replace(/^error: /, '').trim()).filter((line) => line !== '');
  return [...new Set(said)].join(': ').slice(0, 1000);
}
