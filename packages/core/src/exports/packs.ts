import { z } from 'zod';
import type { Codec } from '../frames/codecs/registry.ts';
import { CODEC_NAMES } from '../frames/codecs/registry.ts';
import { isReferencePart } from './export-id.ts';
import { isDumpName } from './layout.ts';

/** A dump in which frames of an export are: its own, or one of an earlier export. */
export interface PackRecord {
  readonly instance: string;
  readonly exportId: string;
  /** Its file name, such as `disk0.zst`. */
  readonly name: string;
  readonly codec: Codec;
  /** Stored bytes. */
  readonly size: number;
  /** Of the stored bytes, lower-case hexadecimal. */
  readonly sha256: string;
}

/** The longest text of a frame map: about 20 million frames, which take 1.6 GB of memory as patches. With frames of 4 MiB, a disk of 80 TiB. */
export const MAX_MAP_BYTES: number = 2 * 1024 ** 3;

/** The most packs that one frame map refers to: daily exports of 27 years. */
export const MAX_PACKS = 10_000;

export const packSchema: z.ZodType<PackRecord> = z.object({
  instance: z.string().refine(isReferencePart, 'is not the name of an instance'),
  exportId: z.string().refine(isReferencePart, 'is not an export id'),
  name: z.string().refine(isDumpName, 'is not a plain file name'),
  codec: z.enum(CODEC_NAMES),
  size: z.int().min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'is not a SHA-256 in lower-case hexadecimal'),
});

/** Whether a text is the path of a pack of another export, seen from the directory of one: see {@link packPath}. */
export function isPackPath(path: string): boolean {
  const parts = path.split('/');
  const names = parts.splice(parts[1] === '..' ? 2 : 1);
  const name = names.pop();
  return parts.every((part) => part === '..') && names.length === parts.length && names.every(isReferencePart) && isDumpName(name ?? '');
}

/** Where a pack is, seen from the directory of an export of `instance` with the id `exportId`. */
export function packPath(pack: PackRecord, { instance, exportId }: Pick<PackRecord, 'instance' | 'exportId'>): string {
  if (pack.instance !== instance) return `../../${pack.instance}/${pack.exportId}/${pack.name}`;
  return pack.exportId === exportId ? pack.name : `../${pack.exportId}/${pack.name}`;
}
