export { exportOptions } from './file/export-options.ts';
export type { FindOptions } from './file/files.ts';
export { startsWithName } from './addresses/instance-address.ts';
export type { ExplainedSetting, SettingVariables, WrittenValue } from './file/explain.ts';
export { explainSettings, withoutPassword, withoutSecret, writtenValues } from './file/explain.ts';
export { loadConfiguration } from './file/load.ts';
export { SENDMAIL } from './file/meaning.ts';
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
  RateLimit,
  StoreSettings,
  VerifySettings,
} from './file/model.ts';
export type { SettingsScope } from './file/names.ts';
export { assertPolicies, assertSamePrivacy, exportSettings, mergeSettings, namedStore, policyNamed, rateLimitOf } from './file/names.ts';
export { comparableUrl } from './addresses/store-address.ts';
export { configurationJsonSchema } from './file/schema.ts';
export { isName } from './addresses/name.ts';
export type { TimeOfDayRange } from './quantities.ts';
export { rateAt } from './time-of-day.ts';
export type { OpenContext } from './context.ts';
export type { SourceOfInstance } from './open-instance.ts';
export { openInstance, openInstanceAnywhere, openInstanceSource, openPeer, openSourceOf } from './load-when-opened.ts';
export type { OpenStoreOptions } from './open-store.ts';
export { openStore } from './open-store.ts';
