import process from 'node:process';
import { GantryError } from '@gantry/core';
import { PgBoss } from 'pg-boss';
import { z } from 'zod';
import { queueFailure } from './failure.ts';
import { FleetQueue, MONITOR_INTERVAL_SECONDS } from './fleet-queue.ts';
import { FLEET_SCHEMA as FLEET, JOBS_SCHEMA, roleOf } from './names.ts';
import { FLEET_TABLES, FLEET_VERSION, ROLE_RIGHTS } from './schema.ts';
import type { Protected } from './tls.ts';
import { protect } from './tls.ts';

export interface PostgresOptions {
  /**
   * `postgres://USER@HOST/DATABASE?…`; a password comes from where libpq looks for it (`PGPASSFILE`, `PGPASSWORD`). With TLS unless the server
   * is on this host, or it says otherwise (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`).
   */
  readonly url: string;
  /** Called with what the queue fails with in the background. */
  readonly warn: (message: string) => void;
  /** At most, at once; an agent, which does one thing after the other, needs one. */
  readonly connections?: number | undefined;
  /** How long a new connection and a statement may take, and how long a statement may wait for a lock, ms. */
  readonly limits?: Partial<TimeLimits> | undefined;
}

interface TimeLimits {
  readonly connectMs: number;
  readonly statementMs: number;
  readonly lockMs: number;
}

const CONNECTIONS = 2;
/**
 * A server whose host vanished is not waited for, and a node that locks the table of jobs holds up no other one for
 * long. The longest statement reads the exports of a month.
 */
const LIMITS: TimeLimits = { connectMs: 10_000, statementMs: 60_000, lockMs: 20_000 };

/**
 * Opens the queue of a fleet as one of its nodes, or as its owner.
 *
 * @throws GantryError `USAGE` for an address that is not valid, `QUEUE_UNAVAILABLE`, `QUEUE_UNUSABLE` if `init` did not run there
 */
export async function openPostgres({ url, warn, connections = CONNECTIONS, limits }: PostgresOptions): Promise<FleetQueue> {
  const boss = bossOf({ ...protect(validUrl(url), process.env), warn, connections, limits: { ...LIMITS, ...limits } }, false);
  return await started(boss, async () => {
    const { rows } = await boss.getDb().executeSql(`SELECT version FROM ${FLEET}.version`);
    assertVersion(rows);
  });
}

/**
 * Makes what a fleet needs in a database, or brings it up to date, and adds nodes: their queues and their roles, without passwords. To be
 * called as the owner of the database, who alone changes tables; may be repeated.
 *
 * @throws GantryError as {@link openPostgres}
 */
export async function initPostgres({ url, warn }: PostgresOptions, nodes: readonly string[]): Promise<void> {
  const boss = bossOf({ ...protect(validUrl(url), process.env), warn, connections: CONNECTIONS, limits: LIMITS }, true);
  await using queue = await started(boss, async () => {
    const db = boss.getDb();
    await db.executeSql(FLEET_TABLES);
    assertVersion((await db.executeSql(`SELECT version FROM ${FLEET}.version`)).rows);
    await db.executeSql(ROLE_RIGHTS);
    for (const node of nodes) await db.executeSql(roleSql(node));
  });
  for (const node of nodes) await queue.addNode(node);
}

async function started(boss: PgBoss, prepare: () => Promise<void>): Promise<FleetQueue> {
  const queue = new FleetQueue(boss, () => Promise.resolve());
  await using scope = new AsyncDisposableStack();
  scope.use(queue);
  try {
    await boss.start();
    await prepare();
  } catch (error) {
    throw queueFailure(error);
  }
  scope.move();
  return queue;
}

interface BossOptions extends Protected, Pick<PostgresOptions, 'warn'> {
  readonly connections: number;
  readonly limits: TimeLimits;
}

function bossOf({ url, ssl, warn, connections: max, limits }: BossOptions, migrate: boolean): PgBoss {
  // Options of the driver, to which pg-boss passes what it does not know.
  const driver = { keepAlive: true, query_timeout: limits.statementMs, lock_timeout: limits.lockMs };
  const boss = new PgBoss({
    ...driver,
    ssl,
    connectionString: url,
    application_name: 'gantry-fleet',
    schema: JOBS_SCHEMA,
    max,
    connectionTimeoutMillis: limits.connectMs,
    migrate,
    // The planner calls it itself; roles of nodes may not.
    supervise: false,
    monitorIntervalSeconds: MONITOR_INTERVAL_SECONDS,
    schedule: false,
    registerInstance: false,
  });
  boss.on('error', (error) => warn(`the queue of the fleet: ${error.message}`));
  return boss;
}

/** `CREATE ROLE` has no `IF NOT EXISTS`. The name has only characters that need no quotation within quotation marks. */
function roleSql(node: string): string {
  const role = roleOf(node);
  return `DO $do$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${role}') THEN CREATE ROLE "${role}" LOGIN; END IF;
    GRANT gantry_nodes TO "${role}";
  END $do$`;
}

function assertVersion(rows: readonly unknown[]): void {
  const version = z.object({ version: z.number() }).parse(rows[0]).version;
  if (version === FLEET_VERSION) return;
  const message = `the tables of the fleet have version ${version}, and this gantry-fleet needs ${FLEET_VERSION}`;
  const isOlder = version < FLEET_VERSION;
  const hint = isOlder ? 'Run gantry-fleet init again, as the owner of the database.' : 'Use the same version of Gantry on all nodes.';
  throw new GantryError('QUEUE_UNUSABLE', { message, hint });
}

/** @throws GantryError `USAGE`; the address is shown without what may be a password */
function validUrl(text: string): URL {
  const hint = 'Write postgres://USER@HOST/DATABASE.';
  const url = URL.parse(text);
  if (url === null || !/^postgres(?:ql)?:$/.test(url.protocol)) {
    throw new GantryError('USAGE', { message: 'the address of the database is not a URL of PostgreSQL', hint });
  }
  if (url.password !== '' || url.searchParams.has('password')) {
    const message = 'the address of the database has a password, which others can read there';
    throw new GantryError('USAGE', { message, hint: 'Keep it in a file as libpq does (PGPASSFILE, ~/.pgpass), or use certificates.' });
  }
  return url;
}
