import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import process from 'node:process';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory, startSshServer } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleCommand } from './bundled-command.ts';
import type { Workbench } from './workbench.ts';
import { lastLine, makeWorkbench } from './workbench.ts';

/** Writes down, at exit, which files were loaded. */
const LIST_LOADED = `process.on('exit', () => require('node:fs').writeFileSync(process.env.LOADED, Object.keys(require.cache).join('\\n')));`;

let home: TemporaryDirectory;
let modulesOf: ReadonlyMap<string, readonly string[]>;

/** The package as it is published, with its dependencies. */
beforeAll(async () => {
  home = await makeTemporaryDirectory();
  modulesOf = await bundleCommand(home.path);
  await writeFile(home.file('list-loaded.cjs'), LIST_LOADED);
  await mkdir(home.file('home'), { mode: 0o700 });
});

afterAll(() => home[Symbol.asyncDispose]());

interface Call {
  readonly stdout: string;
  /** The loaded source files. */
  readonly modules: readonly string[];
  /** The third-party packages of which a part was loaded. */
  readonly packages: readonly string[];
  /** Whether the file that starts programs was loaded: execa and its dependencies, not counted above. */
  readonly startsPrograms: boolean;
}

const PROGRAMS = /^execa-[^/]*\.cjs$/;

async function call(args: readonly string[], bench?: Workbench): Promise<Call> {
  const { stdout } = await execa(process.execPath, ['--require', home.file('list-loaded.cjs'), home.file('bin/gantry.cjs'), ...args], {
    cwd: bench?.path ?? home.path,
    reject: false,
    env: {
      HOME: home.file('home'),
      LOADED: home.file('loaded'),
      ...(bench === undefined
        ? {}
        : { GANTRY_STATE_DIR: bench.file('state'), GANTRY_OS_PATH: bench.file('os'), GANTRY_CREATE_STORE: '1', GANTRY_YES: '1' }),
    },
  });
  const files = (await readFile(home.file('loaded'), 'utf8')).split('\n');
  // The file that starts programs contains many packages.
  const [programs, others] = [
    files.filter((file) => PROGRAMS.test(basename(file))),
    files.filter((file) => !PROGRAMS.test(basename(file))),
  ];
  const modules = others.flatMap((file) => modulesOf.get(basename(file)) ?? file);
  const packages = modules.map((module) => /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(module)?.[1]);
  return {
    stdout,
    modules,
    startsPrograms: programs.length > 0,
    packages: [...new Set(packages.filter((name) => name !== undefined))].toSorted(),
  };
}

describe('the published command', () => {
  test('loads only the parser of its command line for its version and for help', async () => {
    const { stdout, packages } = await call(['--version']);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+/);
    expect(packages).toEqual(['commander']);
    expect((await call(['help'])).packages).toEqual(['commander']);
    expect((await call(['help', 'verify'])).packages).toEqual(['commander']);
  });

  test('loads only the parser of its command line and the search for similar names for an unknown option', async () => {
    expect((await call(['verify', '--paralel'])).packages).toEqual(['commander', 'leven']);
  });

  test('loads only the transport that is used, and the file that starts programs only if one is started', async () => {
    await using bench = await makeWorkbench();
    await bench.defineOs('cat', { export: 'exec cat "$EXPORT_DEVICE"', import: 'exec cat >"$IMPORT_DEVICE"' });
    await writeFile(bench.file('disk'), 'the disk');
    await writeFile(bench.file('copy'), '');
    await bench.describeInstance('web1', { os: 'cat', disks: [bench.file('disk')] });
    await bench.describeInstance('web2', { os: 'cat', disks: [bench.file('copy')] });
    // execa and the bars share signal-exit.
    const expected = /^(signal-exit|@koromix\/.*|commander|koffi|leven|yaml|zod)$/;

    const exported = await call(['export', 'web1.yaml', bench.store], bench);
    expect(exported.packages.filter((name) => !expected.test(name))).toEqual([]);
    const imported = await call(['import', bench.store, lastLine(exported.stdout), '--to', 'web2.yaml'], bench);
    expect(imported.packages.filter((name) => !expected.test(name))).toEqual([]);
    const listed = await call(['list', bench.store], bench);
    expect([exported, imported, listed].map(({ startsPrograms }) => startsPrograms)).toEqual([true, true, false]);
    expect(await readFile(bench.file('copy'), 'utf8')).toBe('the disk');
    // Without a configuration, instances, a peer and snapshots, what reads and makes these is not loaded.
    const loaded = (call: Call, name: string): boolean => call.modules.some((module) => module.endsWith(`/${name}.ts`));
    const providers = ['snapshots/lvm/lvm', 'snapshots/qemu', 'snapshots/rbd', 'snapshots/image'];
    for (const name of providers) expect([exported, imported, listed].map((each) => loaded(each, name))).toEqual([true, false, false]);
    expect([exported, imported, listed].map((each) => loaded(each, 'src/open-instance'))).toEqual([true, true, false]);
    await writeFile(bench.file('gantry.yaml'), 'stores: {}\n');
    const configured = await call(['--config', bench.file('gantry.yaml'), 'list', bench.store], bench);
    expect([configured, exported, listed].map((each) => loaded(each, 'file/schema'))).toEqual([true, false, false]);
  });

  test("does not load its own SSH client if the system's is used", async () => {
    const { packages, modules } = await call(['list', 'ssh://127.0.0.1:1/exports?engine=openssh']);
    expect(modules.filter((module) => module.endsWith('/openssh-engine.ts'))).toHaveLength(1);
    expect(packages.filter((name) => /ssh2|ssh-config|aws|smithy/.test(name))).toEqual([]);
  });

  test('moves an instance to its own receiver, with scripts on both sides', async () => {
    await using bench = await makeWorkbench();
    await using peer = await startSshServer();
    await bench.defineOs('cat', { export: 'exec cat "$EXPORT_DEVICE"', import: 'exec cat >"$IMPORT_DEVICE"' });
    await writeFile(bench.file('disk'), 'the disk');
    await writeFile(bench.file('copy'), '');
    await bench.describeInstance('web1', { os: 'cat', disks: [bench.file('disk')] });
    await bench.describeInstance('web2', { os: 'cat', disks: [bench.file('copy')] });
    const environment = `GANTRY_STATE_DIR='${bench.file('there')}' GANTRY_OS_PATH='${bench.file('os')}'`;
    await writeFile(bench.file('gantry'), `#!/bin/sh\n${environment} exec '${process.execPath}' '${home.file('bin/gantry.cjs')}' "$@"\n`);
    await chmod(bench.file('gantry'), 0o755);
    const to = ['--to', bench.file('web2.yaml'), '--peer-program', bench.file('gantry')];
    await call(['move', 'web1.yaml', peer.address(''), ...to], bench);
    expect(await readFile(bench.file('copy'), 'utf8')).toBe('the disk');
  });

  test('includes the programs and threads that it starts', async () => {
    expect((await stat(home.file('dist/askpass.sh'))).mode & 0o111).toBe(0o111);
    await stat(home.file('dist/md5-thread.cjs'));
  });

  test('includes the licenses of bundled packages', async () => {
    const licenses = await readFile(join(home.path, 'dist/THIRD-PARTY-LICENSES.txt'), 'utf8');
    for (const name of ['@aws-sdk/client-s3', 'commander', 'yaml', 'zod']) expect(licenses).toMatch(new RegExp(`^${name} `, 'm'));
  });
});
