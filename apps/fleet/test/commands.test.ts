import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { TemporaryDirectory } from '@gantry/testkit';
import { ALL_VARIANTS, makeRandomFile, makeTemporaryDirectory, PATIENTLY, startPostgres } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { run } from '../src/command-line/run.ts';
import { openEmbeddedDatabase } from '../src/queue/open-embedded.ts';
import { openPostgres } from '../src/queue/open-postgres.ts';
import { askAgent, askQueue } from '../src/web/questions.ts';
import { copyEmbeddedQueue } from './embedded-template.ts';

// Provided by the tests of the command line, which bundle it once for all.
declare module 'vitest' {
  interface ProvidedContext {
    readonly gantry: string;
  }
}

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

let home: TemporaryDirectory;
const services: ChildProcess[] = [];

const zone = process.env['TZ'];
beforeAll(() => {
  process.env['TZ'] = 'UTC';
});
afterAll(() => {
  if (zone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zone;
});

beforeEach(async () => {
  home = await makeTemporaryDirectory();
  // The real command, as the tests of the command line use it.
  await writeFile(home.file('gantry'), `#!/bin/sh\nexec ${process.execPath} ${inject('gantry')} "$@"\n`);
  await chmod(home.file('gantry'), 0o755);
  await mkdir(home.file('instances'));
});

afterEach(async () => {
  for (const service of services.splice(0)) if (service.exitCode === null && service.signalCode === null) await end(service, 'SIGTERM');
  await home[Symbol.asyncDispose]();
});

function environment(): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    HOME: home.path,
    GANTRY_CONFIG: home.file('gantry.yaml'),
    GANTRY_STATE_DIR: home.file('state'),
    GANTRY_FLEET_NODE: 'n1',
    TZ: 'UTC',
  };
}

/** `HH:MM-HH:MM`, from and to minutes from now. */
function windowAround(from: number, to: number): string {
  const at = (minutes: number): string => new Date(Date.now() + minutes * 60_000).toISOString().slice(11, 16);
  return `${at(from)}-${at(to)}`;
}

async function configure(window: string, more = ''): Promise<void> {
  const text = `stores: { first: { url: ${home.file('exports')}, node: n1 } }
policies:
  nightly: { instances: ${home.file('instances')}/, stores: first, window: "${window}" }
${more}`;
  await writeFile(home.file('gantry.yaml'), text);
}

async function makeStore(): Promise<void> {
  await execa(home.file('gantry'), ['store', 'init', home.file('exports')], { env: environment(), extendEnv: false });
}

async function instance(name: string, os = 'raw'): Promise<void> {
  await makeRandomFile(home.file(`${name}.img`), 64 * 1024, name);
  await writeFile(home.file('instances', `${name}.yaml`), `name: ${name}\nos: ${os}\nhypervisor: kvm\ndisks: [{ path: ../${name}.img }]\n`);
}

interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in this process, without the second that a process takes to start. */
async function fleet(...args: readonly string[]): Promise<Outcome> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const { signal } = new AbortController();
  const exitCode = await run(args, { env: environment(), cwd: home.path, signal, stdin: new PassThrough(), stdout, stderr });
  const read = (stream: PassThrough): string => String(stream.read() ?? '').trimEnd();
  return { exitCode, stdout: read(stdout), stderr: read(stderr) };
}

