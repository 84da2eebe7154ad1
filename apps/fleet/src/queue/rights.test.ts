import { startPostgres } from '@gantry/testkit';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PgBoss } from 'pg-boss';
import { answer } from '../control/requests.ts';
import { jobId } from '../planner/job.ts';
import type { PlannedJob } from '../planner/job.ts';
import type { FleetQueue } from './fleet-queue.ts';
import { initPostgres, openPostgres } from './open-postgres.ts';

const warn = (): void => undefined;
const scope = new AsyncDisposableStack();
let owner: FleetQueue;
/** As the node `n1`: the queue, pg-boss itself, and plain SQL. */
let node: FleetQueue;
let boss: PgBoss;
let client: pg.Client;
let admin: pg.Client;
/** The address for a role. */
let urlOf: (role: string) => string;

const WINDOW = { begin: new Date(Date.now() - 3_600_000), end: new Date(Date.now() + 3_600_000) };

function job(instance: string, on: string): PlannedJob {
  const subject = { policy: 'nightly', instance };
  return { ...subject, id: jobId(subject, WINDOW.begin), node: on, window: WINDOW, startAfter: WINDOW.begin, priority: 1 };
}

const OWN = job('web1', 'n1');
const OTHER = job('web2', 'n2');
const FAILED = job('web3', 'n2');

beforeAll(async () => {
  const server = scope.use(await startPostgres());
  const url = server.url('owner');
  urlOf = (role) => server.url(role);
  admin = new pg.Client({ connectionString: url });
  await admin.connect();
  scope.defer(() => admin.end());
  // As a node could where the database lets everybody make objects: it has no part in the rules.
  await admin.query(`CREATE FUNCTION public.starts_with(name, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'`);
  await admin.query('GRANT CREATE ON SCHEMA public TO PUBLIC');
  await initPostgres({ url, warn }, ['n1', 'n2']);
  owner = scope.use(await openPostgres({ url, warn }));
  await owner.add([OWN, OTHER, FAILED]);
  for (const attempt of await owner.take('n2', 2)) await owner.reject(attempt, { outcome: 'failed', code: 'SECRET' });
  await owner.redrive(OTHER);
  await owner.pause('n2');
  const as = server.url('gantry-node-n1');
  node = scope.use(await openPostgres({ url: as, warn }));
  boss = new PgBoss({
    connectionString: as,
    schema: 'gantry_jobs',
    migrate: false,
    supervise: false,
    schedule: false,
    registerInstance: false,
    max: 1,
  });
  boss.on('error', warn);
  await boss.start();
  scope.defer(() => boss.stop({ graceful: false }));
  client = new pg.Client({ connectionString: as });
  await client.connect();
  scope.defer(() => client.end());
});

afterAll(async () => {
  await scope.disposeAsync();
});

test('the role of the pages reads what the owner does, and changes nothing', async () => {
  const asked = { command: 'status', since: new Date(0).toISOString() } as const;
  await using reader = await openPostgres({ url: urlOf('gantry-reader'), warn });
  expect(await answer(reader, asked)).toEqual(await answer(owner, asked));
  const before = await othersData();
  const writes = [
    () => reader.add([OTHER]),
    () => reader.take('n1', 1),
    () => reader.cancel(OTHER),
    () => reader.pause('n1'),
    () => reader.noteTurn('n1', { problems: [] }),
    () => reader.tokens((tokens) => tokens.limit('vault', { atOnce: 1 })),
  ];
  for (const write of writes) await expect(write()).rejects.toMatchObject({ code: 'QUEUE_UNUSABLE' });
  const plain = new pg.Client({ connectionString: urlOf('gantry-reader') });
  await plain.connect();
  try {
    const tables = await allTables();
    expect(tables.length).toBeGreaterThan(10);
    for (const { name, column } of tables)
      for (const text of [
        `DELETE FROM ${name}`,
        `INSERT INTO ${name} DEFAULT VALUES`,
        `UPDATE ${name} SET "${column}" = "${column}"`,
        `TRUNCATE ${name}`,
        // Outside of a transaction it would fail with every right.
        `BEGIN; LOCK TABLE ${name}; COMMIT`,
      ]) {
        await expect(plain.query(text), text).rejects.toMatchObject({ code: '42501' });
        await plain.query('ROLLBACK');
      }
  } finally {
    await plain.end();
  }
  expect(await othersData()).toBe(before);
});

