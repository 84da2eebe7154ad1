import { createHash } from 'node:crypto';
import type { Store } from '@gantry/transport';
import { thisProcess } from '@gantry/transport';
import { claimExport, readClaimText, removeClaim } from '../src/exports/claim.ts';
import { exportPrefix, formatExportReference, parseExportReference } from '../src/exports/export-id.ts';
import { renderFrameMap } from '../src/exports/frame-map-text.ts';
import { readFrameMap } from '../src/exports/frame-maps.ts';
import { MANIFEST_FILE, mapFileName } from '../src/exports/layout.ts';
import type { DumpRecord, Manifest } from '../src/exports/manifest.ts';
import { MAX_MANIFEST_BYTES, parseManifest, renderManifest } from '../src/exports/manifest.ts';
import { foreignPacks } from '../src/exports/pack-uses.ts';
import type { PackRecord } from '../src/exports/packs.ts';
import { digestBytes, readText, writeBytes, writeText } from '../src/exports/small-object.ts';
import { readUsablePacks } from '../src/exports/usable-packs.ts';
import { FrameMap } from '../src/frames/frame-map.ts';
import { sampleHeader, sampleInstance } from './sample-export.ts';

/*
 * Exports of a lineage by hand, with tiny frames that are not compressed: every disk is a list of frames, each a short text.
 */

const PACK = 'disk0.pack.img';
const CUT = 'place';

export interface LineageExport {
  readonly instance: string;
  readonly started: Date;
  /** The frames of the only disk; an empty text is a run of zeros. */
  readonly frames: readonly string[];
  /** `INSTANCE@EXPORT-ID` of a complete export. */
  readonly parent?: string | undefined;
  /** Called between the steps of an export. */
  readonly step?: ((step: 'read' | 'claimed' | 'looked' | 'packed') => Promise<void>) | undefined;
}

/** Makes an export that refers to the packs of its parent where they have its frames, as the exporter does. @returns its reference */
export async function writeLineageExport(store: Store, request: LineageExport): Promise<string> {
  const { instance, started, parent, step } = request;
  const old = parent === undefined ? undefined : await readLineageManifest(store, parent);
  const packs = old === undefined ? [] : packsOf(old);
  const places = old === undefined ? [] : await placesOf(store, old);
  await step?.('read');
  const owners = new Set(packs.map((pack) => formatExportReference(pack.instance, pack.exportId)));
  const claim = await claimExport(store, { ...sampleHeader, instance, started, parents: [...owners] }, {});
  const prefix = exportPrefix(instance, claim.id);
  const written: string[] = [];
  try {
    await step?.('claimed');
    const usable = await readUsablePacks(
      store,
      packs.map((pack) => pack.instance),
    );
    await step?.('looked');
    const known = new Map(places.filter(([, { pack }]) => usable.has(pack)));
    const { map, pack, used } = arrange(request.frames, known, { instance, exportId: claim.id });
    if (pack.length > 0) {
      written.push(PACK);
      await writeBytes(store, `${prefix}${PACK}`, pack);
    }
    await step?.('packed');
    const text = Buffer.concat([...renderFrameMap(map, { instance, exportId: claim.id, packs: used })]);
    written.push(mapFileName(0));
    await writeBytes(store, `${prefix}${mapFileName(0)}`, text);
    const dump = recordOf(map, pack, { ...digestBytes(text), cut: CUT, packs: used });
    const manifest = manifestOf({ instance, exportId: claim.id, started }, dump);
    if ((await readClaimText(store, prefix, {})) !== claim.text) throw new Error('the claim is gone');
    await writeText(store, `${prefix}${MANIFEST_FILE}`, renderManifest(manifest));
    await removeClaim(store, prefix, claim.text, {});
    return formatExportReference(instance, claim.id);
  } catch (error) {
    // As the sink does. A process that was killed cannot do it.
    await store.remove([...written, 'export.claim'].map((name) => `${prefix}${name}`));
    throw error;
  }
}

/** The text of a claim whose process has ended. */
export async function deadClaim(): Promise<string> {
  const process = { ...(await thisProcess()), startTime: 1 };
  return JSON.stringify({ format: 'gantry-claim', version: 1, ...sampleHeader, process });
}

