import { stringify } from 'yaml';
import type { Disk, Instance, Nic } from './model.ts';

export interface FormatInstanceOptions {
  /** Writes private OS parameters too. */
  readonly includePrivate: boolean;
}

/** An instance as an instance file (YAML) that `loadInstanceFile` reads as the same instance. Fields without a value are left out. */
export function formatInstanceFile(instance: Instance, { includePrivate }: FormatInstanceOptions): string {
  const { disks, nics, osparams_private: secrets, ...fields } = instance;
  const document = {
    ...fields,
    disks: disks.map(formatDisk),
    nics: nics.map(formatNic),
    ...(includePrivate ? { osparams_private: secrets } : {}),
  };
  return stringify(withoutEmpty(document), { lineWidth: 0, aliasDuplicateObjects: false, version: '1.2' });
}

/** The default is not written out. */
function formatDisk({ access, ...fields }: Disk): object {
  return access === 'rw' ? fields : { ...fields, access };
}

function formatNic({ network, ...fields }: Nic): object {
  return network === undefined ? fields : { ...fields, network: withoutEmpty(network) };
}

/** Without lists and groups that have nothing in them: an instance has many that it does not use. */
function withoutEmpty(document: object): object {
  const isEmpty = (value: unknown): boolean => typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  return Object.fromEntries(Object.entries(document).filter(([, value]) => !isEmpty(value)));
}
