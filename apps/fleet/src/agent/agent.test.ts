import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import type { TemporaryDirectory } from '@gantry/testkit';
import { ALL_VARIANTS, makeTemporaryDirectory, PATIENTLY } from '@gantry/testkit';
import { GantryError } from '@gantry/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { copyEmbeddedQueue } from '../../test/embedded-template.ts';
import { FakeGantry } from '../../test/fake-gantry.ts';
import { jobId } from '../planner/job.ts';
import type { PlannedJob } from '../planner/job.ts';
import type { FleetQueue } from '../queue/fleet-queue.ts';
import { jobData } from '../queue/form.ts';
import type { FleetJob } from '../queue/records.ts';
import type { RestoreOrder } from '../queue/restore-order.ts';
import { openEmbeddedDatabase } from '../queue/open-embedded.ts';
import { Agent } from './agent.ts';
import type { AgentOptions } from './agent.ts';
import { Ledger } from './ledger.ts';

const scope = new AsyncDisposableStack();
let queue: FleetQueue;
let sql: (text: string) => Promise<unknown>;

beforeAll(async () => {
  const home = scope.use(await makeTemporaryDirectory());
  await copyEmbeddedQueue(home.file('queue'));
  const opened = await openEmbeddedDatabase(home.file('queue'), { warn: () => undefined, release: () => Promise.resolve() });
  queue = scope.use(opened.queue);
  sql = (text) => opened.database.exec(text);
});

afterAll(async () => {
  await scope.disposeAsync();
});

let home: TemporaryDirectory;
let gantry: FakeGantry;
let notes: string[];
/** The agents of the test that runs: what ends each. */
let running: { readonly stop: () => Promise<void> }[];
let nodes = 0;
let node: string;
let began: Date;

beforeEach(async () => {
  home = await makeTemporaryDirectory();
  gantry = await FakeGantry.make(home.path);
  notes = [];
  running = [];
  // Each test has a node of its own.
  nodes += 1;
  node = `n${nodes}`;
  await queue.addNode(node);
  // The clock of the database may be in the same millisecond.
  began = new Date(Date.now() - 1000);
});

