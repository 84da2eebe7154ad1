import { MAX_RECIPIENTS } from '@gantry/age/light';
import { z } from 'zod';
import { CODEC_NAMES, isStoredPlain } from '../frames/codecs/registry.ts';
import { MAX_FRAME_BYTES } from '../frames/types.ts';
import { isNativeName, nativeListProblem } from '../instances/native-files.ts';
import type { Disk, Instance, Network, Nic, Parameters } from '../instances/model.ts';
import { isReferencePart } from './export-id.ts';
import { frameTablesBytes } from './frame-tables.ts';
import { isTag, MAX_NOTE_CHARACTERS, MAX_TAGS } from './labels.ts';
import { isDumpName, nativeObjectName, SEALED_SUFFIX } from './layout.ts';
import type { PackRecord } from './packs.ts';
import type { DumpRecord, Manifest, MapRecord, NativeRecord, SealedRecord } from './manifest.ts';
import { FRAME_CUTS } from './frame-cuts.ts';
import { MAX_MAP_BYTES, MAX_PACKS, packSchema } from './packs.ts';

const text = z.string();
const count = z.int().min(0);
const parameters: z.ZodType<Parameters> = z.record(text, text);
const time = z.iso.datetime({ error: 'is not a time in UTC such as 2026-11-23T08:15:00Z' });

const disk: z.ZodType<Disk> = z.object({
  path: text.exactOptional(),
  uri: text.exactOptional(),
  size: count.exactOptional(),
  access: z.enum(['rw', 'ro']),
  name: text.exactOptional(),
  uuid: text.exactOptional(),
  frontend_type: text.exactOptional(),
  backend_type: z.enum(['block', 'file:loop', 'file:blktap', 'file:blktap2']).exactOptional(),
});

const network: z.ZodType<Network> = z.object({
  name: text,
  uuid: text.exactOptional(),
  subnet: text.exactOptional(),
  gateway: text.exactOptional(),
  subnet6: text.exactOptional(),
  gateway6: text.exactOptional(),
  mac_prefix: text.exactOptional(),
  tags: z.array(text),
});

const nic: z.ZodType<Nic> = z.object({
  mac: text,
  ip: text.exactOptional(),
  mode: z.enum(['bridged', 'routed', 'openvswitch', 'ext']),
  link: text,
  vlan: text.exactOptional(),
  name: text.exactOptional(),
  uuid: text.exactOptional(),
  frontend_type: text.exactOptional(),
  network: network.exactOptional(),
});

export const instanceSchema: z.ZodType<Instance> = z.object({
  name: text.refine(isReferencePart, 'is not the name of an instance'),
  os: text,
  hypervisor: text,
  uuid: text.exactOptional(),
  primary_node: text,
  secondary_nodes: z.array(text),
  disk_template: text.exactOptional(),
  tags: z.array(text),
  disks: z.array(disk),
  nics: z.array(nic),
  osparams: parameters,
  osparams_private: parameters,
  beparams: parameters,
  hvparams: parameters,
});

export const osSchema: z.ZodType<Manifest['os']> = z.object({ name: text, variant: text.exactOptional(), apiVersion: count });

const CRC_BYTES = 4;
/** The versions of the manifest whose dumps are read by their frame maps. */
const LINEAGE_VERSION = 3;
const SEALED_VERSION = 4;
const sha256 = text.regex(/^[0-9a-f]{64}$/, 'is not a SHA-256 in lower-case hexadecimal');

const map: z.ZodType<MapRecord> = z.object({
  size: count.min(1).max(MAX_MAP_BYTES),
  sha256,
  cut: z.enum(FRAME_CUTS),
  packs: z.array(packSchema).max(MAX_PACKS),
});

const dump: z.ZodType<DumpRecord> = z.object({
  index: count.max(999),
  name: text.refine(isDumpName, 'is not a plain file name'),
  codec: z.enum(CODEC_NAMES),
  level: z.int().exactOptional(),
  frameSize: z.int().min(1).max(MAX_FRAME_BYTES),
  frames: count,
  plainBytes: count,
  storedBytes: count,
  sha256,
  frameCrc32: z.base64().exactOptional(),
  map: map.exactOptional(),
  diskSize: count.exactOptional(),
  expectedBytes: count.exactOptional(),
  messages: z.array(text),
  snapshot: text,
});

const native: z.ZodType<NativeRecord> = z.object({
  name: text.refine(isNativeName, 'is not the name of a native file'),
  secret: z.boolean(),
  size: count,
  sha256,
});

const sealed: z.ZodType<SealedRecord> = z.object({
  recipients: z.array(text.regex(/^age1[a-z0-9]{1,4000}$/, 'is not a recipient of age')).max(MAX_RECIPIENTS),
  part: z.object({ size: count.min(1), sha256 }),
});