interface Table {
  /** With its schema. */
  readonly name: string;
  readonly relation: string;
  readonly isPartitioned: boolean;
  /** Whether it has row-level security. */
  readonly secured: boolean;
  /** The first one. */
  readonly column: string;
}

/** All tables of both schemas, partitions too. */
async function allTables(): Promise<readonly Table[]> {
  const { rows } = await admin.query<Table>(
    `SELECT c.oid::regclass::text AS name, c.relname AS relation, c.relkind = 'p' AS "isPartitioned", c.relrowsecurity AS secured,
       (SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum LIMIT 1) AS column
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('gantry_jobs', 'gantry_fleet') AND c.relkind IN ('r', 'p') ORDER BY 1`,
  );
  return rows;
}

/** Everything in both schemas that is not of `n1`, as the owner sees it. */
async function othersData(): Promise<string> {
  const contents = [];
  for (const { name, relation, isPartitioned } of await allTables()) {
    if (isPartitioned) continue;
    const where = relation === 'job_common' ? `WHERE t.name <> 'export/n1'` : '';
    const { rows } = await admin.query<{ readonly all: string }>(
      `SELECT coalesce(string_agg(t::text, '|' ORDER BY t::text), '') AS all FROM ${name} t ${where}`,
    );
    contents.push(`${name}: ${rows[0]?.all ?? ''}`);
  }
  return contents.join('\n');
}

/** How many rows a statement saw or changed; what is denied is 0. */
async function rowsOf(text: string): Promise<number> {
  try {
    return (await client.query(text)).rowCount ?? 0;
  } catch (error) {
    expect(error, text).toMatchObject({ code: expect.stringMatching(/^(?:42501|23\d{3}|0A000|55P04|22P02|428C9|42809)$/) });
    return 0;
  }
}

