/*
 * `@gantry/core/inventory`: what a package that describes instances is written against. docs/reference/writing-an-inventory.md
 */
// Brings what the language lacks before Node 24.
import '@gantry/transport';
export type { CallOptions } from '@gantry/transport';
export type { Disk, DiskAccess, DiskBackendType, Instance, Network, Nic, NicMode, Parameters } from './instances/model.ts';
export type {
  InstanceDescription,
  InstanceFields,
  InstanceFilter,
  InstanceSource,
  InstanceSummary,
  Inventory,
  ListInstancesOptions,
  DefineRequest,
  DiskPiece,
  GuestControl,
  IncomingInstance,
  InstanceManager,
  Discarded,
  InstanceTransfers,
  NativeFile,
  NewInstanceRequest,
  OpenInventoryOptions,
  OutgoingInstance,
  RunState,
  SendOptions,
  StopOptions,
  UndefineOptions,
  TransferOptions,
} from './instances/inventory.ts';
export { isNativeName, MAX_NATIVE_BYTES, MAX_NATIVE_FILES } from './instances/native-files.ts';
export type { InventoryErrorCode, InventoryErrorDetails } from './instances/inventory-error.ts';
export { InventoryError, isInventoryError } from './instances/inventory-error.ts';
export { isHostName } from './instances/field-types.ts';
export { isListed } from './instances/instance-filter.ts';
export { errorText } from './report/error-text.ts';
export { isSameHost } from './instances/same-host.ts';
export { virshEnvironment } from './instances/virsh-environment.ts';
