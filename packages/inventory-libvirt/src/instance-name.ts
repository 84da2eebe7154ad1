import { isHostName } from '@gantry/core/inventory';

/**
 * What Gantry calls a domain. libvirt allows nearly every character in names, Gantry those of host names, because exports are named by
 * them: `Windows 10` becomes `Windows-10-1b4e28ba`, with the first part of its UUID, so that no other domain is called like that.
 */
export function instanceName(name: string, uuid: string): string {
  if (isHostName(name)) return name;
  const words = name
    .replaceAll(/[^0-9A-Za-z]+/g, '-')
    .slice(0, 50)
    .replaceAll(/^-+|-+$/g, '');
  return words === '' ? uuid : `${words}-${uuid.slice(0, 8)}`;
}
