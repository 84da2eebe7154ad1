import { readdir, readFile } from 'node:fs/promises';
import process from 'node:process';
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pause } from '@gantry/core';
import { startPostgres } from '@gantry/testkit';
import type { PostgresServer } from '@gantry/testkit';
import pg from 'pg';
import type { Attempt, FleetQueue } from '../../src/queue/fleet-queue.ts';
import { roleOf } from '../../src/queue/names.ts';
import { initPostgres, openPostgres } from '../../src/queue/open-postgres.ts';
import { KEEP_DAYS } from '../../src/queue/records.ts';
import { nodesOf, planOf } from './night.ts';

/*
 * How a queue on PostgreSQL bears a fleet: agents that look for work, take it, renew leases and report, each with a connection and a role of
 * its own, at many times the speed of a night, and a planner, which is killed each minute. Exports are pauses. Leases are renewed every 15
 * seconds at any speed: of some 40 renewals of each export in a real night, few are in it, so what the database uses in a night or writes
 * in a year does not follow from this. Called by scripts/fleet-load.sh.
 */

const { values } = parseArgs({
  options: {
    agents: { type: 'string', default: '500' },
    runs: { type: 'string', default: '20000' },
    speed: { type: 'string', default: '60' },
    dead: { type: 'string', default: '0' },
  },
});
const AGENTS = Number(values.agents);
const RUNS = Number(values.runs);
const SPEED = Number(values.speed);

/** How many agents of 100 die in the first half of the night. */
const DEAD = Number(values.dead);

/** Of what happens in a night, ms at a speed of 1. */
const NIGHT_MS = 8 * 3_600_000;
const POLL_MS = 30_000;
const RUN_MS = 10 * 60_000;
/** Leases do not get shorter with the speed. */
const RENEW_MS = 15_000;
const PARALLEL = 2;
const TICKS_PER_SECOND = 100;
/** In which the planner is killed, ms at every speed. */
const PLANNER_LIFE_MS = 60_000;

const { signal } = new AbortController();
const warn = (message: string): void => void process.stderr.write(`${message}\n`);
const nodes = nodesOf(AGENTS);

/** Milliseconds of each call that looks for work. */
const takes: number[] = [];
let done = 0;
let renewals = 0;
/** Runs of nodes that died. */
let abandoned = 0;

await using server = await startPostgres({ connections: AGENTS + 50 });
const url = server.url('owner');
await initPostgres({ url, warn }, nodes);
await using owner = await openPostgres({ url, warn });

const now = new Date();
const night = { agents: AGENTS, runs: RUNS, now, lengthMs: NIGHT_MS / SPEED };
const planned = performance.now();
await owner.add(planOf(night, []).add);
const planMs = performance.now() - planned;

const before = await processorSeconds(server);
const started = performance.now();
const watch = new AbortController();
const connections = countConnections(watch.signal);
const planners = keepPlanner(watch.signal);
await Promise.all(nodes.map(runAgent));
const elapsed = (performance.now() - started) / 1000;
watch.abort();
const used = (await processorSeconds(server)) - before;
const jobs = await owner.jobs(new Date(0));
const states = Object.fromEntries([...Map.groupBy(jobs, ({ state }) => state)].map(([state, all]) => [state, all.length]));
const { bytes, rows } = await size();
process.stdout.write(
  `${JSON.stringify({
    agents: AGENTS,
    runs: RUNS,
    speed: SPEED,
    seconds: round(elapsed),
    planSeconds: round(planMs / 1000),
    states,
    takes: takes.length,
    takeMs: { p50: percentile(0.5), p95: percentile(0.95), p99: percentile(0.99) },
    dead: DEAD,
    abandoned,
    planners: await planners,
    connections: await connections,
    renewals,
    databaseCores: round(used / elapsed),
    bytesPerRun: Math.round(bytes / Math.max(1, rows)),
    rowsKept: RUNS * KEEP_DAYS,
    bytesKept: Math.round((bytes / Math.max(1, rows)) * RUNS * KEEP_DAYS),
  })}\n`,
);
if (states['done'] !== RUNS - abandoned) process.exitCode = 1;

