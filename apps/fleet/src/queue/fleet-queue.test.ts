import { appendFile, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { PGlite } from '@electric-sql/pglite';
import { makeTemporaryDirectory, mountNewTmpfs, oneIn, startPostgres } from '@gantry/testkit';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { copyEmbeddedQueue } from '../../test/embedded-template.ts';
import { jobId } from '../planner/job.ts';
import type { PlannedJob } from '../planner/job.ts';
import type { FleetQueue } from './fleet-queue.ts';
import type { FleetJob } from './records.ts';
import { openEmbedded, openEmbeddedDatabase } from './open-embedded.ts';
import type { Token } from './store-tokens.ts';
import { initPostgres, openPostgres } from './open-postgres.ts';

const scope = new AsyncDisposableStack();
afterAll(async () => {
  await scope.disposeAsync();
});

const warnings: string[] = [];
const warn = (message: string): void => void warnings.push(message);

const BEGIN = new Date(Date.now() - 3_600_000);
const END = new Date(Date.now() + 3_600_000);

/** An export that may begin at once. */
function job(instance: string, node = 'n1', fields: Partial<PlannedJob> = {}): PlannedJob {
  const subject = { policy: 'nightly', instance };
  return { ...subject, id: jobId(subject, BEGIN), node, window: { begin: BEGIN, end: END }, startAfter: BEGIN, priority: 1, ...fields };
}

/** What the database says, past the queue: so that a test need not wait for a lease to end. */
type Sql = (text: string) => Promise<unknown>;

interface Backend {
  readonly queue: FleetQueue;
  /** As the node `n1`, where the database knows roles. */
  readonly asNode: FleetQueue;
  readonly sql: Sql;
}

async function embedded(): Promise<Backend> {
  const home = scope.use(await makeTemporaryDirectory());
  await copyEmbeddedQueue(home.file('queue'));
  const { queue, database } = await openEmbeddedDatabase(home.file('queue'), { warn, release: () => Promise.resolve() });
  scope.use(queue);
  for (const node of ['n1', 'n2']) await queue.addNode(node);
  return { queue, asNode: queue, sql: (text) => database.exec(text) };
}

let server: Awaited<ReturnType<typeof startPostgres>>;

async function postgres(): Promise<Backend> {
  server = scope.use(await startPostgres());
  const url = server.url('owner');
  await initPostgres({ url, warn }, ['n1', 'n2']);
  const queue = scope.use(await openPostgres({ url, warn }));
  const asNode = scope.use(await openPostgres({ url: server.url('gantry-node-n1'), warn }));
  const client = new pg.Client({ connectionString: url });
  // Ended by the server that the last test kills.
  client.on('error', () => undefined);
  await client.connect();
  scope.defer(() => client.end());
  return { queue, asNode, sql: (text) => client.query(text) };
}

const BACKENDS = [
  ['PostgreSQL', postgres],
  ['the embedded database', embedded],
] as const;

// The planner's tests use the embedded one.
describe.each(oneIn(2, BACKENDS))('a queue on %s', (_, open) => {
  let queue: FleetQueue;
  let asNode: FleetQueue;
  let sql: Sql;

  beforeAll(async () => {
    ({ queue, asNode, sql } = await open());
  });

  async function found(instance: string): Promise<readonly FleetJob[]> {
    return (await queue.jobs(new Date(0))).filter((each) => each.instance === instance);
  }

  /** Takes everything that is ready on `n1`, and gives the attempt of one instance. */
  async function take(instance: string): Promise<Awaited<ReturnType<FleetQueue['take']>>[number]> {
    const attempt = (await asNode.take('n1', 100)).find(({ data }) => data.instance === instance);
    if (attempt === undefined) throw new Error(`${instance} is not handed out`);
    return attempt;
  }

  /** As if nobody had renewed the lease of an attempt for an hour. */
  async function loseLease({ id }: { readonly id: string }): Promise<void> {
    await sql(`UPDATE gantry_jobs.job SET heartbeat_on = now() - interval '1h' WHERE id = '${id}'`);
    await sql('UPDATE gantry_jobs.queue SET monitor_on = NULL, monitor_claim_on = NULL');
    await queue.supervise();
  }

  test('has each export once, no matter how often it is planned, and hands it out to its node once', async () => {
    await queue.add([job('web1')]);
    await queue.add([job('web1'), job('web2', 'n2')]);
    expect(await found('web1')).toMatchObject([{ state: 'waiting', node: 'n1', begin: BEGIN, end: END, attempts: 0 }]);
    const attempts = await asNode.take('n1', 10);
    expect(attempts).toMatchObject([{ id: job('web1').id, node: 'n1', retryCount: 0, data: { policy: 'nightly', instance: 'web1' } }]);
    expect(await asNode.take('n1', 10)).toEqual([]);
    const [attempt] = attempts;
    if (attempt === undefined) throw new Error('there is one');
    expect(await found('web1')).toMatchObject([{ state: 'running', attempts: 1 }]);
    expect(await asNode.renew(attempt)).toBe(true);
    expect(await asNode.complete(attempt, { outcome: 'exported', reference: 'web1@1', plainBytes: 5 })).toBe(true);
    expect(await found('web1')).toMatchObject([{ state: 'done', output: { outcome: 'exported', reference: 'web1@1', plainBytes: 5 } }]);
    expect((await found('web1'))[0]?.endedOn).toBeInstanceOf(Date);
    await queue.add([job('web1')]);
    expect(await found('web1')).toMatchObject([{ state: 'done' }]);
    expect(await queue.take('n2', 10)).toMatchObject([{ data: { instance: 'web2' } }]);
  });

  test('has work at a store beside an export of the same name; what is done there is no good export', async () => {
    const since = new Date(BEGIN.getTime() - 1000);
    const subject = { policy: 'nightly', instance: 'both', work: 'store' } as const;
    const atStore = { ...job('both'), ...subject, id: jobId(subject, BEGIN), since };
    await queue.add([job('both'), atStore]);
    const attempts = (await asNode.take('n1', 10)).filter(({ data }) => data.instance === 'both');
    const data = { ...subject, since: since.toISOString() };
    expect(attempts.find(({ id }) => id === atStore.id)).toMatchObject({ data });
    for (const attempt of attempts)
      await asNode.complete(attempt, { outcome: 'exported', message: '3 copied', reference: `both@${attempt.id}` });
    expect((await found('both')).find(({ id }) => id === atStore.id)).toMatchObject({ work: 'store', state: 'done' });
    expect((await queue.lastGood()).filter(({ instance }) => instance === 'both')).toMatchObject([{ reference: `both@${job('both').id}` }]);
    await queue.note([{ kind: 'missed', ...subject, id: atStore.id, node: 'n1', window: { begin: BEGIN, end: END }, reason: 'why' }]);
    expect((await queue.findings(BEGIN)).filter(({ instance }) => instance === 'both')).toMatchObject([subject]);
    await sql('DELETE FROM gantry_fleet.finding');
  });

  test('hands out what has the highest priority first, and nothing before its time', async () => {
    await queue.add([
      job('low', 'n1', { priority: 1 }),
      job('middle', 'n1', { priority: 5 }),
      job('high', 'n1', { priority: 9 }),
      job('later', 'n1', { startAfter: END }),
    ]);
    expect((await asNode.take('n1', 1)).map(({ data }) => data.instance)).toEqual(['high']);
    expect((await asNode.take('n1', 9)).map(({ data }) => data.instance)).toEqual(['middle', 'low']);
    expect(await found('later')).toMatchObject([{ state: 'waiting', startAfter: END }]);
  });

  test('an attempt whose lease ended is handed out again, and what the earlier one says then counts no more', async () => {
    await queue.add([job('db1')]);
    const first = await take('db1');
    await loseLease(first);
    expect(await asNode.renew(first)).toBe(false);
    expect(await asNode.stateOf(first)).toBe('retry');
    await sql(`UPDATE gantry_jobs.job SET start_after = now() WHERE id = '${first.id}'`);
    const second = await take('db1');
    expect(second.retryCount).toBe(1);
    expect(await asNode.complete(first, { outcome: 'exported', reference: 'db1@first' })).toBe(false);
    expect(await asNode.giveBack(first, { output: {}, delaySeconds: 1, costsAttempt: true })).toBe(false);
    expect(await asNode.reject(first, {})).toBe(false);
    expect(await found('db1')).toMatchObject([{ state: 'running', attempts: 2, output: {} }]);
    expect(await asNode.complete(second, { outcome: 'present', reference: 'db1@first' })).toBe(true);
  });

  test('a job whose lease ended can be taken again before its time; one that has ended or is held cannot', async () => {
    await queue.add([job('held')]);
    const first = await take('held');
    expect(await asNode.takeAgain(first)).toBeUndefined();
    await sql(`UPDATE gantry_jobs.job SET retry_delay = 600 WHERE id = '${first.id}'`);
    await loseLease(first);
    expect(await asNode.takeAgain(first)).toBe(1);
    expect(await asNode.renew({ ...first, retryCount: 1 }, { readBytes: 5, bytesPerSecond: 2 })).toBe(true);
    expect(await asNode.renew(first, { readBytes: 6, bytesPerSecond: 2 })).toBe(false);
    expect(await found('held')).toMatchObject([
      { state: 'running', attempts: 2, output: { progress: { readBytes: 5, bytesPerSecond: 2 } } },
    ]);
    expect(await asNode.complete({ ...first, retryCount: 1 }, { outcome: 'exported' })).toBe(true);
    expect(await asNode.takeAgain(first)).toBeUndefined();
  });

  test('a job whose last attempt lost its lease is taken again by who had that, and by nobody else', async () => {
    await queue.add([job('last'), job('bad-end')]);
    const first = await take('last');
    await sql(`UPDATE gantry_jobs.job SET retry_limit = 0 WHERE name = 'export/n1' AND state = 'active'`);
    await loseLease(first);
    expect(await found('last')).toMatchObject([{ state: 'failed', attempts: 1 }]);
    expect(await asNode.takeAgain({ ...first, retryCount: 1 })).toBeUndefined();
    expect(await asNode.complete(first, { outcome: 'exported' })).toBe(false);
    // As often as it takes.
    for (let attempt = 1; attempt < 3; attempt += 1) {
      expect(await asNode.takeAgain({ ...first, retryCount: attempt - 1 })).toBe(attempt);
      expect(await found('last')).toMatchObject([{ state: 'running', endedOn: undefined }]);
      if (attempt === 1) await loseLease(first);
    }
    expect(await asNode.complete({ ...first, retryCount: 2 }, { outcome: 'exported', reference: 'last@1' })).toBe(true);
    expect(await found('last')).toMatchObject([{ state: 'done', output: { reference: 'last@1' } }]);
    expect(await asNode.takeAgain({ ...first, retryCount: 2 })).toBeUndefined();
    // What its agent has said of the last attempt stays.
    const other = { ...first, id: job('bad-end').id };
    await sql(`UPDATE gantry_jobs.job SET state = 'active', heartbeat_on = now() WHERE id = '${other.id}'`);
    expect(await asNode.reject(other, { outcome: 'failed', code: 'INSTANCE_INVALID' })).toBe(true);
    expect(await asNode.takeAgain(other)).toBeUndefined();
    expect(await found('bad-end')).toMatchObject([{ state: 'failed', output: { code: 'INSTANCE_INVALID' } }]);
  });

  test('what is taken again costs no attempt, no matter how often, and began when it did, unless that is a day ago', async () => {
    await queue.add([job('patient')]);
    const first = await take('patient');
    const change = (set: string): Promise<unknown> => sql(`UPDATE gantry_jobs.job SET ${set} WHERE id = '${first.id}'`);
    const began = new Date(Date.now() - 7_200_000);
    await change(`started_on = '${began.toISOString()}'`);
    for (let attempt = 1; attempt < 6; attempt += 1) {
      await loseLease(first);
      expect(await asNode.takeAgain(first)).toBe(attempt);
    }
    expect(await found('patient')).toMatchObject([{ state: 'running', startedOn: began }]);
    await change(`started_on = now() - interval '25h'`);
    await loseLease(first);
    expect(await asNode.takeAgain(first)).toBe(6);
    expect((await found('patient'))[0]?.startedOn?.getTime()).toBeGreaterThan(began.getTime());
    await loseLease(first);
    await change('start_after = now()');
    let attempt = await take('patient');
    await asNode.costsNothing(attempt);
    // So it has all four.
    for (const state of ['waiting', 'waiting', 'waiting', 'failed']) {
      expect(await asNode.giveBack(attempt, { output: { code: 'STORE_FAILED' }, delaySeconds: 0, costsAttempt: true })).toBe(true);
      expect(await found('patient')).toMatchObject([{ state }]);
      if (state === 'waiting') attempt = await take('patient');
    }
  });

  test('an attempt that failed is tried again three times, and one that found it busy costs none of them', async () => {
    await queue.add([job('bad')]);
    const costs = [true, false, false, true, false, true];
    for (const costsAttempt of costs) {
      const attempt = await take('bad');
      expect(await asNode.giveBack(attempt, { output: { outcome: 'failed', code: 'BUSY' }, delaySeconds: 0, costsAttempt })).toBe(true);
      expect(await found('bad')).toMatchObject([{ state: 'waiting', output: { code: 'BUSY' } }]);
    }
    expect(await asNode.giveBack(await take('bad'), { output: { code: 'STORE_FAILED' }, delaySeconds: 0, costsAttempt: true })).toBe(true);
    expect(await found('bad')).toMatchObject([{ state: 'failed', output: { code: 'STORE_FAILED' } }]);
    expect(await asNode.take('n1', 10)).toEqual([]);
  });

  test('the next attempt waits as long as it is asked to', async () => {
    await queue.add([job('wait')]);
    await asNode.giveBack(await take('wait'), { output: {}, delaySeconds: 600, costsAttempt: true });
    const [{ startAfter = BEGIN } = {}] = await found('wait');
    const seconds = (startAfter.getTime() - Date.now()) / 1000;
    expect(seconds).toBeGreaterThan(500);
    expect(seconds).toBeLessThanOrEqual(601);
    await queue.drop({ id: job('wait').id, node: 'n1' });
  });

  test('a rejected export is tried again when it is redriven, without its window', async () => {
    await queue.add([job('poison')]);
    expect(await asNode.reject(await take('poison'), { outcome: 'failed', code: 'INSTANCE_INVALID' })).toBe(true);
    expect(await found('poison')).toMatchObject([{ state: 'failed', output: { code: 'INSTANCE_INVALID' } }]);
    expect(await queue.redrive(job('poison'))).toBe(true);
    expect(await queue.redrive(job('poison'))).toBe(false);
    const again = await take('poison');
    expect(again.data).toEqual({ policy: 'nightly', instance: 'poison', asked: expect.stringMatching(/^\d{4}-\S+Z$/) });
    await asNode.complete(again, { outcome: 'exported' });
  });

  test('one that was cancelled while it waits is not handed out; while it runs, its agent learns of it', async () => {
    await queue.add([job('idle'), job('active')]);
    expect(await queue.cancel(job('idle'))).toBe(true);
    const attempt = await take('active');
    expect(await found('idle')).toMatchObject([{ state: 'cancelled' }]);
    expect(await queue.cancel(attempt)).toBe(true);
    expect(await queue.cancel(attempt)).toBe(false);
    expect(await asNode.renew(attempt)).toBe(false);
    expect(await asNode.stateOf(attempt)).toBe('cancelled');
    expect(await asNode.complete(attempt, {})).toBe(false);
    await queue.add([job('idle')]);
    expect(await found('idle')).toMatchObject([{ state: 'cancelled' }]);
  });

  test('one that was taken back is lost, and can be planned again; one that runs stays', async () => {
    await queue.add([job('moved')]);
    expect(await queue.drop(job('moved'))).toBe(true);
    expect(await found('moved')).toMatchObject([{ state: 'lost' }]);
    await queue.add([job('moved')]);
    const attempt = await take('moved');
    expect(await queue.drop(job('moved'))).toBe(false);
    expect(await found('moved')).toMatchObject([{ state: 'running' }]);
    expect(await asNode.complete(attempt, { outcome: 'exported' })).toBe(true);
  });

  test('an export that a user asks for comes first, and has no window', async () => {
    const id = jobId({ policy: 'nightly', instance: 'asked' }, END);
    await queue.add([job('planned')]);
    await queue.ask({ id, node: 'n1', policy: 'nightly', instance: 'asked' });
    const [first] = await asNode.take('n1', 1);
    expect(first).toMatchObject({ id, data: { policy: 'nightly', instance: 'asked' } });
    expect(first?.data.window).toBeUndefined();
    expect(await found('asked')).toMatchObject([{ begin: undefined, end: undefined }]);
    await asNode.take('n1', 10);
  });

  test('turns of planners are known with their age: the last plan with its problems, and why none was made since', async () => {
    const problems = Array.from({ length: 102 }, (_, index) => ({ about: `web${index}`, message: `web${index}: it failed` }));
    await queue.noteTurn('n1', { problems });
    const [first] = await queue.turns();
    expect([first?.planner, first?.problems.length, first?.problems[100]]).toEqual(['n1', 101, { about: '', message: 'and 2 more' }]);
    expect(first?.problems.slice(0, 100)).toEqual(problems.slice(0, 100));
    await sql(`UPDATE gantry_fleet.turn SET problems = '["as before"]'`);
    expect(await queue.turns()).toMatchObject([{ problems: [{ about: 'as before', message: 'as before' }] }]);
    expect(first?.plannedSecondsAgo).toBeLessThan(600);
    await queue.noteTurn('n1', { failure: 'it failed' });
    await queue.noteTurn('n2', { failure: 'it failed there' });
    await sql(`UPDATE gantry_fleet.turn SET planned_on = now() - interval '1h' WHERE planner = 'n1'`);
    const turns = await queue.turns();
    expect(turns).toMatchObject([
      { planner: 'n1', failure: 'it failed' },
      { planner: 'n2', failure: 'it failed there', plannedSecondsAgo: undefined, problems: [] },
    ]);
    expect(Math.floor((turns[0]?.plannedSecondsAgo ?? 0) / 60)).toBe(60);
    await queue.noteTurn('n1', { problems: [] });
    expect((await queue.turns())[0]).toMatchObject({ planner: 'n1', problems: [], failure: undefined });
  });

  test('the last good export of an instance is known, and one that was left is not one', async () => {
    await queue.add([job('good1'), job('good2')]);
    for (const attempt of await asNode.take('n1', 100)) {
      const isGood = attempt.data.instance === 'good1';
      await asNode.complete(attempt, isGood ? { outcome: 'exported', reference: 'good1@1', plainBytes: 7 } : { outcome: 'left' });
    }
    const good = (await queue.lastGood()).filter(({ instance }) => instance.startsWith('good'));
    expect(good).toEqual([{ policy: 'nightly', instance: 'good1', endedOn: expect.any(Date), reference: 'good1@1', plainBytes: 7 }]);
  });

  test('the history of an instance has its exports alone', async () => {
    await queue.add([job('told'), job('other')]);
    expect(await queue.history('told', BEGIN)).toMatchObject([{ instance: 'told', state: 'waiting' }]);
    for (const instance of ['told', 'other']) await queue.drop(job(instance));
  });

  test('findings are recorded once, and nodes are paused and resumed', async () => {
    const { id, policy, instance, node, window } = job('late');
    const finding = { kind: 'missed', id, policy, instance, node, window, reason: 'it was lost from the queue' } as const;
    expect(await queue.note([finding])).toBe(1);
    expect(await queue.note([finding, { ...finding, kind: 'overrun' }])).toBe(1);
    expect(await queue.findings(BEGIN)).toMatchObject([finding, { kind: 'overrun' }]);
    await queue.pause('n1');
    await queue.pause('*');
    expect(await asNode.paused()).toEqual(['*', 'n1']);
    for (const paused of ['*', 'n1']) await queue.resume(paused);
    expect(await asNode.paused()).toEqual([]);
  });

  test('a store that has a limit gives that many tokens; those given back, and those whose lease ended, are free again', async () => {
    await queue.tokens((tokens) => tokens.limit('vault', { atOnce: 2 }));
    const takeOne = async (): Promise<Token | undefined> => {
      const taken = await asNode.tokens((tokens) => tokens.take(['vault', 'without']));
      return 'full' in taken ? undefined : taken.tokens[0];
    };
    const [first, second] = [await takeOne(), await takeOne()];
    expect(await asNode.tokens((tokens) => tokens.take(['vault', 'without']))).toEqual({ full: 'vault' });
    expect(await queue.tokens((tokens) => tokens.limits())).toEqual([{ store: 'vault', atOnce: 2, held: 2 }]);
    if (first === undefined || second === undefined) throw new Error('there were two');
    await asNode.tokens((tokens) => tokens.release(first));
    const third = await takeOne();
    expect(third).toMatchObject({ store: 'vault', id: first.id, retryCount: first.retryCount + 1 });
    await sql(`UPDATE gantry_jobs.job SET heartbeat_on = now() - interval '1h' WHERE id = '${second.id}'`);
    await sql('UPDATE gantry_jobs.queue SET monitor_on = NULL, monitor_claim_on = NULL');
    await queue.supervise();
    const fourth = await takeOne();
    expect(fourth).toMatchObject({ id: second.id });
    // What held it before has it no longer, and gives nothing back.
    expect(await asNode.tokens((tokens) => tokens.renew(second))).toBe(false);
    await asNode.tokens((tokens) => tokens.release(second));
    expect(await takeOne()).toBeUndefined();
    await queue.tokens((tokens) => tokens.limit('vault', { atOnce: 1 }));
    for (const held of [third, fourth]) if (held !== undefined) await asNode.tokens((tokens) => tokens.release(held));
    await queue.supervise();
    const last = await takeOne();
    expect([last?.store, await takeOne()]).toEqual(['vault', undefined]);
    await queue.tokens((tokens) => tokens.limit('vault', undefined));
    expect(await queue.tokens((tokens) => tokens.take(['vault']))).toEqual({ tokens: [] });
    expect(await queue.tokens((tokens) => tokens.limits())).toEqual([]);
    // Nor has what held one of a limit that was taken away one of those that the store has now.
    await queue.tokens((tokens) => tokens.limit('vault', { atOnce: 1 }));
    const anew = await takeOne();
    if (anew === undefined) throw new Error('there is one');
    await asNode.tokens((tokens) => tokens.release({ ...anew, retryCount: 0 }));
    expect(await takeOne()).toBeUndefined();
    await queue.tokens((tokens) => tokens.limit('vault', undefined));
  });

  test('a restore comes before all exports, and has a token of its own, beside those of a store that is full', async () => {
    await queue.tokens((tokens) => tokens.limit('vault', { atOnce: 1 }));
    const takeOne = async (isRestore: boolean): Promise<string | undefined> => {
      const taken = await asNode.tokens((tokens) => tokens.take(['vault'], { isRestore }));
      return 'full' in taken ? undefined : taken.tokens[0]?.store;
    };
    expect([await takeOne(false), await takeOne(false)]).toEqual(['vault', undefined]);
    await queue.supervise();
    expect([await takeOne(true), await takeOne(true)]).toEqual(['vault/restore', undefined]);
    expect(await queue.tokens((tokens) => tokens.limits())).toEqual([{ store: 'vault', atOnce: 1, held: 1 }]);
    await queue.tokens((tokens) => tokens.limit('vault', undefined));
    expect(await queue.tokens((tokens) => tokens.take(['vault'], { isRestore: true }))).toEqual({ tokens: [] });

    const order = { store: 'vault', export: 'web1@1', dryRun: true };
    const { id } = job('restored');
    await queue.add([job('urgent', 'n1', { priority: 10_000_000 })]);
    await queue.restore({ id, node: 'n1', policy: 'nightly', instance: 'web1', order });
    expect((await found('web1')).find((each) => each.id === id)).toMatchObject({ work: 'restore', dryRun: true });
    const data = { work: 'restore', restore: order, stores: ['vault'] };
    const [attempt, ...more] = await asNode.take('n1', 9, 1_000_000_000);
    expect([attempt, more]).toMatchObject([{ id, data }, []]);
    expect((await asNode.take('n1', 9)).map(({ data: { instance } }) => instance)).toContain('urgent');
    if (attempt === undefined) throw new Error('it was handed out');
    expect(await asNode.reject(attempt, { outcome: 'failed', code: 'BUSY' })).toBe(true);
    expect(await queue.redrive(attempt)).toBe(false);
    expect(await queue.stateOf(attempt)).toBe('failed');
  });

  test('exports of a node need tokens of its network segments, each of which is worth a share of their rate', async () => {
    const limit = (bytesPerSecond: number): Promise<void> =>
      queue.tokens((tokens) => tokens.limit('segment.dc1', { atOnce: 3, bytesPerSecond, nodes: ['n1'] }));
    await limit(1000);
    await queue.add([job('inside', 'n1', { stores: ['vault'] }), job('outside', 'n2', { stores: ['vault'] })]);
    expect((await take('inside')).data.stores).toEqual(['vault', 'segment.dc1']);
    expect((await queue.take('n2', 9)).find(({ data }) => data.instance === 'outside')?.data.stores).toEqual(['vault']);
    const shares: unknown[] = [];
    for (const isRestore of [false, true]) {
      const taken = await asNode.tokens((tokens) => tokens.take(['segment.dc1'], { isRestore }));
      shares.push(...('full' in taken ? [] : taken.tokens.map(({ store, bytesPerSecond }) => [store, bytesPerSecond])));
    }
    await limit(2000);
    const later = await asNode.tokens((tokens) => tokens.take(['segment.dc1']));
    shares.push(...('full' in later ? [] : later.tokens.map(({ store, bytesPerSecond }) => [store, bytesPerSecond])));
    // What a node wrote there that was taken over.
    for (const worth of ['1e12', '0.5', '1e300', '"x"']) {
      await sql(`UPDATE gantry_jobs.job SET data = '{"bytesPerSecond": ${worth}}' WHERE name = 'token/segment.dc1'`);
      const taken = await asNode.tokens((tokens) => tokens.take(['segment.dc1']));
      for (const token of 'full' in taken ? [] : taken.tokens) {
        shares.push([token.store, token.bytesPerSecond]);
        await asNode.tokens((tokens) => tokens.release(token));
      }
    }
    expect(shares).toEqual([
      ['segment.dc1', 250],
      ['segment.dc1/restore', 250],
      ['segment.dc1', 500],
      ['segment.dc1', 1e12],
      ...Array.from({ length: 3 }, () => ['segment.dc1', undefined]),
    ]);
    expect(await queue.tokens((tokens) => tokens.limits())).toEqual([
      { store: 'segment.dc1', atOnce: 3, bytesPerSecond: 2000, nodes: ['n1'], held: 2 },
    ]);
    await queue.tokens((tokens) => tokens.limit('segment.dc1', undefined));
  });

  test('tokens that are lost are made again, and those that should not be there go', async () => {
    await queue.tokens((tokens) => tokens.limit('shelf', { atOnce: 2 }));
    await sql(`DELETE FROM gantry_jobs.job WHERE id = (SELECT id FROM gantry_jobs.job WHERE name = 'token/shelf' LIMIT 1)`);
    await sql(`INSERT INTO gantry_jobs.job (name) VALUES ('token/shelf')`);
    await sql(`INSERT INTO gantry_jobs.job (name, state) VALUES ('token/shelf', 'failed')`);
    await sql(`UPDATE gantry_jobs.job SET start_after = now() + interval '1h' WHERE name = 'token/shelf'`);
    await queue.supervise();
    const taken = [];
    for (let turn = 0; turn < 3; turn += 1) taken.push(await asNode.tokens((tokens) => tokens.take(['shelf'])));
    expect(taken.map((each) => 'full' in each)).toEqual([false, false, true]);
    // Its lease would never end.
    await sql(`UPDATE gantry_jobs.job SET heartbeat_on = now() + interval '1h' WHERE name = 'token/shelf'`);
    await queue.supervise();
    expect(await asNode.tokens((tokens) => tokens.take(['shelf']))).toMatchObject({ tokens: [{ store: 'shelf' }] });
    await sql(`DELETE FROM gantry_fleet.store_limit WHERE store = 'shelf'`);
    await queue.supervise();
    expect(await queue.tokens((tokens) => tokens.take(['shelf']))).toEqual({ tokens: [] });
  });

  test('what a node can write into its rows stops nobody from reading them, and is cut off', async () => {
    await queue.add([job('liar'), job('long')]);
    await sql(`UPDATE gantry_jobs.job SET start_after = 'infinity', started_on = '-infinity', output = '{"message": 5, "code": "X"}'
      WHERE data->>'instance' = 'liar'`);
    await sql(`UPDATE gantry_jobs.job SET output = jsonb_build_object('message', repeat('x', 60000)) WHERE data->>'instance' = 'long'`);
    expect(await found('liar')).toMatchObject([{ state: 'waiting', startAfter: undefined, output: { code: 'X' } }]);
    expect((await found('long'))[0]?.output.message).toHaveLength(2000);
    await sql(`UPDATE gantry_jobs.job SET output = jsonb_build_object('message', repeat('x', 70000)) WHERE data->>'instance' = 'long'`);
    expect(await found('long')).toMatchObject([{ output: {} }]);
    for (const instance of ['liar', 'long']) await queue.drop(job(instance));
  });

  test('what was planned long ago is found as long as it has not ended, and after it has', async () => {
    await queue.add([job('slow')]);
    await sql(`UPDATE gantry_fleet.planned SET planned_on = now() - interval '5d' WHERE instance = 'slow'`);
    const open = async (since: Date): Promise<readonly FleetJob[]> =>
      (await queue.jobsAndOpen(since)).filter(({ instance }) => instance === 'slow');
    expect(await open(BEGIN)).toMatchObject([{ state: 'waiting' }]);
    await asNode.reject(await take('slow'), { outcome: 'failed', code: 'KILLED' });
    expect(await open(BEGIN)).toMatchObject([{ state: 'failed' }]);
    expect(await open(END)).toEqual([]);
    expect((await queue.jobs(BEGIN)).filter(({ instance }) => instance === 'slow')).toEqual([]);
  });

  test('forgets what is older than a month', async () => {
    await queue.add([job('old')]);
    await sql(`UPDATE gantry_fleet.planned SET planned_on = now() - interval '40d' WHERE instance = 'old'`);
    await queue.forget(new Date());
    expect(await found('old')).toEqual([]);
    await asNode.take('n1', 10);
  });
});

describe('the embedded queue', () => {
  test('is held by one process, keeps what it has, and is made anew when it is damaged', async () => {
    await using home = await makeTemporaryDirectory();
    const options = { stateDirectory: home.path, warn };
    await copyEmbeddedQueue(join(home.path, 'fleet', 'queue'));
    {
      await using queue = await openEmbedded(options);
      await queue.addNode('n1');
      await queue.add([job('web1')]);
      await expect(openEmbedded(options)).rejects.toMatchObject({ code: 'BUSY' });
    }
    {
      await using again = await openEmbedded(options);
      expect(await again.jobs(new Date(0))).toMatchObject([{ instance: 'web1', state: 'waiting' }]);
    }
    const directory = join(home.path, 'fleet', 'queue');
    await writeFile(join(directory, 'global', 'pg_control'), 'damaged');
    await appendFile(join(directory, 'PG_VERSION'), 'damaged');
    await writeFile(`${directory}.damaged`, 'an older one');
    warnings.length = 0;
    // Making one takes five seconds of the processor: the tests of the commands do that, with all variants.
    const create = PGlite.create.bind(PGlite);
    using made = vi.spyOn(PGlite, 'create').mockImplementation(async (path = '') => {
      if (path.endsWith('.new')) await copyEmbeddedQueue(path);
      return await create<Record<string, never>>(path);
    });
    await using anew = await openEmbedded(options);
    expect(await anew.nodes()).toEqual([]);
    expect(made.mock.calls.map(([path]) => path)).toEqual([directory, `${directory}.new`, directory]);
    expect(warnings).toEqual([expect.stringContaining('the embedded queue is damaged, and made anew')]);
    expect(await readdir(directory)).toContain('PG_VERSION');
    expect(await readFile(`${directory}.damaged/global/pg_control`, 'utf8')).toBe('damaged');
    expect((await readdir(join(home.path, 'fleet'))).toSorted()).toEqual(['queue', 'queue.damaged']);
  });

  test('stays as it is, as does an older one that was damaged, where no other one can be made either', async () => {
    await using home = await makeTemporaryDirectory();
    const kept = ['queue', 'queue.damaged'].map((name) => join(home.path, 'fleet', name));
    for (const path of kept) {
      await mkdir(path, { recursive: true });
      await writeFile(join(path, 'mine'), path);
    }
    using create = vi.spyOn(PGlite, 'create').mockRejectedValue(new Error('the program is not whole'));
    for (const damage of [undefined, new Error('page 3 is damaged')])
      await expect(openEmbedded({ stateDirectory: home.path, warn, damage })).rejects.toMatchObject({
        code: 'STATE_UNUSABLE',
        message: expect.stringMatching(/^cannot open the embedded queue: .*; nor can another one be made: the program is not whole$/),
      });
    expect(create).toHaveBeenCalledTimes(3);
    expect((await readdir(join(home.path, 'fleet'))).toSorted()).toEqual(['queue', 'queue.damaged']);
    for (const path of kept) expect(await readFile(join(path, 'mine'), 'utf8')).toBe(path);
  });

  test('stays as it is where it cannot be opened because nothing can be written', async () => {
    await using home = await makeTemporaryDirectory();
    await using disk = await mountNewTmpfs(256 * 1024 * 1024);
    await symlink(disk.path, join(home.path, 'fleet'));
    await copyEmbeddedQueue(disk.file('queue'));
    await disk.remount('ro');
    for (const damage of [undefined, new Error('page 3 is damaged')])
      await expect(openEmbedded({ stateDirectory: home.path, warn, damage })).rejects.toMatchObject({
        code: 'STATE_UNUSABLE',
        message: expect.stringMatching(/cannot open the embedded queue.*EROFS/),
      });
    await disk.remount('rw');
    expect(await readdir(disk.path)).toEqual(['queue']);
  });
});

describe('on PostgreSQL', () => {
  test('what init makes is made once, and a queue without it is refused with what to do', async () => {
    await initPostgres({ url: server.url('owner'), warn }, ['n1', 'n3']);
    const client = new pg.Client({ connectionString: server.url('owner') });
    await client.connect();
    try {
      await client.query('CREATE DATABASE other');
      const url = server.url('owner').replace(/postgres$/, 'other');
      await expect(openPostgres({ url, warn })).rejects.toMatchObject({
        code: 'QUEUE_UNUSABLE',
        hint: expect.stringContaining('gantry-fleet init'),
      });
      await client.query('UPDATE gantry_fleet.version SET version = 99');
      const newer = { code: 'QUEUE_UNUSABLE', message: expect.stringContaining('99') };
      await expect(openPostgres({ url: server.url('owner'), warn })).rejects.toMatchObject(newer);
      await expect(initPostgres({ url: server.url('owner'), warn }, [])).rejects.toMatchObject(newer);
      // The first one, of which agents took everything for an export.
      await client.query('UPDATE gantry_fleet.version SET version = 1');
      await expect(openPostgres({ url: server.url('owner'), warn })).rejects.toMatchObject({
        code: 'QUEUE_UNUSABLE',
        hint: expect.stringContaining('gantry-fleet init'),
      });
      await initPostgres({ url: server.url('owner'), warn }, []);
      await using again = await openPostgres({ url: server.url('owner'), warn });
      expect(await again.nodes()).toEqual(['n1', 'n2', 'n3']);
    } finally {
      await client.end();
    }
  });

  test('an address with a password is refused, and one that nothing answers is not reached; neither is shown', async () => {
    for (const url of ['postgres://u:secret@h/d', 'postgres://h/d?password=secret', 'mysql://secret/d', 'secret']) {
      const error: unknown = await openPostgres({ url, warn }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'USAGE' });
      expect(String(error)).not.toContain('secret');
    }
    await expect(openPostgres({ url: 'postgres://u@127.0.0.1:1/d', warn })).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
  });

  test('a lock that another one holds, and a server that does not answer, are not waited for without end', async () => {
    const client = new pg.Client({ connectionString: server.url('owner') });
    await client.connect();
    await using queue = await openPostgres({ url: server.url('owner'), warn, limits: { statementMs: 60_000, lockMs: 100 } });
    await client.query('BEGIN; LOCK TABLE gantry_fleet.pause');
    await expect(queue.paused()).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE', message: expect.stringContaining('lock timeout') });
    await client.query('ROLLBACK');
    expect(await queue.paused()).toEqual([]);
    await using deaf = await openPostgres({ url: server.url('owner'), warn, connections: 1, limits: { statementMs: 500, lockMs: 100 } });
    const { rows } = await client.query<{ readonly pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'gantry-fleet' ORDER BY backend_start DESC LIMIT 1`,
    );
    const pid = rows[0]?.pid;
    if (pid === undefined) throw new Error('it is connected');
    process.kill(pid, 'SIGSTOP');
    try {
      await expect(deaf.paused()).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE', message: expect.stringContaining('timeout') });
    } finally {
      process.kill(pid, 'SIGCONT');
      await client.end();
    }
    // By another connection.
    expect(await deaf.paused()).toEqual([]);
  });

  test('a server that is killed is not reached, and used again when it is back, with all that it had', async () => {
    await using queue = await openPostgres({ url: server.url('owner'), warn });
    await queue.add([job('kept', 'n2')]);
    await server.kill();
    await expect(queue.nodes()).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
    await server.restart();
    expect(await queue.nodes()).toContain('n1');
    expect((await queue.jobs(new Date(0))).filter(({ instance }) => instance === 'kept')).toMatchObject([{ state: 'waiting' }]);
  });
});
