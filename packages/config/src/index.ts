export type { OpenContext } from './context.ts';
export type { SourceOfInstance } from './open-instance.ts';
export { openInstance, openInstanceAnywhere, openInstanceSource, openSourceOf } from './open-instance.ts';
export { openPeer } from './open-peer.ts';
export type { OpenStoreOptions } from './open-store.ts';
export { openStore } from './open-store.ts';
