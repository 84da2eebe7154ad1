import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { CallOptions, Digest, Store } from '@gantry/transport';
import type { DumpRecord, Manifest } from '../src/exports/manifest.ts';
import type { DumpWriter, ExportHeader, StoreExportWriter } from '../src/exports/store-sink.ts';
import { STORE_MARKER_FILE } from '../src/exports/layout.ts';
import { storeSink } from '../src/exports/store-sink.ts';
import { encodeFrameTables } from '../src/exports/frame-tables.ts';
import { digestBytes } from '../src/exports/small-object.ts';
import type { CompleteDump } from '../src/frames/encode-dump.ts';
import { FrameTable } from '../src/frames/frame-table.ts';
import { FRAME_SIZE } from '../src/frames/types.ts';
import type { Instance } from '../src/instances/model.ts';

/** An instance with two disks and everything else that `config.ini` tells of. */
export const sampleInstance: Instance = {
  name: 'web1.example.com',
  os: 'debootstrap+default',
  hypervisor: 'kvm',
  primary_node: 'node1.example.com',
  secondary_nodes: [],
  disk_template: 'file',
  tags: ['web', 'prod'],
  disks: [
    { path: '/srv/disks/web1-0.img', size: 20480, access: 'rw', name: 'root', backend_type: 'file:loop' },
    { path: '/srv/disks/web1-1.img', size: 64, access: 'rw', backend_type: 'file:loop' },
  ],
  nics: [
    { mac: 'aa:00:00:35:4c:01', ip: '192.0.2.10', mode: 'bridged', link: 'br0', name: 'eth0', network: { name: 'lan', tags: [] } },
    { mac: 'aa:00:00:35:4c:02', mode: 'openvswitch', link: 'ovs0', vlan: '.100' },
  ],
  osparams: { filesystem: 'ext4' },
  osparams_private: {},
  beparams: { maxmem: '2048', minmem: '1024', vcpus: '2' },
  hvparams: { kernel_path: '' },
};

export const sampleHeader: ExportHeader = {
  instance: sampleInstance.name,
  started: '2026-11-23T08:15:00.000Z',
  runId: 'gantry-20261123T081500Z-4711',
  tool: { name: 'gantry', version: '0.1.0' },
};

export function sha256(bytes: string | Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export async function* chunksOf(...chunks: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
}

function crc32InBase64(content: string): string {
  const crc = Buffer.alloc(content === '' ? 0 : 4);
  if (content !== '') crc.writeUInt32BE(crc32(content));
  return crc.toString('base64');
}

/** What the manifest says of an uncompressed dump, of one frame. */
export function sampleRecord(index: number, content: string): DumpRecord {
  const bytes = Buffer.byteLength(content);
  return {
    index,
    name: `disk${index}.img`,
    codec: 'none',
    frameSize: FRAME_SIZE,
    frames: Math.ceil(bytes / FRAME_SIZE),
    plainBytes: bytes,
    storedBytes: bytes,
    sha256: sha256(content),
    frameCrc32: crc32InBase64(content),
    messages: ['dumping'],
    snapshot: 'none',
  };
}

/** What `frames.table` of an export of such dumps is: they have one frame or none. */
function sampleFrameTables(dumps: readonly DumpRecord[]): Digest {
  return digestBytes(encodeFrameTables(dumps.map((record) => sampleDump(record, chunksOf()).table())));
}

export function sampleManifest(exportId: string, dumps: readonly DumpRecord[], instance: Instance = sampleInstance): Manifest {
  return {
    format: 'gantry-export',
    version: 2,
    frameTables: sampleFrameTables(dumps),
    tool: sampleHeader.tool,
    exportId,
    started: sampleHeader.started,
    ended: '2026-11-23T08:16:00.000Z',
    os: { name: 'debootstrap', variant: 'default', apiVersion: 20 },
    instance,
    dumps,
  };
}

/** A dump that comes to what the record says, no matter which bytes it has. */
export function sampleDump(record: DumpRecord, stored: AsyncIterable<Uint8Array>): CompleteDump {
  const table = new FrameTable();
  const checksum = Buffer.from(record.frameCrc32 ?? '', 'base64');
  for (let frame = 0; frame < record.frames; frame += 1) {
    table.push({ storedBytes: record.storedBytes, isZeros: false, checksum: checksum.length === 0 ? 0 : checksum.readUInt32BE(0) });
  }
  return { stored, summary: () => record, table: () => table, map: () => undefined };
}

/** Resolves when the store has taken half of a dump, the rest of which never comes. */
export async function writeHalf(writer: DumpWriter): Promise<void> {
  const taken = Promise.withResolvers<void>();
  async function* half(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('half');
    taken.resolve();
    await new Promise(() => {});
  }
  writer.write(sampleDump(sampleRecord(1, 'half and half'), half())).catch(() => undefined);
  await taken.promise;
}

/** Writes one dump as an export does. */
export async function writeDump(writer: StoreExportWriter, index: number, content: string, options: CallOptions = {}): Promise<DumpRecord> {
  const record = sampleRecord(index, content);
  await using dump = await writer.dump(record.name, options);
  await dump.write(sampleDump(record, chunksOf(content)), options);
  return record;
}

/** Makes a whole export, a dump for each content, and says its reference. */
export async function writeExport(
  store: Store,
  contents: readonly string[] = ['first disk', 'second disk'],
  header: ExportHeader = sampleHeader,
): Promise<string> {
  await using writer = await storeSink(store, { createStore: true }).open(header);
  const dumps: DumpRecord[] = [];
  for (const [index, content] of contents.entries()) dumps.push(await writeDump(writer, index, content));
  const manifest = sampleManifest(writer.id, dumps, { ...sampleInstance, name: header.instance });
  await writer.commit({ ...manifest, started: header.started });
  return writer.reference;
}

/** Puts an object there as it is. */
export async function put(store: Store, key: string, content: string | Uint8Array): Promise<void> {
  await using pending = await store.begin(key, { ifExists: 'replace' });
  await pending.append(chunksOf(content));
  await pending.commit({ size: Buffer.byteLength(content), sha256: sha256(content) });
}

export async function get(store: Store, key: string): Promise<string> {
  return (await getBytes(store, key)).toString();
}

export async function getBytes(store: Store, key: string): Promise<Buffer> {
  await using source = await store.read(key);
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** Every object but the marker of the store. */
export async function keysOf(store: Store, prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) if (key !== STORE_MARKER_FILE) keys.push(key);
  return keys;
}
