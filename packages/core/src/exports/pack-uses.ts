import type { ClaimRecord } from './claim.ts';
import { formatExportReference } from './export-id.ts';
import type { Manifest } from './manifest.ts';
import type { PackRecord } from './packs.ts';

/** Which pack. */
export type PackName = Pick<PackRecord, 'instance' | 'exportId' | 'name'>;

/** The packs of other exports in which frames of an export are. */
export function foreignPacks({ instance, exportId, dumps }: Manifest): readonly PackRecord[] {
  return dumps.flatMap(({ map }) => map?.packs ?? []).filter((pack) => pack.instance !== instance.name || pack.exportId !== exportId);
}

/** Gathers which packs are referred to. */
export class PackUses {
  /** `INSTANCE/EXPORT-ID/NAME`. */
  readonly #packs = new Set<string>();
  /** `INSTANCE@EXPORT-ID` of exports any of whose packs may be referred to. */
  readonly #owners = new Set<string>();

  addPack({ instance, exportId, name }: PackName): void {
    this.#packs.add(`${instance}/${exportId}/${name}`);
  }

  addManifest(manifest: Manifest): void {
    for (const pack of foreignPacks(manifest)) this.addPack(pack);
  }

  /** An export that is being made may refer to every pack of its parents. */
  addClaim({ parents = [] }: Pick<ClaimRecord, 'parents'>): void {
    for (const parent of parents) this.#owners.add(parent);
  }

  has({ instance, exportId, name }: PackName): boolean {
    return this.#packs.has(`${instance}/${exportId}/${name}`) || this.#owners.has(formatExportReference(instance, exportId));
  }
}

/** The packs that exports refer to which are there (their manifests), or are being made (their claims). */
export function packsInUse(manifests: Iterable<Manifest>, claims: Iterable<ClaimRecord>): PackUses {
  const uses = new PackUses();
  for (const manifest of manifests) uses.addManifest(manifest);
  for (const claim of claims) uses.addClaim(claim);
  return uses;
}
