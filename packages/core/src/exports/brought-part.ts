import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { BROUGHT_PART_FILE, SEALED_PART_FILE } from './layout.ts';
import { MAX_SEALED_PART_BYTES } from './sealed-part.ts';
import type { Place } from './removed.ts';
import { readBytes, UnreadableTextError, writeBytes } from './small-object.ts';

/*
 * The key of an export whose packs alone came with the copy of another one, so that recipients can be added there, too
 * (docs/decisions/0164): the encrypted part of its manifest, beside its packs. It lives as long as these do.
 */

/** Encryption adds little to the text. */
const MAX_BYTES = 2 * MAX_SEALED_PART_BYTES;

export interface BringPartOptions extends CallOptions {
  /** Called with what the user should know. */
  readonly warn: (message: string) => void;
}

/**
 * Reads what is to stand beside brought packs; undefined if the source has no such part, or it is left out, which is said: nothing but
 * adding recipients needs it.
 *
 * @throws StoreError
 */
export async function partToBring(source: Store, owner: Place, { warn, signal }: BringPartOptions): Promise<Uint8Array | undefined> {
  let problem: string | undefined;
  for (const name of [SEALED_PART_FILE, BROUGHT_PART_FILE]) {
    try {
      return await readBytes(source, partKey(owner, name), MAX_BYTES, { signal });
    } catch (error) {
      if (isStoreError(error, 'not-found')) continue;
      if (!(error instanceof UnreadableTextError) && !isStoreError(error, 'denied')) throw error;
      problem ??= error.message;
    }
  }
  if (problem === undefined) return undefined;
  const reference = formatExportReference(owner.instance, owner.id);
  warn(`the key of ${reference} is not copied, so recipients cannot be added to copies that need its packs: ${problem}`);
  return undefined;
}

/** Puts it beside packs that are there. @throws StoreError */
export async function writeBroughtPart(target: Store, owner: Place, part: Uint8Array, options: CallOptions): Promise<void> {
  try {
    const ifExists = target.capabilities.createOnly ? 'fail' : 'replace';
    await writeBytes(target, partKey(owner, BROUGHT_PART_FILE), part, { ...options, ifExists });
  } catch (error) {
    // Another copy was faster.
    if (!isStoreError(error, 'exists')) throw error;
  }
}

function partKey({ instance, id }: Place, name: string): string {
  return `${exportPrefix(instance, id)}${name}`;
}
