import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory, makeTwoNodes, PATIENTLY, startPostgres } from '@gantry/testkit';
import pg from 'pg';
import { expect, test } from 'vitest';
import { jobId } from '../src/planner/job.ts';
import type { PlannedJob } from '../src/planner/job.ts';
import type { FleetQueue } from '../src/queue/fleet-queue.ts';
import { initPostgres, openPostgres } from '../src/queue/open-postgres.ts';
import type { FleetJob } from '../src/queue/records.ts';
import { FakeGantry } from './fake-gantry.ts';

const PROCESS = fileURLToPath(new URL('agent-process.ts', import.meta.url));
const warn = (): void => undefined;
const BEGIN = new Date(Date.now() - 3_600_000);
const END = new Date(Date.now() + 3_600_000);

function job(instance: string, node: string, stores: readonly string[] = []): PlannedJob {
  const subject = { policy: 'nightly', instance };
  return { ...subject, id: jobId(subject, BEGIN), node, stores, window: { begin: BEGIN, end: END }, startAfter: BEGIN, priority: 1 };
}

interface AgentProcess {
  readonly child: ChildProcess;
  /** How many times it has said something. */
  readonly times: (text: string) => number;
}

function startAgent(node: string, url: string, home: TemporaryDirectory, gantry: FakeGantry, enter: readonly string[] = []): AgentProcess {
  const options = { node, url, program: gantry.program, state: home.file(`state-${node}`) };
  const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  const line = [...enter, process.execPath, '--conditions=@gantry/source', '--no-warnings', PROCESS, ...args];
  const child = spawn(line[0] ?? '', line.slice(1), { env: gantry.env, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  return { child, times: (text) => said.split(text).length - 1 };
}

/** Says that the queue is away, and that it is back. */
const AWAY = 'exports that run go on, and results wait';
const BACK = 'queue and ledger can be used again';

test('a node that is cut off goes on, keeps its job for a lease, and is believed when it is back', async () => {
  await using scope = new AsyncDisposableStack();
  const home = scope.use(await makeTemporaryDirectory());
  const net = scope.use(await makeTwoNodes());
  const server = scope.use(await startPostgres({ network: net.first }));
  const owner = server.localUrl('owner');
  await initPostgres({ url: owner, warn }, ['n1', 'n2']);
  const queue = scope.use(await openPostgres({ url: owner, warn }));
  const client = new pg.Client({ connectionString: owner });
  await client.connect();
  scope.defer(() => client.end());
  const gantry = scope.use(await FakeGantry.make(home.path));
  const goOn = new Map<string, () => Promise<void>>();
  for (const name of ['web1', 'web2', 'web3']) goOn.set(name, await gantry.hold(name));
  const end = async (name: string): Promise<void> => await goOn.get(name)?.();
  const jobs = async (): Promise<readonly FleetJob[]> => await queue.jobs(new Date(0));
  const stateOf = async (instance: string): Promise<string | undefined> => (await jobs()).find((each) => each.instance === instance)?.state;
  const held = async (): Promise<unknown> => (await queue.tokens((tokens) => tokens.limits()))[0]?.held;

  await queue.tokens((tokens) => tokens.limit('vault', { atOnce: 1 }));
  await queue.add([job('web1', 'n1', ['vault']), job('web3', 'n1')]);
  const first = startAgent('n1', `${server.url('gantry-node-n1')}?sslmode=disable`, home, gantry, net.second.enter);
  scope.defer(() => stop(first));
  for (const name of ['web1', 'web3']) await expect.poll(() => gantry.starts(name), PATIENTLY).toBe(1);
  await expect.poll(() => first.times('started, process'), PATIENTLY).toBe(2);

  // It may say so more than once in one outage, in other words.
  const setLink = async (state: 'up' | 'down'): Promise<void> => {
    const text = state === 'up' ? BACK : AWAY;
    const before = first.times(text);
    await net.setLink(state);
    await expect.poll(() => first.times(text), PATIENTLY).toBeGreaterThan(before);
  };

  // For less than a lease.
  await setLink('down');
  await setLink('up');
  expect((await jobs()).map(({ state, attempts }) => [state, attempts])).toEqual([
    ['running', 1],
    ['running', 1],
  ]);
  expect(await held()).toBe(1);

  // For more than a lease: of web1 it was that of the last attempt.
  await setLink('down');
  await client.query(`UPDATE gantry_jobs.job SET retry_limit = 0 WHERE id = '${job('web1', 'n1').id}'`);
  await loseLeases(client, queue);
  expect([await stateOf('web1'), await stateOf('web3'), await held()]).toEqual(['failed', 'waiting', 0]);
  // The limit is kept by those that are not cut off.
  await queue.add([{ ...job('web2', 'n2', ['vault']), priority: 2 }, job('web4', 'n2', ['vault'])]);
  const second = startAgent('n2', server.localUrl('gantry-node-n2'), home, gantry);
  scope.defer(() => stop(second));
  await expect.poll(() => gantry.starts('web2'), PATIENTLY).toBe(1);
  await expect.poll(async () => (await jobs()).find(({ instance }) => instance === 'web4')?.output.waitsFor, PATIENTLY).toBe('vault');
  // It ends well, and nobody can be asked.
  await end('web1');
  await net.setLink('up');
  await expect.poll(() => stateOf('web1'), PATIENTLY).toBe('done');
  await expect.poll(() => stateOf('web3'), PATIENTLY).toBe('running');
  // What it held before is of another one now.
  expect(await held()).toBe(1);
  for (const name of ['web2', 'web3']) await end(name);
  for (const name of ['web2', 'web3']) await expect.poll(() => stateOf(name), PATIENTLY).toBe('done');
  const stateOfWeb4 = async (): Promise<string | undefined> => {
    // While its agent has it in its hands, it waits for half a minute afterwards.
    await client.query(`UPDATE gantry_jobs.job SET start_after = now() WHERE name = 'export/n2' AND state = 'retry'`);
    return await stateOf('web4');
  };
  await expect.poll(stateOfWeb4, PATIENTLY).toBe('done');
  for (const name of ['web1', 'web2', 'web3', 'web4']) expect(await gantry.starts(name), name).toBe(1);
  await expect.poll(held, PATIENTLY).toBe(0);
});

/** As if nobody had renewed any lease for an hour. */
async function loseLeases(client: pg.Client, queue: FleetQueue): Promise<void> {
  await client.query(`UPDATE gantry_jobs.job SET heartbeat_on = now() - interval '1h' WHERE state = 'active'`);
  await client.query('UPDATE gantry_jobs.queue SET monitor_on = NULL, monitor_claim_on = NULL');
  await queue.supervise();
}

async function stop({ child }: AgentProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}
