import type { Db, PgBoss } from 'pg-boss';
import { z } from 'zod';
import { uuidOfName } from '../planner/uuid.ts';
import { FLEET_SCHEMA as FLEET, JOBS_SCHEMA as JOBS, keptForRestores, tokenQueueOf } from './names.ts';

/** Made at random once, for names of tokens. */
const NAMESPACE = '6d0c8a0e-5f8b-4c56-9f0c-2b0d6f3f9a47';

/** A token that an agent holds: it may write one export into a store, or restore one. */
export interface Token {
  /** The store, or {@link keptForRestores} of it. */
  readonly store: string;
  readonly id: string;
  readonly retryCount: number;
  /** The share of the rate of the store or segment that it is worth; absent: there is none. */
  readonly bytesPerSecond?: number | undefined;
}

/** What may use a store, or a network segment, at once. */
export interface LimitSettings {
  /** How many exports of all nodes. */
  readonly atOnce: number;
  /** What all of them together read and write, a second; absent: no limit. */
  readonly bytesPerSecond?: number | undefined;
  /** Of a segment: the nodes in it. */
  readonly nodes?: readonly string[] | undefined;
}

/** The limit of a store, or of a segment. */
export interface StoreLimit extends LimitSettings {
  /** The store, or the key of the segment. */
  readonly store: string;
  /** Tokens that agents hold now. */
  readonly held: number;
}

export interface TokenOptions {
  /** Without a sign of its agent for so long, a token is free again. */
  readonly leaseSeconds: number;
  /** The longest that pg-boss lets a job run. */
  readonly maxSeconds: number;
}

/** Beside exports, how many restores may read a store that has a limit, without waiting for one of these. */
const RESTORES_AT_ONCE = 1;
/** A token is handed out again and again; pg-boss counts each time. */
const RETRY_LIMIT = 1_000_000_000;
/** New tokens begin to count at random below that: one that was held before a limit was taken away and said again is another one. */
const MAX_FIRST_COUNT = 500_000_000;
const TEN_YEARS_SECONDS = 10 * 365 * 24 * 3600;

/** SQL for a token `j` that a node has changed so that it would not come free, or not be handed out. */
const IS_WRONG = `
  greatest(j.heartbeat_on, j.started_on) > now() + interval '1 minute'
  OR (j.state < 'active' AND j.start_after > now() + interval '1 minute')
  OR EXISTS (SELECT FROM ${JOBS}.queue q WHERE q.name = j.name AND (q.retry_limit, q.heartbeat_seconds, q.expire_seconds)
    IS DISTINCT FROM (j.retry_limit, j.heartbeat_seconds, j.expire_seconds))`;

/** What pg-boss says of a queue that is missing: the store has no limit. */
const NO_QUEUE = 'PGBOSS_QUEUE_NOT_FOUND';

const affected = z.object({ affected: z.number() });
const queueRow = z.object({ name: z.string() });
const limitRow = z.object({
  store: z.string(),
  at_once: z.number(),
  bytes_per_second: z.coerce.number().nullable(),
  nodes: z.array(z.string()).nullable(),
  held: z.coerce.number(),
});
const segmentRow = z.object({ store: z.string(), nodes: z.array(z.string()) });
/** In the job of a token. Nodes may change it: a share that does not fit is left out. */
const tokenData = z.object({ bytesPerSecond: z.int().positive().optional() }).catch({});

/**
 * Limits of stores across nodes: a queue for each store that has one, with as many jobs as exports may be written at once. To hold a token is
 * to have its job, with a lease like any other: what an agent that is gone held is free after that.
 */
export class StoreTokens {
  readonly #boss: PgBoss;
  readonly #db: Db;
  readonly #options: TokenOptions;

  constructor(boss: PgBoss, options: TokenOptions) {
    this.#boss = boss;
    this.#db = boss.getDb();
    this.#options = options;
  }

  /** Limits a store, or (`undefined`) no longer. By the owner alone. */
  async limit(store: string, settings: LimitSettings | undefined): Promise<void> {
    if (settings === undefined) {
      await this.#db.executeSql(`DELETE FROM ${FLEET}.store_limit WHERE store = $1`, [store]);
      for (const name of [store, keptForRestores(store)]) await unlessMissing(() => this.#boss.deleteQueue(tokenQueueOf(name)));
      return;
    }
    const { atOnce, bytesPerSecond = null, nodes = null } = settings;
    const sql = `INSERT INTO ${FLEET}.store_limit (store, at_once, bytes_per_second, nodes) VALUES ($1, $2, $3, $4)
      ON CONFLICT (store) DO UPDATE SET at_once = $2, bytes_per_second = $3, nodes = $4`;
    await this.#db.executeSql(sql, [store, atOnce, bytesPerSecond, nodes]);
    await this.heal();
  }

  /** The limits, and how many tokens are held. By the owner alone. */
  async limits(): Promise<readonly StoreLimit[]> {
    const { rows } = await this.#db.executeSql(
      `SELECT l.store, l.at_once, l.bytes_per_second, l.nodes, (SELECT count(*) FROM ${JOBS}.job j WHERE j.name = '${tokenQueueOf('')}' || l.store AND j.state = 'active') AS held
       FROM ${FLEET}.store_limit l ORDER BY l.store`,
    );
    return z
      .array(limitRow)
      .parse(rows)
      .map(({ store, at_once: atOnce, bytes_per_second: bytesPerSecond, nodes, held }) => ({
        store,
        atOnce,
        bytesPerSecond: bytesPerSecond ?? undefined,
        nodes: nodes ?? undefined,
        held,
      }));
  }

