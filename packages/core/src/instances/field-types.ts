import { isIPv4, isIPv6 } from 'node:net';
import { isKeyPart, MAX_KEY_PART_LENGTH } from '@gantry/transport';
import { z } from 'zod';
import type { Text } from '../documents/text-types.ts';
import { checked, matching, showValue, text } from '../documents/text-types.ts';

/** More would not be a safe integer in bytes. */
const MAX_SIZE_MIB = Math.floor(Number.MAX_SAFE_INTEGER / 1024 ** 2);

/*
 * The patterns are also part of the JSON Schema, which has no flags.
 */
const UUID = /^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$/;
const MAC = /^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$/;
const MAC_PREFIX = /^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){2}$/;
/** RFC 1123, section 2.1: labels of letters, digits and inner dashes. */
const HOST_NAME = /^[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?(\.[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?)*$/;
/** As Ganeti accepts it: one untagged VLAN (`100` or `.100`), tagged ones (`:20:30`), or both (`.100:20`); empty for none. */
const VLAN = /^(\.?[0-9]+(:[0-9]+)*|(:[0-9]+)+)?$/;
const WORD = /^[0-9A-Za-z][0-9A-Za-z_.-]*$/;
const TAG = /^\S{1,128}$/;
const URI = /^[A-Za-z][0-9A-Za-z+.-]*:\S+$/;

/** Whether an instance file may have this as the name of an instance or a node. */
export function isHostName(value: string): boolean {
  return HOST_NAME.test(value) && isKeyPart(value);
}

export const hostName: Text = checked(
  `a host name of at most ${MAX_KEY_PART_LENGTH} characters (letters, digits and inner dashes, separated by dots)`,
  isHostName,
).meta({ pattern: HOST_NAME.source, maxLength: MAX_KEY_PART_LENGTH });
export const uuid: Text = matching('a UUID such as 7f0c0f6e-5f0a-4b8e-9d57-0c8a1f6f2b11', UUID);
export const mac: Text = matching('a MAC address such as aa:00:00:35:4c:01', MAC);
export const macPrefix: Text = matching('the first three bytes of a MAC address, such as aa:00:01', MAC_PREFIX);
export const vlan: Text = matching('a VLAN such as 100, .100, :20:30 or .100:20', VLAN);
export const word: Text = matching('a word of letters, digits and _.-', WORD);
export const tag: Text = matching('a tag of at most 128 characters without whitespace', TAG);
const uriWithoutKey = text('a URI such as rbd:pool/image').refine((value) => !hasRbdKey(value), {
  error: 'must not have the option key, which exports and messages would repeat: keep the key in a keyring',
  abort: true,
});
export const uri: Text = checked('a URI such as rbd:pool/image', (value) => URI.test(value), uriWithoutKey).meta({ pattern: URI.source });
export const ip: Text = checked('an IPv4 or IPv6 address', (value) => isIPv4(value) || isIPv6(value));
export const ipv4: Text = checked('an IPv4 address', isIPv4);
export const ipv6: Text = checked('an IPv6 address', isIPv6);
export const subnet4: Text = checked('an IPv4 network such as 192.0.2.0/24', (value) => isSubnet(value, isIPv4, 32));
export const subnet6: Text = checked('an IPv6 network such as 2001:db8::/64', (value) => isSubnet(value, isIPv6, 128));

/** Whether it gives the key of a Ceph user: an option of `rbd:POOL/IMAGE[:NAME=VALUE…]`, where a backslash may stand before any character. */
function hasRbdKey(value: string): boolean {
  if (!/^rbd:/i.test(value)) return false;
  return /:\s*key\s*=/i.test(value.replaceAll(/\\(.)/gs, '$1'));
}

function isSubnet(value: string, isAddress: (address: string) => boolean, bits: number): boolean {
  const [address = '', length = '', ...rest] = value.split('/');
  return rest.length === 0 && isAddress(address) && /^[0-9]{1,3}$/.test(length) && Number(length) <= bits;
}

const wrongSize = ({ input }: { readonly input?: unknown }): string =>
  `must be a whole number of MiB from 1 to ${MAX_SIZE_MIB}, not ${showValue(input)}`;

/** MiB. A number may come as text: the YAML reader returns every scalar as it was written. */
export const size: z.ZodType<number> = z.preprocess(
  (value) => (typeof value === 'string' && /^[0-9]{1,16}$/.test(value) ? Number(value) : value),
  z.int({ error: wrongSize }).min(1, { error: wrongSize }).max(MAX_SIZE_MIB, { error: wrongSize }),
);
