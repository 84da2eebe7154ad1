import { AgeError } from '@gantry/age/light';
import type { CallOptions, Digest, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { z } from 'zod';
import { CODEC_NAMES } from '../frames/codecs/registry.ts';
import type { FrameMap } from '../frames/frame-map.ts';
import { GantryError } from '../report/errors.ts';
import { TOOL } from '../report/version.ts';
import type { ExportDirectory } from './directories.ts';
import { exportPrefix } from './export-id.ts';
import { FrameMapParser, FrameMapProblem, MAX_LINE_BYTES } from './frame-map-text.ts';
import { mapText } from './frame-maps.ts';
import { CUT_OFF_FILE, isMapName, mapFileName } from './layout.ts';
import type { PackRecord } from './packs.ts';
import { haveSameReaders } from './same-readers.ts';
import { MAX_MAP_BYTES, MAX_PACKS, packSchema } from './packs.ts';
import { readText, UnreadableTextError } from './small-object.ts';
import { hasKept } from './unsealing.ts';

/** The frames of one disk that an export has stored before it was cut off. */
export interface CutOffDisk {
  readonly disk: number;
  readonly instance: string;
  readonly exportId: string;
  /** Of the disk's start. */
  readonly map: FrameMap;
  readonly packs: readonly PackRecord[];
}

/** What `cut-off.json` says. */
export interface CutOffRecord {
  readonly runId: string;
  readonly maps: readonly CutOffMap[];
  /** Of a sealed export; empty with a passphrase. */
  readonly recipients?: readonly string[] | undefined;
}

/** What `cut-off.json` says of a frame map. */
export interface CutOffMap extends Digest {
  readonly name: string;
}

/** With 1000 maps. */
const MAX_CUT_OFF_BYTES: number = 1024 * 1024;

const recordSchema = z.object({
  format: z.literal('gantry-cut-off'),
  version: z.literal(1),
  recipients: z.array(z.string()).optional(),
  maps: z.array(
    z.object({
      name: z.string().refine(isMapName),
      size: z.int().min(1).max(MAX_MAP_BYTES),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
});

/** The text of `cut-off.json`. */
export function renderCutOff({ runId, recipients, maps }: CutOffRecord): string {
  return `${JSON.stringify({ format: 'gantry-cut-off', version: 1, tool: TOOL, runId, recipients, maps }, null, 2)}\n`;
}

/**
 * Reads the frame map of one disk of an export that was cut off, and checks it against `cut-off.json`.
 *
 * @param wanted the disk, and the recipients of the export that is to take over its frames. That they are the same must be known to this
 *   machine: of a sealed one only the map that it has kept is read, also where it could decrypt the one in the store
 * @returns undefined if it has gone meanwhile, is not what it should be, or has other recipients
 * @throws StoreError
 */
export async function readCutOffDisk(
  store: Store,
  { instance, id: exportId }: Pick<ExportDirectory, 'instance' | 'id'>,
  { disk, recipients }: { readonly disk: number; readonly recipients?: readonly string[] | undefined },
  options: CallOptions,
): Promise<CutOffDisk | undefined> {
  const prefix = exportPrefix(instance, exportId);
  const name = mapFileName(disk, { sealed: recipients });
  const head = new MapHead({ instance, exportId });
  try {
    const record = parseCutOff(await readText(store, `${prefix}${CUT_OFF_FILE}`, MAX_CUT_OFF_BYTES, options));
    const expected = record?.maps.find((map) => map.name === name);
    if (expected === undefined || !haveSameReaders(record?.recipients, recipients)) return undefined;
    if (recipients !== undefined && !(await hasKept(store, `${prefix}${name}`, expected))) return undefined;
    let parser: FrameMapParser | undefined;
    for await (const chunk of mapText(store, `${prefix}${expected.name}`, expected, options)) {
      if (parser !== undefined) parser.push(chunk);
      else if (head.push(chunk)) {
        parser = new FrameMapParser({ instance, exportId, packs: head.packs }, undefined);
        parser.push(Buffer.from(head.text, 'latin1'));
      }
    }
    return parser && { disk, instance, exportId, map: parser.end(), packs: head.packs };
  } catch (error) {
    const isUnusable = error instanceof FrameMapProblem || error instanceof UnreadableTextError || error instanceof AgeError;
    // The machine that has kept it is another one, or has lost it.
    const isSealed = error instanceof GantryError && (error.code === 'IDENTITY_NEEDED' || error.code === 'IDENTITY_MISMATCH');
    if (isUnusable || isSealed || isStoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

function parseCutOff(text: string): z.output<typeof recordSchema> | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** The start of a map whose packs no manifest names. */
class MapHead {
  readonly packs: PackRecord[] = [];
  /** All that came so far. */
  text = '';
  readonly #owner: Pick<PackRecord, 'instance' | 'exportId'>;
  /** Where the first line begins that was not looked at. */
  #at = 0;

  constructor(owner: Pick<PackRecord, 'instance' | 'exportId'>) {
    this.#owner = owner;
  }

  /**
   * @returns whether all packs have come
   * @throws FrameMapProblem
   */
  push(chunk: Uint8Array): boolean {
    this.text += Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
    for (;;) {
      const end = this.text.indexOf('\n', this.#at);
      if (end === -1 && this.text.length - this.#at > MAX_LINE_BYTES) throw new FrameMapProblem('a line is too long');
      if (end === -1) return false;
      const line = this.text.slice(this.#at, end);
      // What the first one says, the parser looks at.
      if (this.#at > 0) {
        if (!line.startsWith('pack ')) return true;
        if (this.packs.length === MAX_PACKS) throw new FrameMapProblem('it has too many packs');
        this.packs.push(packOf(line, this.#owner));
      }
      this.#at = end + 1;
    }
  }
}

function packOf(line: string, owner: Pick<PackRecord, 'instance' | 'exportId'>): PackRecord {
  const [, , path = '', codec, size, sha256] = line.split(' ');
  const pack = packSchema.safeParse({
    ...placeOfPack(path, owner),
    codec: CODEC_NAMES.find((name) => name === codec),
    size: Number(size),
    sha256,
  });
  if (!pack.success) throw new FrameMapProblem('its packs are not valid');
  return pack.data;
}

/** The reverse of `packPath`. */
function placeOfPack(
  path: string,
  { instance, exportId }: Pick<PackRecord, 'instance' | 'exportId'>,
): Omit<PackRecord, 'codec' | 'size' | 'sha256'> {
  const [name = '', id = exportId, other = instance] = path
    .split('/')
    .filter((part) => part !== '..')
    .toReversed();
  return { instance: other, exportId: id, name };
}