/** What a command prints with --json. */
async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { stdout, stderr } = await fleet(...args, '--json');
  expect(stdout, stderr).not.toBe('');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the tests say what is expected in it
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** Starts an agent as a process, and collects what it says. */
function startAgent(...args: readonly string[]): { readonly child: ChildProcess; readonly said: () => string } {
  const own = ['agent', ...args, '--gantry', home.file('gantry')];
  const child = spawn(process.execPath, ['--conditions=@gantry/source', '--no-warnings', MAIN, ...own], {
    env: environment(),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  services.push(child);
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  return { child, said: () => said };
}

/** Writes a page that is not one into a table or an index of the embedded queue. */
async function damage(relation: string): Promise<void> {
  const directory = home.file('state', 'fleet', 'queue');
  let path: unknown;
  {
    const { queue, database } = await openEmbeddedDatabase(directory, { warn: () => undefined, release: () => Promise.resolve() });
    await using _queue = queue;
    path = (await database.query<{ readonly path: string }>(`SELECT pg_relation_filepath('${relation}') AS path`)).rows[0]?.path;
  }
  await writeFile(join(directory, String(path)), Buffer.alloc(8192, 'damaged'));
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

async function exportsOf(name: string): Promise<readonly string[]> {
  const names = await readdir(home.file('exports', name)).catch((): string[] => []);
  return names.filter((each) => /^\d{8}T/.test(each));
}

test('plan names what a configuration says without effect in a fleet', async () => {
  await instance('web1');
  const text = `stores: { first: { url: ${home.file('exports')}, parallel: 2 }, second: { url: ${home.file('others')} } }
policies:
  nightly: { instances: ${home.file('instances')}/, stores: first, window: "22:00-06:00", parallel: 3 }
  weekly: { instances: ${home.file('instances')}/, stores: second, window: "22:00-06:00" }
`;
  await writeFile(home.file('gantry.yaml'), text);
  const { stderr, exitCode } = await fleet('plan');
  expect(stderr).toMatch(/warning: parallel of policy nightly has no effect in a fleet/);
  expect(stderr).toMatch(/warning: parallel of store first has no effect in a fleet/);
  expect(stderr).not.toMatch(/weekly|second/);
  expect(exitCode).toBe(0);
});

test('plan shows what would be exported, where and when, and needs no queue', async () => {
  await instance('web1');
  await configure('22:00-06:00');
  const { stdout, exitCode } = await fleet('plan', '--at', '2026-11-28T00:00:00Z');
  expect(stdout).toMatch(/^START +NODE +POLICY +INSTANCE +WINDOW ENDS\n2026-11-2\S+Z +n1 +nightly +web1 +2026-11-28T06:00:00.000Z$/);
  expect(exitCode).toBe(0);
  expect(await json('plan', '--at', '2026-11-28T12:00:00Z')).toMatchObject({ operation: 'plan', jobs: [], withoutWindow: [] });
  expect(await fleet('plan', '--at', 'noon')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('[USAGE]') });
  expect(await fleet('frobnicate')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('unknown command') });
  expect(await fleet()).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('which command to run is missing [USAGE]') });
  expect(await fleet('limit', '/x', '3')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('is not the name of a store') });
  const unknownStore = { exitCode: 2, stderr: expect.stringMatching(/has no store vault.*\n.*Its stores: first\./) };
  expect(await fleet('limit', 'vault', '3')).toMatchObject(unknownStore);
  expect(await fleet('limit', 'vault', 'few')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('a whole number') });
  expect(await fleet('segment', 'dc1', '3')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('Name each with --node.') });
  expect(await fleet('segment', 'a/b', '3')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('not a valid name') });
  expect(await fleet('limit', 'first', '3', '--rate', 'fast')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('must be a rate'),
  });
  const restore = async (...args: readonly string[]): Promise<Outcome> => await fleet('restore', ...args, '--node', 'n1');
  expect(await restore('web1')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('needs --yes, or --dry-run') });
  expect(await restore('a/b', '--yes')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('not a valid export') });
  const elsewhere = { exitCode: 2, stderr: expect.stringContaining('neither an instance of a source that the node has') };
  expect(await restore('web1', '--to', 'ganeti://other/web1', '--yes')).toMatchObject(elsewhere);
  const noStore = { exitCode: 2, stderr: expect.stringMatching(/policy nightly has no store vault.*\n.*Its stores: first\./) };
  expect(await restore('web1', '--store', 'vault', '--yes')).toMatchObject(noStore);
  expect(await fleet('planner')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('GANTRY_FLEET_DATABASE') });
});

