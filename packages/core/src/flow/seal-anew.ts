import type { Recipients } from '@gantry/age';
import type { Store } from '@gantry/transport';
import type { DumpAssembly } from '../exports/assemble-dump.ts';
import { identityUnsealer } from '../exports/identity-unsealer.ts';
import { readRecipients } from '../exports/key-files.ts';
import type { DumpWriter, WrittenDump } from '../exports/layout-dump.ts';
import { loadAge } from '../exports/load-age.ts';
import type { Manifest } from '../exports/manifest.ts';
import type { MappedDisk } from '../exports/pack-sources.ts';
import { storedPacks } from '../exports/pack-sources.ts';
import type { PackRecord } from '../exports/packs.ts';
import { isSameSet } from '../exports/same-readers.ts';
import { Sealing } from '../exports/sealing.ts';
import { withUnsealer } from '../exports/unsealing.ts';
import { GantryError } from '../report/errors.ts';
import type { Call } from './session.ts';

/*
 * A sealed export whose frames are encrypted anew, because its dumps are put together (docs/decisions/0187).
 */

export interface RecipientsAnew {
  /**
   * Who can read the new export; one that is not sealed is refused then. Those that the manifest of a sealed one names are in the open, so
   * they count only where its signature was checked.
   */
  readonly recipients?: Recipients | undefined;
  /** Says who can read the new export, where `recipients` does not. Called only for a sealed one. */
  readonly usualRecipients?: ((signal: AbortSignal) => Promise<Recipients | undefined>) | undefined;
}

interface OldExport {
  readonly reference: string;
  readonly manifest: { readonly sealed?: Pick<NonNullable<Manifest['sealed']>, 'recipients'> };
  /** Its signature was checked: then nobody else has changed whom its manifest names. */
  readonly isSigned: boolean;
}

/**
 * How the new export is encrypted; undefined if the old one is not sealed.
 *
 * @throws GantryError `USAGE` where nothing that can be trusted says to whom, or an export that is not sealed would have to be encrypted
 */
export async function sealAnew(
  { recipients: given, usualRecipients }: RecipientsAnew,
  { reference, manifest: { sealed }, isSigned }: OldExport,
  { reporter, signal }: Pick<Call, 'reporter' | 'signal'>,
): Promise<Sealing | undefined> {
  assertMayBeOpen({ recipients: given }, { reference, sealed });
  if (sealed === undefined) return undefined;
  const recipients =
    given ?? (await usualRecipients?.(signal)) ?? (isSigned ? await readRecipients({ recipients: sealed.recipients }) : undefined);
  if (recipients === undefined) throw recipientsUnknown(reference, sealed.recipients);
  if (!isSameSet(recipients.texts, sealed.recipients))
    reporter.warn(`the new export has other recipients than ${reference}, which names ${sealed.recipients.join(', ') || 'none'}`);
  return await Sealing.start(recipients);
}

/** @throws GantryError `USAGE` for an export that is not sealed, where encryption was asked for */
export function assertMayBeOpen(
  { recipients }: Pick<RecipientsAnew, 'recipients'>,
  { reference, sealed }: { readonly reference: string; readonly sealed: unknown },
): void {
  if (recipients !== undefined && sealed === undefined) throw notSealed(reference);
}

/** Who asks for encryption must not get an export in the open, also where the store shows another one than they mean. */
function notSealed(reference: string): GantryError {
  return new GantryError('USAGE', {
    message: `cannot encrypt what is made of ${reference}: it is not sealed itself`,
    hint: 'Make a sealed export of the instance: gantry export --recipient. Without recipients, it is consolidated, and not encrypted.',
  });
}

/** Somebody who writes to the store could add a recipient of their own to the manifest, and be given everything. */
function recipientsUnknown(reference: string, named: readonly string[]): GantryError {
  const who =
    named.length === 0
      ? 'It names none: it was sealed with a passphrase'
      : `It names ${named.join(', ')}, which who can write to the store can change`;
  return new GantryError('USAGE', {
    message: `cannot consolidate ${reference}: nothing that can be trusted says to whom it is to be encrypted`,
    hint: `Give the recipients (--recipient, --recipients-file), or have its signature checked (--allowed-signers, --sign). ${who}.`,
  });
}

export interface SealedAssembly {
  readonly store: Store;
  readonly dump: DumpWriter;
  readonly sealing: Sealing;
  readonly assembly: DumpAssembly;
  /** Of the new dump. */
  readonly place: Pick<MappedDisk, 'instance' | 'exportId' | 'disk'> & Pick<PackRecord, 'name'>;
}

/** Puts a dump together, encrypts it, and reads it back as its readers will. @throws GantryError as `DumpAssembly`; StoreError */
export async function writeSealed(
  { store, dump, sealing, assembly, place: { name, ...disk } }: SealedAssembly,
  { signal }: { readonly signal: AbortSignal },
): Promise<WrittenDump> {
  const written = await dump.write(sealing.sealDump(assembly.encoded({ signal })), { signal });
  const { codec, storedBytes: size, sha256 } = written;
  // A disk of no bytes has no object.
  if (size === 0) return written;
  const { Identities } = await loadAge();
  // Whether the identity of this machine can read the new export is for its recipients to say.
  const opening = withUnsealer(store, identityUnsealer(Identities.parse(sealing.exportKey ?? '')));
  const own = { instance: disk.instance, exportId: disk.exportId, name, codec, size, sha256 };
  const { open } = storedPacks(opening, { ...disk, packs: [own], isSealed: true });
  await using source = await open({ pack: 0, offset: 0, storedBytes: assembly.storedBytes }, signal);
  await assembly.check(source, { signal });
  return written;
}
