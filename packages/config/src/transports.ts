import type { Transport } from '@gantry/transport';
import type { PackageKind } from './load-package.ts';
import { loadPackage } from './load-package.ts';

/** Which package serves which scheme of stores and peers; a new one is a line here. */
const TRANSPORTS: PackageKind<Transport> = {
  kind: 'transport',
  own: {
    file: async () => (await import('@gantry/transport-file')).default,
    s3: async () => (await import('@gantry/transport-s3')).default,
    ssh: async () => (await import('@gantry/transport-ssh')).default,
  },
  notInstalled: 'STORE_ADDRESS',
};

/** @throws GantryError `STORE_ADDRESS` */
export async function loadTransport(url: URL): Promise<Transport> {
  return await loadPackage(url.protocol.slice(0, -1), TRANSPORTS);
}