describe('on one machine', () => {
  test('an agent exports each instance once in its window; commands ask it, and a new agent goes on after a kill', async () => {
    for (const name of ['web1', 'web2']) await instance(name);
    // Half of the window has passed, so that everything may begin.
    // The one of another policy has ended: what follows its exports is done.
    const early = `{ instances: ${home.file('instances', 'web2.yaml')}, stores: first, window: "${windowAround(-90, -60)}", verify: {}, retention: { last: 1 } }`;
    await configure(windowAround(-30, 29), `  early: ${early}`);
    await makeStore();
    await copyEmbeddedQueue(home.file('state', 'fleet', 'queue'));
    const first = startAgent();
    await expect.poll(first.said, PATIENTLY).toContain('store first (policy early): done');
    for (const name of ['web1', 'web2']) await expect.poll(first.said, PATIENTLY).toContain(`${name} (policy nightly): exported`);
    expect((await json('status'))['jobs']).toMatchObject([
      { instance: 'first', work: 'store', policy: 'early', state: 'done', output: { message: expect.stringContaining('verified') } },
      { instance: 'web1', node: 'n1', state: 'done', output: { outcome: 'exported', reference: expect.stringMatching(/^web1@/) } },
      { instance: 'web2', node: 'n1', state: 'done' },
    ]);
    expect((await fleet('status')).stdout).toMatch(/^nightly +web1 +n1 +done +1 +\S+ +web1@\S+$/m);
    expect(await fleet('report')).toMatchObject({ exitCode: 0, stdout: '3 done' });
    await end(first.child, 'SIGKILL');

    // Garbage in what is read when agents look for work: the queue is made anew, which takes five seconds of the processor.
    if (ALL_VARIANTS) await damage('gantry_fleet.pause_pkey');
    const second = startAgent('--restores');
    await expect.poll(second.said, PATIENTLY).toContain('agent of n1: at most 2 exports at once');
    if (ALL_VARIANTS) {
      await expect.poll(second.said, PATIENTLY).toContain('the embedded queue is damaged, and made anew');
      for (const name of ['web1', 'web2']) await expect.poll(second.said, PATIENTLY).toContain(`${name} (policy nightly): present`);
      for (const name of ['web1', 'web2']) expect(await exportsOf(name)).toHaveLength(1);
    }
    // The share of an export has ten digits, which gantry takes with a unit alone.
    expect(await fleet('segment', 'dc1', '8', '--node', 'n1', '--rate', '10G')).toMatchObject({
      stdout: 'segment dc1 takes 8 exports at once, 10.0 GiB/s together',
    });
    expect((await fleet('status')).stdout).toContain('segment dc1: 0 of 8 exports at once, 10.0 GiB/s together');
    expect(await fleet('pause')).toMatchObject({ exitCode: 0, stdout: 'nothing begins on all nodes' });
    const unknownNode = { exitCode: 2, stderr: expect.stringMatching(/n2 is not a node of the fleet.*\n.*Its nodes: n1\./) };
    expect(await fleet('pause', 'n2')).toMatchObject(unknownNode);
    expect(await json('run', 'web1')).toMatchObject({ operation: 'run', node: 'n1', policy: 'nightly', instance: 'web1' });
    expect((await fleet('status')).stdout).toContain('all nodes are paused');
    await using asked = askAgent(home.file('state', 'fleet', 'control'));
    expect(await asked.status()).toMatchObject({ nodes: ['n1'], paused: ['*'], turns: [{ planner: 'n1', problems: [] }] });
    expect(await asked.good()).toMatchObject([{ instance: 'web1', endedOn: expect.any(Date) }, { instance: 'web2' }]);
    expect(await asked.history('web1')).toMatchObject([{ state: 'done' }, { state: 'waiting' }]);
    expect(await json('cancel', 'web1')).toMatchObject({ jobs: [{ instance: 'web1' }] });
    expect(await fleet('cancel', 'web1')).toMatchObject({ exitCode: 9, stderr: expect.stringContaining('[EXPORT_NOT_FOUND]') });
    await json('run', 'web1');
    const restore = ['restore', 'web2', '--node', 'n1', '--policy', 'nightly', '--dry-run', '--to', home.file('instances', 'web2.yaml')];
    expect(await json(...restore)).toMatchObject({ operation: 'restore', node: 'n1', instance: 'web2', order: { store: 'first' } });
    const again = [...restore.filter((each) => each !== '--dry-run'), '--yes'];
    await json(...again);
    expect(await json('cancel', 'web2')).toMatchObject({ jobs: [{ instance: 'web2', work: 'restore' }, { work: 'restore' }] });
    await json(...restore);
    await fleet('resume');
    await expect.poll(second.said, PATIENTLY).toContain('restore web2 (policy nightly): done');
    const wouldOverwrite = /dry run of restore web2 +n1 +done +1 +\S+ +web2@\S+: dry run: would overwrite \S*web2\.img of web2$/m;
    expect((await fleet('status')).stdout).toMatch(wouldOverwrite);
    await expect.poll(() => exportsOf('web1'), PATIENTLY).toHaveLength(2);
    expect(await exportsOf('web2')).toHaveLength(1);
  });
});

