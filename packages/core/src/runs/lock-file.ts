import type { FileHandle } from 'node:fs/promises';
import { open, readdir, readlink, stat, symlink, unlink } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';
import { identifyProcess, isRunning } from '@gantry/transport';

import { tryFlock } from '../system/flock.ts';
import { pause } from '../system/pause.ts';
import { unusable } from './state-directory.ts';

/*
 * A lock is a flock(2) on a file: the kernel lets go of it when the process ends, however it ends. The file is there as long as
 * somebody holds the lock. It is removed by its holder alone, and whoever takes a lock looks afterwards whether the file that it
 * locked is still the one of that name; if not, the lock means nothing and it starts again.
 *
 * Beside the file stands, for each holder, a symbolic link to nowhere whose target says in JSON who that is: a link is made and
 * read at once, so nobody ever sees half of it. It is for messages alone; what a killed process left is swept by the next.
 */

export type LockMode = 'shared' | 'exclusive';

/** Who holds a lock, as it told the others. */
export interface LockHolder {
  readonly operation: string;
  readonly instance: string;
  readonly pid: number;
  readonly startTime: number;
  readonly bootId: string;
  /** ISO 8601, UTC. */
  readonly since: string;
}

/** Held until it is disposed, or the process ends. */
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

/** A holder says who it is just after it took the lock, and takes that back just before it lets go: so long is a refusal tried again. */
const NAMELESS_TRIES = 25;
const NAMELESS_WAIT_MS = 20;

/**
 * Takes a lock or gives those who hold it; none where they cannot be named. Never waits for a holder to end.
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

/** Whether the open file is the one that its name leads to, and not one that was removed meanwhile. */
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
      // Closed whatever fails: an open file would hold the lock until this process ends.
      await using _closed = file;
      await unlink(link).catch(() => undefined);
      // The last holder removes the file; a shared lock that others share too cannot be made exclusive.
      if (tryFlock(file.fd, 'exclusive') && (await isStillNamed(file, path))) await unlink(path).catch(() => undefined);
    },
  };
}

/** Reads who says that they hold the lock, and sweeps what killed holders left. */
async function liveHolders(request: LockRequest): Promise<readonly LockHolder[]> {
  const all = await readdir(request.directory).catch((error: unknown) => {
    throw unusable(`cannot look into ${request.directory}`, error);
  });
  const names = all.filter((name) => name.startsWith(`${request.name}.`) && name.endsWith('.holder'));
  const live: LockHolder[] = [];
  for (const name of names) {
    const link = join(request.directory, name);
    const holder = parseHolder(await readlink(link).catch(() => ''));
    if (holder !== undefined && (await isRunning(holder))) live.push(holder);
    else await unlink(link).catch(() => undefined);
  }
  return live;
}

/** Removes the files of locks that nobody holds: those that were held by processes which were killed. */
export async function sweepLocks(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
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
 * Removes a file that no process has locked. Has it locked itself for a moment: who wants it meanwhile finds no name to blame and tries
 * again.
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
