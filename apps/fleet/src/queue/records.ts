import type { Db } from 'pg-boss';
import { z } from 'zod';
import type { Finding, KnownJob } from '../planner/plan.ts';
import type { AttemptOutput } from './form.ts';
import { attemptOutput, bossState, knownState, lastAttemptOf } from './form.ts';
import { FLEET_SCHEMA as FLEET, JOBS_SCHEMA as JOBS, queueOf } from './names.ts';
import { MAX_OUTPUT_BYTES } from './schema.ts';

/** A job that was planned, with what is known of its attempts. */
export interface FleetJob extends Omit<KnownJob, 'begin' | 'end'> {
  /** Absent for one that a user asked for. */
  readonly begin?: Date | undefined;
  readonly end?: Date | undefined;
  readonly attempts: number;
  readonly startAfter?: Date | undefined;
  readonly output: AttemptOutput;
}

/** For how long what became of exports is kept. */
export const KEEP_DAYS = 31;

const date = z.date().nullable();
/** Nodes write it: one that lies does not stop what is read of the others. */
const dateOfNode = date.catch(null);

/** SQL for the output of a job `j`, without one that is too long. */
const READ_OUTPUT = `CASE WHEN pg_column_size(j.output) <= ${MAX_OUTPUT_BYTES} AND octet_length(j.output::text) <= ${MAX_OUTPUT_BYTES}
  THEN j.output END`;

const work = z
  .enum(['store', 'restore'])
  .nullable()
  .transform((known) => known ?? undefined);

const knownRow = z.object({
  id: z.string(),
  node: z.string(),
  policy: z.string(),
  instance: z.string(),
  work,
  dry_run: z.boolean(),
  window_begin: date,
  window_end: date,
  dropped: z.boolean(),
  redriven: z.boolean(),
  state: bossState.nullable(),
  retry_count: z.number().nullable().catch(null),
  start_after: dateOfNode,
  started_on: dateOfNode,
  completed_on: dateOfNode,
  output: z.unknown(),
});

const findingRow = z.object({
  kind: z.enum(['missed', 'overrun']),
  id: z.string(),
  policy: z.string(),
  instance: z.string(),
  node: z.string(),
  work,
  window_begin: z.date(),
  window_end: z.date(),
  reason: z.string(),
  found_on: z.date(),
});

/** A finding, and when it was first made. */
export type DatedFinding = Finding & { readonly foundOn: Date };

/** The last good export of an instance, as far as the queue knows: of the last month. */
export interface LastGood {
  readonly policy: string;
  readonly instance: string;
  readonly endedOn: Date;
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference?: string | undefined;
  /** What was read; absent if the store had it already. */
  readonly plainBytes?: number | undefined;
}

const goodRow = z.object({ policy: z.string(), instance: z.string(), completed_on: dateOfNode, output: z.unknown() });

/** What became of jobs, and what the planner found. */
export class Records {
  readonly #db: Db;

  constructor(db: Db) {
    this.#db = db;
  }

  /** What was planned since a time, oldest first. */
  async jobs(since: Date, now: Date): Promise<readonly FleetJob[]> {
    return await this.#jobs('p.planned_on > $1', since, now);
  }

  /** What was planned or has ended since a time, and what has not ended yet: an export may take longer than the time that is looked at. */
  async jobsAndOpen(since: Date): Promise<readonly FleetJob[]> {
    return await this.#jobs(`p.planned_on > $1 OR j.completed_on > $1 OR j.state <= 'active'`, since, new Date());
  }

  /** The exports of an instance that were planned since a time, by any policy, oldest first. */
  async history(instance: string, since: Date): Promise<readonly FleetJob[]> {
    return await this.#jobs('p.planned_on > $1 AND p.instance = $2', since, new Date(), [instance]);
  }

