import { constants } from 'node:fs';
import { access, mkdir, open, readdir, readFile, rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { z } from 'zod';

import { unescapeField } from '../disks/kernel-users.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { Undo } from '../runs/undo.ts';
import { errnoName } from '../system/errno-name.ts';
import type { ProcessGroup } from '../system/process-group.ts';
import { endCommandOfKilledRun, processGroupSchema, runCommand } from '../system/run-command.ts';
import type { HeldRecords } from './held-records.ts';
import type { Snapshot } from './provider.ts';
import { defaultScratch, makeDefaultScratch } from './scratch-directory.ts';
import type { Server } from './start-server.ts';
import { startServer } from './start-server.ts';

/*
 * Files for scripts, of snapshots that are read over NBD: QEMU's storage daemon shows them through FUSE, read only. See
 * docs/decisions/0139-snapshots-as-files.md.
 */

const PROGRAM = 'qemu-storage-daemon';
const PACKAGES = 'Debian package qemu-system-common';
const DIRECTORIES = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const UNMOUNT_TIMEOUT_S = 30;

const recordSchema = z.object({
  /** Ours alone: the files are in it, each a mount point, and nothing else but what the program writes. */
  directory: z.string().regex(/^\/(.*\/)?gantry-[\w-]+\.files$/s),
  disks: z.array(z.int()),
  process: processGroupSchema.optional(),
});

export const snapshotFilesUndo: Undo = {
  kind: 'snapshot-files',
  describe(record) {
    const { directory, disks } = recordSchema.parse(record);
    return `files for scripts of the snapshot of disk ${disks.join(', ')} in ${directory}`;
  },
  async undo(record, _run, signal) {
    const { directory, process } = recordSchema.parse(record);
    if (process !== undefined) await endCommandOfKilledRun(process);
    return await removeFiles(directory, signal);
  },
};

/** Why scripts cannot get files: one clause. */
export async function whyNoFiles(): Promise<string | undefined> {
  try {
    await access('/dev/fuse', constants.R_OK | constants.W_OK);
  } catch (error) {
    return `the snapshot is read over NBD, and scripts need a file: /dev/fuse cannot be used (${errorText(error)})`;
  }
  for (const directory of DIRECTORIES) if (await isThere(join(directory, PROGRAM))) return undefined;
  return `the snapshot is read over NBD, and scripts need a file: ${PROGRAM} is not installed (${PACKAGES})`;
}

export interface FilesOptions {
  readonly held: HeldRecords;
  readonly runId: string;
  readonly signal: AbortSignal;
}

/**
 * Gives each snapshot a path in place of its NBD export, until the record is undone.
 * @throws GantryError `SNAPSHOT_FAILED`; the signal's reason
 */
export async function giveFiles(snapshots: readonly Snapshot[], { held, runId, signal }: FilesOptions): Promise<readonly Snapshot[]> {
  const [first] = snapshots;
  if (first === undefined) return [];
  const directory = join(defaultScratch(), `${runId}.files`);
  const record = { kind: snapshotFilesUndo.kind, directory, disks: snapshots.map(({ index }) => index) };
  try {
    await held.remember(snapshotFilesUndo.kind, record);
    await makeDefaultScratch(dirname(directory));
    await mkdir(directory, { mode: 0o700 });
    for (const snapshot of snapshots) await makeEmptyFile(fileOf(directory, snapshot));
    const started = (process: ProcessGroup): Promise<void> => held.remember(snapshotFilesUndo.kind, { ...record, process });
    const server = await serve(directory, snapshots, { started, signal });
    return snapshots.map((snapshot) => withFile(snapshot, fileOf(directory, snapshot), server));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof GantryError) throw error;
    throw new GantryError('SNAPSHOT_FAILED', {
      message: `cannot give the scripts a file of the ${first.kind} snapshot: ${errorText(error)}`,
      hint: 'Take another kind of snapshot (--snapshot), or set os to raw.',
      disk: first.index,
      cause: error,
    });
  }
}

function fileOf(directory: string, { index }: Pick<Snapshot, 'index'>): string {
  return join(directory, `disk${index}`);
}

function withFile(snapshot: Snapshot, path: string, server: Server): Snapshot {
  return {
    ...snapshot,
    nbd: undefined,
    path,
    async assertIntact() {
      await snapshot.assertIntact?.();
      const reason = server.whyEnded();
      if (reason !== undefined)
        throw new GantryError('SNAPSHOT_FAILED', { message: `cannot read disk ${snapshot.index}: ${reason}`, disk: snapshot.index });
    },
  };
}

async function serve(
  directory: string,
  snapshots: readonly Snapshot[],
  options: { readonly started: (group: ProcessGroup) => Promise<void>; readonly signal: AbortSignal },
): Promise<Server> {
  const pidFile = join(directory, 'pid');
  const words = snapshots.flatMap(({ index, nbd }) => {
    const node = `disk${index}`;
    const server = { type: 'unix', path: nbd?.socket };
    const image = { driver: 'nbd', 'node-name': node, 'read-only': true, server, export: nbd?.exportName };
    const file = { type: 'fuse', id: node, 'node-name': node, mountpoint: fileOf(directory, { index }), writable: false };
    return ['--blockdev', JSON.stringify(image), '--export', JSON.stringify(file)];
  });
  return await startServer({
    argv: [PROGRAM, ...words, '--pidfile', pidFile],
    packages: PACKAGES,
    task: 'which shows the snapshot as a file',
    // It is written when everything is there.
    isReady: () => isThere(pidFile),
    ...options,
  });
}

async function makeEmptyFile(path: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  await file.close();
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** Idempotent. What the program did not unmount itself, as it was killed, is unmounted. @returns whether there was anything */
async function removeFiles(directory: string, signal: AbortSignal): Promise<boolean> {
  let names: readonly string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return false;
    throw error;
  }
  const mounted = await mountPoints();
  for (const path of names.map((name) => join(directory, name))) {
    if (mounted.has(path)) await unmount(path, signal);
    await unlink(path);
  }
  await rmdir(directory);
  return true;
}

/** Only root may unmount; FUSE has a program for others. */
async function unmount(path: string, signal: AbortSignal): Promise<void> {
  await runCommand(process.geteuid?.() === 0 ? ['umount', '--lazy', path] : ['fusermount3', '-u', '-z', path], {
    timeoutS: UNMOUNT_TIMEOUT_S,
    signal,
  });
}

/** The fifth field of each line (proc_pid_mountinfo(5)). */
async function mountPoints(): Promise<ReadonlySet<string>> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return new Set(lines.map((line) => unescapeField(line.split(' ')[4] ?? '')));
}
