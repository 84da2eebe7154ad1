import { AgeError } from '@gantry/age/light';
import type { CallOptions, StoreReader } from '@gantry/transport';
import type { NativeFile } from '../instances/inventory.ts';
import { MAX_NATIVE_BYTES } from '../instances/native-files.ts';
import { GantryError } from '../report/errors.ts';
import { nativeObjectName } from './layout.ts';
import type { NativeRecord } from './manifest.ts';
import { readExpected, UnreadableTextError } from './small-object.ts';
import { asGantryError } from './store-errors.ts';
import { readUnsealed } from './unsealing.ts';

/** Where the native description of an export is. */
export interface NativeDescription {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly prefix: string;
  readonly native: readonly NativeRecord[];
  /** There if the export is sealed. */
  readonly sealed?: unknown;
}

/**
 * Reads one file of the native description, and checks it. The manifest limits their sizes.
 *
 * @throws GantryError `NATIVE_UNKNOWN`, `NATIVE_DAMAGED`, `STORE_*`
 */
export async function readNativeFile(
  store: StoreReader & { readonly address: string },
  { reference, prefix, native, sealed }: NativeDescription,
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
  const object = nativeObjectName(name, { sealed });
  const key = `${prefix}${object}`;
  try {
    const bytes =
      sealed === undefined
        ? await readExpected(store, key, record, options)
        : await readUnsealed(store, key, record, { ...options, maxBytes: MAX_NATIVE_BYTES });
    return { name, secret: record.secret, bytes };
  } catch (error) {
    if (!(error instanceof UnreadableTextError || error instanceof AgeError)) throw asGantryError(error, store.address);
    throw new GantryError('NATIVE_DAMAGED', {
      message: `${object} of ${reference} is damaged: ${error.message}`,
      hint: 'Import without --define: the disks do not need it.',
      cause: error,
    });
  }
}
