import { pause } from '@gantry/core';
import type { Db } from 'pg-boss';
import { PgBoss } from 'pg-boss';
import { z } from 'zod';
import { DAY_MS, DAY_SECONDS } from '../days.ts';
import type { PlannedJob, Subject } from '../planner/job.ts';
import { ASKED_PRIORITY, RESTORE_PRIORITY } from '../planner/job.ts';
import type { Finding, KnownJob } from '../planner/plan.ts';
import { queueFailure } from './failure.ts';
import type { AttemptOutput, BossState, JobData, Progress } from './form.ts';
import { bossState, jobData } from './form.ts';
import { FLEET_SCHEMA as FLEET, JOBS_SCHEMA as JOBS, queueOf } from './names.ts';
import type { DatedFinding, FleetJob, LastGood } from './records.ts';
import { KEEP_DAYS, Records } from './records.ts';
import type { RestoreOrder } from './restore-order.ts';
import type { Selected } from './selected.ts';
import { SelectedInstances } from './selected.ts';
import { StoreTokens } from './store-tokens.ts';
import type { PlannerTurn, TurnReport } from './turns.ts';
import { Turns } from './turns.ts';

/** An attempt of a job that an agent has. Everything that is said of it counts only while it is the job's current one. */
export interface Attempt {
  readonly id: string;
  readonly node: string;
  /** Which attempt it is: pg-boss counts it up each time the job is handed out. */
  readonly retryCount: number;
  readonly data: JobData;
}

/** How an attempt that failed goes on. */
export interface GiveBack {
  readonly output: AttemptOutput;
  /** Until the next attempt. */
  readonly delaySeconds: number;
  /** Whether it counts as one of the attempts that a job has. */
  readonly costsAttempt: boolean;
}

/** A restore that a user asks for. */
interface AskedRestore {
  readonly id: string;
  readonly node: string;
  readonly policy: string;
  readonly instance: string;
  readonly order: RestoreOrder;
}

/** How many times a job is tried again before it counts as failed. */
const RETRY_LIMIT = 3;
/** Without a sign of its agent for so long, an attempt is handed out again. */
export const LEASE_SECONDS = 60;
/** How far apart leases are looked at, at least: less than planners' turns are, so that each of these does. */
export const MONITOR_INTERVAL_SECONDS = 15;
/** The longest that pg-boss allows; the next attempt finds the export that still runs. */
const MAX_RUN_SECONDS = 24 * 3600;
/** For how long connections may take to close, ms. */
const STOP_MS = 5000;
/** SQL for what pg-boss writes where the lease of a job, or its time, has ended; agents write nothing like it. */
const LEASE_ENDED = `output #>> '{value,message}' IN ('job heartbeat timeout', 'job timed out')`;
const affected = z.object({ affected: z.number() });
/** The jobs of a fleet, in pg-boss: the same on PostgreSQL and in the embedded database. */
export class FleetQueue implements AsyncDisposable {
  readonly #boss: PgBoss;
  readonly #db: Db;
  readonly #close: () => Promise<void>;
  readonly #tokens: StoreTokens;
  readonly #turns: Turns;
  readonly #records: Records;
  readonly #selected: SelectedInstances;

