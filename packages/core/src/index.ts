export type { GantryErrorCode, GantryErrorDetails } from './errors.ts';
export { ERROR_EXIT_CODES, GantryError } from './errors.ts';
export type { DiskPhase, EventListener, GantryEvent, OperationName } from './events.ts';
export type { Disk, Instance, Network, Nic, Parameters } from './instance/model.ts';
export type { Snapshot, SnapshotContext, SnapshotProvider, SnapshotRecord, SnapshotRequest } from './snapshot/provider.ts';
