import { z } from 'zod';
import { CODEC_NAMES, isStoredPlain } from '../frames/codecs/registry.ts';
import { MAX_FRAME_BYTES } from '../frames/types.ts';
import { isNativeName, nativeListProblem } from '../instances/native-files.ts';
import type { Disk, Instance, Network, Nic, Parameters } from '../instances/model.ts';
import { isReferencePart } from './export-id.ts';
import { frameTablesBytes } from './frame-tables.ts';
import { isDumpName, nativeObjectName } from './layout.ts';
import type { DumpRecord, Manifest, NativeRecord } from './manifest.ts';

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

const instance: z.ZodType<Instance> = z.object({
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

const CRC_BYTES = 4;
const sha256 = text.regex(/^[0-9a-f]{64}$/, 'is not a SHA-256 in lower-case hexadecimal');

const dump: z.ZodType<DumpRecord> = z
  .object({
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
    diskSize: count.exactOptional(),
    expectedBytes: count.exactOptional(),
    messages: z.array(text),
    snapshot: text,
  })
  .superRefine((record, context) => {
    const wrong = implausible(record);
    if (wrong !== undefined) context.addIssue({ code: 'custom', message: wrong });
  });

const native: z.ZodType<NativeRecord> = z.object({
  name: text.refine(isNativeName, 'is not the name of a native file'),
  secret: z.boolean(),
  size: count,
  sha256,
});

/** What the numbers of a dump say against each other, if they do. */
function implausible(record: DumpRecord): string | undefined {
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
  if (frameTables === undefined) return 'is missing';
  const size = frameTablesBytes(dumps.reduce((frames, dump) => frames + dump.frames, 0));
  return frameTables.size === size ? undefined : `has ${frameTables.size} bytes, and the frames of all dumps take ${size}`;
}

export const manifestSchema: z.ZodType<Manifest> = z
  .object({
    format: z.literal('gantry-export'),
    version: z.literal([1, 2]),
    tool: z.object({ name: text, version: text }),
    exportId: text.refine(isReferencePart, 'is not an export id'),
    started: time,
    ended: time,
    os: z.object({ name: text, variant: text.exactOptional(), apiVersion: count }),
    instance,
    frameTables: z.object({ size: count, sha256 }).exactOptional(),
    native: z.array(native).exactOptional(),
    dumps: z.array(dump),
  })
  .superRefine((manifest, context) => {
    const { instance, dumps } = manifest;
    const problem = frameTablesProblem(manifest);
    if (problem !== undefined) context.addIssue({ code: 'custom', path: ['frameTables'], message: problem });
    const { native = [] } = manifest;
    const nativeProblem = nativeListProblem(native);
    if (nativeProblem !== undefined) context.addIssue({ code: 'custom', path: ['native'], message: nativeProblem });
    const names = new Set(native.map(({ name }) => nativeObjectName(name)));
    const indexes = new Set<number>();
    for (const [place, { name, index }] of dumps.entries()) {
      const problem = names.has(name)
        ? `the name ${name} is taken by another file`
        : indexes.has(index)
          ? `disk ${index} has another dump`
          : index >= instance.disks.length
            ? `the instance has no disk ${index}`
            : undefined;
      if (problem !== undefined) context.addIssue({ code: 'custom', path: ['dumps', place], message: problem });
      names.add(name);
      indexes.add(index);
    }
  });
