import { MAX_CLAIM_BYTES } from './claim.ts';
import type { CutOffDisk } from './cut-off-maps.ts';
import { cutOffReferences } from './cut-off.ts';
import { packKey } from './export-objects.ts';
import type { PackRecord } from './packs.ts';
import { MAX_PACKS } from './packs.ts';
import type { ParentDisk } from './parents.ts';
import { packsOfParent, parentReferences } from './parents.ts';

/*
 * How much an export may refer to. Well below what readers accept of a frame map, a manifest and a claim: after everything is stored, it
 * would be too late to find out.
 */

/** Of one disk. */
const MAX_DISK_PACKS: number = 0.8 * MAX_PACKS;

/** Of all disks together. Each is 7 of the 400,000 values of a manifest, and a line of `SHA256SUMS`, which may have 16 MiB. */
const MAX_ALL_PACKS = 20_000;

/** The part of a claim that names the exports. */
const MAX_REFERENCES_BYTES: number = 0.75 * MAX_CLAIM_BYTES;

/** Quotes, indentation, comma and line end around each reference in a claim. */
const AROUND_REFERENCE_BYTES = 8;

/** What is too much if an export refers to all of these, such as `8123 packs for disk 0 (at most 8000 are allowed)`. */
export function exceededLimit(parents: readonly ParentDisk[], cutOff: readonly CutOffDisk[] = []): string | undefined {
  const packs = new Map<number, Set<string>>();
  const add = (disk: number, all: readonly PackRecord[]): void => {
    const keys = packs.get(disk) ?? new Set<string>();
    for (const pack of all) keys.add(packKey(pack));
    packs.set(disk, keys);
  };
  for (const parent of parents) add(parent.disk, packsOfParent(parent));
  for (const each of cutOff) add(each.disk, each.packs);
  for (const [disk, { size }] of packs) if (size > MAX_DISK_PACKS) return tooMany(size, `packs for disk ${disk}`, MAX_DISK_PACKS);
  const all = [...packs.values()].reduce((sum, { size }) => sum + size, 0);
  if (all > MAX_ALL_PACKS) return tooMany(all, 'packs', MAX_ALL_PACKS);
  const references = new Set([...parentReferences(parents), ...cutOffReferences(cutOff)]);
  const bytes = [...references].reduce((sum, reference) => sum + Buffer.byteLength(reference) + AROUND_REFERENCE_BYTES, 0);
  return bytes > MAX_REFERENCES_BYTES ? `${references.size} other exports, whose names do not fit into a claim` : undefined;
}

/** The first of these exports, and as many as one may refer to. */
export function withinLimits(parents: readonly ParentDisk[]): readonly ParentDisk[] {
  const manifests = [...new Set(parents.map(({ manifest }) => manifest))];
  let kept = parents;
  while (kept.length > 0 && exceededLimit(kept) !== undefined) {
    const last = manifests.pop();
    kept = kept.filter(({ manifest }) => manifest !== last);
  }
  return kept;
}

function tooMany(count: number, what: string, limit: number): string {
  return `${count} ${what} (at most ${limit} are allowed)`;
}
