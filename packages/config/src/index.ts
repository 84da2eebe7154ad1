export type { FindOptions } from './file/files.ts';
export { loadConfiguration } from './file/load.ts';
export type {
  AtWindowEnd,
  Configuration,
  CopySettings,
  ExportSettings,
  Hooks,
  InstanceSelection,
  MetricsSettings,
  NotifySettings,
  Origin,
  Policy,
  PrioritySettings,
  RateLimit,
  StoreSettings,
  VerifySettings,
} from './file/model.ts';
export { addressOfSource, assertPolicies, exportSettings, namedStore } from './file/names.ts';
export { configurationJsonSchema, isName } from './file/schema.ts';
export type { Budget, TimeOfDayRange } from './quantities.ts';
export type { OpenContext } from './context.ts';
export type { SourceOfInstance } from './open-instance.ts';
export { openInstance, openInstanceAnywhere, openInstanceSource, openSourceOf } from './open-instance.ts';
export { openPeer } from './open-peer.ts';
export type { OpenStoreOptions } from './open-store.ts';
export { openStore } from './open-store.ts';