describe('with the role of a node', () => {
  test('every table of both schemas has row-level security, and gives and takes nothing but its own', async () => {
    const tables = await allTables();
    expect(tables.length).toBeGreaterThan(10);
    expect(tables.filter(({ secured }) => !secured)).toEqual([]);
    const before = await othersData();
    const readable: string[] = [];
    for (const { name, column } of tables) {
      const isJobs = /\.job(?:_common)?$/.test(name);
      const others = isJobs ? ` WHERE name <> 'export/n1'` : '';
      if ((await rowsOf(`SELECT * FROM ${name}${others}`)) > 0) readable.push(name);
      expect(await rowsOf(`UPDATE ${name} SET "${column}" = "${column}"${others}`), `UPDATE ${name}`).toBe(0);
      expect(await rowsOf(`DELETE FROM ${name}${others}`), `DELETE ${name}`).toBe(0);
      if (!isJobs) expect(await rowsOf(`INSERT INTO ${name} DEFAULT VALUES`), `INSERT ${name}`).toBe(0);
      expect(await rowsOf(`TRUNCATE ${name}`), `TRUNCATE ${name}`).toBe(0);
      // With the right to change its own rows, PostgreSQL gives that to lock the table: a node can hold up the others, and nothing more.
      if (!isJobs) await expect(client.query(`BEGIN; LOCK TABLE ${name}; COMMIT`), name).rejects.toMatchObject({ code: '42501' });
      await client.query('ROLLBACK');
    }
    // Its own queue, and versions; the pause of another node is not among them.
    expect(readable).toEqual(['gantry_fleet.version', 'gantry_jobs.queue', 'gantry_jobs.version']);
    expect((await client.query('SELECT name FROM gantry_jobs.queue')).rows).toEqual([{ name: 'export/n1' }]);
    expect(await othersData()).toBe(before);
  });

  test.each(['job', 'job_common'])('a job of another node cannot be made, taken over, or become its own, through %s', async (table) => {
    const before = await othersData();
    const insert = (columns: string, values: string): string =>
      `INSERT INTO gantry_jobs.${table} (name, ${columns}) VALUES ('export/n1', ${values})`;
    for (const text of [
      `INSERT INTO gantry_jobs.${table} (name, data) VALUES ('export/n2', '{}')`,
      `UPDATE gantry_jobs.${table} SET name = 'export/n2'`,
      `UPDATE gantry_jobs.${table} SET dead_letter = 'export/n2'`,
      `UPDATE gantry_jobs.${table} SET source_name = 'export/n2', source_id = id`,
      `UPDATE gantry_jobs.${table} SET blocking = true`,
      insert('dead_letter', `'export/n2'`),
      insert('source_name', `'export/n2'`),
      insert('blocking', 'true'),
      `UPDATE gantry_jobs.${table} SET state = 'completed' WHERE id = '${OTHER.id}'`,
    ])
      expect(await rowsOf(text), text).toBe(0);
    expect(await othersData()).toBe(before);
  });

  test('tokens of stores can be held and given back, but not be made, removed, or made of its own jobs', async () => {
    await owner.tokens((tokens) => tokens.limit('vault', { atOnce: 1 }));
    const all = async (): Promise<unknown> =>
      (await admin.query(`SELECT name, id FROM gantry_jobs.job WHERE name LIKE 'token/%' ORDER BY id`)).rows;
    const before = await all();
    // One for exports, one that is kept for restores.
    expect(before).toHaveLength(2);
    for (const table of ['job', 'job_common']) {
      expect(await rowsOf(`INSERT INTO gantry_jobs.${table} (name) VALUES ('token/vault')`)).toBe(0);
      expect(await rowsOf(`UPDATE gantry_jobs.${table} SET name = 'token/vault' WHERE id = '${OWN.id}'`)).toBe(0);
      expect(await rowsOf(`UPDATE gantry_jobs.${table} SET name = 'export/n1' WHERE name = 'token/vault'`)).toBe(0);
      expect(await rowsOf(`DELETE FROM gantry_jobs.${table} WHERE name = 'token/vault'`)).toBe(0);
    }
    expect(await all()).toEqual(before);
    const taken = await node.tokens((tokens) => tokens.take(['vault']));
    if ('full' in taken) throw new Error('there is one');
    for (const token of taken.tokens) {
      expect(await node.tokens((tokens) => tokens.renew(token))).toBe(true);
      await node.tokens((tokens) => tokens.release(token));
    }
    const again = { tokens: taken.tokens.map(({ id, retryCount }) => ({ id, retryCount: retryCount + 1 })) };
    expect(await node.tokens((tokens) => tokens.take(['vault']))).toMatchObject(again);
    await owner.tokens((tokens) => tokens.limit('vault', undefined));
  });

  test('what the maintenance of the owner could not calculate with cannot be written', async () => {
    for (const set of [
      `start_after = 'infinity'`,
      `started_on = '294276-12-31'`,
      `heartbeat_on = '-infinity'`,
      'expire_seconds = 2147483647',
      'retry_count = 2147483647',
      'retry_limit = 2147483647',
      'heartbeat_seconds = 2147483647',
      `output = to_jsonb(repeat('x', 70000))`,
    ])
      expect(await rowsOf(`UPDATE gantry_jobs.job SET ${set} WHERE id = '${OWN.id}'`), set).toBe(0);
    expect(await rowsOf(`UPDATE gantry_jobs.job SET priority = priority WHERE id = '${OWN.id}'`)).toBe(1);
  });

  test('functions of the schemas cannot be called, nor roles, tables and rules be changed', async () => {
    const before = await othersData();
    const { rows: functions } = await admin.query<{ readonly call: string }>(
      `SELECT p.oid::regproc::text || '(' || array_to_string(ARRAY(SELECT 'NULL::' || format_type(t, NULL) FROM unnest(p.proargtypes) t), ', ') || ')' AS call
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('gantry_jobs', 'gantry_fleet')`,
    );
    expect(functions.length).toBeGreaterThan(3);
    for (const { call } of functions) if (!call.startsWith('gantry_jobs.job_now')) expect(await rowsOf(`SELECT ${call}`), call).toBe(0);
    for (const text of [
      'ALTER TABLE gantry_jobs.job_common DISABLE ROW LEVEL SECURITY',
      'DROP POLICY own_jobs ON gantry_jobs.job_common',
      'CREATE TABLE gantry_jobs.mine (a int)',
      'CREATE TABLE public.mine (a int)',
      'DROP TABLE gantry_fleet.planned',
      'SET ROLE owner',
      'SET ROLE "gantry-node-n2"',
      'SET SESSION AUTHORIZATION "gantry-node-n2"',
      'ALTER ROLE "gantry-node-n1" RENAME TO "gantry-node-n2"',
      'CREATE ROLE "gantry-node-n9"',
      'GRANT "gantry-node-n2" TO "gantry-node-n1"',
    ])
      await expect(client.query(text), text).rejects.toMatchObject({ code: expect.stringMatching(/^(?:42501|0LP01|42704|0A000)$/) });
    expect(await othersData()).toBe(before);
  });

  test('every call of pg-boss that names the queue or a job of another node does nothing', async () => {
    const before = await othersData();
    const queue = 'export/n2';
    const id = OTHER.id;
    const attempt = { id, retryCount: 0 };
    const calls: Record<string, () => Promise<unknown>> = {
      send: () => boss.send(queue, {}),
      insert: () => boss.insert(queue, [{ data: {} }]),
      fetch: () => boss.fetch(queue),
      complete: () => boss.complete(queue, attempt),
      completeById: () => boss.complete(queue, id, {}, { includeQueued: true }),
      fail: () => boss.fail(queue, attempt),
      failById: () => boss.fail(queue, id),
      touch: () => boss.touch(queue, attempt),
      cancel: () => boss.cancel(queue, id),
      resume: () => boss.resume(queue, id),
      retry: () => boss.retry(queue, FAILED.id),
      deleteJob: () => boss.deleteJob(queue, id),
      redrive: () => boss.redrive(queue),
      update: () => boss.update(queue, {}, { id }),
      findJobs: () => boss.findJobs(queue),
      deleteQueuedJobs: () => boss.deleteQueuedJobs(queue),
      deleteStoredJobs: () => boss.deleteStoredJobs(queue),
      deleteAllJobs: () => boss.deleteAllJobs(queue),
      createQueue: () => boss.createQueue('export/n3'),
      updateQueue: () => boss.updateQueue(queue, { retryLimit: 1 }),
      deleteQueue: () => boss.deleteQueue(queue),
      getQueue: () => boss.getQueue(queue),
      getQueueStats: () => boss.getQueueStats(queue),
      schedule: () => boss.schedule(queue, '* * * * *'),
      subscribe: () => boss.subscribe('event', queue),
      publish: () => boss.publish('event'),
      flow: () => boss.flow([{ ref: 'a', name: queue, data: {} }]),
      supervise: () => boss.supervise(queue),
    };
    for (const [name, call] of Object.entries(calls)) {
      const result = await call().catch((error: unknown) => error);
      // Refused, or about nothing: no job of another node is in what comes back.
      expect(JSON.stringify(result instanceof Error ? result.message : result) ?? '', name).not.toMatch(/web2|web3|SECRET/);
    }
    expect(await othersData()).toBe(before);
  });

  test('the calls of an agent about another node do nothing, and those about its own work', async () => {
    const before = await othersData();
    const other = { id: OTHER.id, node: 'n2', retryCount: 0 };
    const refused = (work: Promise<unknown>): Promise<unknown> => work.catch(() => false);
    expect(await refused(node.take('n2', 5).then((taken) => taken.length > 0))).toBe(false);
    const calls = [
      () => node.complete(other, {}),
      () => node.reject(other, {}),
      () => node.renew(other),
      () => node.cancel(other),
      () => node.redrive(other),
    ];
    for (const call of calls) expect(await refused(call())).toBe(false);
    await expect(node.jobs(new Date(0))).rejects.toMatchObject({ code: 'QUEUE_UNUSABLE' });
    await expect(node.add([OTHER])).rejects.toMatchObject({ code: 'QUEUE_UNUSABLE' });
    expect(await node.paused()).toEqual([]);
    expect(await othersData()).toBe(before);
    const [own] = await node.take('n1', 5);
    expect(own).toMatchObject({ id: OWN.id });
    if (own === undefined) throw new Error('there is one');
    expect(await node.giveBack(own, { output: {}, delaySeconds: 0, costsAttempt: true })).toBe(true);
    const [again] = await node.take('n1', 5);
    if (again === undefined) throw new Error('there is one');
    expect(await node.complete(again, { outcome: 'exported' })).toBe(true);
  });

  test('a job that a node makes up is not believed: the planner knows what it planned itself', async () => {
    const made = job('web2', 'n1');
    await client.query(`INSERT INTO gantry_jobs.job (name, id, state, data) VALUES ('export/n1', $1, 'completed', '{}')`, [made.id]);
    expect((await owner.jobs(new Date(0))).filter(({ instance }) => instance === 'web2')).toMatchObject([{ node: 'n2', state: 'waiting' }]);
  });
});
