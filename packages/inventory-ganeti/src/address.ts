import { isAbsolute } from 'node:path';
import { InventoryError } from '@gantry/core/inventory';

/** What the address of a cluster says. */
export interface ClusterAddress {
  /** The master, or any name of it; undefined for the cluster of this node. */
  readonly host: string | undefined;
  readonly port: number;
  readonly user: string | undefined;
  /** Absolute paths of files. */
  readonly options: Readonly<Record<OptionName, string | undefined>>;
}

type OptionName = 'ca' | 'fingerprints' | 'credentials';

const OPTION_NAMES: readonly OptionName[] = ['ca', 'fingerprints', 'credentials'];

/** Port of RAPI, unless the cluster was set up with another one. */
const RAPI_PORT = 5080;

const HOST = /^([A-Za-z0-9]([A-Za-z0-9.-]{0,252})?|\[[0-9A-Fa-f:.]{2,45}\])$/;

/**
 * Reads `ganeti:` or `ganeti://[USER@]HOST[:PORT]`, with options such as `?ca=/etc/gantry/ganeti.pem`.
 *
 * @throws InventoryError `invalid-address`
 */
export function parseClusterAddress(url: URL): ClusterAddress {
  const { hostname, port, username, password, pathname, searchParams, hash } = url;
  const isLocal = hostname === '';
  if (password !== '') throw invalid('it has a password in it');
  if (!isLocal && !HOST.test(hostname)) throw invalid(`${JSON.stringify(hostname.slice(0, 100))} is not a host name`);
  if (pathname !== '' || hash !== '') throw invalid('something follows the host besides options');
  for (const name of searchParams.keys())
    if (!OPTION_NAMES.some((known) => known === name))
      throw invalid(`there is no option ${JSON.stringify(name.slice(0, 100))}; the options are ${OPTION_NAMES.join(', ')}`);
  return {
    host: isLocal ? undefined : hostname,
    port: port === '' ? RAPI_PORT : Number(port),
    user: username === '' ? undefined : decode(username),
    options: {
      ca: option(searchParams, 'ca'),
      fingerprints: option(searchParams, 'fingerprints'),
      credentials: option(searchParams, 'credentials'),
    },
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('a % in it is not followed by two hexadecimal digits of valid UTF-8');
  }
}

function option(parameters: URLSearchParams, name: OptionName): string | undefined {
  const values = parameters.getAll(name);
  const [value] = values;
  if (value === undefined) return undefined;
  if (values.length > 1) throw invalid(`the option ${name} is given twice`);
  if (!isAbsolute(value))
    throw invalid(`the option ${name} must be the absolute path of a file, not ${JSON.stringify(value.slice(0, 100))}`);
  return value;
}

function invalid(reason: string): InventoryError {
  return new InventoryError('invalid-address', {
    message: `the address of the cluster is not valid: ${reason}`,
    hint: 'Write ganeti:NAME on the master, or ganeti://MASTER/NAME.',
  });
}
