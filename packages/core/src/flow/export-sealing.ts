import { createHash } from 'node:crypto';
import type { Recipients } from '@gantry/age';
import type { CallOptions, Store } from '@gantry/transport';
import { KeptTextFiles } from '../exports/kept-texts.ts';
import { digestOfReaders } from '../exports/same-readers.ts';
import { Sealing } from '../exports/sealing.ts';
import { storeId } from '../exports/store-marker.ts';
import { unsealerOf, withUnsealer } from '../exports/unsealing.ts';
import type { Reporter } from '../report/reporter.ts';

/** How one export is encrypted, and what this machine keeps of it. */
export interface ExportSealing {
  readonly sealing: Sealing;
  readonly kept: KeptTextFiles;
}

export interface SealingRequest {
  readonly recipients: Recipients;
  /** All stores that get the export. */
  readonly stores: readonly Store[];
  readonly stateDirectory: string | undefined;
  /** Whether later exports may refer to this one. */
  readonly incremental: boolean;
}

/** @throws AgeError `invalid-recipient` */
export async function startSealing(
  { recipients, stores, stateDirectory, incremental }: SealingRequest,
  reporter: Reporter,
  options: CallOptions,
): Promise<ExportSealing> {
  if (recipients.texts.length === 1) {
    reporter.warn('the export has a single recipient: if its identity is lost, nobody can read the export (name a second one)');
  }
  const warn = (message: string): void => reporter.warn(message);
  const lineage = (): Promise<string> => lineageOf(stores, recipients, options);
  const kept = new KeptTextFiles({ stateDirectory, lineage, readers: digestOfReaders(recipients.texts), warn });
  return { kept, sealing: await Sealing.start(recipients, incremental && recipients.texts.length > 0 ? kept : undefined) };
}

/** The same store, where the frame maps that this machine has kept need not be decrypted. */
export function withKeptTexts(store: Store, kept: KeptTextFiles): Store {
  return withUnsealer(store, { ...unsealerOf(store), kept: (key, digest) => kept.read(key, digest) });
}

/** Once the stores are there: a new one has its id only then. */
async function lineageOf(stores: readonly Store[], { texts }: Recipients, options: CallOptions): Promise<string> {
  const ids = await Promise.all(stores.map(async (store) => (await storeId(store, options).catch(() => undefined)) ?? store.address));
  return createHash('sha256')
    .update(JSON.stringify([ids.toSorted(), texts.toSorted()]))
    .digest('hex');
}