/** The frames of a complete export's disk, as a reader gets them. @throws what reading throws */
export async function readLineageExport(store: Store, reference: string): Promise<readonly string[]> {
  const manifest = await readLineageManifest(store, reference);
  const [dump] = manifest.dumps;
  const map = dump === undefined ? undefined : await readFrameMap(store, manifest, dump);
  const frames: string[] = [];
  for (const entry of map ?? []) {
    if (entry.kind === 'zeros') {
      frames.push('');
      continue;
    }
    const pack = dump?.map?.packs[entry.place.pack];
    if (pack === undefined) throw new Error('no pack');
    await using source = await store.read(`${pack.instance}/${pack.exportId}/${pack.name}`, {
      offset: entry.place.offset,
      length: entry.place.storedBytes,
    });
    const bytes = Buffer.concat((await Array.fromAsync(source)).map((chunk) => Buffer.from(chunk)));
    if (!createHash('sha256').update(bytes).digest().equals(entry.sha256)) throw new Error('another frame');
    frames.push(bytes.toString());
  }
  return frames;
}

/** Bytes of a run of zeros. */
const ZEROS_BYTES = 8;

async function readLineageManifest(store: Store, reference: string): Promise<Manifest> {
  const { instance, id = '' } = parseExportReference(reference);
  return parseManifest(await readText(store, `${exportPrefix(instance, id)}${MANIFEST_FILE}`, MAX_MANIFEST_BYTES), reference);
}

function packsOf(manifest: Manifest): readonly PackRecord[] {
  const own = manifest.dumps.flatMap(({ map }) => map?.packs ?? []).filter((pack) => pack.exportId === manifest.exportId);
  return [...foreignPacks(manifest), ...own];
}

/** Where the frames of an export are, by their SHA-256. */
async function placesOf(store: Store, manifest: Manifest): Promise<readonly (readonly [string, Known])[]> {
  const [dump] = manifest.dumps;
  const map = dump && (await readFrameMap(store, manifest, dump));
  return [...(map ?? [])].flatMap((entry) => {
    const pack = entry.kind === 'zeros' ? undefined : dump?.map?.packs[entry.place.pack];
    if (entry.kind === 'zeros' || pack === undefined) return [];
    const { offset, storedBytes } = entry.place;
    return [[Buffer.from(entry.sha256).toString('hex'), { pack, offset, storedBytes }] as const];
  });
}

interface Known {
  readonly pack: PackRecord;
  readonly offset: number;
  readonly storedBytes: number;
}

function arrange(frames: readonly string[], known: ReadonlyMap<string, Known>, owner: Pick<PackRecord, 'instance' | 'exportId'>) {
  const map = new FrameMap();
  const used: PackRecord[] = [];
  const numberOf = (pack: PackRecord): number => {
    const found = used.findIndex(({ exportId, instance }) => exportId === pack.exportId && instance === pack.instance);
    return found === -1 ? used.push(pack) - 1 : found;
  };
  const fresh = frames.filter((frame) => frame !== '' && !known.has(digestBytes(Buffer.from(frame)).sha256));
  const pack = Buffer.from(fresh.join(''));
  const own: PackRecord = { ...owner, name: PACK, codec: 'none', ...digestBytes(pack) };
  let offset = 0;
  for (const frame of frames) {
    const plain = Buffer.from(frame);
    const { sha256 } = digestBytes(plain);
    const there = known.get(sha256);
    if (frame === '') {
      map.push({ kind: 'zeros', plainBytes: ZEROS_BYTES });
      continue;
    }
    const place = there ?? { pack: own, offset, storedBytes: plain.length };
    if (there === undefined) offset += plain.length;
    map.push({
      kind: 'frame',
      plainBytes: plain.length,
      sha256: Buffer.from(sha256, 'hex'),
      place: { pack: numberOf(place.pack), offset: place.offset, storedBytes: place.storedBytes },
    });
  }
  return { map, pack, used };
}

function recordOf(map: FrameMap, pack: Buffer, record: NonNullable<DumpRecord['map']>): DumpRecord {
  return {
    index: 0,
    name: PACK,
    codec: 'none',
    frameSize: 4096,
    frames: pack.length === 0 ? 0 : 1,
    plainBytes: map.plainBytes,
    storedBytes: pack.length,
    sha256: digestBytes(pack).sha256,
    map: record,
    messages: [],
    snapshot: 'none',
  };
}

function manifestOf(
  { instance, exportId, started }: { readonly instance: string; readonly exportId: string; readonly started: Date },
  dump: DumpRecord,
): Manifest {
  return {
    format: 'gantry-export',
    version: 3,
    tool: sampleHeader.tool,
    exportId,
    started: started.toISOString(),
    ended: new Date(started.getTime() + 60_000).toISOString(),
    os: { name: 'debootstrap', apiVersion: 20 },
    instance: { ...sampleInstance, name: instance },
    dumps: [dump],
  };
}
