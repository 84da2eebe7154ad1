import { MAX_RECIPIENTS } from '@gantry/age/light';
import { z } from 'zod';
import type { Instance } from '../instances/model.ts';
import { GantryError } from '../report/errors.ts';
import { JsonBoundsError, parseBoundedJson } from './bounded-json.ts';
import { MANIFEST_FILE, SEALED_PART_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { instanceSchema, osSchema } from './manifest-schema.ts';
import { isSameSet } from './same-readers.ts';
import type { Sealing } from './sealing.ts';

/*
 * The manifest of a sealed export is in two parts: what anybody may read, and this, which is encrypted (docs/reference/formats/sealed.md).
 */

/** More than an instance and all messages of its scripts have. */
export const MAX_SEALED_PART_BYTES: number = 16 * 1024 ** 2;
const MAX_VALUES = 400_000;
const MAX_MEMBERS = 10_000;

const OF_ANOTHER = 'it belongs to another export';

/** What a sealed export says of itself only to those who have an identity. */
export interface SealedPart {
  readonly format: 'gantry-sealed';
  readonly version: 1;
  /** With `instance.name`: the export that it belongs to. */
  readonly exportId: string;
  /** Those that the manifest names in the open: who changes these there does not make the export a parent of exports for others. */
  readonly recipients: readonly string[];
  readonly os: Manifest['os'];
  readonly instance: Instance;
  readonly dumps: readonly {
    readonly index: number;
    readonly expectedBytes?: number;
    readonly messages: readonly string[];
  }[];
  /**
   * An identity of age that reads all files of this export, made for it alone: who can read this part can let others read the export too,
   * without writing any of its files anew. Absent where it was encrypted with a passphrase.
   */
  readonly exportKey?: string;
}

const schema: z.ZodType<SealedPart> = z.object({
  format: z.literal('gantry-sealed'),
  version: z.literal(1),
  exportId: z.string(),
  recipients: z.array(z.string()).max(MAX_RECIPIENTS),
  os: osSchema,
  instance: instanceSchema,
  dumps: z.array(
    z.object({ index: z.int().min(0).max(999), expectedBytes: z.int().min(0).exactOptional(), messages: z.array(z.string()) }),
  ),
  exportKey: z
    .string()
    .regex(/^AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]+$/)
    .exactOptional(),
});

/** The two parts of a manifest: what it says in the open, and what is to be encrypted. */
export function splitManifest(
  manifest: Omit<Manifest, 'version' | 'sealed'>,
  { recipients, exportKey }: Pick<Sealing, 'recipients' | 'exportKey'>,
): { readonly open: Omit<Manifest, 'version' | 'sealed'>; readonly sealed: string } {
  const { exportId, os, instance } = manifest;
  const dumps = manifest.dumps.map(({ index, expectedBytes, messages }) => ({
    index,
    ...(expectedBytes === undefined ? {} : { expectedBytes }),
    messages,
  }));
  const part: SealedPart = {
    format: 'gantry-sealed',
    version: 1,
    exportId,
    recipients,
    os,
    instance,
    dumps,
    ...(exportKey === undefined ? {} : { exportKey }),
  };
  const open = {
    ...manifest,
    os: { name: '', apiVersion: 0 },
    instance: openInstance(instance),
    dumps: manifest.dumps.map(({ expectedBytes: _hidden, ...dump }) => ({ ...dump, messages: [] })),
  };
  return { open, sealed: `${JSON.stringify(part, null, 2)}\n` };
}

/** What may be said of an instance in the open: its name, and how many disks it has. */
function openInstance({ name, disks }: Instance): Instance {
  return {
    name,
    os: '',
    hypervisor: '',
    primary_node: '',
    secondary_nodes: [],
    tags: [],
    disks: disks.map(() => ({ access: 'rw' })),
    nics: [],
    osparams: {},
    osparams_private: {},
    beparams: {},
    hvparams: {},
  };
}

/**
 * The whole manifest of a sealed export.
 *
 * @param source what to call the export in messages
 * @throws GantryError `MANIFEST_DAMAGED` for a part that is not valid, or of another export, or for other recipients
 */
export function openManifest(manifest: Manifest, text: string, source: string): Manifest {
  const { exportId, recipients, os, instance, dumps } = parse(text, source);
  if (
    exportId !== manifest.exportId ||
    instance.name !== manifest.instance.name ||
    instance.disks.length !== manifest.instance.disks.length
  )
    throw sealedPartDamaged(source, OF_ANOTHER);
  if (!isSameSet(recipients, manifest.sealed?.recipients ?? [])) throw sealedPartDamaged(source, `${MANIFEST_FILE} names other recipients`);
  const hidden = new Map(dumps.map(({ index, ...dump }) => [index, dump]));
  return { ...manifest, os, instance, dumps: manifest.dumps.map((dump) => ({ ...dump, ...hidden.get(dump.index) })) };
}

/** The key of an export, from the encrypted part of its manifest. @throws GantryError as {@link openManifest} */
export function exportKeyIn(
  owner: { readonly instance: string; readonly exportId: string },
  text: string,
  source: string,
): string | undefined {
  const { exportId, instance, exportKey } = parse(text, source);
  if (exportId !== owner.exportId || instance.name !== owner.instance) throw sealedPartDamaged(source, OF_ANOTHER);
  return exportKey;
}

function parse(text: string, source: string): SealedPart {
  try {
    const parsed = schema.safeParse(parseBoundedJson(text, { maxValues: MAX_VALUES, maxMembers: MAX_MEMBERS }));
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw sealedPartDamaged(source, `${issue?.path.map(String).join('.') || 'it'}: ${issue?.message}`);
  } catch (error) {
    throw error instanceof JsonBoundsError ? sealedPartDamaged(source, error.message, error) : error;
  }
}

/** The error for the encrypted part of a manifest. @param source what to call the export */
export function sealedPartDamaged(source: string, what: string, cause?: unknown): GantryError {
  return new GantryError('MANIFEST_DAMAGED', {
    message: `${SEALED_PART_FILE} of ${source} is damaged: ${what}`,
    hint: 'Use another export of this instance.',
    cause,
  });
}