/** Keeps a planner running, which is killed again and again. @returns how many there were */
async function keepPlanner(ended: AbortSignal): Promise<number> {
  const program = fileURLToPath(new URL('planner.ts', import.meta.url));
  let count = 0;
  while (!ended.aborted) {
    count += 1;
    const settings = JSON.stringify({ ...night, url, intervalMs: 60_000 / SPEED });
    const child = fork(program, [settings], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await pause(PLANNER_LIFE_MS, ended).catch(() => undefined);
    child.kill('SIGKILL');
  }
  return count;
}

/** One node: until all runs of all nodes are done, or until it dies with what it has. */
async function runAgent(node: string, place: number): Promise<void> {
  // At times that do not follow from each other, and are those of every run.
  const dies = (place * DEAD) % 100 < DEAD ? performance.now() + night.lengthMs * 0.5 * (((place * 7919) % AGENTS) / AGENTS) : Infinity;
  const own = Math.floor(RUNS / AGENTS) + (place < RUNS % AGENTS ? 1 : 0);
  let ownDone = 0;
  await pause((POLL_MS / SPEED) * (place / AGENTS));
  await using queue = await openPostgres({ url: server.url(roleOf(node)), warn, connections: 1 });
  const running = new Map<string, { readonly attempt: Attempt; readonly until: number }>();
  let polled = 0;
  let renewed = performance.now();
  while (done + abandoned < RUNS) {
    const now = performance.now();
    if (now > dies) {
      abandoned += own - ownDone;
      return;
    }
    const ended = [...running.values()].filter(({ until }) => until <= now);
    for (const { attempt } of ended) {
      if (await queue.complete(attempt, { outcome: 'exported', reference: `${attempt.data.instance}@1` })) {
        done += 1;
        ownDone += 1;
      }
      running.delete(attempt.id);
    }
    if (now - renewed > RENEW_MS) {
      for (const { attempt } of running.values()) await queue.renew(attempt);
      renewals += running.size;
      renewed = now;
    }
    const isDue = ended.length > 0 || now - polled > POLL_MS / SPEED;
    if (isDue && running.size < PARALLEL) {
      polled = now;
      for (const attempt of await take(queue, node, PARALLEL - running.size)) {
        const ms = (RUN_MS / SPEED) * (0.2 + 1.6 * Math.random());
        running.set(attempt.id, { attempt, until: performance.now() + ms });
      }
    }
    await pause(1000 / TICKS_PER_SECOND, signal);
  }
}

async function take(queue: FleetQueue, node: string, count: number): Promise<readonly Attempt[]> {
  if ((await queue.paused()).length > 0) return [];
  const asked = performance.now();
  const attempts = await queue.take(node, count);
  takes.push(performance.now() - asked);
  return attempts;
}

/** The most connections that were open at once. */
async function countConnections(ended: AbortSignal): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let most = 0;
  while (!ended.aborted) {
    const { rows: found } = await client.query<{ readonly count: string }>(
      `SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'`,
    );
    most = Math.max(most, Number(found[0]?.count ?? 0));
    await pause(1000, ended).catch(() => undefined);
  }
  await client.end();
  return most;
}

async function size(): Promise<{ readonly bytes: number; readonly rows: number }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const sql = `SELECT pg_total_relation_size('gantry_jobs.job_common') + pg_total_relation_size('gantry_fleet.planned') AS bytes,
    (SELECT count(*) FROM gantry_fleet.planned) AS rows`;
  const { rows: found } = await client.query<{ readonly bytes: string; readonly rows: string }>(sql);
  await client.end();
  return { bytes: Number(found[0]?.bytes ?? 0), rows: Number(found[0]?.rows ?? 0) };
}

/** What the server and its processes have used, those that have ended included; proc_pid_stat(5), in ticks of 10 ms. */
async function processorSeconds({ pid }: PostgresServer): Promise<number> {
  let ticks = 0;
  for (const name of await readdir('/proc')) {
    const text = /^\d+$/.test(name) ? await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '') : '';
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [, parent, , , , , , , , , , user, system, childUser, childSystem] = fields;
    if (Number(name) === pid()) ticks += [user, system, childUser, childSystem].reduce((sum, each) => sum + Number(each), 0);
    else if (Number(parent) === pid()) ticks += Number(user) + Number(system);
  }
  return ticks / 100;
}

function percentile(share: number): number {
  const sorted = takes.toSorted((a, b) => a - b);
  return round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
