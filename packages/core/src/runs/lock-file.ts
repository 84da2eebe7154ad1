import type { FileHandle } from 'node:fs/promises';
import { open, readdir, readlink, stat, symlink, unlink } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';
import { identifyProcess, isRunning } from '@gantry/transport';

import { tryFlock } from '../system/flock.ts';
import { pause } from '../system/pause.ts';
import { unusable } from './state-directory.ts';

/*
 * A lock is a flock(2) on a file: the kernel releases it when the process ends, no matter how. The file exists as long as somebody
 * holds the lock. Only a holder removes it, and a process that takes a lock checks afterwards that the file it locked still has its
 * name; if not, the lock means nothing and the process starts again.
 *
 * Beside the file there is, for each holder, a dangling symbolic link whose target says in JSON who the holder is: a link is created
 * and read atomically, so nobody ever sees half of it. It is only used in messages; what a killed process left is removed by the next.
 */

export type LockMode = 'shared' | 'exclusive';

/** The holder of a lock, as it describes itself. */
export interface LockHolder {
  readonly operation: string;
  readonly instance: string;
  readonly pid: number;
  readonly startTime: number;
  readonly bootId: string;
  /** ISO 8601, UTC. */
  readonly since: string;
}

/** Held until it is disposed or the process ends. */
export type Lock = AsyncDisposable;

export interface LockRequest {
  readonly directory: string;
  /** The file's name without `.lock`; safe characters only. */
  readonly name: string;
  readonly mode: LockMode;
  readonly operation: string;
  readonly instance: string;
  readonly signal?: AbortSignal | undefined;
}

const holderSchema = z.object({
  operation: z.string(),
  instance: z.string(),
  pid: z.int().positive(),
  startTime: z.int(),
  bootId: z.string(),
  since: z.iso.datetime(),
});

/** A holder adds its link just after it takes the lock, and removes it just before it releases the lock: meanwhile others try again. */
const NAMELESS_TRIES = 25;
const NAMELESS_WAIT_MS = 20;

/**
 * Takes a lock, or returns its holders (an empty list where they are unknown). Never waits for a holder to end.
 * @throws GantryError STATE_UNUSABLE
 */
export async function tryLock(request: LockRequest): Promise<Lock | { readonly heldBy: readonly LockHolder[] }> {
  const path = join(request.directory, `${request.name}.lock`);
  for (let tries = 0; ; tries += 1) {
    request.signal?.throwIfAborted();
    const file = await tryLockFile(path, request.mode);
    const heldBy = await liveHolders(request);
    if (file !== undefined) return await announce(request, path, file);
    if (heldBy.length > 0 || tries === NAMELESS_TRIES) return { heldBy };
    await pause(NAMELESS_WAIT_MS, request.signal);
  }
}

async function tryLockFile(path: string, mode: LockMode): Promise<FileHandle | undefined> {
  for (;;) {
    const file = await open(path, 'a', 0o600).catch((error: unknown) => {
      throw unusable(`cannot open the lock file ${path}`, error);
    });
    await using scope = new AsyncDisposableStack();
    scope.use(file);
    try {
      if (!tryFlock(file.fd, mode)) return undefined;
      if (!(await isStillNamed(file, path))) continue;
    } catch (error) {
      throw unusable(`cannot lock the file ${path}`, error);
    }
    scope.move();
    return file;
  }
}

/** Whether `path` still leads to the open file, which may have been removed meanwhile. */
export async function isStillNamed(file: FileHandle, path: string): Promise<boolean> {
  const [opened, named] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
  return named !== undefined && opened.ino === named.ino && opened.dev === named.dev;
}

let holders = 0;

async function announce(request: LockRequest, path: string, file: FileHandle): Promise<Lock> {
  const link = join(request.directory, `${request.name}.${process.pid}-${(holders += 1)}.holder`);
  try {
    const us = await identifyProcess(process.pid);
    const holder = { operation: request.operation, instance: request.instance, ...us, since: new Date().toISOString() };
    await symlink(JSON.stringify(holder), link);
  } catch (error) {
    await file.close();
    throw unusable(`cannot write ${link}`, error);
  }
  return {
    async [Symbol.asyncDispose]() {
      if (file.fd === -1) return;
      // Closed even when something fails: an open file would hold the lock until this process ends.
      await using _closed = file;
      await unlink(link).catch(() => undefined);
      // The last holder removes the file: a lock that others share cannot be made exclusive.
      if (tryFlock(file.fd, 'exclusive') && (await isStillNamed(file, path))) await unlink(path).catch(() => undefined);
    },
  };
}

/** Reads the links of the holders, and removes those of killed ones. */
async function liveHolders(request: LockRequest): Promise<readonly LockHolder[]> {
  const names = (await readNames(request.directory)).filter((name) => name.startsWith(`${request.name}.`) && name.endsWith('.holder'));
  const live: LockHolder[] = [];
  for (const name of names) {
    const link = join(request.directory, name);
    const holder = parseHolder(await readlink(link).catch(() => ''));
    if (holder !== undefined && (await isRunning(holder))) live.push(holder);
    else await unlink(link).catch(() => undefined);
  }
  return live;
}

async function readNames(directory: string): Promise<readonly string[]> {
  return await readdir(directory).catch((error: unknown) => {
    throw unusable(`cannot read the directory ${directory}`, error);
  });
}

/** Removes lock files that nobody holds: those of killed processes. @throws GantryError STATE_UNUSABLE */
export async function sweepLocks(directory: string): Promise<void> {
  for (const name of await readNames(directory)) {
    const path = join(directory, name);
    if (name.endsWith('.holder')) await sweepHolder(path);
    else if (name.endsWith('.lock')) await removeUnlocked(path);
  }
}

async function sweepHolder(link: string): Promise<void> {
  const holder = parseHolder(await readlink(link).catch(() => ''));
  if (holder === undefined || !(await isRunning(holder))) await unlink(link).catch(() => undefined);
}

/**
 * Removes a file that no process has locked. It is locked here for a moment: a process that wants it meanwhile finds no holder's link
 * and tries again.
 */
export async function removeUnlocked(path: string): Promise<void> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return;
  try {
    if (tryFlock(file.fd, 'exclusive') && (await isStillNamed(file, path))) await unlink(path).catch(() => undefined);
  } finally {
    await file.close();
  }
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