  async #jobs(which: string, since: Date, now: Date, more: readonly string[] = []): Promise<readonly FleetJob[]> {
    const rows = await this.#rows(
      knownRow,
      `SELECT p.id::text, p.node, p.policy, p.instance, p.work, p.dry_run, p.window_begin, p.window_end, p.dropped, p.redriven, j.state::text,
         j.retry_count, j.start_after, j.started_on, j.completed_on,
         ${READ_OUTPUT} AS output
       FROM ${FLEET}.planned p LEFT JOIN ${JOBS}.job j ON j.name = '${queueOf('')}' || p.node AND j.id = p.id
       WHERE ${which} ORDER BY p.planned_on, p.id, p.node`,
      [since, ...more],
    );
    return rows.map((row) => {
      const output = attemptOutput.catch({}).parse(row.output ?? {});
      const end = row.window_end ?? undefined;
      const state = knownState(row.state, output.outcome, { dropped: row.dropped, end, now });
      return {
        id: row.id,
        node: row.node,
        policy: row.policy,
        instance: row.instance,
        work: row.work,
        dryRun: row.dry_run ? true : undefined,
        begin: row.window_begin ?? undefined,
        end,
        state,
        redriven: row.redriven,
        lastAttempt: state === 'waiting' && row.started_on !== null ? lastAttemptOf(output) : undefined,
        attempts: row.started_on === null ? 0 : (row.retry_count ?? 0) + 1,
        startAfter: row.start_after ?? undefined,
        startedOn: row.started_on ?? undefined,
        endedOn: row.completed_on ?? undefined,
        output,
      };
    });
  }

  /** The last good export of each instance that has one. */
  async lastGood(): Promise<readonly LastGood[]> {
    const rows = await this.#rows(
      goodRow,
      `SELECT DISTINCT ON (p.policy, p.instance) p.policy, p.instance, j.completed_on, ${READ_OUTPUT} AS output
       FROM ${FLEET}.planned p JOIN ${JOBS}.job j ON j.name = '${queueOf('')}' || p.node AND j.id = p.id
       WHERE p.work IS NULL AND j.state = 'completed' AND j.output->>'outcome' IN ('exported', 'present')
       ORDER BY p.policy, p.instance, j.completed_on DESC`,
    );
    return rows.flatMap(({ policy, instance, completed_on: endedOn, output }) => {
      const { reference, plainBytes } = attemptOutput.catch({}).parse(output ?? {});
      return endedOn === null ? [] : [{ policy, instance, endedOn, reference, plainBytes }];
    });
  }

  /** Records findings, each once. @returns how many are new */
  async note(findings: readonly Finding[]): Promise<number> {
    const rows = findings.map(({ window: { begin, end }, ...rest }) => ({ ...rest, begin, end }));
    const added = await this.#rows(
      z.object({ id: z.string() }),
      `INSERT INTO ${FLEET}.finding (kind, id, policy, instance, work, node, window_begin, window_end, reason)
       SELECT kind, id, policy, instance, work, node, "begin", "end", reason FROM json_to_recordset($1::text::json)
         AS x (kind text, id uuid, policy text, instance text, work text, node text, "begin" timestamptz, "end" timestamptz, reason text)
       ON CONFLICT DO NOTHING RETURNING id::text`,
      [JSON.stringify(rows)],
    );
    return added.length;
  }

  async findings(since: Date): Promise<readonly DatedFinding[]> {
    const sql = `SELECT kind, id::text, policy, instance, work, node, window_begin, window_end, reason, found_on FROM ${FLEET}.finding
      WHERE found_on > $1 ORDER BY found_on, id`;
    const rows = await this.#rows(findingRow, sql, [since]);
    return rows.map(({ kind, id, policy, instance, work, node, reason, window_begin: begin, window_end: end, found_on: foundOn }) => ({
      kind,
      id,
      policy,
      instance,
      work,
      node,
      reason,
      window: { begin, end },
      foundOn,
    }));
  }

  async #rows<T>(row: z.ZodType<T>, sql: string, values: unknown[] = []): Promise<readonly T[]> {
    return z.array(row).parse((await this.#db.executeSql(sql, values)).rows);
  }
}
