import { z } from 'zod';
import { isParameterName } from './parameter-variables.ts';
import { expected, line, nonEmptyLine } from '../documents/text-types.ts';
import { hostName, ip, ipv4, ipv6, mac, macPrefix, size, subnet4, subnet6, tag, uri, uuid, vlan, word } from './field-types.ts';
import type { Instance, Parameters } from './model.ts';

/** An instance as described by its file: defaults filled in, paths as written. */
export type InstanceDocument = Omit<Instance, 'primary_node'> & { readonly primary_node?: string };

/** More of them must be a mistake: Ganeti accepts 16 disks and 8 NICs. */
const MAX_DEVICES = 256;
/** For tags, nodes, and parameters of one kind. Manifests and config.ini must have room for what an instance file may contain. */
const MAX_ENTRIES = 1000;

const list = <T>(item: z.ZodType<T>, what: string, max = MAX_ENTRIES): z.ZodArray<z.ZodType<T>> =>
  z.array(item, { error: expected(`a list of ${what}`) }).max(max, `must be at most ${max} ${what}`);

const tags = list(tag, 'tags').default([]);

/** Text is passed to scripts unchanged; numbers and booleans as JSON writes them. */
const parameterValue = z
  .union([z.string(), z.number(), z.boolean()], { error: expected('text, a number, or true or false') })
  .transform(String)
  .refine((value) => !value.includes('\0'), 'must not contain NUL characters');

const parameters = (description: string): z.ZodType<Parameters> =>
  z
    .record(
      z.string().refine(isParameterName, 'is not a valid parameter name: use letters, digits and _.-, and do not start with . or -'),
      parameterValue,
      { error: expected('a group of parameters') },
    )
    .refine((entries) => Object.keys(entries).length <= MAX_ENTRIES, `must be at most ${MAX_ENTRIES} parameters`)
    .default({})
    .meta({ description });

const diskSchema = z
  .strictObject(
    {
      path: nonEmptyLine
        .exactOptional()
        .meta({ description: 'Block device or regular file; relative paths are relative to the directory of this file' }),
      uri: uri.exactOptional().meta({ description: 'Userspace URI, instead of or in addition to the path' }),
      size: size.exactOptional().meta({ description: 'MiB; read from the device when absent' }),
      access: z
        .enum(['rw', 'ro'], { error: 'must be rw or ro' })
        .default('rw')
        .meta({ description: 'Passed to scripts; ro disks are never written' }),
      name: nonEmptyLine.exactOptional(),
      uuid: uuid.exactOptional(),
      frontend_type: word.exactOptional().meta({ description: 'As the instance sees it, such as virtio, scsi, ide, paravirtual, ioemu' }),
      backend_type: z
        .enum(['block', 'file:loop', 'file:blktap', 'file:blktap2'], { error: 'must be block, file:loop, file:blktap or file:blktap2' })
        .exactOptional()
        .meta({ description: 'block for a block device, file:loop for a file, when absent' }),
    },
    { error: expected('a group of fields (path, size, …)') },
  )
  .refine((disk) => disk.path !== undefined || disk.uri !== undefined, 'needs a path or a uri');

const networkSchema = z.strictObject(
  {
    name: nonEmptyLine,
    uuid: uuid.exactOptional(),
    subnet: subnet4.exactOptional(),
    gateway: ipv4.exactOptional(),
    subnet6: subnet6.exactOptional(),
    gateway6: ipv6.exactOptional(),
    mac_prefix: macPrefix.exactOptional(),
    tags,
  },
  { error: expected('a group of fields (name, subnet, …)') },
);

const nicSchema = z.strictObject(
  {
    mac,
    ip: ip.exactOptional(),
    mode: z.enum(['bridged', 'routed', 'openvswitch', 'ext'], { error: 'must be bridged, routed, openvswitch or ext' }).default('bridged'),
    link: line.default('').meta({ description: 'Bridge, interface or routing table' }),
    vlan: vlan.exactOptional(),
    name: nonEmptyLine.exactOptional(),
    uuid: uuid.exactOptional(),
    frontend_type: word.exactOptional(),
    network: networkSchema.exactOptional(),
  },
  { error: expected('a group of fields (mac, mode, link, …)') },
);

const instanceObject = z.strictObject(
  {
    name: hostName.meta({ description: "The instance's host name; exports are named by it" }),
    os: nonEmptyLine.meta({ description: 'OS definition: os or os+variant; raw is built in' }),
    hypervisor: word.meta({ description: 'Such as kvm, xen-pvm, xen-hvm' }),
    uuid: uuid.exactOptional(),
    primary_node: hostName.exactOptional().meta({ description: "This host's name when absent" }),
    secondary_nodes: list(hostName, 'host names').default([]),
    disk_template: word.exactOptional().meta({ description: 'Such as plain, drbd, file, sharedfile, rbd, blockdev, ext, diskless' }),
    tags,
    disks: list(diskSchema, 'disks', MAX_DEVICES).default([]),
    nics: list(nicSchema, 'NICs', MAX_DEVICES).default([]),
    osparams: parameters('OS parameters: scripts get OSP_<NAME>'),
    osparams_private: parameters('OS parameters that are never shown, logged or exported unless requested'),
    beparams: parameters('Backend parameters such as maxmem, minmem (MiB), vcpus: scripts get INSTANCE_BE_<name>'),
    hvparams: parameters('Hypervisor parameters: scripts get INSTANCE_HV_<name>'),
  },
  { error: 'is empty or not a group of fields (name: …, os: …, hypervisor: …)' },
);

/** The source of both validation and the JSON Schema of an instance file; the compiler checks it against the types. */
export const instanceSchema: z.ZodType<InstanceDocument> = instanceObject;

/** The valid fields of each place, used to suggest the one that was meant. Places are paths without indexes. */
export const KNOWN_FIELDS: ReadonlyMap<string, readonly string[]> = new Map([
  ['disks', Object.keys(diskSchema.shape)],
  ['nics', Object.keys(nicSchema.shape)],
  ['nics.network', Object.keys(networkSchema.shape)],
  ['', Object.keys(instanceObject.shape)],
]);
