// Before what uses it.
import './before-node-24.ts';
export { askForSecret } from './ask-for-secret.ts';
export { alterBody, alterPending, alterRangeCopy, alterStore } from './alter.ts';
export { abortable, openOrAbort, orAbort } from './abortable.ts';
export type { StoreErrorCode, StoreErrorDetails } from './errors.ts';
export { StoreError, isStoreError } from './errors.ts';
export { closeOnFailure, failureText, firstFailure, laterFailures, translateFailure } from './failures.ts';
export { MAX_KEY_LENGTH, MAX_KEY_PART_LENGTH, assertKey, assertPrefix, isKeyPart } from './key.ts';
export type { ByteRange } from './range.ts';
export { assertRange, assertRangeCopy } from './range.ts';
export type {
  BeginOptions,
  ByteSource,
  CallOptions,
  CommitDigest,
  Digest,
  HiddenObject,
  ObjectInfo,
  ObjectRange,
  PendingInfo,
  PendingObject,
  ReadOptions,
  Store,
  StoreCapabilities,
  StoreReader,
  StoreSpace,
  StoreWriter,
  UnfinishedOptions,
} from './store.ts';
export { RETRYABLE_CODES } from './store.ts';
export type { LimitOptions, Rate } from './limit.ts';
export { RateLimiter, withLimit } from './limit.ts';
export type { LogEntry } from './log.ts';
export { withLog } from './log.ts';
export type { HostProcess, OwnerState } from './owner.ts';
export { ownerOf, thisProcess } from './owner.ts';
export type { Pause } from './pause.ts';
export type { PeerChannel, PeerEnd } from './peer.ts';
export { receiverCommand } from './peer.ts';
export type { ProcessIdentity } from './process-identity.ts';
export { identifyProcess, isRunning, readProcess } from './process-identity.ts';
export { releaseMemory } from './release-memory.ts';
export type { RetryOptions } from './retry.ts';
export { withRetry } from './retry.ts';
export type { StreamChannelOptions } from './stream-channel.ts';
export { streamChannel } from './stream-channel.ts';
export type { OpenOptions, OpenPeerOptions, Transport } from './transport.ts';
export { trimSlashes } from './trim-slashes.ts';
