import type * as Instances from './open-instance.ts';
import type * as Peers from './open-peer.ts';

/* Most commands open neither an instance nor a peer: what reads these is loaded by those that do. */

/** See {@link Instances.openInstance}. */
export const openInstance: typeof Instances.openInstance = async (...given) => (await import('./open-instance.ts')).openInstance(...given);

/** See {@link Instances.openInstanceAnywhere}. */
export const openInstanceAnywhere: typeof Instances.openInstanceAnywhere = async (...given) =>
  (await import('./open-instance.ts')).openInstanceAnywhere(...given);

/** See {@link Instances.openInstanceSource}. */
export const openInstanceSource: typeof Instances.openInstanceSource = async (...given) =>
  (await import('./open-instance.ts')).openInstanceSource(...given);

/** See {@link Instances.openSourceOf}. */
export const openSourceOf: typeof Instances.openSourceOf = async (...given) => (await import('./open-instance.ts')).openSourceOf(...given);

/** See {@link Peers.openPeer}. */
export const openPeer: typeof Peers.openPeer = async (...given) => (await import('./open-peer.ts')).openPeer(...given);
