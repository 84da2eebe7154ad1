import type { ExportDirectory } from './directories.ts';
import { formatExportReference } from './export-id.ts';
import { packKey } from './export-objects.ts';
import { mayBePack } from './layout.ts';
import type { Manifest } from './manifest.ts';
import type { PackRecord } from './packs.ts';

/** A dump in a store. */
interface UsedPack {
  readonly size: number;
  /** The only export that is known to refer to it; undefined if there are several. */
  user: string | undefined;
}

/**
 * What removing each export would give back, from manifests alone: the bytes of the dumps and packs to which no other export refers, and
 * of its own small files. Takes memory for each pack.
 */
export class OwnBytes {
  readonly #packs = new Map<string, UsedPack>();
  readonly #own = new Map<string, number>();

  /** @param manifest absent where it cannot be read, too: others may refer to the dumps in that directory all the same */
  add({ instance, id, files }: ExportDirectory, manifest: Manifest | undefined): void {
    const reference = formatExportReference(instance, id);
    let small = 0;
    for (const [name, { size }] of files) {
      if (mayBePack(name)) this.#use({ instance, exportId: id, name }, size, reference);
      else small += size;
    }
    this.#own.set(reference, small);
    for (const pack of (manifest?.dumps ?? []).flatMap(({ map }) => map?.packs ?? [])) this.#use(pack, pack.size, reference);
  }

  /** Bytes of each export, by `INSTANCE@EXPORT-ID`. */
  total(): ReadonlyMap<string, number> {
    const total = new Map(this.#own);
    for (const { size, user } of this.#packs.values()) if (user !== undefined) total.set(user, (total.get(user) ?? 0) + size);
    return total;
  }

  #use(pack: Pick<PackRecord, 'instance' | 'exportId' | 'name'>, size: number, user: string): void {
    const key = packKey(pack);
    const known = this.#packs.get(key);
    if (known === undefined) this.#packs.set(key, { size, user });
    else if (known.user !== user) known.user = undefined;
  }
}
