import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { loadConfiguration } from '@gantry/config';
import type { TemporaryDirectory } from '@gantry/testkit';
import { ALL_VARIANTS, makeTemporaryDirectory } from '@gantry/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { copyEmbeddedQueue } from '../../test/embedded-template.ts';
import type { FleetQueue } from '../queue/fleet-queue.ts';
import { openEmbeddedDatabase } from '../queue/open-embedded.ts';
import { Planner } from './planner.ts';

const scope = new AsyncDisposableStack();
let queue: FleetQueue;
let sql: (text: string) => Promise<unknown>;

const zone = process.env['TZ'];
beforeAll(async () => {
  process.env['TZ'] = 'UTC';
  const place = scope.use(await makeTemporaryDirectory());
  await copyEmbeddedQueue(place.file('queue'));
  const opened = await openEmbeddedDatabase(place.file('queue'), { warn: () => undefined, release: () => Promise.resolve() });
  queue = scope.use(opened.queue);
  sql = (text) => opened.database.exec(text);
  for (const node of ['n1', 'n2', 'n7.a.example.com', 'n7.b.example.com']) await queue.addNode(node);
});
afterAll(async () => {
  if (zone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zone;
  await scope.disposeAsync();
});

let home: TemporaryDirectory;
let notes: string[];

beforeEach(async () => {
  home = await makeTemporaryDirectory();
  await sql(
    'DELETE FROM gantry_jobs.job; DELETE FROM gantry_fleet.planned; DELETE FROM gantry_fleet.finding; DELETE FROM gantry_fleet.turn; DELETE FROM gantry_fleet.selected',
  );
  notes = [];
  await mkdir(home.file('instances'));
  for (const name of ['web1', 'web2'])
    await writeFile(home.file('instances', `${name}.yaml`), `name: ${name}\nos: raw\nhypervisor: kvm\ndisks: [{ path: /x }]\n`);
});

afterEach(async () => {
  await home[Symbol.asyncDispose]();
});

const NOW = new Date();

/** A policy whose window began an hour ago, and lasts for two. */
async function configure(more = ''): Promise<void> {
  const at = (hours: number): string => new Date(NOW.getTime() + hours * 3_600_000).toISOString().slice(11, 16);
  await writeFile(
    home.file('gantry.yaml'),
    `policies:
  nightly: { instances: ${home.file('instances')}/, stores: /s, window: "${at(-1)}-${at(1)}" }
${more}`,
  );
}

function planner(here = 'n1'): Planner {
  const { signal } = new AbortController();
  const context = { signal, env: process.env, cwd: home.path, warn: () => undefined };
  return new Planner({
    queue,
    configuration: () => loadConfiguration({ ...context, file: home.file('gantry.yaml') }),
    context,
    here,
    note: (message) => void notes.push(message),
  });
}

function later(hours: number): Date {
  return new Date(NOW.getTime() + hours * 3_600_000);
}

/** Instance, node and state of each job. */
async function jobs(): Promise<readonly string[]> {
  return (await queue.jobs(new Date(0), NOW)).map(({ instance, node, state }) => `${instance} ${node} ${state}`).toSorted();
}

test('what the policies want is planned once; a policy without a window is named once', async () => {
  await configure(`  hourly: { instances: ${home.file('instances')}/, stores: /s }`);
  const own = planner();
  expect(await own.turn(NOW)).toEqual({ added: 2, dropped: 0, findings: 0, problems: 0 });
  expect(await own.turn(NOW)).toEqual({ added: 0, dropped: 0, findings: 0, problems: 0 });
  expect(await planner().turn(NOW)).toEqual({ added: 0, dropped: 0, findings: 0, problems: 0 });
  expect(await jobs()).toEqual(['web1 n1 waiting', 'web2 n1 waiting']);
  // Once by each planner.
  const message = 'policy hourly has no window: a fleet does not run it by itself';
  expect(notes).toEqual([message, message]);
});

test('what follows exports is planned for the nodes that stores name; one that is not a node is named', async () => {
  const at = (hours: number): string => later(hours).toISOString().slice(11, 16);
  const retention = 'retention: { last: 1 }';
  await configure(`  early:
    instances: ${home.file('instances')}/
    stores: [vault, /s, cellar, attic]
    window: "${at(-4)}-${at(-2)}"
    copies: [{ to: shelf }]
    ${retention}
stores: { vault: { url: /v, node: n2 }, shelf: { url: /w, node: n1 }, cellar: { url: /c, node: n9 }, attic: { url: /a, node: n7 } }`);
  const own = planner();
  expect(await own.turn(NOW)).toMatchObject({ added: 4, problems: 2 });
  expect(await own.turn(NOW)).toMatchObject({ added: 0 });
  const atStores = (await queue.jobs(new Date(0), NOW)).filter(({ work }) => work === 'store');
  expect(atStores.map(({ instance, node }) => `${instance} ${node}`).toSorted()).toEqual(['shelf n1', 'vault n2']);
  expect(await queue.take('n2', 9)).toMatchObject([
    { data: { policy: 'early', instance: 'vault', work: 'store', since: expect.anything() } },
  ]);
  expect(notes).toEqual([
    'n9, the node of store cellar, is not a node of the fleet: nothing follows the exports of policy early there',
    'n7, the node of store attic, may be n7.a.example.com or n7.b.example.com: nothing follows the exports of policy early there',
  ]);
});

test('a job that is lost between the plan and the queue is planned again', async () => {
  await configure();
  await planner().turn(NOW);
  await sql(`DELETE FROM gantry_jobs.job WHERE data->>'instance' = 'web1'`);
  expect(await jobs()).toContain('web1 n1 lost');
  expect(await planner().turn(NOW)).toMatchObject({ added: 1 });
  expect(await jobs()).toContain('web1 n1 waiting');
});

test('instances that are on another node now wait there, those that began stay; a host that is not a node is named', async () => {
  await configure();
  await planner().turn(NOW);
  await sql('UPDATE gantry_jobs.job SET start_after = now()');
  const [attempt] = await queue.take('n1', 1);
  const started = attempt?.data.instance ?? '';
  const waits = started === 'web1' ? 'web2' : 'web1';
  expect(await planner('n2').turn(NOW)).toEqual({ added: 1, dropped: 1, findings: 0, problems: 0 });
  const expected = [`${started} n1 running`, `${waits} n1 lost`, `${waits} n2 waiting`];
  expect(await jobs()).toEqual(expected.toSorted());
  expect(await planner('n9').turn(NOW)).toMatchObject({ added: 0, dropped: 0, problems: 1 });
  expect(notes).toEqual(['n9 is not a node of the fleet: 2 instances there are not exported']);
});

test('a window that passed without a turn is recorded once, and its jobs are taken back', async () => {
  await configure();
  const own = planner();
  await own.turn(NOW);
  expect(await own.turn(later(3))).toEqual({ added: 0, dropped: 2, findings: 2, problems: 0 });
  expect(await own.turn(later(4))).toEqual({ added: 0, dropped: 0, findings: 0, problems: 0 });
  expect(await planner().turn(later(4))).toEqual({ added: 0, dropped: 0, findings: 0, problems: 0 });
  const reason = 'its turn did not come before the window ended';
  expect(await queue.findings(new Date(0))).toMatchObject([
    { kind: 'missed', reason },
    { kind: 'missed', reason },
  ]);
  // The next night is a new one.
  expect(await own.turn(later(24))).toMatchObject({ added: 2, findings: 0, problems: 0 });
});

test('windows that passed while turns failed, or while a source could not be asked, are missed, also after days', async () => {
  await configure();
  const own = planner();
  await own.turn(NOW);
  const text = await readFile(home.file('gantry.yaml'), 'utf8');
  await writeFile(home.file('gantry.yaml'), 'policies: [');
  await expect(own.turn(later(24))).rejects.toMatchObject({ code: 'CONFIGURATION_SYNTAX' });
  expect(await queue.turns()).toMatchObject([{ planner: 'n1', failure: expect.stringContaining('[CONFIGURATION_SYNTAX]') }]);
  await writeFile(home.file('gantry.yaml'), text);
  const days = async (): Promise<number> => new Set((await queue.findings(new Date(0))).map(({ window }) => window.begin.getTime())).size;
  await own.turn(later(6 * 24));
  expect(await days()).toBe(6);
  // As the clock of the database would have it then.
  await sql(`UPDATE gantry_fleet.planned SET planned_on = planned_on + interval '6d'`);
  await rename(home.file('instances'), home.file('away'));
  expect(await own.turn(later(7 * 24))).toMatchObject({ problems: 1 });
  const message = expect.stringContaining('instances');
  expect(await queue.turns()).toMatchObject([{ planner: 'n1', problems: [{ about: message, message }], failure: undefined }]);
  await own.turn(later(8 * 24));
  const before = notes.length;
  // The same outage, of which another thing is said.
  await writeFile(home.file('instances'), 'not a directory');
  expect(await own.turn(later(12 * 24))).toMatchObject({ problems: 1 });
  expect(notes).toHaveLength(before + 1);
  await rm(home.file('instances'));
  await rename(home.file('away'), home.file('instances'));
  await own.turn(later(13 * 24));
  expect(await days()).toBe(13);
});

test('an instance whose old node has started its export while it was to be taken back is not exported on the new one too', async () => {
  await configure();
  await planner().turn(NOW);
  await sql('UPDATE gantry_jobs.job SET start_after = now()');
  const drop = vi.spyOn(queue, 'drop').mockImplementationOnce(async (job) => {
    await queue.take('n1', 2);
    return await queue.drop(job);
  });
  expect(await planner('n2').turn(NOW)).toEqual({ added: 0, dropped: 0, findings: 0, problems: 0 });
  drop.mockRestore();
  expect(await jobs()).toEqual(['web1 n1 running', 'web2 n1 running']);
});

test('what a user has tried again after its window stays; what waits for its next attempt then has failed', async () => {
  await configure();
  const own = planner();
  await own.turn(NOW);
  await sql('UPDATE gantry_jobs.job SET start_after = now()');
  const [first, second] = await queue.take('n1', 2);
  if (first === undefined || second === undefined) throw new Error('there are two');
  await queue.reject(first, { outcome: 'failed', code: 'OS_NOT_FOUND' });
  expect(await queue.redrive(first)).toBe(true);
  await queue.giveBack(second, { output: { outcome: 'failed', code: 'STORE_FAILED' }, delaySeconds: 300, costsAttempt: true });
  expect(await own.turn(later(3))).toEqual({ added: 0, dropped: 0, findings: 0, problems: 0 });
  const found = await queue.jobs(new Date(0), NOW);
  expect(found.find(({ id }) => id === first.id)).toMatchObject({ state: 'waiting' });
  expect(found.find(({ id }) => id === second.id)).toMatchObject({ state: 'failed', output: { code: 'STORE_FAILED' } });
  expect(await queue.take('n1', 2)).toMatchObject([{ id: first.id }]);
});

test('a row that pg-boss cannot calculate with is said, and holds up no plan', async () => {
  await configure();
  const own = planner();
  await own.turn(NOW);
  await sql(`UPDATE gantry_jobs.job SET state = 'active', started_on = '294276-12-31', expire_seconds = 2147483647
    WHERE data->>'instance' = 'web1'; DELETE FROM gantry_jobs.job WHERE data->>'instance' = 'web2';
    UPDATE gantry_jobs.queue SET monitor_on = NULL, monitor_claim_on = NULL`);
  await expect(own.turn(NOW)).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE', message: expect.stringContaining('out of range') });
  expect(await jobs()).toEqual(['web1 n1 running', 'web2 n1 waiting']);
});

test.runIf(ALL_VARIANTS)('an export that still runs in the next window is recorded, and followed by no second one', async () => {
  await rename(home.file('instances', 'web2.yaml'), home.file('web2.yaml'));
  await configure();
  const own = planner();
  await own.turn(NOW);
  await sql('UPDATE gantry_jobs.job SET start_after = now()');
  const [attempt] = await queue.take('n1', 1);
  if (attempt === undefined) throw new Error('there is one');
  expect(await own.turn(later(24))).toEqual({ added: 0, dropped: 0, findings: 1, problems: 0 });
  expect(await queue.findings(new Date(0))).toMatchObject([
    { kind: 'overrun', instance: 'web1', reason: expect.stringContaining('still runs on n1') },
  ]);
  await queue.complete(attempt, { outcome: 'exported' });
  expect(await own.turn(later(24))).toEqual({ added: 1, dropped: 0, findings: 0, problems: 0 });
});

test('what policies select is known, also while a source cannot be asked, until they select it no longer', async () => {
  await configure('  weekly: { instances: /missing/, stores: /s }\n');
  const own = planner();
  const selected = async (): Promise<readonly string[]> => (await queue.selected()).map(({ policy, instance }) => `${policy} ${instance}`);
  await own.turn(NOW);
  expect(await selected()).toEqual(['nightly web1', 'nightly web2']);
  await writeFile(home.file('instances', 'web3.yaml'), 'name: [');
  await rm(home.file('instances', 'web1.yaml'));
  await own.turn(NOW);
  expect(await selected()).toEqual(['nightly web1', 'nightly web2']);
  await rm(home.file('instances', 'web3.yaml'));
  // Also by one that was started again.
  await planner().turn(NOW);
  expect(await selected()).toEqual(['nightly web2']);
  const text = await readFile(home.file('gantry.yaml'), 'utf8');
  await writeFile(home.file('gantry.yaml'), text.replace('nightly:', 'daily:'));
  await own.turn(NOW);
  expect(await selected()).toEqual(['daily web2']);
});
