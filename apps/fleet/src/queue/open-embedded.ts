import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PGlite } from '@electric-sql/pglite';
import { asFirstError, GantryError, makeDirectoryDurably, openStateDirectory, tryLock } from '@gantry/core';
import { fromPglite, PgBoss } from 'pg-boss';
import { FleetQueue, MONITOR_INTERVAL_SECONDS } from './fleet-queue.ts';
import { JOBS_SCHEMA } from './names.ts';
import { FLEET_TABLES } from './schema.ts';

export interface EmbeddedOptions {
  /** As operations get it. */
  readonly stateDirectory: string | undefined;
  readonly warn: (message: string) => void;
  /** What it is in was found to be damaged while it was used. */
  readonly isDamaged?: boolean | undefined;
}

/** The directory of the embedded queue, of the ledger and of the control socket. */
export function fleetDirectory(statePath: string): string {
  return join(statePath, 'fleet');
}

/**
 * Opens the queue of a fleet of one machine, in a database within this process. It keeps no lock on its directory and calls no fsync: so it
 * is under a lock of Gantry's, and made anew where it is damaged; the damaged one is kept beside it until the next one is. What it forgets
 * then was planned from the configuration, and which exports are done is asked of the stores.
 *
 * @throws GantryError `BUSY` if another process has it, `STATE_UNUSABLE`
 */
export async function openEmbedded({ stateDirectory, warn, isDamaged = false }: EmbeddedOptions): Promise<FleetQueue> {
  const state = await openStateDirectory(stateDirectory);
  const lock = await tryLock({ directory: state.locks, name: 'fleet-queue', mode: 'exclusive', operation: 'run', instance: 'fleet' });
  if ('heldBy' in lock) throw busy(lock.heldBy[0]?.pid);
  await using scope = new AsyncDisposableStack();
  scope.use(lock);
  const directory = join(fleetDirectory(state.path), 'queue');
  if (isDamaged) await setAside(directory);
  const queue = await openOrMake(directory, { warn, release: async () => await lock[Symbol.asyncDispose]() });
  scope.move();
  return queue;
}

interface DatabaseOptions {
  readonly warn: (message: string) => void;
  /** Called when the queue is closed. */
  readonly release: () => Promise<void>;
}

async function openOrMake(directory: string, options: DatabaseOptions): Promise<FleetQueue> {
  await makeDirectoryDurably(join(directory, '..'), 0o700);
  const wasThere = await stat(directory).then(
    () => true,
    () => false,
  );
  try {
    return (await openEmbeddedDatabase(directory, options)).queue;
  } catch (error) {
    if (!wasThere) throw error;
    const first = asFirstError(error);
    const reason = first instanceof Error ? first.message : String(first);
    await assertNotTheHost(directory, reason);
    options.warn(`the embedded queue is damaged, and made anew: ${reason}`);
  }
  await setAside(directory);
  return (await openEmbeddedDatabase(directory, options)).queue;
}

/** More than the database writes when it is opened. */
const PROBE_BYTES = 32 * 1024 * 1024;

/**
 * What the database says of a full disk, or of files that cannot be opened, does not differ from what it says of damage: so the host is
 * asked.
 *
 * @throws GantryError `STATE_UNUSABLE` where files cannot be written
 */
async function assertNotTheHost(directory: string, reason: string): Promise<void> {
  const path = `${directory}.probe`;
  try {
    await using file = await open(path, 'w', 0o600);
    await file.write(Buffer.alloc(PROBE_BYTES));
    await file.sync();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const message = `cannot open the embedded queue: ${reason}; nor can files be written beside it: ${why}`;
    throw new GantryError('STATE_UNUSABLE', { message, hint: 'Free space on its file system, or see dmesg.', cause: error });
  } finally {
    await rm(path, { force: true });
  }
}

/** Moves a damaged queue out of the way, in the place of the one before. */
async function setAside(directory: string): Promise<void> {
  const aside = `${directory}.damaged`;
  await rm(aside, { recursive: true, force: true });
  await rename(directory, aside);
}

/** Opens the database in a directory, which nothing else uses, or makes it. */
export async function openEmbeddedDatabase(
  directory: string,
  { warn, release }: DatabaseOptions,
): Promise<{ readonly queue: FleetQueue; readonly database: PGlite }> {
  // Some 10 MB of WebAssembly: only where it is used.
  const { PGlite } = await import('@electric-sql/pglite');
  const database = await PGlite.create({ dataDir: directory });
  await using scope = new AsyncDisposableStack();
  scope.defer(() => database.close());
  const boss = new PgBoss({
    db: fromPglite(database),
    backend: 'pglite',
    schema: JOBS_SCHEMA,
    supervise: false,
    monitorIntervalSeconds: MONITOR_INTERVAL_SECONDS,
    schedule: false,
    registerInstance: false,
  });
  boss.on('error', (error) => warn(`the queue of the fleet: ${error.message}`));
  scope.defer(() => boss.stop({ graceful: false }));
  const queue = new FleetQueue(boss, async () => {
    await database.close();
    await release();
  });
  await boss.start();
  await boss.getDb().executeSql(`BEGIN; ${FLEET_TABLES} COMMIT;`);
  await queue.jobs(new Date(0));
  scope.move();
  return { queue, database };
}

function busy(pid: number | undefined): GantryError {
  const message = `the embedded queue is in use${pid === undefined ? '' : ` by process ${pid}`}`;
  return new GantryError('BUSY', { message, hint: 'One gantry-fleet agent of a machine has it; stop that one first.' });
}
