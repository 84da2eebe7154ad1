import type { CallOptions, Store } from '@gantry/transport';
import type { ExportDirectory } from './directories.ts';
import { formatExportReference } from './export-id.ts';
import { MANIFEST_FILE } from './layout.ts';
import { foreignPacks, PackUses } from './pack-uses.ts';
import { surveyStore } from './survey.ts';

/** What refers to the packs of one export. */
export interface UsesOfExport {
  readonly uses: PackUses;
  /** What cannot be read, one clause each: while there is anything, no pack may go. */
  readonly unclear: readonly string[];
}

interface Owner {
  readonly instance: string;
  readonly id: string;
}

/**
 * Looks through the whole store for what refers to the packs of one export, which is passed over itself.
 *
 * @param passed the manifests that were read, and do not refer to it: to be given again for another look, since manifests never change
 *   (but a copy may bring another one under the id of an export that was removed)
 * @throws StoreError where anything of the store cannot be read
 */
export async function findUsesOf(store: Store, owner: Owner, passed: Set<string>, options: CallOptions): Promise<UsesOfExport> {
  const uses = new PackUses();
  const unclear: string[] = [];
  const reference = formatExportReference(owner.instance, owner.id);
  for await (const directories of surveyStore(store, { ...options, without: (d) => isOwner(owner, d) || passed.has(manifestOf(d)) })) {
    for (const found of directories) {
      if (found.state === 'unclear') unclear.push(found.why);
      if (found.state === 'unfinished' && found.claim.parents?.includes(reference) === true) uses.addClaim({ parents: [reference] });
      if (found.state !== 'export') continue;
      const packs = foreignPacks(found.manifest).filter(({ instance, exportId }) => isOwner(owner, { instance, id: exportId }));
      for (const pack of packs) uses.addPack(pack);
      if (packs.length === 0) passed.add(manifestOf(found.directory));
    }
  }
  return { uses, unclear };
}

/** Names the manifest in a directory, as its listing shows it. */
function manifestOf({ instance, id, files }: ExportDirectory): string {
  const info = files.get(MANIFEST_FILE);
  return `${formatExportReference(instance, id)} ${info?.size} ${info?.modified.getTime()}`;
}

function isOwner(owner: Owner, other: Owner): boolean {
  return owner.instance === other.instance && owner.id === other.id;
}