afterEach(async () => {
  for (const { stop } of running) await stop();
  await gantry[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

const BEGIN = new Date(Date.now() - 3_600_000);
const END = new Date(Date.now() + 3_600_000);

function job(instance: string, end = END): PlannedJob {
  // Instances have the names that tests give them on every node.
  const subject = { policy: `nightly-${node}`, instance };
  return { ...subject, id: jobId(subject, BEGIN), node, window: { begin: BEGIN, end }, startAfter: BEGIN, priority: 1 };
}

async function found(instance: string): Promise<FleetJob | undefined> {
  return (await queue.jobs(began)).find((each) => each.instance === instance && each.node === node);
}

async function until(instance: string, state: FleetJob['state']): Promise<FleetJob> {
  await expect.poll(async () => (await found(instance))?.state, PATIENTLY).toBe(state);
  const last = await found(instance);
  if (last === undefined) throw new Error('it is there');
  return last;
}

/** Starts an agent, as a new process would: with the ledger that the one before left. */
async function startAgent(fields: Partial<AgentOptions> = {}): Promise<() => Promise<void>> {
  const controller = new AbortController();
  const ledger = await Ledger.open(home.file('state'), (message) => void notes.push(message));
  const agent = new Agent({
    node,
    parallel: 4,
    restores: true,
    ledger,
    openQueue: () => Promise.resolve(queue),
    command: [gantry.program],
    env: gantry.env,
    note: (message) => void notes.push(message),
    signal: controller.signal,
    pollMs: 200,
    ...fields,
  });
  const done = agent.run();
  const stop = async (): Promise<void> => {
    controller.abort();
    await done;
    await ledger[Symbol.asyncDispose]();
  };
  running.push({ stop });
  return stop;
}

/** An agent starts the export of web1, and leaves while that runs. @returns what lets the export go on */
async function leaveRunning(): Promise<() => Promise<void>> {
  const goOn = await gantry.hold('web1');
  await queue.add([job('web1')]);
  const stop = await startAgent();
  await expect.poll(() => notes.some((note) => note.includes('started')), PATIENTLY).toBe(true);
  await stop();
  return goOn;
}

/** As if nobody had renewed the lease of a job for an hour. */
async function endLease(id: string): Promise<void> {
  await sql(`UPDATE gantry_jobs.job SET heartbeat_on = now() - interval '1h', retry_delay = 0 WHERE id = '${id}'`);
  await sql('UPDATE gantry_jobs.queue SET monitor_on = NULL, monitor_claim_on = NULL');
  await queue.supervise();
}

async function prints(instance: string, code: string): Promise<void> {
  await writeFile(
    home.file(`${instance}.print`),
    `${JSON.stringify({ type: 'error', code, message: `${code} of ${instance}`, exitCode: 1 })}\n`,
  );
}

test('runs what its queue has, as the policy says, and reports it', async () => {
  await queue.add([job('web1')]);
  const secrets = { PGPASSWORD: 'secret', GANTRY_FLEET_DATABASE: 'postgres://db/fleet' };
  await startAgent({ env: { ...gantry.env, ...secrets } });
  const done = await until('web1', 'done');
  expect(done).toMatchObject({ attempts: 1, output: { outcome: 'exported', reference: 'web1@1', plainBytes: 5 } });
  const calls = await readFile(home.file('web1.started'), 'utf8');
  expect(calls).toBe(`run nightly-${node} --instance web1 --exports-only --quiet --json\n`);
  const environment = await readFile(home.file('web1.env'), 'utf8');
  expect(environment).toContain('FAKE_HOME=');
  expect(environment).not.toMatch(/^(?:PG[A-Z]+|GANTRY_FLEET_\w+)=/m);
});

test('makes what a user asked for once: another attempt takes what is newer than that, and nothing older', async () => {
  const asked = Date.now() - 90_000;
  await queue.ask({ id: jobId(job('web2'), END), node, policy: 'nightly', instance: 'web2' });
  await sql(`UPDATE gantry_jobs.job SET data = data || '{"asked": "${new Date(asked).toISOString()}"}' WHERE data->>'instance' = 'web2'`);
  await startAgent();
  await until('web2', 'done');
  const [, seconds] =
    /--exports-only --ignore-window --skip-newer (\d+)s --quiet/.exec(await readFile(home.file('web2.started'), 'utf8')) ?? [];
  expect(Number(seconds)).toBeGreaterThanOrEqual(90);
  expect(Number(seconds)).toBeLessThanOrEqual((Date.now() - asked) / 1000);
});

test('does what follows exports at a store, with those that are new', async () => {
  const since = new Date(Date.now() - 8 * 3_600_000);
  const problems = [{ code: 'DUMP_DAMAGED', message: 'SHA-256 mismatch' }];
  await writeFile(home.file('vault.print'), JSON.stringify({ type: 'result', policies: [{ instances: [], stores: [], problems }] }));
  await queue.add([{ ...job('vault'), work: 'store', since }]);
  await startAgent();
  expect(await until('vault', 'failed')).toMatchObject({ work: 'store', attempts: 1, output: { code: 'DUMP_DAMAGED' } });
  const [, policy, seconds] =
    /^run (\S+) --store-only vault --skip-newer (\d+)s --quiet --json$/m.exec(await readFile(home.file('vault.started'), 'utf8')) ?? [];
  expect(policy).toBe(`nightly-${node}`);
  // Clocks may differ by a minute.
  expect(Number(seconds) - 60).toBeGreaterThanOrEqual(8 * 3600);
  expect(Number(seconds) - 60).toBeLessThanOrEqual((Date.now() - since.getTime()) / 1000);
});

describe('a restore', () => {
  const RESULT = { type: 'result', operation: 'import', reference: 'web1@1', instance: 'web1', plainBytes: 5, dryRun: false };
  const order = { store: 'vault', export: 'web1@1', to: 'cluster:web1', createDisks: true };

  /** @returns the id of its job */
  async function restore(fields: Partial<RestoreOrder> = {}): Promise<string> {
    await writeFile(home.file('web1@1.print'), JSON.stringify(RESULT));
    const id = randomUUID();
    await queue.restore({ id, node, policy: 'nightly', instance: 'web1', order: { ...order, ...fields } });
    return id;
  }

  test('waits for no export, overwrites only if its user says so, and never gets consent from elsewhere', async () => {
    const goOn = await gantry.hold('a');
    await queue.add([job('a'), job('b')]);
    await startAgent({ parallel: 1, env: { ...gantry.env, GANTRY_YES: '1' } });
    await until('a', 'running');
    await restore();
    const output = { outcome: 'done', reference: 'web1@1', message: 'restored into web1' };
    expect(await until('web1', 'done')).toMatchObject({ work: 'restore', output });
    const call = 'import vault web1@1 --to=cluster:web1 --create-disks';
    expect(await readFile(home.file('web1@1.started'), 'utf8')).toBe(`${call} --quiet --json\n`);
    expect(await readFile(home.file('web1@1.env'), 'utf8')).not.toContain('GANTRY_YES');
    expect(await found('b')).toMatchObject({ state: 'waiting' });
    await rm(home.file('web1@1.started'));
    await restore({ yes: true, checkFirst: true, resume: true, to: undefined });
    const consented = 'import vault web1@1 --create-disks --check-first --resume --yes --quiet --json\n';
    await expect.poll(() => readFile(home.file('web1@1.started'), 'utf8').catch(() => ''), PATIENTLY).toBe(consented);
    await goOn();
    await until('b', 'done');
  });

  test('is refused by an agent that was not started for that, and by each if it is not one that a command makes', async () => {
    await startAgent({ restores: false });
    await restore();
    expect(await until('web1', 'failed')).toMatchObject({ attempts: 1, output: { code: 'USAGE' } });
    expect(await gantry.starts('web1@1')).toBe(0);
    for (const fields of [{ to: 'ganeti://other/web1' }, { export: '--yes' }, { store: 'ssh://other/srv' }])
      expect(jobData.safeParse({ ...WINDOWED, work: 'restore', restore: { ...order, ...fields } }).success).toBe(false);
    expect(jobData.safeParse({ ...WINDOWED, work: 'restore', restore: order }).success).toBe(true);
    expect(jobData.safeParse({ ...WINDOWED, work: 'restore' }).success).toBe(false);
  });

  test('that did not begin within a day is left', async () => {
    const id = await restore({ yes: true });
    const yesterday = { begin: new Date(Date.now() - 90_000_000).toISOString(), end: new Date(Date.now() - 3_600_000).toISOString() };
    await sql(`UPDATE gantry_jobs.job SET data = data || '{"window": ${JSON.stringify(yesterday)}}' WHERE id = '${id}'`);
    await startAgent();
    expect(await until('web1', 'left')).toMatchObject({ output: { message: 'it had waited for a day' } });
    expect(await gantry.starts('web1@1')).toBe(0);
  });

  test('that is cancelled is asked to end', async () => {
    const goOn = await gantry.hold('web1@1');
    const id = await restore({ yes: true });
    await startAgent();
    await expect.poll(() => gantry.starts('web1@1'), PATIENTLY).toBe(1);
    expect(await queue.cancel({ id, node })).toBe(true);
    await expect.poll(() => readFile(home.file('web1@1.terms'), 'utf8').catch(() => ''), PATIENTLY).toBe('TERM\n');
    await goOn();
    await expect.poll(() => readFile(ledgerFile(id), 'utf8').catch(() => 'removed'), PATIENTLY).toBe('removed');
    expect(await found('web1')).toMatchObject({ state: 'cancelled' });
  });

  test('that failed while its node was cut off has failed, with its cause, as has an export that must not be made again', async () => {
    const goOn = [await gantry.hold('web1@1'), await gantry.hold('moved')];
    await queue.add([job('moved')]);
    const id = await restore({ yes: true });
    await prints('web1@1', 'DISK_IO');
    await prints('moved', 'MOVE_UNDECIDED');
    const stop = await startAgent();
    await expect.poll(() => notes.filter((note) => note.includes('started')).length, PATIENTLY).toBe(2);
    await stop();
    let isAway = true;
    await startAgent({
      openQueue: () => (isAway ? Promise.reject(new GantryError('QUEUE_UNAVAILABLE', { message: 'it is away' })) : Promise.resolve(queue)),
    });
    for (const each of goOn) await each();
    for (const each of [id, job('moved').id]) await expect.poll(() => readFile(ledgerFile(each), 'utf8'), PATIENTLY).toContain('"verdict"');
    for (const each of [id, job('moved').id]) await endLease(each);
    expect([(await found('web1'))?.state, (await found('moved'))?.state]).toEqual(['failed', 'waiting']);
    isAway = false;
    await expect.poll(async () => (await found('web1'))?.output.code, PATIENTLY).toBe('DISK_IO');
    expect(await until('moved', 'failed')).toMatchObject({ output: { code: 'MOVE_UNDECIDED' } });
    expect([await gantry.starts('web1@1'), await gantry.starts('moved')]).toEqual([1, 1]);
  });

  const WINDOWED = { policy: 'nightly', instance: 'web1', window: { begin: BEGIN.toISOString(), end: END.toISOString() } };
});

test('runs no more at once than it may', async () => {
  const goOn = await gantry.hold('a');
  await queue.add([job('a'), job('b')]);
  await startAgent({ parallel: 1 });
  await until('a', 'running');
  expect(await found('b')).toMatchObject({ state: 'waiting' });
  await goOn();
  await until('b', 'done');
  expect(await found('a')).toMatchObject({ state: 'done' });
});

test('begins nothing while its node is paused', async () => {
  await queue.add([job('a')]);
  await queue.pause(node);
  const looks = await startCountingAgent('paused');
  await expect.poll(looks, PATIENTLY).toBeGreaterThan(2);
  expect(await found('a')).toMatchObject({ state: 'waiting', attempts: 0 });
  await queue.resume(node);
  await until('a', 'done');
});

test('writes into a store that has a limit when it has a token of it, and gives that back', async () => {
  await queue.tokens((tokens) => tokens.limit('vault', { atOnce: 1, bytesPerSecond: 4000 }));
  await queue.tokens((tokens) => tokens.limit('segment.dc1', { atOnce: 3, bytesPerSecond: 4000, nodes: [node] }));
  const goOn = await gantry.hold('a');
  await queue.add([
    { ...job('a'), stores: ['vault', 'shelf'], priority: 2 },
    { ...job('b'), stores: ['vault'] },
  ]);
  await startAgent({ env: { ...gantry.env, GANTRY_MAX_RATE: '900' } });
  await expect.poll(async () => (await found('b'))?.output.message, PATIENTLY).toBe('vault takes no more exports at once');
  expect(await gantry.starts('b')).toBe(0);
  expect(await found('a')).toMatchObject({ state: 'running' });
  // A fourth of the segment's rate for each of two stores is less than half of that of the store.
  expect(await readFile(home.file('a.env'), 'utf8')).toContain('GANTRY_MAX_RATE=500\n');
  await goOn();
  await until('a', 'done');
  const held = async (): Promise<unknown> =>
    (await queue.tokens((tokens) => tokens.limits())).map(({ store, held: taken }) => [store, taken]);
  await expect.poll(held, PATIENTLY).toEqual([
    ['segment.dc1', 0],
    ['vault', 0],
  ]);
  const stateOfB = async (): Promise<FleetJob['state'] | undefined> => {
    // While the agent has it in its hands, it waits for half a minute afterwards.
    await sql(`UPDATE gantry_jobs.job SET start_after = now() WHERE name = 'export/${node}' AND state = 'retry'`);
    return (await found('b'))?.state;
  };
  await expect.poll(stateOfB, PATIENTLY).toBe('done');
  // Half of the rate of the store is more than the agent has.
  expect(await readFile(home.file('b.env'), 'utf8')).toContain('GANTRY_MAX_RATE=900\n');
  for (const limited of ['vault', 'segment.dc1']) await queue.tokens((tokens) => tokens.limit(limited, undefined));
});

/** Starts an agent. @returns how many times it has asked the queue for something */
async function startCountingAgent(operation: 'paused' | 'renew'): Promise<() => number> {
  let asked = 0;
  const watched = new Proxy(queue, {
    get: (target, name) => {
      if (name === operation) asked += 1;
      return bound(target, name);
    },
  });
  await startAgent({ openQueue: () => Promise.resolve(watched) });
  return () => asked;
}

/** Private members are those of the object itself. */
function bound(target: FleetQueue, name: string | symbol): unknown {
  const value: unknown = Reflect.get(target, name);
  return typeof value === 'function' ? value.bind(target) : value;
}

describe('an export that failed', () => {
  test.runIf(ALL_VARIANTS)('is tried again later; one that found it busy keeps all its attempts', async () => {
    await prints('broken', 'STORE_UNAVAILABLE');
    await prints('busy', 'BUSY');
    await queue.add([job('broken'), job('busy')]);
    await startAgent();
    await expect.poll(async () => (await found('broken'))?.output.code, PATIENTLY).toBe('STORE_UNAVAILABLE');
    expect(await found('broken')).toMatchObject({ state: 'waiting', output: { message: 'STORE_UNAVAILABLE of broken' } });
    await expect.poll(async () => (await found('busy'))?.output.code, PATIENTLY).toBe('BUSY');
    const comeAgain = (): Promise<unknown> =>
      sql(`UPDATE gantry_jobs.job SET start_after = now() WHERE state = 'retry' AND name = 'export/${node}'`);
    for (let attempt = 2; attempt < 6; attempt += 1) {
      await comeAgain();
      await expect.poll(async () => (await found('busy'))?.attempts, PATIENTLY).toBe(attempt);
      await until('busy', 'waiting');
    }
    const stateOfBroken = async (): Promise<FleetJob['state'] | undefined> => {
      await comeAgain();
      return (await found('broken'))?.state;
    };
    await expect.poll(stateOfBroken, PATIENTLY).toBe('failed');
    expect(await found('broken')).toMatchObject({ attempts: 4 });
    expect(await found('busy')).not.toMatchObject({ state: 'failed' });
  });

  test('in a way that another attempt cannot mend is not tried again', async () => {
    await prints('poison', 'CONFIGURATION_INVALID');
    await queue.add([job('poison')]);
    await startAgent();
    expect(await until('poison', 'failed')).toMatchObject({ attempts: 1, output: { code: 'CONFIGURATION_INVALID' } });
    expect(await gantry.starts('poison')).toBe(1);
  });

  test('because it was killed is tried again', async () => {
    await writeFile(home.file('victim.kill'), '');
    await queue.add([job('victim')]);
    await startAgent();
    await expect.poll(async () => (await found('victim'))?.output.code, PATIENTLY).toBe('KILLED');
    const message = 'the export was killed, or the host went down; it said last: out of memory';
    expect(await found('victim')).toMatchObject({ state: 'waiting', output: { message } });
  });

  test('because there is no such program is tried again', async () => {
    await queue.add([job('web1')]);
    await startAgent({ command: [home.file('missing')] });
    await expect.poll(async () => (await found('web1'))?.output.code, PATIENTLY).toBe('PLATFORM');
    expect(await found('web1')).toMatchObject({ state: 'waiting', output: { message: expect.stringContaining('cannot start') } });
  });
});

test('an export whose window has ended is not started', async () => {
  await queue.add([job('late', new Date(Date.now() - 1000))]);
  await startAgent();
  await until('late', 'left');
  expect(await gantry.starts('late')).toBe(0);
});

test('a job that is cancelled asks its export to end, once', async () => {
  const goOn = await gantry.hold('web1');
  await queue.add([job('web1')]);
  const renewals = await startCountingAgent('renew');
  await expect.poll(() => gantry.starts('web1'), PATIENTLY).toBe(1);
  await queue.cancel(job('web1'));
  const terms = (): Promise<string> => readFile(home.file('web1.terms'), 'utf8').catch(() => '');
  await expect.poll(terms, PATIENTLY).toBe('TERM\n');
  const before = renewals();
  await expect.poll(renewals, PATIENTLY).toBeGreaterThan(before + 2);
  expect(await terms()).toBe('TERM\n');
  await goOn();
  await expect.poll(() => readFile(ledgerFile(job('web1').id), 'utf8').catch(() => 'removed'), PATIENTLY).toBe('removed');
  expect(await found('web1')).toMatchObject({ state: 'cancelled' });
});

function ledgerFile(id: string): string {
  return home.file('state', 'fleet', 'ledger', `${id}.json`);
}

describe('a ledger that cannot be written', () => {
  /** Nothing can be written to a file whose place a directory has: as root may write where there are no rights to. */
  async function block(path: string): Promise<() => Promise<void>> {
    await rm(path, { force: true });
    await mkdir(path);
    return async () => await rmdir(path);
  }

  test('when an export ends keeps nothing from being reported', async () => {
    const goOn = await gantry.hold('web1');
    await queue.add([job('web1')]);
    await startAgent();
    await expect.poll(() => notes.some((note) => note.includes('started')), PATIENTLY).toBe(true);
    await block(ledgerFile(job('web1').id));
    await goOn();
    expect(await until('web1', 'done')).toMatchObject({ output: { reference: 'web1@1' } });
    expect(notes).toContainEqual(expect.stringMatching(/cannot write the ledger.*\[STATE_UNUSABLE\]/));
  });

  test('when one is to begin has it wait, without an attempt less, until it can be written', async () => {
    const ledger = await Ledger.open(home.file('state'), () => undefined);
    await ledger[Symbol.asyncDispose]();
    const unblock = [await block(ledgerFile(job('web1').id)), await block(home.file('state', 'fleet', 'ledger', 'probe'))];
    await queue.add([job('web1')]);
    await startAgent();
    await expect.poll(async () => (await found('web1'))?.output.code, PATIENTLY).toBe('STATE_UNUSABLE');
    await sql(`UPDATE gantry_jobs.job SET start_after = now() WHERE name = 'export/${node}' AND state = 'retry'`);
    // Turns in which it would be taken.
    using flush = vi.spyOn(Ledger.prototype, 'flush');
    await expect.poll(() => flush.mock.calls.length, PATIENTLY).toBeGreaterThan(2);
    expect(notes.filter((note) => note.includes('cannot write the ledger'))).toHaveLength(1);
    const { attempts } = (await found('web1')) ?? {};
    expect([attempts, await gantry.starts('web1')]).toEqual([1, 0]);
    for (const each of unblock) await each();
    await until('web1', 'done');
    expect(notes).toContain('queue and ledger can be used again');
  });
});

describe('an agent that is gone', () => {
  test('leaves its exports to the next one, which reports what they did', async () => {
    const goOn = await gantry.hold('web1');
    await queue.add([job('web1')]);
    const stop = await startAgent();
    await expect.poll(() => gantry.starts('web1'), PATIENTLY).toBe(1);
    await expect.poll(() => notes.some((note) => note.includes('started')), PATIENTLY).toBe(true);
    await stop();
    await startAgent();
    await goOn();
    expect(await until('web1', 'done')).toMatchObject({ attempts: 1, output: { reference: 'web1@1' } });
    expect(await gantry.starts('web1')).toBe(1);
  });

  test('for longer than its lease has the export that still runs adopted by the next attempt', async () => {
    const goOn = await leaveRunning();
    await endLease(job('web1').id);
    expect(await found('web1')).toMatchObject({ state: 'waiting' });
    await startAgent();
    await expect.poll(() => notes.some((note) => note.includes('still runs, and counts')), PATIENTLY).toBe(true);
    expect(await found('web1')).toMatchObject({ state: 'running', attempts: 2 });
    await goOn();
    expect(await until('web1', 'done')).toMatchObject({ attempts: 2, output: { reference: 'web1@1' } });
    expect(await gantry.starts('web1')).toBe(1);
  });

  test('for longer than its lease keeps its job while no place is free', async () => {
    const goOn = await gantry.hold('web1');
    const goOnToo = await gantry.hold('web2');
    await queue.add([job('web1'), job('web2')]);
    await startAgent({ parallel: 2 });
    await expect.poll(() => notes.filter((note) => note.includes('started')).length, PATIENTLY).toBe(2);
    await endLease(job('web1').id);
    await expect.poll(async () => await found('web1'), PATIENTLY).toMatchObject({ state: 'running', attempts: 2 });
    // And how fast it is, as that of the other one.
    await expect.poll(async () => (await found('web1'))?.output.progress?.readBytes, PATIENTLY).toBeGreaterThan(0);
    for (const each of [goOn, goOnToo]) await each();
    expect(await until('web1', 'done')).toMatchObject({ attempts: 2, output: { reference: 'web1@1' } });
    expect(await gantry.starts('web1')).toBe(1);
  });

  test('for longer than its lease, often, costs no attempt where its job is handed out before it is taken again', async () => {
    const goOn = await gantry.hold('web1');
    await queue.add([job('web1')]);
    using kept = vi.spyOn(queue, 'costsNothing');
    const isKept = (): number => kept.mock.settledResults.filter(({ type }) => type === 'fulfilled').length;
    const watched = new Proxy(queue, {
      get: (target, name) => (name === 'takeAgain' ? () => Promise.resolve(undefined) : bound(target, name)),
    });
    await startAgent({ openQueue: () => Promise.resolve(watched) });
    await expect.poll(() => notes.some((note) => note.includes('started')), PATIENTLY).toBe(true);
    for (let times = 1; times < 6; times += 1) {
      await endLease(job('web1').id);
      await expect.poll(isKept, PATIENTLY).toBe(times);
    }
    await goOn();
    expect(await until('web1', 'done')).toMatchObject({ attempts: 6, output: { reference: 'web1@1' } });
    expect(await gantry.starts('web1')).toBe(1);
  });

  test('for longer than the lease of its last attempt has its job failed, until it comes back with an export that runs', async () => {
    const goOn = await leaveRunning();
    await sql(`UPDATE gantry_jobs.job SET retry_limit = 0 WHERE id = '${job('web1').id}'`);
    await endLease(job('web1').id);
    expect(await found('web1')).toMatchObject({ state: 'failed' });
    await startAgent();
    await until('web1', 'running');
    await goOn();
    expect(await until('web1', 'done')).toMatchObject({ output: { reference: 'web1@1' } });
    expect(await gantry.starts('web1')).toBe(1);
  });

  test('for longer than the lease of its last attempt does not take an export that still runs for one that was asked for since', async () => {
    const goOn = await leaveRunning();
    await sql(`UPDATE gantry_jobs.job SET retry_limit = 0 WHERE id = '${job('web1').id}'`);
    await endLease(job('web1').id);
    expect(await queue.redrive(job('web1'))).toBe(true);
    await startAgent();
    const message = 'an export of it from before it was asked for still runs';
    await expect.poll(async () => (await found('web1'))?.output.message, PATIENTLY).toBe(message);
    expect(await gantry.starts('web1')).toBe(1);
    await goOn();
    await rm(home.file('web1.hold'));
    const stateAtOnce = async (): Promise<FleetJob['state'] | undefined> => {
      await sql(`UPDATE gantry_jobs.job SET start_after = now() WHERE state = 'retry' AND id = '${job('web1').id}'`);
      return (await found('web1'))?.state;
    };
    await expect.poll(stateAtOnce, PATIENTLY).toBe('done');
    expect(await gantry.starts('web1')).toBe(2);
    expect(await readFile(home.file('web1.started'), 'utf8')).toMatch(/--skip-newer \d+s --quiet --json\n$/);
  });

  test('leaves a result that the queue has not got; it waits while the queue is away, and the next attempt gets it', async () => {
    const goOn = await leaveRunning();
    let isAway = true;
    await startAgent({
      openQueue: () => (isAway ? Promise.reject(new GantryError('QUEUE_UNAVAILABLE', { message: 'it is away' })) : Promise.resolve(queue)),
    });
    await goOn();
    const file = ledgerFile(job('web1').id);
    await expect.poll(() => readFile(file, 'utf8'), PATIENTLY).toContain('web1@1');
    expect(notes.filter((note) => note.includes('it is away'))).toHaveLength(1);
    await endLease(job('web1').id);
    isAway = false;
    expect(await until('web1', 'done')).toMatchObject({ attempts: 2, output: { reference: 'web1@1' } });
    expect(await gantry.starts('web1')).toBe(1);
    await expect.poll(() => readFile(file, 'utf8').catch(() => 'removed'), PATIENTLY).toBe('removed');
    expect(notes).toContain('queue and ledger can be used again');
  });

  test('before it noted the process of an export has that found by its output', async () => {
    const goOn = await leaveRunning();
    const entry: unknown = JSON.parse(await readFile(ledgerFile(job('web1').id), 'utf8'));
    expect(entry).toMatchObject({ process: { pid: expect.any(Number) } });
    await writeFile(
      ledgerFile(job('web1').id),
      JSON.stringify(entry, (key, value: unknown) => (key === 'process' ? undefined : value)),
    );
    await startAgent();
    await expect.poll(() => notes.some((note) => note.includes('was found again')), PATIENTLY).toBe(true);
    await goOn();
    expect(await until('web1', 'done')).toMatchObject({ attempts: 1, output: { reference: 'web1@1' } });
    expect(await gantry.starts('web1')).toBe(1);
  });

  test('before it noted the process of an export leaves nothing that counts as a result', async () => {
    await queue.add([job('web1')]);
    const [attempt] = await queue.take(node, 1);
    if (attempt === undefined) throw new Error('it was added');
    const ledger = await Ledger.open(home.file('state'), (message) => void notes.push(message));
    const { out } = ledger.outputs(attempt.id);
    const result = { type: 'result', policies: [{ instances: [{ state: 'exported', reference: 'web1@0', problems: [] }], problems: [] }] };
    // Of an earlier attempt; then of the one that still runs.
    await writeFile(out, JSON.stringify(result));
    await ledger.add({ version: 1, ...attempt });
    await expect(readFile(out)).rejects.toMatchObject({ code: 'ENOENT' });
    await writeFile(out, JSON.stringify(result));
    await ledger[Symbol.asyncDispose]();
    await startAgent();
    await expect.poll(async () => (await found('web1'))?.output.code, PATIENTLY).toBe('KILLED');
    const message = 'the agent was killed while it started the export: nothing says whether that runs';
    expect(await found('web1')).toMatchObject({ state: 'waiting', output: { message } });
  });

  test('of the same host is not there twice', async () => {
    await startAgent();
    await expect(startAgent()).rejects.toMatchObject({ code: 'BUSY' });
  });
});
