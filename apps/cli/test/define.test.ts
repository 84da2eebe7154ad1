import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { SshServer } from '@gantry/testkit';
import { makeRandomFile, makeSparseFile, sha256File, startSshServer } from '@gantry/testkit';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { writeShelf } from './shelf-inventory.ts';
import type { RunningCommand, Workbench } from './workbench.ts';
import { jsonLines, lastLine, MAIN, makeWorkbench, startCommand, waitForFile } from './workbench.ts';

/*
 * Instances that are defined, started, stopped and forgotten, in an inventory of a third party, on two sides: the shelf of the bench,
 * and, behind sshd, the shelf of `there`.
 */

const BYTES = 1024 * 1024;
const NAME = 'web1.example.com';

let scope: AsyncDisposableStack;
let bench: Workbench;
let server: SshServer;
let env: Record<string, string>;

beforeAll(async () => {
  scope = new AsyncDisposableStack();
  bench = scope.use(await makeWorkbench());
  server = scope.use(await startSshServer());
  await makeRandomFile(bench.file('here.img'), BYTES, 'web1');
  await bench.describeInstance(NAME, { disks: ['there.img'] });
});

afterAll(() => scope.disposeAsync());

beforeEach(async () => {
  await makeSparseFile(bench.file('there.img'), BYTES);
  for (const left of ['shelf.json.calls', 'shelf.json.hangs', 'there.json', 'there.json.calls', 'there.json.hangs'])
    await rm(bench.file(left), { force: true });
  await writeFile(bench.file('there.json'), '[]');
  const instance = { name: NAME, os: 'raw', hypervisor: 'kvm', disks: [{ path: bench.file('here.img') }] };
  env = await writeShelf(bench.path, [{ instance, run: { state: 'running', node: 'here' }, guarded: [bench.file('here.img')] }]);
});

/** Starts gantry with the shelf of one side; a call of the shelf's manager hangs there. */
function start(side: 'shelf' | 'there', hangs: string, ...args: readonly string[]): RunningCommand {
  const [shelf, state] = [bench.file(`${side}.json`), bench.file(side === 'there' ? 'state-there' : 'state')];
  const own = { SHELF: shelf, SHELF_HANGS: hangs, GANTRY_STATE_DIR: state, GANTRY_CREATE_STORE: '1', GANTRY_YES: '1' };
  return startCommand([process.execPath, MAIN, ...args], { cwd: bench.path, env: { ...env, ...own } });
}

const gantry = (...args: readonly string[]): RunningCommand['outcome'] => start('shelf', '', ...args).outcome;

/** Starts a move with its instance; a call of the shelf's manager hangs on one side. */
async function startMove(hangs: { readonly here?: string; readonly there?: string } = {}): Promise<RunningCommand> {
  const command = `${process.execPath} ${MAIN}`;
  const there = { ...env, SHELF: bench.file('there.json'), SHELF_HANGS: hangs.there ?? '', GANTRY_STATE_DIR: bench.file('state-there') };
  const exports = Object.entries(there).map(([name, value]) => `export ${name}='${value}'\n`);
  await writeFile(bench.file('gantry-there'), `#!/bin/sh\n${exports.join('')}exec ${command} "$@"\n`);
  await chmod(bench.file('gantry-there'), 0o755);
  const all = ['--define', 'shelf:', '--start', '--stop-source', '--undefine-source', '--snapshot', 'none', '--json'];
  const peer = [
    server.address(''),
    '--to',
    bench.file(`${NAME}.yaml`),
    '--peer-program',
    bench.file('gantry-there'),
    '--peer-timeout',
    '20',
  ];
  return start('shelf', hangs.here ?? '', 'move', 'shelf:web1', ...peer, ...all);
}

/** What a shelf has: name and state of each instance. */
async function shelf(side: 'shelf' | 'there'): Promise<readonly string[]> {
  const all: readonly { instance: { name: string }; run: { state: string } }[] = JSON.parse(
    await readFile(bench.file(`${side}.json`), 'utf8'),
  );
  return all.map(({ instance, run }) => `${instance.name} ${run.state}`);
}

