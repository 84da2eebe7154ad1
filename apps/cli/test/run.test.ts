import { appendFile, chmod, copyFile, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { makeRandomFile } from '@gantry/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Outcome, Workbench } from './workbench.ts';
import { exportDirectory, jsonLines, MAIN, makeWorkbench, startCommand, waitForFile } from './workbench.ts';

const KIB = 1024;

let bench: Workbench;

beforeEach(async () => {
  bench = await makeWorkbench({ TZ: 'UTC' });
  await mkdir(bench.file('instances'));
  await mkdir(bench.file('second'), { mode: 0o700 });
});

afterEach(async () => {
  await bench[Symbol.asyncDispose]();
});

/** Writes `gantry.yaml` with two stores, an inventory and these policies. */
async function configure(policies: string): Promise<void> {
  const text = `stores:
  first: { url: exports }
  second: { url: second }
inventories: { here: instances }
policies:
${policies.replaceAll(/^/gm, '  ')}
`;
  await writeFile(bench.file('gantry.yaml'), text);
}

/** An instance in the directory `instances`, with one disk. */
async function instance(name: string, more = '', os = 'raw'): Promise<void> {
  await makeRandomFile(bench.file(`${name}.img`), 64 * KIB, name);
  const yaml = `name: ${name}\nos: ${os}\nhypervisor: kvm\ndisks: [{ path: ../${name}.img }]\n${more}\n`;
  await writeFile(bench.file('instances', `${name}.yaml`), yaml);
}

/** An OS definition with this export script. */
async function defineOs(name: string, script: string): Promise<void> {
  await bench.defineOs(name, { export: script, import: 'exit 0', rename: 'exit 0' });
}

async function run(...args: readonly string[]): Promise<Outcome> {
  return await bench.gantry('run', '--config', 'gantry.yaml', ...args);
}

interface Recorded {
  readonly outcome: string;
  readonly exitCode?: number;
  readonly instances: readonly {
    readonly name: string;
    readonly state: string;
    readonly reference?: string;
    readonly stores: readonly Readonly<Record<string, string>>[];
  }[];
  readonly stores: readonly Readonly<Record<string, unknown>>[];
  readonly problems: readonly { readonly what: string; readonly code: string; readonly message: string }[];
  readonly warnings: readonly string[];
}

/** Runs with --json. */
async function runJson(...args: readonly string[]): Promise<{ readonly exitCode: number | undefined; readonly runs: readonly Recorded[] }> {
  const { exitCode, stdout, stderr } = await run(...args, '--json');
  const result = jsonLines(stdout).at(-1);
  expect(result, stderr).toMatchObject({ type: 'result', operation: 'run' });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the tests say what is expected in it
  return { exitCode, runs: result?.['policies'] as readonly Recorded[] };
}

/** The newest record of a policy in the state directory. */
async function lastRecord(policy: string): Promise<Recorded> {
  const directory = bench.file('state', 'policies', policy);
  // Figures of good exports are there, too.
  const records = (await readdir(directory)).filter((name) => /^\d/.test(name));
  const [newest = ''] = records.toSorted().toReversed();
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the tests say what is expected in it
  return JSON.parse(await readFile(join(directory, newest), 'utf8')) as Recorded;
}

async function program(name: string, text: string): Promise<string> {
  await writeFile(bench.file(name), `#!/bin/sh\n${text}\n`);
  await chmod(bench.file(name), 0o755);
  return bench.file(name);
}

/** `HH:MM-HH:MM`, from and to minutes from now. */
function windowAround(from: number, to: number): string {
  const at = (minutes: number): string => new Date(Date.now() + minutes * 60_000).toISOString().slice(11, 16);
  return `${at(from)}-${at(to)}`;
}

describe('the instances of a policy', () => {
  test('with --instance are those alone, and one that it does not select is a failure', async () => {
    await instance('web1');
    await instance('web2');
    await configure('nightly: { instances: here, stores: first }');
    const one = await runJson('nightly', '--instance', 'web1', '--instance', 'web9');
    expect(one.exitCode).toBe(16);
    expect(one.runs).toMatchObject([
      {
        outcome: 'partial',
        selection: 'named',
        instances: [{ name: 'web1', state: 'exported' }],
        problems: [{ code: 'INSTANCE_NOT_FOUND', message: 'the policy selects no instance web9' }],
      },
    ]);
    const all = await runJson('nightly', '--instance', 'web*');
    expect(all).toMatchObject({ exitCode: 0, runs: [{ outcome: 'done', selection: 'named' }] });
    expect((await runJson('nightly')).runs).toMatchObject([{ outcome: 'done', selection: 'all' }]);
  });

  test('with --exports-only is one, beside others of the policy: no copies, no retention, no record', async () => {
    for (const name of ['web1', 'web2']) await instance(name);
    await defineOs('held', 'mkfifo "$0.go"; touch "$0.started"; cat "$0.go"');
    await instance('slow', '', 'held');
    await configure('nightly: { instances: here, stores: first, copies: [{ to: second }], retention: { last: 1 } }');
    const slow = bench.start('run', '--config', 'gantry.yaml', 'nightly', '--instance', 'slow', '--exports-only', '--json');
    await waitForFile(bench.file('os', 'held', 'export.started'));
    const same = await run('nightly', '--instance', 'slow', '--exports-only');
    expect(same).toMatchObject({ exitCode: 10, stderr: expect.stringMatching(/policy nightly is already running for slow: .*\[BUSY\]/) });
    for (const again of [[], ['--again']]) {
      const { exitCode, runs } = await runJson('nightly', '--instance', 'web1', '--exports-only', ...again);
      expect({ exitCode, runs }).toMatchObject({
        exitCode: 0,
        runs: [{ outcome: 'done', instances: [{ name: 'web1', state: 'exported' }], stores: [] }],
      });
    }
    await writeFile(bench.file('os', 'held', 'export.go'), 'data');
    expect((await slow.outcome).exitCode).toBe(0);
    expect(await readdir(bench.file('second'))).toEqual([]);
    expect((await readdir(bench.file('exports', 'web1'))).length).toBeGreaterThanOrEqual(2);
    await expect(readdir(bench.file('state', 'policies', 'nightly'))).rejects.toThrow('ENOENT');
    for (const wrong of [['nightly'], ['nightly', '--instance', 'web*'], ['--all', '--instance', 'web1', '--dry-run']])
      expect(await run(...wrong, '--exports-only')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--exports-only') });
  });

  test('with --store-only are not exported: what comes after is done at one store, for those that have a new export there', async () => {
    for (const name of ['web1', 'web2', 'other']) await instance(name);
    const after = 'copies: [{ to: second, retention: { last: 1 } }], verify: { depth: stored }, retention: { last: 1 }';
    await configure(`nightly: { instances: [{ source: here, except: other }], stores: first, ${after} }
hourly: { instances: instances/other.yaml, stores: first }`);
    for (const [policy, name] of [
      ['nightly', 'web1'],
      ['hourly', 'other'],
    ] as const)
      for (const again of [[], ['--again']]) await runJson(policy, '--instance', name, '--exports-only', ...again);
    const wrong = (...args: readonly string[]): Promise<Outcome> => run('nightly', ...args);
    expect(await wrong('--store-only', 'first')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--skip-newer') });
    expect(await wrong('--store-only', 'vault')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('It has first, second.') });
    const isNotAlone = { exitCode: 2, stderr: expect.stringContaining('not with options for exports') };
    expect(await wrong('--store-only', 'first', '--again')).toMatchObject(isNotAlone);

    const since = ['--skip-newer', '1h'];
    const copied = await runJson('nightly', '--store-only', 'second', ...since, '--create-store');
    expect(copied).toMatchObject({
      exitCode: 0,
      runs: [
        {
          outcome: 'done',
          instances: [],
          stores: [
            { store: 'second', role: 'copies', copied: { exports: 2, newest: [expect.stringMatching(/^web1@/)] }, pruned: { kept: 1 } },
          ],
          warnings: [expect.stringMatching(/^1 instance has no good export in first since .*: nothing of it is removed or copied$/)],
        },
      ],
    });
    expect(await readdir(bench.file('second'))).not.toContain('other');
    const tidied = await runJson('nightly', '--store-only', 'first', ...since);
    expect(tidied.runs).toMatchObject([
      {
        outcome: 'done',
        stores: [{ store: 'first', verified: { exports: 4, damaged: [] }, pruned: { removed: [expect.anything()], kept: 1 } }],
      },
    ]);
    const exportsOf = async (name: string): Promise<number> => {
      const ids = (await readdir(bench.file('exports', name))).filter((each) => /^\d{8}T/.test(each));
      const files = await Promise.all(ids.map((id) => readdir(bench.file('exports', name, id))));
      return files.filter((each) => each.includes('manifest.json')).length;
    };
    expect([await exportsOf('web1'), await exportsOf('other')]).toEqual([1, 2]);
    await expect(readdir(bench.file('state', 'policies', 'nightly'))).rejects.toThrow('ENOENT');
  });

  test('come from an inventory with names, tags and except, and from a file; each is exported once, into every store', async () => {
    await instance('web1');
    await instance('web2', 'tags: [nightly]');
    await instance('web-test');
    await instance('db1', 'tags: [nightly]');
    await instance('other');
    await configure(`nightly:
  instances:
    - { source: here, names: [web*], except: [web-test*] }
    - { source: here, tags: [nightly] }
    - instances/other.yaml
  stores: [first, second]
  parallel: 2`);
    const { exitCode, runs } = await runJson('nightly');
    expect(exitCode).toBe(0);
    expect(runs).toMatchObject([{ outcome: 'done', exitCode: 0, problems: [] }]);
    expect(runs[0]?.instances.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'web1 exported',
      'web2 exported',
      'db1 exported',
      'other exported',
    ]);
    for (const { reference = '', stores } of runs[0]?.instances ?? []) {
      expect(stores).toMatchObject([
        { store: 'first', reference },
        { store: 'second', reference },
      ]);
      for (const place of [exportDirectory(bench, reference), bench.file('second', reference.replace('@', '/'))])
        expect(await readdir(place)).toContain('manifest.json');
    }
    expect(await lastRecord('nightly')).toEqual(runs[0]);
    expect(await bench.journal()).toEqual([]);
  });

  test('that cannot be found are failures, and the rest is exported', async () => {
    await instance('web1');
    await writeFile(bench.file('instances', 'broken.yaml'), 'name: [');
    await configure(`nightly:
  instances:
    - { source: here, names: [web1, web9] }
    - { source: here, names: [db*] }
    - no-such.yaml
  stores: first`);
    const { exitCode, runs } = await runJson('nightly');
    expect(exitCode).toBe(16);
    expect(runs[0]?.problems.map(({ what, code }) => `${what}: ${code}`)).toEqual([
      'instances of here: INSTANCE_FILE_SYNTAX',
      'instances of here: INSTANCE_NOT_FOUND',
      'instances of here: INSTANCE_NOT_FOUND',
      expect.stringMatching(/^instances of .*no-such\.yaml: INSTANCE_FILE_UNREADABLE$/),
    ]);
    expect(runs[0]?.instances).toMatchObject([{ name: 'web1', state: 'exported' }]);
    expect(runs[0]?.problems[0]?.message).toContain('broken.yaml');
    const status = await bench.gantry('status', '--config', 'gantry.yaml', '--check');
    expect(status).toMatchObject({ exitCode: 3, stdout: expect.stringContaining('broken.yaml') });
  });

  test('of which a file cannot be read: that alone is a failure', async () => {
    await instance('web1');
    await instance('db1', 'pth: db1.img');
    await configure('nightly: { instances: here, stores: first }');
    const { exitCode, runs } = await runJson('nightly');
    expect(exitCode).toBe(16);
    expect(runs[0]).toMatchObject({
      instances: [{ name: 'web1', state: 'exported' }],
      problems: [{ what: 'instances of here', message: expect.stringContaining('db1.yaml') }],
    });
  });

  test('are those of the files that were listed, also beside a file that has the name of an instance', async () => {
    await instance('web1');
    await instance('old');
    await rename(bench.file('instances', 'old.yaml'), bench.file('instances', 'web1'));
    await configure('nightly: { instances: here, stores: first }');
    const { runs } = await runJson('nightly');
    expect(runs[0]?.instances).toMatchObject([{ name: 'web1', reference: expect.stringMatching(/^web1@/) }]);
  });

  test('of two files with one name: neither is taken for the other', async () => {
    await instance('web1');
    await copyFile(bench.file('instances', 'web1.yaml'), bench.file('instances', 'copy.yaml'));
    await configure(`files: { instances: [instances/web1.yaml, instances/copy.yaml], stores: first }
directory: { instances: here, stores: first }`);
    expect((await runJson('files')).runs[0]).toMatchObject({
      instances: [{ name: 'web1', state: 'exported' }],
      problems: [{ code: 'INSTANCE_AMBIGUOUS', message: expect.stringContaining('copy.yaml') }],
    });
    expect((await runJson('directory')).runs[0]).toMatchObject({ instances: [{ name: 'web1', state: 'failed' }] });
  });

  test('none: that is a failure', async () => {
    await configure('nightly: { instances: here, stores: first }');
    const { exitCode, runs } = await runJson('nightly');
    expect(exitCode).toBe(9);
    expect(runs).toMatchObject([{ outcome: 'failed', problems: [{ code: 'INSTANCE_NOT_FOUND' }] }]);
  });
});

describe('a run', () => {
  test('exports as many instances at once as the policy says, and the store allows', async () => {
    await defineOs(
      'pair',
      `touch "${bench.path}/running.$INSTANCE_NAME" "${bench.path}/began.$INSTANCE_NAME"
ls "${bench.path}" | grep -c '^running' >> "${bench.path}/counts"
until [ "$(ls "${bench.path}" | grep -c '^began')" -ge 2 ]; do sleep 0.05; done
rm "${bench.path}/running.$INSTANCE_NAME"
echo data`,
    );
    for (const name of ['a', 'b', 'c', 'd']) await instance(name, '', 'pair');
    await configure('nightly: { instances: here, stores: first, parallel: 4 }');
    const text = await readFile(bench.file('gantry.yaml'), 'utf8');
    await writeFile(bench.file('gantry.yaml'), text.replace('url: exports', 'url: exports, parallel: 2'));
    expect((await run('nightly')).exitCode).toBe(0);
    const counts = (await readFile(bench.file('counts'), 'utf8')).trim().split('\n').map(Number);
    expect(Math.max(...counts)).toBe(2);
  });

  test('waits while other runs export as many instances as the host allows', async () => {
    await defineOs(
      'alone',
      `touch "${bench.path}/began.$INSTANCE_NAME"
[ "$INSTANCE_NAME" = b ] || until [ -e "${bench.path}/go" ]; do sleep 0.05; done
ls "${bench.path}" | grep -c '^began' >> "${bench.path}/counts"
echo data`,
    );
    for (const name of ['a', 'b']) await instance(name, '', 'alone');
    await configure(`first: { instances: instances/a.yaml, stores: first }
second: { instances: instances/b.yaml, stores: second }`);
    await appendFile(bench.file('gantry.yaml'), 'host: { parallel: 1 }\n');
    const first = bench.start('run', '--config', 'gantry.yaml', 'first');
    await waitForFile(bench.file('began.a'));
    const call = [
      'sh',
      '-c',
      `exec "$0" "$@" 2>'${bench.file('said')}'`,
      process.execPath,
      MAIN,
      'run',
      '--config',
      'gantry.yaml',
      'second',
    ];
    const env = { GANTRY_STATE_DIR: bench.file('state'), GANTRY_OS_PATH: bench.file('os'), GANTRY_CREATE_STORE: '1' };
    const second = startCommand(call, { cwd: bench.path, env });
    const said = async (): Promise<string> => await readFile(bench.file('said'), 'utf8').catch(() => '');
    await expect.poll(said, { timeout: 60_000 }).toContain('b: waits: 1 export at once on this host');
    await writeFile(bench.file('go'), '');
    expect((await first.outcome).exitCode).toBe(0);
    expect((await second.outcome).exitCode, await said()).toBe(0);
    expect(await readFile(bench.file('counts'), 'utf8')).toBe('1\n2\n');
  });

  test('goes on when an instance cannot take its place among the exports of the host', async () => {
    for (const name of ['a', 'b']) await instance(name);
    // What no lock can be taken of, until the hook of the first instance makes room.
    const lock = bench.file('state', 'locks', 'export-place-1.lock');
    await mkdir(lock, { recursive: true, mode: 0o700 });
    await chmod(bench.file('state'), 0o700);
    const failed = await program(
      'failed',
      `echo "$GANTRY_HOOK_INSTANCE $GANTRY_HOOK_ERROR_CODE" >>'${bench.file('codes')}'; rmdir '${lock}'`,
    );
    await configure(
      `nightly: { instances: here, stores: first, parallel: 1, retention: { last: 1 }, hooks: { on-failure: ['${failed}'] } }`,
    );
    await appendFile(bench.file('gantry.yaml'), 'host: { parallel: 1 }\n');
    const { exitCode } = await run('nightly');
    expect(exitCode).toBe(16);
    expect(await lastRecord('nightly')).toMatchObject({
      outcome: 'partial',
      problems: [],
      instances: [
        { name: 'a', state: 'failed', stores: [{ store: 'first', outcome: 'failed' }], problems: [{ what: 'a', code: 'STATE_UNUSABLE' }] },
        { name: 'b', state: 'exported' },
      ],
      stores: [{ store: 'first', role: 'exports', pruned: { kept: 1 } }],
    });
    expect(await readFile(bench.file('codes'), 'utf8')).toBe('a STATE_UNUSABLE\n');
  });

  test('goes on after a failure, verifies, prunes and copies; one summary, one exit status', async () => {
    await instance('good');
    await defineOs('bad', 'echo no >&2; exit 3');
    await instance('bad', '', 'bad');
    await configure(`nightly:
  instances: here
  stores: first
  retention: { last: 2 }
  verify: { depth: stored }
  copies: [{ to: second, retention: { last: 1 } }]`);
    for (let night = 0; night < 3; night += 1) {
      const { exitCode } = await run('nightly');
      expect(exitCode).toBe(16);
    }
    const record = await lastRecord('nightly');
    expect(record).toMatchObject({
      outcome: 'partial',
      exitCode: 16,
      instances: [
        { name: 'bad', state: 'failed', problems: [{ code: 'SCRIPT_FAILED' }] },
        { name: 'good', state: 'exported' },
      ],
      stores: [
        { store: 'second', role: 'copies', copied: { exports: 1, failed: 0 }, pruned: { kept: 1 } },
        { store: 'first', role: 'exports', verified: { depth: 'stored', damaged: [] }, pruned: { kept: 2 } },
      ],
    });
    // Removed exports stay as directories until their dumps are deleted.
    const kept = async (store: string): Promise<number> => {
      const names = await readdir(bench.file(store, 'good'), { recursive: true });
      return names.filter((name) => name.endsWith('manifest.json')).length;
    };
    expect(await kept('exports')).toBe(2);
    expect(await kept('second')).toBe(1);
    const { stdout, stderr } = await run('nightly');
    expect(stdout).toMatch(/^nightly: partial in .*: 1 exported, 1 failed of 2 instances, 1 problem$/m);
    expect(stdout).toMatch(/^failed: export of bad into first: .*\[SCRIPT_FAILED\]$/m);
    expect(stderr).toContain('bad: disk 0: no');
  });

  test('removes nothing of an instance that could not be exported, or whose exports are damaged', async () => {
    await instance('web1');
    await instance('web2');
    await configure(`nightly:
  instances: here
  stores: first
  verify: {}
  retention: { last: 1 }`);
    const { runs } = await runJson('nightly');
    const old = runs[0]?.instances.map(({ reference = '' }) => reference) ?? [];
    await rm(bench.file('web2.img'));
    await writeFile(join(exportDirectory(bench, old[0] ?? ''), 'disk0.zst'), 'damaged');
    const { exitCode, runs: after } = await runJson('nightly');
    expect(exitCode).toBe(16);
    expect(after[0]).toMatchObject({
      instances: [{ state: 'exported' }, { state: 'failed' }],
      stores: [{ verified: { damaged: [old[0]] } }],
    });
    expect(after[0]?.stores[0]).not.toHaveProperty('pruned');
    for (const reference of old) expect(await readdir(exportDirectory(bench, reference))).toContain('manifest.json');
  });

  test('exports again what is known to be damaged', async () => {
    await instance('web1');
    await configure(`nightly: { instances: here, stores: first, window: '${windowAround(-60, 120)}' }`);
    const reference = (await runJson('nightly')).runs[0]?.instances[0]?.reference ?? '';
    const dump = join(exportDirectory(bench, reference), 'disk0.zst');
    await writeFile(dump, (await readFile(dump)).fill(0, 1000, 2000));
    expect((await bench.gantry('verify', 'exports')).exitCode).not.toBe(0);
    expect(await runJson('nightly')).toMatchObject({ runs: [{ instances: [{ state: 'exported' }] }] });
  });

  test('removes nothing in a store whose verification failed', async () => {
    await instance('web1');
    await configure(`nightly: { instances: here, stores: first, verify: { depth: present, budget: 1K }, retention: { last: 1 } }`);
    for (let night = 0; night < 2; night += 1)
      expect(await runJson('nightly')).toMatchObject({
        exitCode: 16,
        runs: [{ problems: [{ what: 'verification of first' }], stores: [] }],
      });
  });

  test('leaves a store out that differs from the first in whether it may have secrets', async () => {
    await instance('web1');
    await configure('nightly: { instances: here, stores: [first, second] }');
    const text = await readFile(bench.file('gantry.yaml'), 'utf8');
    await writeFile(bench.file('gantry.yaml'), text.replace('{ url: second }', '{ url: second, with-private: true }'));
    const { exitCode, runs } = await runJson('nightly');
    expect(exitCode).toBe(16);
    const message = 'with-private is true for second, but not for first';
    expect(runs[0]).toMatchObject({
      outcome: 'partial',
      problems: [{ what: 'store second', code: 'USAGE', message: expect.stringContaining(message) }],
      instances: [{ stores: expect.arrayContaining([expect.objectContaining({ store: 'first', outcome: 'exported' })]) }],
    });
    expect(await readdir(bench.file('second'))).not.toContain('web1');
    const one = await bench.gantry('export', '--config', 'gantry.yaml', 'instances/web1.yaml', 'first', 'second');
    expect([one.exitCode, one.stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  test('uses the other store where the first cannot be used, and says so', async () => {
    await instance('web1');
    await configure('nightly: { instances: here, stores: [gone, second] }');
    const text = await readFile(bench.file('gantry.yaml'), 'utf8');
    await writeFile(bench.file('file'), '');
    await writeFile(bench.file('gantry.yaml'), text.replace('first: { url: exports }', 'gone: { url: file/below }'));
    const { exitCode, runs } = await runJson('nightly');
    expect(exitCode).toBe(16);
    expect(runs[0]).toMatchObject({ outcome: 'partial', instances: [{ state: 'exported' }] });
    const { reference = '' } = runs[0]?.instances[0] ?? {};
    expect(await readdir(bench.file('second', reference.replace('@', '/')))).toContain('manifest.json');
  });

  test('calls on-failure for each instance that a store lacks because it cannot be opened', async () => {
    await instance('web1');
    await writeFile(bench.file('file'), '');
    const gone = bench.file('file', 'below');
    const hooks = `{ on-success: [/usr/bin/touch, '${bench.file('succeeded')}'], on-failure: [/usr/bin/touch, '${bench.file('failed')}'] }`;
    await configure(`one: { instances: here, stores: ${gone}, hooks: ${hooks} }
two: { instances: here, stores: [${gone}, second], hooks: ${hooks} }`);
    expect(await runJson('one')).toMatchObject({
      exitCode: 8,
      runs: [{ instances: [{ state: 'failed', stores: [{ store: gone, outcome: 'failed' }] }] }],
    });
    await rm(bench.file('failed'));
    expect(await runJson('two')).toMatchObject({
      exitCode: 16,
      runs: [
        {
          instances: [
            {
              state: 'exported',
              stores: [
                { store: gone, outcome: 'failed' },
                { store: 'second', outcome: 'exported' },
              ],
            },
          ],
        },
      ],
    });
    await rm(bench.file('failed'));
    await expect(readFile(bench.file('succeeded'))).rejects.toThrow('ENOENT');
  });

  test('neither exports nor copies into a store again under another address', async () => {
    await instance('web1');
    await symlink('second', bench.file('other-name'));
    await configure(`nightly:
  instances: here
  stores: [first, second, ./other-name]
  copies: [{ to: ${bench.path}/./other-name/, retention: { last: 1 } }]`);
    await bench.gantry('store', 'init', 'second');
    const text = await readFile(bench.file('gantry.yaml'), 'utf8');
    const runWith = async (stores: string): Promise<readonly Recorded[]> => {
      await writeFile(bench.file('gantry.yaml'), text.replace(/^ *stores: \[first.*$/m, `    stores: ${stores}`));
      return (await runJson('nightly')).runs;
    };
    for (let night = 0; night < 2; night += 1)
      expect(await runWith('[first, second]')).toMatchObject([
        { outcome: 'partial', instances: [{ state: 'exported' }], problems: [{ code: 'STORE_ADDRESS' }] },
      ]);
    expect(
      (await readdir(bench.file('second', 'web1'), { recursive: true })).filter((name) => name.endsWith('manifest.json')),
    ).toHaveLength(2);
    await writeFile(bench.file('gantry.yaml'), text.replace(/^ *copies.*$/m, ''));
    expect(await runJson('nightly')).toMatchObject({
      runs: [{ instances: [{ stores: [{ outcome: 'exported' }, { outcome: 'exported' }, { outcome: 'failed', code: 'STORE_ADDRESS' }] }] }],
    });
  });

  test('removes no copies unless it is known that no other store of the policy is the one that they are in', async () => {
    await instance('web1');
    await symlink('second', bench.file('other-name'));
    await configure('nightly: { instances: here, stores: [first, ./other-name], copies: [{ to: second, retention: { last: 1 } }] }');
    await bench.gantry('store', 'init', 'second');
    const kept = async (): Promise<number> =>
      (await readdir(bench.file('second', 'web1'), { recursive: true })).filter((name) => name.endsWith('manifest.json')).length;
    for (const again of [[], ['--again']]) await runJson('nightly', '--instance', 'web1', '--exports-only', ...again);
    const atStore = ['nightly', '--store-only', 'second', '--skip-newer', '1h'];
    expect((await runJson(...atStore)).runs).toMatchObject([{ stores: [], problems: [{ code: 'STORE_ADDRESS' }] }]);
    // Nobody can say what it is.
    await rm(bench.file('other-name'));
    await writeFile(bench.file('other-name'), '');
    const message = expect.stringMatching(/^nothing is removed from second: whether it is store \S+ under another address is not known/);
    const refused = [
      { stores: [{ store: 'second', copied: { failed: 0 } }], problems: expect.arrayContaining([expect.objectContaining({ message })]) },
    ];
    for (const args of [atStore, ['nightly', '--again']]) {
      const { runs } = await runJson(...args);
      expect(runs).toMatchObject(refused);
      expect(runs[0]?.stores[0]).not.toHaveProperty('pruned');
    }
    expect(await kept()).toBe(3);
  });

  test('of which everything fails has the exit status of the first failure', async () => {
    await instance('web1');
    await rm(bench.file('web1.img'));
    await configure('nightly: { instances: here, stores: first }');
    expect(await runJson('nightly')).toMatchObject({ exitCode: 5, runs: [{ outcome: 'failed', exitCode: 5 }] });
  });

  test('of several policies has one exit status', async () => {
    await instance('web1');
    await instance('web2');
    await configure(`good: { instances: instances/web1.yaml, stores: first }
bad: { instances: instances/web3.yaml, stores: first }`);
    const { exitCode, runs } = await runJson('--all');
    expect(exitCode).toBe(16);
    expect(runs.map(({ outcome }) => outcome)).toEqual(['done', 'failed']);
  });
});

describe('several stores', () => {
  const places = { first: 'exports', second: 'second' };

  /** Makes a store in which this instance cannot have exports. */
  async function block(store: keyof typeof places, name: string): Promise<void> {
    await bench.gantry('store', 'init', bench.file(places[store]));
    await writeFile(bench.file(places[store], name), '');
  }

  async function defineCounting(): Promise<() => Promise<number>> {
    await defineOs('counting', `echo once >> "${bench.path}/read"; cat "$EXPORT_DEVICE"`);
    return async () => (await readFile(bench.file('read'), 'utf8')).trim().split('\n').length;
  }

  test('get each export from one reading of the disks', async () => {
    const readings = await defineCounting();
    await instance('web1', '', 'counting');
    await configure('nightly: { instances: here, stores: [first, second], incremental: true, track-changes: true }');
    for (const night of [1, 2]) {
      const { exitCode, runs } = await runJson('nightly');
      const { reference = '', stores } = runs[0]?.instances[0] ?? {};
      expect({ exitCode, stores }).toEqual({
        exitCode: 0,
        stores: ['first', 'second'].map((store) => ({ store, outcome: 'exported', reference })),
      });
      expect(await readings()).toBe(night);
    }
  });

  test('one that lacks the parent gets a copy, which is not a failure, and the record says why', async () => {
    const readings = await defineCounting();
    await instance('web1', '', 'counting');
    await configure(`alone: { instances: here, stores: first, incremental: true }
nightly: { instances: here, stores: [first, second], incremental: true }`);
    await run('alone');
    const { exitCode, runs } = await runJson('nightly');
    expect({ exitCode, run: runs[0] }).toMatchObject({
      exitCode: 0,
      run: { instances: [{ problems: [], stores: [{ outcome: 'exported' }, { outcome: 'copied', code: 'STORE_UNSUPPORTED' }] }] },
    });
    expect(runs[0]?.instances[0]?.stores[1]?.['reason']).toContain('it does not have web1@');
    expect(await readings()).toBe(2);
  });

  test.each(['first', 'second'] as const)('%s fails: that does not keep the other one from the export', async (bad) => {
    await instance('web1');
    await block(bad, 'web1');
    await configure('nightly: { instances: here, stores: [first, second] }');
    const { exitCode, runs } = await runJson('nightly');
    expect({ exitCode, run: runs[0] }).toMatchObject({
      exitCode: 16,
      run: { instances: [{ state: 'exported', problems: [{ what: `export of web1 into ${bad}` }] }] },
    });
    const { reference, stores = [] } = runs[0]?.instances[0] ?? {};
    const failed = { outcome: 'failed', code: expect.stringMatching(/^STORE_/), reason: expect.stringContaining(bench.file(places[bad])) };
    const exported = { outcome: 'exported', reference };
    expect(stores).toEqual(['first', 'second'].map((store) => Object.assign({ store }, store === bad ? failed : exported)));
  });

  test('that all fail have a reason each', async () => {
    await instance('web1');
    for (const store of ['first', 'second'] as const) await block(store, 'web1');
    await configure('nightly: { instances: here, stores: [first, second] }');
    const { exitCode, runs } = await runJson('nightly');
    expect({ exitCode, run: runs[0] }).toMatchObject({
      exitCode: 8,
      run: {
        instances: [
          {
            state: 'failed',
            problems: [{ what: 'export of web1 into first' }, { what: 'export of web1 into second' }],
            stores: [
              { store: 'first', outcome: 'failed', reason: expect.stringContaining(bench.store) },
              { store: 'second', outcome: 'failed', reason: expect.stringContaining(bench.file('second')) },
            ],
          },
        ],
      },
    });
  });

  test('get copies from the first one where changes are tracked, which is for one store', async () => {
    await instance('web1');
    await configure('nightly: { instances: here, stores: [first, second], incremental: true, track-changes: true }');
    const { exitCode, runs } = await runJson('nightly');
    expect({ exitCode, run: runs[0] }).toMatchObject({
      exitCode: 0,
      run: { instances: [{ stores: [{ outcome: 'exported' }, { outcome: 'copied' }] }] },
    });
  });
});

describe('a run that is started twice', () => {
  /** What the command of `notify` got, one run in each line. */
  async function notified(): Promise<readonly Recorded[]> {
    const text = await readFile(bench.file('notified'), 'utf8').catch(() => '');
    const lines = text.split('\n').filter((line) => line !== '');
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the tests say what is expected in it
    return lines.map((line) => JSON.parse(line) as Recorded);
  }

  /** Starts a run that waits in the export of `slow`, after `first` was exported. */
  async function startWaiting(): Promise<ReturnType<Workbench['start']>> {
    await defineOs('slow', `if [ -e "${bench.path}/go" ]; then echo data; else touch "${bench.path}/waits"; sleep 600; fi`);
    await instance('first');
    await instance('slow', '', 'slow');
    await configure(`nightly: { instances: here, stores: [first, second], window: '${windowAround(-60, 120)}' }
other: { instances: instances/first.yaml, stores: first }`);
    const notify = `notify: { command: [/usr/bin/tee, -a, '${bench.file('notified')}'] }\nmetrics: { textfile: figures.prom }\n`;
    await appendFile(bench.file('gantry.yaml'), notify);
    const started = bench.start('run', '--config', 'gantry.yaml', 'nightly');
    await waitForFile(bench.file('waits'));
    return started;
  }

  test('says that it is running already', async () => {
    const started = await startWaiting();
    const { exitCode, stderr } = await run('nightly');
    expect(exitCode).toBe(10);
    expect(stderr).toContain(`policy nightly is already running: process ${started.pid}`);
    expect(await notified()).toMatchObject([{ policy: 'nightly', outcome: 'failed', exitCode: 10, problems: [{ code: 'BUSY' }] }]);
    expect(await readFile(bench.file('figures.prom'), 'utf8')).toContain('gantry_run_success{policy="nightly"} 0\n');
    // That does not stop other policies.
    const all = await runJson('--all');
    expect(all).toMatchObject({ exitCode: 16, runs: [{ outcome: 'failed', exitCode: 10 }, { outcome: 'done' }] });
    started.kill('SIGTERM');
    expect((await started.outcome).exitCode).toBe(143);
    expect(await lastRecord('nightly')).toMatchObject({
      outcome: 'interrupted',
      instances: [
        { name: 'first', state: 'exported' },
        { name: 'slow', state: 'left' },
      ],
    });
    expect(await bench.journal()).toEqual([]);
  });

  test('after a kill goes on with the rest, as the stores say', async () => {
    const started = await startWaiting();
    process.kill(started.pid, 'SIGKILL');
    await started.outcome;
    expect(await lastRecord('nightly')).toMatchObject({
      outcome: 'running',
      instances: [
        { name: 'first', state: 'exported' },
        { name: 'slow', state: 'running' },
      ],
    });
    await writeFile(bench.file('go'), '');
    // As if it had been killed before the copy.
    const before = await readdir(bench.file('exports', 'first'));
    await rm(bench.file('second', 'first'), { recursive: true });
    const { exitCode, runs } = await runJson('nightly');
    expect(exitCode).toBe(0);
    expect(runs[0]?.warnings).toEqual([expect.stringMatching(/^the run that began at .* was killed, or the host went down$/)]);
    // Of the run itself, which is good, nothing is said.
    expect(await notified()).toMatchObject([
      { policy: 'nightly', outcome: 'killed', instances: [{ name: 'first', state: 'exported' }, {}] },
    ]);
    expect(runs[0]?.instances).toMatchObject([
      { name: 'first', state: 'exported', stores: [{ outcome: 'present' }, { outcome: 'copied' }] },
      { name: 'slow', state: 'exported' },
    ]);
    expect(await readdir(bench.file('exports', 'first'))).toEqual(before);
    expect(await runJson('nightly')).toMatchObject({ runs: [{ instances: [{ state: 'present' }, { state: 'present' }] }] });
    expect(await runJson('nightly', '--again')).toMatchObject({ runs: [{ instances: [{ state: 'exported' }, { state: 'exported' }] }] });
  });

  test('after a kill is reported at once by gantry notify, and by that alone', async () => {
    const notify = async (policy: string): Promise<unknown> => {
      const { exitCode, stdout } = await bench.gantry('notify', '--config', 'gantry.yaml', policy, '--json');
      expect(exitCode).toBe(0);
      return jsonLines(stdout).at(-1);
    };
    const started = await startWaiting();
    // It runs: there is nothing to say.
    expect(await notify('nightly')).toMatchObject({ operation: 'notify', policies: [] });
    process.kill(started.pid, 'SIGKILL');
    await started.outcome;
    expect(await notify('nightly')).toMatchObject({ policies: [{ outcome: 'killed' }] });
    expect(await notify('nightly')).toMatchObject({ policies: [] });
    await writeFile(bench.file('go'), '');
    expect((await runJson('nightly')).runs[0]).toMatchObject({ outcome: 'done', warnings: [] });
    expect(await notified()).toMatchObject([{ outcome: 'killed' }]);
    expect(await notify('nigthly')).toMatchObject({ policies: [{ outcome: 'failed', problems: [{ code: 'USAGE' }] }] });
    expect(await notified()).toHaveLength(2);
    // What a run cannot begin for, it has said itself.
    await rm(bench.file('state', 'locks'), { recursive: true });
    await writeFile(bench.file('state', 'locks'), '');
    expect((await bench.gantry('notify', '--config', 'gantry.yaml', 'nightly')).stderr).toMatch(/STATE_UNUSABLE/);
    expect(await notified()).toHaveLength(2);
  });

  test('--skip-newer does the same without a window', async () => {
    await instance('web1');
    await configure('nightly: { instances: here, stores: first }');
    expect(await runJson('nightly', '--skip-newer', '1h')).toMatchObject({ runs: [{ instances: [{ state: 'exported' }] }] });
    expect(await runJson('nightly', '--skip-newer', '1h')).toMatchObject({ runs: [{ instances: [{ state: 'present' }] }] });
    expect(await runJson('nightly')).toMatchObject({ runs: [{ instances: [{ state: 'exported' }] }] });
  });
});

describe('a window', () => {
  test('lets nothing begin outside of it, unless it is ignored', async () => {
    await instance('web1');
    await configure(`nightly: { instances: here, stores: first, window: '${windowAround(120, 180)}' }`);
    const { exitCode, runs } = await runJson('nightly');
    expect(exitCode).toBe(16);
    expect(runs[0]).toMatchObject({ instances: [{ state: 'left' }], warnings: [expect.stringContaining('it was outside of')] });
    expect((await run('nightly', '--ignore-window')).exitCode).toBe(0);
  });
});

describe('--dry-run', () => {
  test('says what would be exported, copied and removed, and changes nothing', async () => {
    await instance('web1');
    await configure(`nightly:
  instances: [here, instances/web9.yaml]
  stores: first
  retention: { last: 1 }
  copies: [{ to: second }]`);
    await instance('odd', '', 'none-such');
    await run('nightly', '--ignore-window');
    await bench.gantry('export', 'instances/web1.yaml', 'exports');
    const before = await bench.stored();
    const { exitCode, stdout } = await run('nightly', '--dry-run');
    expect(exitCode).toBe(16);
    expect(stdout).toMatch(/^ {2}web1: would be exported$/m);
    expect(stdout).toMatch(/^ {2}odd: would fail: .*\[OS_NOT_FOUND\]$/m);
    expect(stdout).toMatch(/^ {2}first: would lose web1@/m);
    expect(stdout).toMatch(/^ {2}second: would get a copy of web1@/m);
    expect(stdout).toMatch(/web9\.yaml.*\[INSTANCE_FILE_UNREADABLE\]/);
    expect(await bench.stored()).toEqual(before);
  });
});

test.each([
  ['no policy', [], 'which policy to run is missing'],
  ['an unknown policy', ['nigthly'], 'there is no policy "nigthly"'],
  ['--all with a name', ['--all', 'nightly'], '--all and the names of policies exclude each other'],
  ['--again with --skip-newer', ['nightly', '--again', '--skip-newer', '1h'], 'exclude each other'],
  ['a wrong age', ['nightly', '--skip-newer', 'soon'], 'It must be a duration'],
])('%s is refused', async (_, args, message) => {
  await configure('nightly: { instances: here, stores: first }');
  const { exitCode, stderr } = await run(...args);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(message);
});

/** The programs of docs/reference/hooks.md. */
async function documentedProgram(name: string): Promise<string> {
  const page = await readFile(new URL('../../../docs/reference/hooks.md', import.meta.url), 'utf8');
  const [, text] = new RegExp(`^\`\`\`sh file=${name}\\n([^]*?)^\`\`\``, 'm').exec(page) ?? [];
  if (text === undefined) throw new Error(`hooks.md has no program ${name}`);
  return await program(name, text);
}

describe('hooks', () => {
  test('are called in order, with their environment; the examples of the documentation run', async () => {
    await instance('web1');
    await defineOs('bad', 'exit 3');
    await instance('web2', '', 'bad');
    const hold = await documentedProgram('hold-service');
    const keep = await documentedProgram('keep-list');
    const env = await program(
      'env',
      `env | grep ^GANTRY | sort > "${bench.path}/env.$GANTRY_HOOK.$GANTRY_HOOK_INSTANCE"; exec ${keep} "$@"`,
    );
    await configure(`nightly:
  instances: here
  stores: first
  hooks:
    before-snapshot: [${hold}, '${bench.file('held')}']
    after-snapshot: [${hold}, '${bench.file('held')}']
    on-success: [${env}, '${bench.file('list')}']
    on-failure: [${env}, '${bench.file('list')}']`);
    const { runs } = await runJson('nightly');
    const { reference = '' } = runs[0]?.instances[0] ?? {};
    expect(await readFile(bench.file('held'), 'utf8')).toBe('web1 held\nweb1 goes on\nweb2 held\nweb2 goes on\n');
    expect(await readFile(bench.file('list'), 'utf8')).toMatch(new RegExp(`^ok web1 ${reference}\nfailed web2 SCRIPT_FAILED: .*\n$`));
    expect((await readFile(bench.file('env.on-success.web1'), 'utf8')).trim().split('\n')).toEqual([
      'GANTRY_HOOK=on-success',
      `GANTRY_HOOK_EXPORT=${reference}`,
      'GANTRY_HOOK_INSTANCE=web1',
      'GANTRY_HOOK_POLICY=nightly',
      'GANTRY_HOOK_STORES=first',
    ]);
    expect(await bench.journal()).toEqual([]);
  });

  test('before-snapshot that fails, or takes too long, fails the export; after-snapshot is called all the same', async () => {
    await instance('web1');
    const before = await program('before', 'echo cannot flush >&2; exit 4');
    const after = await program('after', `echo after >> "${bench.path}/calls"`);
    await configure(`fails:
  instances: here
  stores: first
  hooks: { before-snapshot: [${before}], after-snapshot: [${after}] }
slow:
  instances: here
  stores: first
  hooks: { before-snapshot: [/usr/bin/sleep, '600'], after-snapshot: [${after}], timeout: 1s }`);
    const failed = await runJson('fails');
    expect(failed).toMatchObject({ exitCode: 6, runs: [{ instances: [{ state: 'failed' }] }] });
    expect(JSON.stringify(failed.runs)).toContain('the hook before-snapshot failed');
    expect(JSON.stringify(failed.runs)).toContain('cannot flush');
    const slow = await runJson('slow');
    expect(slow.exitCode).toBe(6);
    expect(JSON.stringify(slow.runs)).toContain('did not end within 1 s');
    expect(await readFile(bench.file('calls'), 'utf8')).toBe('after\nafter\n');
    expect(await bench.stored()).toEqual([]);
  });

  test.each(['after-snapshot', 'on-success'])('%s that fails leaves the export, and the run says so', async (name) => {
    await instance('web1');
    await configure(`nightly: { instances: here, stores: first, hooks: { ${name}: [/bin/false] } }`);
    const { exitCode, runs } = await runJson('nightly');
    expect(exitCode).toBe(16);
    expect(runs).toMatchObject([
      { outcome: 'partial', instances: [{ state: 'exported', problems: [{ what: `hook ${name} of web1`, code: 'HOOK_FAILED' }] }] },
    ]);
  });

  test('after-snapshot is called by the next run if Gantry was killed after before-snapshot began', async () => {
    await instance('web1');
    const before = await program('before', `touch "${bench.path}/began"; exec sleep 600`);
    const after = await program('after', `echo "$GANTRY_HOOK $GANTRY_HOOK_INSTANCE" >> "${bench.path}/calls"`);
    await configure(`nightly:
  instances: here
  stores: first
  hooks: { before-snapshot: [${before}], after-snapshot: [${after}] }`);
    const started = bench.start('run', '--config', 'gantry.yaml', 'nightly');
    await waitForFile(bench.file('began'));
    process.kill(started.pid, 'SIGKILL');
    await started.outcome;
    expect(await bench.journal()).toHaveLength(1);
    const { stdout, stderr } = await bench.gantry('clean');
    expect(stdout + stderr).toContain('hooks around the snapshots of web1');
    expect(await readFile(bench.file('calls'), 'utf8')).toBe('after-snapshot web1\n');
    expect(await bench.journal()).toEqual([]);
  });
});