  /** @param close ends what the queue is in */
  constructor(boss: PgBoss, close: () => Promise<void>) {
    this.#boss = boss;
    this.#db = boss.getDb();
    this.#close = close;
    this.#tokens = new StoreTokens(boss, { leaseSeconds: LEASE_SECONDS, maxSeconds: MAX_RUN_SECONDS });
    this.#turns = new Turns(this.#db);
    this.#records = new Records(this.#db);
    this.#selected = new SelectedInstances(this.#db);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const over = new AbortController();
    // It waits for statements that a server which does not answer has not ended.
    const late = pause(STOP_MS, over.signal).catch(() => undefined);
    await Promise.race([this.#boss.stop({ graceful: false }), late]);
    over.abort();
    await this.#close();
  }

  /** Makes the queue of a node, if it is new. */
  async addNode(node: string): Promise<void> {
    await this.#call(async () => {
      await this.#boss.createQueue(queueOf(node), {
        retryLimit: RETRY_LIMIT,
        heartbeatSeconds: LEASE_SECONDS,
        expireInSeconds: MAX_RUN_SECONDS,
        retentionSeconds: KEEP_DAYS * DAY_SECONDS,
        deleteAfterSeconds: KEEP_DAYS * DAY_SECONDS,
      });
      await this.#db.executeSql(`INSERT INTO ${FLEET}.node (name) VALUES ($1) ON CONFLICT DO NOTHING`, [node]);
    });
  }

  async nodes(): Promise<readonly string[]> {
    const rows = await this.#rows(z.object({ name: z.string() }), `SELECT name FROM ${FLEET}.node ORDER BY name`);
    return rows.map(({ name }) => name);
  }

  /** Puts exports into the queues of their nodes, each once: those that are there already stay as they are. */
  async add(jobs: readonly PlannedJob[]): Promise<void> {
    await this.#call(async () => {
      if (jobs.length === 0) return;
      const segmentsOf = await this.#tokens.segments();
      for (const [node, own] of Map.groupBy(jobs, ({ node }) => node)) {
        await this.#remember(
          own.map(({ id, policy, instance, work, window: { begin, end } }) => ({ id, node, policy, instance, work, begin, end })),
        );
        const inserts = own.map(({ id, policy, instance, work, since, window, stores, priority, startAfter }) => ({
          id,
          data: {
            policy,
            instance,
            work,
            since: since?.toISOString(),
            stores: work === 'store' ? stores : limitedBy(stores, segmentsOf(node)),
            window: { begin: window.begin.toISOString(), end: window.end.toISOString() },
          },
          priority,
          startAfter,
        }));
        await this.#boss.insert(queueOf(node), inserts);
      }
    });
  }

  /** Puts an export into the queue of a node that begins as soon as it can, without a window. */
  async ask({ id, node, policy, instance, stores }: Pick<PlannedJob, 'id' | 'node' | 'policy' | 'instance' | 'stores'>): Promise<void> {
    await this.#call(async () => {
      await this.#remember([{ id, node, policy, instance, begin: null, end: null }]);
      const asked = new Date().toISOString();
      const limited = limitedBy(stores, (await this.#tokens.segments())(node));
      await this.#boss.insert(queueOf(node), [{ id, data: { policy, instance, stores: limited, asked }, priority: ASKED_PRIORITY }]);
    });
  }

  /**
   * Puts a restore into the queue of a node, before all exports. One that did not begin within a day is not started any more, and one whose
   * lease ends has failed: another attempt could overwrite what somebody did meanwhile.
   */
  async restore({ id, node, policy, instance, order }: AskedRestore): Promise<void> {
    await this.#call(async () => {
      const work = 'restore';
      await this.#remember([{ id, node, policy, instance, work, dry_run: order.dryRun, begin: null, end: null }]);
      const now = Date.now();
      const window = { begin: new Date(now).toISOString(), end: new Date(now + DAY_MS).toISOString() };
      const stores = [order.store, ...(await this.#tokens.segments())(node)];
      const data: JobData = { policy, instance, work, restore: order, stores, window };
      await this.#boss.insert(queueOf(node), [{ id, data, priority: RESTORE_PRIORITY, retryLimit: 0 }]);
    });
  }

  /** Written before the job is: one that is in no queue then is put there again. */
  async #remember(jobs: readonly Readonly<Record<string, unknown>>[]): Promise<void> {
    await this.#db.executeSql(
      `INSERT INTO ${FLEET}.planned (id, node, policy, instance, work, dry_run, window_begin, window_end)
       SELECT id, node, policy, instance, work, coalesce(dry_run, false), "begin", "end" FROM json_to_recordset($1::text::json)
         AS x (id uuid, node text, policy text, instance text, work text, dry_run boolean, "begin" timestamptz, "end" timestamptz)
       ON CONFLICT (id, node) DO UPDATE SET dropped = false`,
      [JSON.stringify(jobs)],
    );
  }

  /** Takes back an export that waits. @returns whether it is gone: its node may have started it meanwhile */
  async drop({ id, node }: Pick<KnownJob, 'id' | 'node'>): Promise<boolean> {
    await this.#call(async () => {
      await this.#db.executeSql(`UPDATE ${FLEET}.planned SET dropped = true WHERE id = $1 AND node = $2`, [id, node]);
      await this.#db.executeSql(`DELETE FROM ${JOBS}.job WHERE name = $1 AND id = $2 AND state < 'active'`, [queueOf(node), id]);
    });
    return (await this.stateOf({ id, node })) === undefined;
  }

  /** Makes an export that waits for its next attempt a failed one, with what its last attempt ended with. */
  async fail({ id, node }: Pick<KnownJob, 'id' | 'node'>): Promise<void> {
    const sql = `UPDATE ${JOBS}.job SET state = 'failed', completed_on = ${JOBS}.job_now() WHERE name = $1 AND id = $2 AND state < 'active'`;
    await this.#call(() => this.#db.executeSql(sql, [queueOf(node), id]));
  }

  /** What was planned since a time, oldest first. */
  async jobs(since: Date, now: Date = new Date()): Promise<readonly FleetJob[]> {
    return await this.#call(() => this.#records.jobs(since, now));
  }

  /** What was planned or has ended since a time, and what has not ended yet: an export may take longer than the time that is looked at. */
  async jobsAndOpen(since: Date): Promise<readonly FleetJob[]> {
    return await this.#call(() => this.#records.jobsAndOpen(since));
  }

  /** The exports of an instance that were planned since a time, by any policy, oldest first. */
  async history(instance: string, since: Date): Promise<readonly FleetJob[]> {
    return await this.#call(() => this.#records.history(instance, since));
  }

  /** The last good export of each instance that has one. */
  async lastGood(): Promise<readonly LastGood[]> {
    return await this.#call(() => this.#records.lastGood());
  }

  /** What policies select, as planners found it last. */
  async selected(): Promise<readonly Selected[]> {
    return await this.#call(() => this.#selected.all());
  }

  /** Notes what policies select now and did not, and forgets what they select no longer. */
  async select(added: readonly Subject[], removed: readonly Subject[]): Promise<void> {
    await this.#call(() => this.#selected.change(added, removed));
  }

  /** Records findings, each once. @returns how many are new */
  async note(findings: readonly Finding[]): Promise<number> {
    return await this.#call(() => this.#records.note(findings));
  }

  async findings(since: Date): Promise<readonly DatedFinding[]> {
    return await this.#call(() => this.#records.findings(since));
  }

  /** Forgets what is older than {@link KEEP_DAYS}. */
  async forget(now: Date): Promise<void> {
    const before = new Date(now.getTime() - KEEP_DAYS * DAY_SECONDS * 1000);
    await this.#call(async () => {
      await this.#db.executeSql(`DELETE FROM ${FLEET}.planned WHERE planned_on < $1`, [before]);
      await this.#db.executeSql(`DELETE FROM ${FLEET}.finding WHERE found_on < $1`, [before]);
      await this.#turns.forget(before);
    });
  }

  /** Hands out again what agents that are gone had. Done by the planner, which calls it regularly. */
  async supervise(): Promise<void> {
    await this.#call(async () => {
      await this.#boss.supervise();
      await this.#tokens.heal();
    });
  }

  /** Uses the limits of stores. */
  async tokens<T>(work: (tokens: StoreTokens) => Promise<T>): Promise<T> {
    return await this.#call(() => work(this.#tokens));
  }

  /** Takes jobs of a node whose time has come, those with the highest priority first. @param minPriority leaves out others */
  async take(node: string, count: number, minPriority?: number): Promise<readonly Attempt[]> {
    const options = { batchSize: count, includeMetadata: true as const, ...(minPriority === undefined ? {} : { minPriority }) };
    const jobs = await this.#call(() => this.#boss.fetch<unknown>(queueOf(node), options));
    const attempts: Attempt[] = [];
    // They come in any order.
    for (const { id, retryCount, data } of jobs.toSorted((a, b) => b.priority - a.priority)) {
      const parsed = jobData.safeParse(data);
      if (parsed.success) attempts.push({ id, node, retryCount, data: parsed.data });
      else
        await this.reject(
          { id, node, retryCount },
          { outcome: 'failed', code: 'INTERNAL', message: 'the job is not one that this version knows' },
        );
    }
    return attempts;
  }

  /** Renews the lease of an attempt, and notes how far its export is. @returns whether it is still the job's current one */
  async renew({ id, node, retryCount }: Omit<Attempt, 'data'>, progress?: Progress): Promise<boolean> {
    if (progress === undefined) return this.#isDone(await this.#call(() => this.#boss.touch(queueOf(node), { id, retryCount })));
    // In one statement: of 500 nodes, each renews four times a minute.
    const sql = `UPDATE ${JOBS}.job SET heartbeat_on = ${JOBS}.job_now(), output = $4::text::jsonb
      WHERE name = $1 AND id = $2 AND retry_count = $3 AND state = 'active' RETURNING id::text`;
    const output: AttemptOutput = { progress };
    return (await this.#rows(z.object({ id: z.string() }), sql, [queueOf(node), id, retryCount, JSON.stringify(output)])).length === 1;
  }

  /**
   * Takes a job again whose lease has ended, before it is handed out: its export runs, or has ended, on its node. That costs none of the
   * attempts that it has, and its export began when it did; but what began a day ago would be given up at once by pg-boss. A job that has
   * failed because the lease of its last attempt ended is taken again by who had that attempt. One that was redriven meanwhile asks for a
   * newer export.
   *
   * @returns the number of its new attempt; undefined if it does not wait, or not for this export
   */
  async takeAgain({ id, node, retryCount, data }: Attempt): Promise<number | undefined> {
    // Otherwise as pg-boss hands it out.
    const sql = `UPDATE ${JOBS}.job SET state = 'active', heartbeat_on = ${JOBS}.job_now(), completed_on = NULL,
        started_on = CASE WHEN started_on > ${JOBS}.job_now() - expire_seconds * interval '1s' THEN started_on ELSE ${JOBS}.job_now() END,
        retry_count = CASE WHEN started_on IS NULL THEN retry_count ELSE retry_count + 1 END,
        retry_limit = CASE WHEN started_on IS NULL THEN retry_limit ELSE retry_limit + 1 END
      WHERE name = $1 AND id = $2 AND (state < 'active' OR (state = 'failed' AND retry_count = $3 AND ${LEASE_ENDED}))
        AND data->>'asked' IS NOT DISTINCT FROM $4::text
      RETURNING retry_count`;
    const [row] = await this.#rows(z.object({ retry_count: z.number() }), sql, [queueOf(node), id, retryCount, data.asked ?? null]);
    return row?.retry_count;
  }

  /** Has an attempt that was handed out for an export that runs already, or has ended, cost none of the attempts that its job has. */
  async costsNothing(attempt: Omit<Attempt, 'data'>): Promise<void> {
    await this.#changeAttempt(attempt, 'retry_limit = retry_limit + 1', []);
  }

  /** The state of a job, as its node sees it. */
  async stateOf({ id, node }: Pick<Attempt, 'id' | 'node'>): Promise<BossState | undefined> {
    const sql = `SELECT state::text FROM ${JOBS}.job WHERE name = $1 AND id = $2`;
    const [row] = await this.#rows(z.object({ state: bossState }), sql, [queueOf(node), id]);
    return row?.state;
  }

  /** Ends a job. @returns whether the attempt was still its current one */
  async complete({ id, node, retryCount }: Omit<Attempt, 'data'>, output: AttemptOutput): Promise<boolean> {
    return this.#isDone(await this.#call(() => this.#boss.complete(queueOf(node), { id, retryCount }, output)));
  }

  /** Has a job tried again, or makes it a failed one if it has no attempt left. @returns whether the attempt was still its current one */
  async giveBack({ id, node, retryCount }: Omit<Attempt, 'data'>, { output, delaySeconds, costsAttempt }: GiveBack): Promise<boolean> {
    const limit = costsAttempt ? 'retry_limit' : 'retry_limit + 1';
    await this.#changeAttempt({ id, node, retryCount }, `retry_limit = ${limit}, retry_backoff = false, retry_delay = $4`, [delaySeconds]);
    return this.#isDone(await this.#call(() => this.#boss.fail(queueOf(node), { id, retryCount }, output)));
  }

  /** Makes a job a failed one: it is not tried again until {@link redrive}. @returns whether the attempt was still its current one */
  async reject({ id, node, retryCount }: Omit<Attempt, 'data'>, output: AttemptOutput): Promise<boolean> {
    await this.#changeAttempt({ id, node, retryCount }, 'retry_limit = retry_count', []);
    return this.#isDone(await this.#call(() => this.#boss.fail(queueOf(node), { id, retryCount }, output)));
  }

  async #changeAttempt({ id, node, retryCount }: Omit<Attempt, 'data'>, set: string, values: readonly unknown[]): Promise<void> {
    const sql = `UPDATE ${JOBS}.job SET ${set} WHERE name = $1 AND id = $2 AND retry_count = $3 AND state = 'active'`;
    await this.#call(() => this.#db.executeSql(sql, [queueOf(node), id, retryCount, ...values]));
  }

  /** Cancels a job that waits or runs: its agent ends the export. @returns whether there was one */
  async cancel({ id, node }: Pick<Attempt, 'id' | 'node'>): Promise<boolean> {
    return this.#isDone(await this.#call(() => this.#boss.cancel(queueOf(node), id)));
  }

  /** Has a failed job tried again, unless it is a restore, as if a user had asked for it: its window may be over. @returns whether there was one */
  async redrive({ id, node }: Pick<Attempt, 'id' | 'node'>): Promise<boolean> {
    const sql = `UPDATE ${JOBS}.job SET data = data - 'window' || jsonb_build_object('asked', $4::text), priority = $3
      WHERE name = $1 AND id = $2 AND state = 'failed' AND data->'restore' IS NULL RETURNING id::text`;
    const found = await this.#rows(z.object({ id: z.string() }), sql, [queueOf(node), id, ASKED_PRIORITY, new Date().toISOString()]);
    if (found.length === 0) return false;
    // Before it waits: a planner takes back what waits past its window.
    const known = `UPDATE ${FLEET}.planned SET redriven = true WHERE id = $1 AND node = $2`;
    await this.#call(() => this.#db.executeSql(known, [id, node]));
    return this.#isDone(await this.#call(() => this.#boss.retry(queueOf(node), id)));
  }

  /** Notes what a turn of a planner did, or could not. */
  async noteTurn(planner: string, report: TurnReport): Promise<void> {
    await this.#call(() => this.#turns.note(planner, report));
  }

  /** The last turns of all planners, the newest first. */
  async turns(): Promise<readonly PlannerTurn[]> {
    return await this.#call(() => this.#turns.all());
  }

  /** Agents begin nothing on a node, or on any (`*`), until it is resumed. */
  async pause(node: string): Promise<void> {
    await this.#call(() => this.#db.executeSql(`INSERT INTO ${FLEET}.pause (node) VALUES ($1) ON CONFLICT DO NOTHING`, [node]));
  }

  async resume(node: string): Promise<void> {
    await this.#call(() => this.#db.executeSql(`DELETE FROM ${FLEET}.pause WHERE node = $1`, [node]));
  }

  /** The nodes that are paused, `*` for all; for the agent of a node, those entries that are about it. */
  async paused(): Promise<readonly string[]> {
    return (await this.#rows(z.object({ node: z.string() }), `SELECT node FROM ${FLEET}.pause ORDER BY node`)).map(({ node }) => node);
  }

  #isDone(response: unknown): boolean {
    return affected.parse(response).affected === 1;
  }

  async #rows<T>(row: z.ZodType<T>, sql: string, values: unknown[] = []): Promise<readonly T[]> {
    const { rows } = await this.#call(() => this.#db.executeSql(sql, values));
    return z.array(row).parse(rows);
  }

  /** @throws GantryError `QUEUE_*` */
  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw queueFailure(error);
    }
  }
}

/** What may have a limit for a job; absent where nothing may. */
function limitedBy(stores: readonly string[] | undefined, segments: readonly string[]): readonly string[] | undefined {
  return segments.length === 0 ? stores : [...(stores ?? []), ...segments];
}