  /** Asks for the segments once. @returns a function for the keys of those in which a node is. By the owner alone. */
  async segments(): Promise<(node: string) => readonly string[]> {
    const { rows } = await this.#db.executeSql(`SELECT store, nodes FROM ${FLEET}.store_limit WHERE nodes IS NOT NULL ORDER BY store`);
    const all = z.array(segmentRow).parse(rows);
    return (node) => all.filter(({ nodes }) => nodes.includes(node)).map(({ store }) => store);
  }

  /** Makes tokens that are missing, and removes those that should not be there and are not held. By the planner, each turn. */
  async heal(): Promise<void> {
    for (const queue of await this.#withoutLimit()) await unlessMissing(() => this.#boss.deleteQueue(queue));
    for (const { store, atOnce, bytesPerSecond } of await this.limits()) {
      const share =
        bytesPerSecond === undefined ? {} : { bytesPerSecond: Math.max(1, Math.floor(bytesPerSecond / (atOnce + RESTORES_AT_ONCE))) };
      await this.#healOne(store, atOnce, share);
      await this.#healOne(keptForRestores(store), RESTORES_AT_ONCE, share);
    }
  }

  async #healOne(store: string, atOnce: number, share: z.infer<typeof tokenData>): Promise<void> {
    const queue = tokenQueueOf(store);
    await this.#boss.createQueue(queue, {
      retryLimit: RETRY_LIMIT,
      retryDelay: 0,
      heartbeatSeconds: this.#options.leaseSeconds,
      expireInSeconds: this.#options.maxSeconds,
      retentionSeconds: TEN_YEARS_SECONDS,
    });
    const ids = Array.from({ length: atOnce }, (_, index) => uuidOfName(NAMESPACE, JSON.stringify([store, index])));
    const surplus = `DELETE FROM ${JOBS}.job WHERE name = $1 AND NOT (id = ANY($2::uuid[])) AND state <> 'active'`;
    await this.#db.executeSql(surplus, [queue, ids]);
    await this.#db.executeSql(`DELETE FROM ${JOBS}.job j WHERE name = $1 AND (state > 'active' OR ${IS_WRONG})`, [queue]);
    const changed = `UPDATE ${JOBS}.job SET data = $2::text::jsonb
      WHERE name = $1 AND state < 'active' AND coalesce(data, '{}') IS DISTINCT FROM $2::text::jsonb`;
    await this.#db.executeSql(changed, [queue, JSON.stringify(share)]);
    await this.#boss.insert(
      queue,
      ids.map((id) => ({ id, data: share })),
    );
    const numbered = `UPDATE ${JOBS}.job SET retry_count = floor(random() * ${MAX_FIRST_COUNT}) + 1
      WHERE name = $1 AND state = 'created' AND retry_count = 0`;
    await this.#db.executeSql(numbered, [queue]);
  }

  /** Queues of tokens of stores that have no limit any more. */
  async #withoutLimit(): Promise<readonly string[]> {
    const { rows } = await this.#db.executeSql(
      `SELECT name FROM ${JOBS}.queue WHERE starts_with(name, '${tokenQueueOf('')}')
         AND NOT EXISTS (SELECT FROM ${FLEET}.store_limit WHERE name IN ('${tokenQueueOf('')}' || store, '${tokenQueueOf('')}' || store || '${keptForRestores('')}'))`,
    );
    return z
      .array(queueRow)
      .parse(rows)
      .map(({ name }) => name);
  }

  /**
   * Takes a token of each of these stores that has a limit. For a restore, the one that is kept for that, if it is free.
   *
   * @returns the store that has none left; then none is held
   */
  async take(
    stores: readonly string[],
    { isRestore = false }: { readonly isRestore?: boolean } = {},
  ): Promise<{ readonly tokens: readonly Token[] } | { readonly full: string }> {
    const tokens: Token[] = [];
    // In one order: two agents that need the same stores do not hold one each and wait for the other.
    for (const store of stores.toSorted()) {
      const [kept] = isRestore ? await this.#takeOne(keptForRestores(store)) : [];
      const [token, isLimited] = kept === undefined ? await this.#takeOne(store) : [kept, true];
      if (token !== undefined) tokens.push(token);
      else if (isLimited) {
        for (const held of tokens) await this.release(held);
        return { full: store };
      }
    }
    return { tokens };
  }

  async #takeOne(store: string): Promise<readonly [Token | undefined, isLimited: boolean]> {
    const jobs = await unlessMissing(() => this.#boss.fetch(tokenQueueOf(store)));
    if (jobs === undefined) return [undefined, false];
    const [job] = jobs;
    return [job && { store, id: job.id, retryCount: job.retryCount, ...tokenData.parse(job.data) }, true];
  }

  /** Renews the lease of a token. @returns whether it was still held */
  async renew({ store, id, retryCount }: Token): Promise<boolean> {
    const response = await unlessMissing(() => this.#boss.touch(tokenQueueOf(store), { id, retryCount }));
    return response !== undefined && affected.parse(response).affected === 1;
  }

  /** Gives a token back; one that is held no longer changes nothing. */
  async release({ store, id, retryCount }: Token): Promise<void> {
    // pg-boss's own way removes the row and makes it again, which nodes may not.
    await this.#db.executeSql(
      `UPDATE ${JOBS}.job SET state = 'retry', start_after = ${JOBS}.job_now(), heartbeat_on = NULL, output = NULL
       WHERE name = $1 AND id = $2 AND retry_count = $3 AND state = 'active'`,
      [tokenQueueOf(store), id, retryCount],
    );
  }
}

/** @returns undefined where the queue is missing: the store has no limit, or has none any more */
async function unlessMissing<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === NO_QUEUE) return undefined;
    throw error;
  }
}
