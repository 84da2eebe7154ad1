import type { CallOptions, StoreReader } from '@gantry/transport';
import type { NativeFile } from '../instances/inventory.ts';
import { GantryError } from '../report/errors.ts';
import { nativeObjectName } from './layout.ts';
import type { NativeRecord } from './manifest.ts';
import { readExpected, UnreadableTextError } from './small-object.ts';
import { asGantryError } from './store-errors.ts';

/** Where the native description of an export is. */
export interface NativeDescription {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly prefix: string;
  readonly native: readonly NativeRecord[];
}

/**
 * Reads one file of the native description, and checks it. The manifest limits their sizes.
 *
 * @throws GantryError `NATIVE_UNKNOWN`, `NATIVE_DAMAGED`, `STORE_*`
 */
export async function readNativeFile(
  store: StoreReader & { readonly address: string },
  { reference, prefix, native }: NativeDescription,
  name: string,
  options: CallOptions,
): Promise<NativeFile> {
  const record = native.find((each) => each.name === name);
  if (record === undefined) {
    throw new GantryError('NATIVE_UNKNOWN', {
      message: `${reference} has no native file ${JSON.stringify(name)}`,
      hint: native.length === 0 ? 'It has none at all.' : `It has ${native.map((each) => each.name).join(', ')}.`,
    });
  }
  try {
    return { name, secret: record.secret, bytes: await readExpected(store, `${prefix}${nativeObjectName(name)}`, record, options) };
  } catch (error) {
    if (!(error instanceof UnreadableTextError)) throw asGantryError(error, store.address);
    throw new GantryError('NATIVE_DAMAGED', {
      message: `${nativeObjectName(name)} of ${reference} is damaged: ${error.message}`,
      hint: 'Import without --define: the disks do not need it.',
      cause: error,
    });
  }
}