describe('on PostgreSQL', () => {
  test('a planner plans for the node, whose agent exports as its role; what failed is tried again when that is asked for', async () => {
    await using server = await startPostgres();
    const owner = ['--database', server.url('owner')];
    const agent = ['--database', server.url('gantry-node-n1')];
    await instance('web1');
    await instance('web2', 'missing');
    await configure(windowAround(-30, 29));
    await makeStore();
    expect(await fleet('planner', '--once', ...owner)).toMatchObject({ exitCode: 8, stderr: expect.stringContaining('gantry-fleet init') });
    expect(await fleet('init', '--node', 'n1', ...owner)).toMatchObject({ exitCode: 0, stdout: 'the database is ready: n1' });
    const withoutPlanner = { exitCode: 16, stdout: 'no exports were planned\nno planner has made a plan yet' };
    expect(await fleet('report', ...owner)).toMatchObject(withoutPlanner);
    // Two planners at once plan the same.
    await Promise.all([json('planner', '--once', ...owner), json('planner', '--once', ...owner)]);
    expect(await json('planner', '--once', ...owner)).toMatchObject({ added: 0, dropped: 0, findings: 0 });
    await writeFile(home.file('instances', 'web3.yaml'), 'name: [');
    expect(await fleet('planner', '--once', ...owner)).toMatchObject({ exitCode: 16, stderr: expect.stringContaining('web3.yaml') });
    const unplanned = { exitCode: 16, stdout: expect.stringMatching(/^2 waiting\nnot planned: .*web3\.yaml/) };
    expect(await fleet('report', ...owner)).toMatchObject(unplanned);
    await rm(home.file('instances', 'web3.yaml'));
    expect(await json('planner', '--once', ...owner)).toMatchObject({ problems: 0 });
    const { child, said } = startAgent(...agent);
    await expect.poll(said, PATIENTLY).toContain('web1 (policy nightly): exported');
    await expect.poll(said, PATIENTLY).toContain('web2 (policy nightly): failed');
    await end(child, 'SIGTERM');
    expect((await json('status', ...owner))['jobs']).toMatchObject([
      { instance: 'web1', state: 'done' },
      { instance: 'web2', state: 'failed', attempts: 1, output: { code: 'OS_NOT_FOUND' } },
    ]);
    const { exitCode, stdout } = await fleet('report', ...owner);
    expect(exitCode).toBe(16);
    expect(stdout).toMatch(/^1 failed: .*missing.* \[OS_NOT_FOUND\]: web2$/m);
    await instance('web2');
    expect(await json('redrive', ...owner)).toMatchObject({ jobs: [{ instance: 'web2', node: 'n1' }] });
    const reader = server.url('gantry-reader');
    const metrics = await fleet('metrics', '--database', reader, '--out', 'gantry-fleet.prom');
    expect(metrics).toMatchObject({ exitCode: 0, stdout: home.file('gantry-fleet.prom') });
    expect(await readFile(metrics.stdout, 'utf8')).toContain('gantry_fleet_exports{policy="nightly",state="done"} 1\n');
    let isAway = true;
    await using asked = askQueue(() => (isAway ? Promise.reject(new Error('away')) : openPostgres({ url: reader, warn: () => undefined })));
    await expect(asked.status()).rejects.toThrow('away');
    isAway = false;
    expect(await asked.status()).toMatchObject({ nodes: ['n1'], turns: [{ planner: 'n1' }] });
    expect(await asked.history('web1')).toMatchObject([{ state: 'done' }]);
    const again = startAgent(...agent);
    await expect.poll(again.said, PATIENTLY).toContain('web2 (policy nightly): exported');
    expect(await exportsOf('web2')).toHaveLength(1);
    expect(await exportsOf('web1')).toHaveLength(1);
    expect(await fleet('status', ...agent)).toMatchObject({ exitCode: 8, stderr: expect.stringContaining('[QUEUE_UNUSABLE]') });
    // An instance has the name of a store.
    await using queue = await openPostgres({ url: server.url('owner'), warn: () => undefined });
    const window = { begin: new Date(), end: new Date(Date.now() + 3_600_000) };
    const vault = { policy: 'weekly', instance: 'vault', node: 'n1', window, startAfter: window.end, priority: 1 };
    await queue.add([
      { ...vault, id: randomUUID() },
      { ...vault, id: randomUUID(), work: 'store', since: window.begin },
    ]);
    for (const [name, work] of [['vault'], ['store vault', 'store']] as const)
      expect((await json('cancel', name, ...owner))['jobs']).toEqual([
        expect.objectContaining({ instance: 'vault', ...(work && { work }) }),
      ]);
  });
});
