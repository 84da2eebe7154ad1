import { createHash } from 'node:crypto';

import { GantryError } from '../report/errors.ts';
import type { OperationName } from '../report/events.ts';
import type { Disk } from '../instances/model.ts';
import { diskIdentity } from '../disks/disk-identity.ts';
import type { Lock, LockHolder, LockMode } from './lock-file.ts';
import { tryLock } from './lock-file.ts';
import type { StateDirectory } from './state-directory.ts';
import { errorText } from '../report/error-text.ts';

/** For whom a lock is taken; shown to others whom it keeps out. */
export interface LockOwner {
  readonly stateDirectory: StateDirectory;
  readonly operation: OperationName;
  readonly instance: string;
  readonly signal?: AbortSignal | undefined;
}

/** Longer names do not fit into a file name together with prefix and suffix. */
const MAX_NAME_BYTES = 180;

/**
 * Locks the instance for this operation, until the lock is disposed or the process ends. Never waits.
 * @throws GantryError BUSY, STATE_UNUSABLE
 */
export async function lockInstance(owner: LockOwner): Promise<Lock> {
  return lock(owner, `instance-${safeName(owner.instance)}`, 'exclusive', { what: `instance ${owner.instance}` });
}

/** What of a policy runs. */
export interface RunningPart {
  /** Just the exports of these instances, or what comes after them at `store NAME`; the whole policy where absent. */
  readonly parts?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Keeps a policy, or just a part of it, from running twice at once on this machine. Never waits.
 * @throws GantryError BUSY, STATE_UNUSABLE
 */
export async function lockPolicy(stateDirectory: StateDirectory, policy: string, { parts, signal }: RunningPart = {}): Promise<Lock> {
  const result = await tryLock({
    directory: stateDirectory.locks,
    name: `policy-${safeName(parts === undefined ? policy : JSON.stringify([policy, ...parts]))}`,
    mode: 'exclusive',
    operation: 'run',
    instance: policy,
    signal,
  });
  if (!('heldBy' in result)) return result;
  const [holder] = result.heldBy;
  const part = parts === undefined || parts.length === 0 ? '' : ` for ${parts.join(', ')}`;
  const by = holder === undefined ? 'another process of Gantry runs it' : `process ${holder.pid} has run it since ${holder.since}`;
  throw new GantryError('BUSY', {
    message: `policy ${policy} is already running${part}: ${by}`,
    hint: 'Wait until that run ends: it does what this one would.',
  });
}

/**
 * Takes one of a number of places for exports that all runs of policies on this machine share, if one is free: until the lock is disposed or
 * the process ends. Never waits.
 *
 * @throws GantryError STATE_UNUSABLE
 */
export async function tryExportPlace(owner: LockOwner, places: number): Promise<Lock | undefined> {
  const { stateDirectory, operation, instance, signal } = owner;
  for (let place = 1; place <= places; place += 1) {
    const result = await tryLock({
      directory: stateDirectory.locks,
      name: `export-place-${place}`,
      mode: 'exclusive',
      operation,
      instance,
      signal,
    });
    if (!('heldBy' in result)) return result;
  }
  return undefined;
}

/**
 * Locks a disk, no matter in which instance and by which path it is described: shared with other readers (export), or exclusive
 * (import, create). Held until the lock is disposed or the process ends. Never waits.
 * @throws GantryError BUSY, DISK_MISSING, STATE_UNUSABLE
 */
export async function lockDisk(owner: LockOwner, index: number, disk: Disk, mode: LockMode): Promise<Lock> {
  const address = disk.path ?? disk.uri ?? '';
  const identity = disk.path === undefined ? `uri-${digest(address)}` : await identify(index, disk.path);
  return lock(owner, `disk-${identity}`, mode, { what: `disk ${index} (${address})`, disk: index });
}

async function identify(index: number, path: string): Promise<string> {
  try {
    return await diskIdentity(path);
  } catch (error) {
    throw new GantryError('DISK_MISSING', {
      message: `cannot examine disk ${index} (${path}): ${errorText(error)}`,
      hint: 'Check the path in the instance file.',
      disk: index,
      cause: error,
    });
  }
}

interface Subject {
  readonly what: string;
  readonly disk?: number;
}

async function lock(owner: LockOwner, name: string, mode: LockMode, subject: Subject): Promise<Lock> {
  const { stateDirectory, operation, instance, signal } = owner;
  const result = await tryLock({ directory: stateDirectory.locks, name, mode, operation, instance, signal });
  if (!('heldBy' in result)) return result;
  const bySelf = result.heldBy.some((holder) => holder.pid === process.pid && holder.instance === instance);
  throw subject.disk !== undefined && bySelf ? sameDisk(subject, instance) : busy(subject, result.heldBy);
}

/** An operation locks its instance first, so the holder can only be another disk of the same instance. */
function sameDisk({ what, disk }: Subject, instance: string): GantryError {
  return new GantryError('BUSY', {
    message: `${what} is the same as another disk of instance ${instance}, under another path`,
    hint: 'Describe each disk once in the instance file.',
    disk,
  });
}

function busy({ what, disk }: Subject, holders: readonly LockHolder[]): GantryError {
  const [first, ...more] = holders.map(describeHolder);
  const pids = holders.map((holder) => holder.pid).join(', ');
  return new GantryError('BUSY', {
    message: `${what} is in use: ${first ?? 'it is locked by another process of Gantry'}`,
    hint: first === undefined ? 'Try again when that process has ended.' : `Wait until it ends, or end process ${pids}.`,
    details: more.map((holder) => `also in use: ${holder}`),
    disk,
  });
}

function describeHolder(holder: LockHolder): string {
  return `${holder.operation} of instance ${holder.instance}, process ${holder.pid}, since ${holder.since}`;
}

function safeName(name: string): string {
  return name.length <= MAX_NAME_BYTES && /^[A-Za-z0-9._-]+$/.test(name) ? name : `long-${digest(name)}`;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 40);
}