test('an export keeps the native description, and an import defines and starts the instance with it', async () => {
  const exported = await gantry('export', 'shelf:web1', bench.store, '--snapshot', 'none');
  expect(exported).toMatchObject({ exitCode: 0 });
  const reference = lastLine(exported.stdout);
  expect(await gantry('show', bench.store, reference)).toMatchObject({
    stdout: expect.stringMatching(/^NATIVE +SIZE +SECRET\nshelf\.json +5 B +no$/m),
  });
  expect((await gantry('show', bench.store, reference, '--native', 'shelf.json')).stdout).toBe('12345');
  const json = await gantry('show', bench.store, reference, '--native', 'shelf.json', '--json');
  expect(jsonLines(json.stdout)).toEqual([
    { type: 'result', operation: 'show', reference, native: [{ name: 'shelf.json', secret: false, size: 5, base64: 'MTIzNDU=' }] },
  ]);
  const into = ['import', bench.store, reference, '--to', `${NAME}.yaml`, '--define', 'shelf:', '--start'];
  expect(await gantry(...into)).toMatchObject({ exitCode: 10, stderr: expect.stringContaining('[INSTANCE_EXISTS]') });
  expect(await sha256File(bench.file('there.img'))).not.toBe(await sha256File(bench.file('here.img')));

  const imported = await start('there', '', ...into).outcome;
  expect(imported).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(`defined ${NAME} in shelf:, and started it`) });
  expect(await sha256File(bench.file('there.img'))).toBe(await sha256File(bench.file('here.img')));
  expect(await shelf('there')).toEqual([`${NAME} running`]);
  expect(JSON.parse(await readFile(bench.file('there.json'), 'utf8'))).toMatchObject([{ got: [['shelf.json', '12345']] }]);
});

test('an import that is killed before it defines: clean says that the disks are complete', async () => {
  const reference = lastLine((await gantry('export', 'shelf:web1', bench.store, '--snapshot', 'none')).stdout);
  const running = start('there', 'define', 'import', bench.store, reference, '--to', `${NAME}.yaml`, '--define', 'shelf:');
  await waitForFile(bench.file('there.json.hangs'));
  running.kill('SIGKILL');
  await running.outcome;
  expect(await sha256File(bench.file('there.img'))).toBe(await sha256File(bench.file('here.img')));
  const said = `the disks of ${NAME} are complete, but it may not be defined`;
  const clean = async (...args: readonly string[]): Promise<string> => (await start('there', '', 'clean', ...args).outcome).stdout;
  expect(await clean('--dry-run')).toContain(`found: ${said}`);
  expect(await clean()).toContain(`noted: ${said}`);
  expect(await clean()).toBe('nothing to clean');
});

test('a move takes the instance along', async () => {
  const { exitCode, stdout, stderr } = await (await startMove()).outcome;
  expect(exitCode, stdout + stderr).toBe(0);
  expect(jsonLines(stdout).at(-1)).toMatchObject({
    operation: 'move',
    defined: { source: 'shelf:', name: NAME, started: true },
    origin: { source: 'shelf:', stopped: true, undefined: true },
    warnings: [],
  });
  expect([await shelf('shelf'), await shelf('there')]).toEqual([[], [`${NAME} running`]]);
  expect(await sha256File(bench.file('there.img'))).toBe(await sha256File(bench.file('here.img')));
});

test('a move that is interrupted after it stopped the instance starts it again', async () => {
  const running = await startMove({ here: 'stop' });
  await waitForFile(bench.file('shelf.json.hangs'));
  expect(await shelf('shelf')).toEqual([`${NAME} stopped`]);
  running.kill('SIGTERM');
  expect(await running.outcome).toMatchObject({ exitCode: 143 });
  expect([await shelf('shelf'), await shelf('there')]).toEqual([[`${NAME} running`], []]);
  expect(await bench.journal()).toEqual([]);
});

test.each([
  [
    'after it stopped the instance',
    'stop',
    `${NAME} may have been stopped in shelf: for a move that was not committed: start it there again`,
    'stopped',
  ],
  [
    'after the commit',
    'undefine',
    `${NAME} was moved (committed), and shelf: may still know it: remove it there, and do not start it`,
    'stopped',
  ],
])('a move that is killed %s: clean says what to do', async (_when, hangs, said, state) => {
  const running = await startMove({ here: hangs });
  await waitForFile(bench.file('shelf.json.hangs'));
  running.kill('SIGKILL');
  await running.outcome;
  expect(await shelf('shelf')).toEqual([`${NAME} ${state}`]);
  expect(await shelf('there')).toEqual(hangs === 'undefine' ? [`${NAME} running`] : []);
  expect((await gantry('clean')).stdout).toContain(`noted: ${said}`);
  expect((await gantry('clean')).stdout).toBe('nothing to clean');
});

test('a receiver that is killed while it defines: the instance is started again here, and clean there says what may be left', async () => {
  const running = await startMove({ there: 'define' });
  process.kill(Number(await waitForFile(bench.file('there.json.hangs'))), 'SIGKILL');
  expect(await running.outcome).toMatchObject({ exitCode: 12 });
  expect([await shelf('shelf'), await shelf('there')]).toEqual([[`${NAME} running`], []]);
  const { stdout } = await start('there', '', 'clean').outcome;
  expect(stdout).toContain(`noted: ${NAME} may be defined in shelf: although its move was not committed (gantry receive --outcome `);
});