/** What the numbers of a dump say against each other, if they do. */
function implausible(record: DumpRecord, { version, exportId, instance }: Pick<Manifest, 'version' | 'exportId' | 'instance'>) {
  const { map } = record;
  if (version === 1 && map !== undefined) return 'it has a frame map, which version 1 does not know';
  if (map !== undefined) {
    const isOwn = (pack: PackRecord): boolean => pack.exportId === exportId && pack.instance === instance.name;
    const own = map.packs.filter(isOwn);
    const [first] = own;
    const isSame =
      first?.name === record.name && first.codec === record.codec && first.size === record.storedBytes && first.sha256 === record.sha256;
    if (own.length > 1 || (record.storedBytes > 0 ? !isSame : first !== undefined)) return 'its frame map has another dump of this export';
  }
  if (version !== LINEAGE_VERSION && version !== SEALED_VERSION)
    return map !== undefined && map.packs.length > 1 ? 'its frame map refers to other exports' : sizesProblem(record);
  if (map === undefined) return 'it has no frame map';
  return record.frameCrc32 === undefined ? undefined : 'it has checksums of frames outside of its frame map';
}

/** What the numbers of a dump that is complete by itself say against each other. */
function sizesProblem(record: DumpRecord): string | undefined {
  const { codec, frames, frameSize, plainBytes, storedBytes, frameCrc32 } = record;
  const needed = Math.ceil(plainBytes / frameSize);
  if (frames !== needed && !(plainBytes === 0 && frames === 1)) {
    return `${plainBytes} plain bytes in frames of ${frameSize} make ${needed} frames, not ${frames}`;
  }
  if (!isStoredPlain(codec)) return undefined;
  if (storedBytes !== plainBytes) return `it is not compressed, but has ${plainBytes} plain and ${storedBytes} stored bytes`;
  if (frameCrc32 === undefined) return undefined;
  const checksums = Buffer.from(frameCrc32, 'base64').length / CRC_BYTES;
  return checksums === frames ? undefined : `it has ${frames} frames and ${checksums} checksums of frames`;
}

/** Without checksums, bytes of a dump that is not compressed would reach a script before anything could be found wrong with them. */
function frameTablesProblem({ version, frameTables, dumps }: Pick<Manifest, 'version' | 'frameTables' | 'dumps'>): string | undefined {
  if (version === 1) {
    const unchecked = dumps.find(({ codec, frameCrc32 }) => isStoredPlain(codec) && frameCrc32 === undefined);
    return unchecked && `${unchecked.name} is not compressed, and has no checksums of its frames (frameCrc32)`;
  }
  if (version === LINEAGE_VERSION || version === SEALED_VERSION)
    return frameTables === undefined ? undefined : 'is there, although there are frame maps';
  if (frameTables === undefined) return 'is missing';
  const size = frameTablesBytes(dumps.reduce((frames, dump) => frames + dump.frames, 0));
  return frameTables.size === size ? undefined : `has ${frameTables.size} bytes, and the frames of all dumps take ${size}`;
}

export const manifestSchema: z.ZodType<Manifest> = z
  .object({
    format: z.literal('gantry-export'),
    version: z.literal([1, 2, LINEAGE_VERSION, SEALED_VERSION]),
    tool: z.object({ name: text, version: text }),
    exportId: text.refine(isReferencePart, 'is not an export id'),
    started: time,
    ended: time,
    consolidated: time.exactOptional(),
    os: osSchema,
    instance: instanceSchema,
    frameTables: z.object({ size: count, sha256 }).exactOptional(),
    native: z.array(native).exactOptional(),
    tags: z.array(text.refine(isTag, 'is not a valid tag')).max(MAX_TAGS).exactOptional(),
    note: text.max(MAX_NOTE_CHARACTERS).exactOptional(),
    sinceFull: count.min(1).exactOptional(),
    sealed: sealed.exactOptional(),
    dumps: z.array(dump),
  })
  .superRefine((manifest, context) => {
    const { instance, dumps } = manifest;
    const { native = [] } = manifest;
    const nativeProblem = nativeListProblem(native);
    if (nativeProblem !== undefined) context.addIssue({ code: 'custom', path: ['native'], message: nativeProblem });
    const isSealed = manifest.version === SEALED_VERSION;
    if (isSealed !== (manifest.sealed !== undefined))
      context.addIssue({ code: 'custom', path: ['sealed'], message: isSealed ? 'is missing' : 'is there, in a version without it' });
    const names = new Set(native.map(({ name }) => nativeObjectName(name, manifest)));
    const indexes = new Set<number>();
    for (const [place, dump] of dumps.entries()) {
      const { name, index } = dump;
      const problem =
        name.endsWith(SEALED_SUFFIX) !== isSealed
          ? `${name} ${isSealed ? 'is not' : 'is'} the name of an encrypted file`
          : names.has(name)
            ? `the name ${name} is taken by another file`
            : indexes.has(index)
              ? `disk ${index} has another dump`
              : index >= instance.disks.length
                ? `the instance has no disk ${index}`
                : implausible(dump, manifest);
      if (problem !== undefined) context.addIssue({ code: 'custom', path: ['dumps', place], message: problem });
      names.add(name);
      indexes.add(index);
    }
    const tablesProblem = frameTablesProblem(manifest);
    if (tablesProblem !== undefined) context.addIssue({ code: 'custom', path: ['frameTables'], message: tablesProblem });
  });
