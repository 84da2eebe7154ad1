import type { InventoryErrorCode } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import { ExecaError } from 'execa';

/** What libvirt and ssh write, from the particular to the general, and what it means here. Messages in the locale C. */
const MEANINGS: readonly (readonly [RegExp, InventoryErrorCode, string?])[] = [
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
  [
    /Failed to connect socket|Connection (refused|timed out|reset)|No route to host|Network is unreachable|End of file while reading|closed by remote/i,
    'unavailable',
    'Start libvirtd there, or look at its log: systemctl status libvirtd.',
  ],
  [/already exists|already defined/i, 'exists'],
  [/Domain not found|no domain with matching|failed to get domain/i, 'not-found'],
  [/no connection driver available|invalid (connection )?URI|failed to parse URI|unable to parse URI/i, 'invalid-address'],
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
  const [, code = 'failed', hint] = MEANINGS.find(([pattern]) => pattern.test(said)) ?? [];
  return new InventoryError(code, { message: `libvirt (${uri}): ${said === '' ? error.shortMessage : said}`, hint, cause: error });
}

/** What it said, in one line. */
function linesOf(stderr: unknown): string {
  const lines = typeof stderr === 'string' ? stderr.split('\n') : [];
  const said = lines.map((line) => line.replace(/^error: /, '').trim()).filter((line) => line !== '');
  return [...new Set(said)].join(': ').slice(0, 1000);
}
