import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PGlite } from '@electric-sql/pglite';
import { errorText, GantryError, makeDirectoryDurably, openStateDirectory, tryLock } from '@gantry/core';
import { fromPglite, PgBoss } from 'pg-boss';
import { FleetQueue, MONITOR_INTERVAL_SECONDS } from './fleet-queue.ts';
import { JOBS_SCHEMA } from './names.ts';
import { FLEET_TABLES } from './schema.ts';

export interface EmbeddedOptions {
  /** As operations get it. */
  readonly stateDirectory: string | undefined;
  readonly warn: (message: string) => void;
  /** What it failed with while it was used, if that says that it is damaged. */
  readonly damage?: Error | undefined;
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
 * @throws GantryError `BUSY` if another process has it; `STATE_UNUSABLE` if it cannot be opened and no other one can be made: it stays
 */
export async function openEmbedded({ stateDirectory, warn, damage }: EmbeddedOptions): Promise<FleetQueue> {
  const state = await openStateDirectory(stateDirectory);
  const lock = await tryLock({ directory: state.locks, name: 'fleet-queue', mode: 'exclusive', operation: 'run', instance: 'fleet' });
  if ('heldBy' in lock) throw busy(lock.heldBy[0]?.pid);
  await using scope = new AsyncDisposableStack();
  scope.use(lock);
  const directory = join(fleetDirectory(state.path), 'queue');
  const options = { warn, release: async (): Promise<void> => await lock[Symbol.asyncDispose]() };
  const queue = await (damage === undefined ? openOrMake(directory, options) : makeAnew(directory, damage, options));
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
  const wasThere = await isThere(directory);
  try {
    const { queue } = await openEmbeddedDatabase(directory, options);
    await removeLeftovers(directory);
    return queue;
  } catch (error) {
    if (!wasThere) throw error;
    return await makeAnew(directory, error, options);
  }
}

/**
 * Makes a queue in the place of one that cannot be used. What keeps any from being opened, such as a program that is not whole, looks like
 * damage: so the other one is made and closed first, and the one that is there stays if that fails. The damaged one of an earlier time goes
 * last.
 *
 * @throws GantryError `STATE_UNUSABLE`
 */
async function makeAnew(directory: string, error: unknown, options: DatabaseOptions): Promise<FleetQueue> {
  const reason = errorText(error);
  await assertNotTheHost(directory, reason);
  options.warn(`the embedded queue is damaged, and made anew: ${reason}`);
  const { made, aside, older } = besides(directory);
  await makeClosed(made, reason, options);
  if (await isThere(aside)) {
    await rm(older, { recursive: true, force: true });
    await rename(aside, older);
  }
  if (await isThere(directory)) await rename(directory, aside);
  await rename(made, directory);
  const { queue } = await openEmbeddedDatabase(directory, options);
  await removeLeftovers(directory);
  return queue;
}

/** Where the queue that takes the place of one is made, where that one goes, and where the one goes that was there. */
function besides(directory: string): { readonly made: string; readonly aside: string; readonly older: string } {
  return { made: `${directory}.new`, aside: `${directory}.damaged`, older: `${directory}.older` };
}

/** What nobody needs once there is a queue that can be opened; a process that was killed leaves it too. It disturbs nothing. */
async function removeLeftovers(directory: string): Promise<void> {
  const { made, older } = besides(directory);
  for (const path of [made, older]) await rm(path, { recursive: true, force: true }).catch(() => undefined);
}

/** Makes a queue that nothing uses yet; what an earlier process left unfinished there goes. @throws GantryError `STATE_UNUSABLE` */
async function makeClosed(directory: string, reason: string, { warn }: DatabaseOptions): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true });
    const { queue } = await openEmbeddedDatabase(directory, { warn, release: () => Promise.resolve() });
    await queue[Symbol.asyncDispose]();
  } catch (error) {
    await rm(directory, { recursive: true, force: true }).catch(() => undefined);
    const message = `cannot open the embedded queue: ${reason}; nor can another one be made: ${errorText(error)}`;
    const hint =
      'It stays as it is. Check that gantry-fleet is whole and of the right version, and the file system of its state directory.';
    throw new GantryError('STATE_UNUSABLE', { message, hint, cause: error });
  }
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
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
    const message = `cannot open the embedded queue: ${reason}; nor can files be written beside it: ${errorText(error)}`;
    throw new GantryError('STATE_UNUSABLE', { message, hint: 'Free space on its file system, or see dmesg.', cause: error });
  } finally {
    await rm(path, { force: true });
  }
}

/** Opens the database in a directory, which nothing else uses, or makes it. */
export async function openEmbeddedDatabase(
  directory: string,
  { warn, release }: DatabaseOptions,
): Promise<{ readonly queue: FleetQueue; readonly database: PGlite }> {
  // Some 10 MB of WebAssembly: only where it is used.
  const { PGlite } = await import('@electric-sql/pglite');
  const database = await PGlite.create(directory);
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
