import type { DescribedInstance, ExportRequest, OperationOptions, Signers } from '@gantry/core';
import { exportOptions } from '@gantry/config';
import { assertDisksHere, isBuiltinOs, isSentBySource, readRecipients, readSnapshotConfig } from '@gantry/core';
import type { InstanceSource } from '@gantry/core/inventory';
import type { Store } from '@gantry/transport';
import type { PolicyRunRequest } from './run-request.ts';
import type { SelectedInstance } from './selection.ts';

/** What a policy asks of the export of an instance; the events of its operation name the instance. */
export type AskedExport = Omit<ExportRequest, 'snapshot' | 'snapshotConfig' | 'snapshotSize' | 'guest' | 'trackChanges'> & {
  readonly signal: AbortSignal;
};

/** The options that the operations on one instance of a run get. */
export function operationOf(
  request: PolicyRunRequest,
  instance: string,
  signal: AbortSignal,
): OperationOptions & { readonly signal: AbortSignal } {
  const { onEvent, osSearchPath, stateDirectory, debug, forceVariant } = request;
  return { osSearchPath, stateDirectory, debug, forceVariant, signal, onEvent: (event) => onEvent?.({ ...event, instance }) };
}

export interface ExportSubject {
  readonly request: PolicyRunRequest;
  readonly selected: SelectedInstance;
  readonly described: DescribedInstance;
  readonly store: Store;
  /** Other stores that get the same export. */
  readonly alsoInto?: readonly Store[] | undefined;
  /** Whose signatures are good in each of them. */
  readonly storeSigners?: ReadonlyMap<Store, Signers> | undefined;
  readonly onGivenUp?: ExportRequest['onGivenUp'];
  readonly signal: AbortSignal;
}

/** The export that a policy asks for, wherever the disks are. @throws GantryError `RECIPIENT_INVALID`; the reason of the signal */
export async function askedExport({
  request,
  selected,
  described,
  store,
  alsoInto,
  storeSigners,
  onGivenUp,
  signal,
}: ExportSubject): Promise<AskedExport> {
  const { instance, native } = described;
  return {
    ...operationOf(request, selected.name, signal),
    instance,
    native,
    store,
    alsoInto,
    storeSigners,
    onGivenUp,
    ...exportOptions(request.settings),
    recipients: await readRecipients(request.settings, signal),
    labels: { tags: request.settings.tags },
    createStore: request.createStore,
  };
}

/** The same for disks of this host: with how they are held still. @throws GantryError for a snapshot configuration that cannot be used */
export async function askedLocalExport(subject: ExportSubject): Promise<ExportRequest> {
  const { described, request } = subject;
  assertDisksHere(described);
  const { snapshot, snapshotConfig, snapshotSize, trackChanges } = request.settings;
  const tracking = trackChanges === true ? 'where-possible' : undefined;
  const config = snapshotConfig === undefined ? undefined : await readSnapshotConfig(snapshotConfig);
  return {
    ...(await askedExport(subject)),
    snapshot,
    snapshotConfig: config,
    snapshotSize,
    guest: described.guest,
    trackChanges: tracking,
  };
}

/** Whether an export of it may read only what changed, which goes into one store. */
export function tracksChanges({ settings }: PolicyRunRequest, source: InstanceSource, described: DescribedInstance): boolean {
  const { incremental, trackChanges } = settings;
  return incremental === true && trackChanges === true && isBuiltinOs(described.instance.os) && !isSentBySource(source, described);
}
