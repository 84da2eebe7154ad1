import { randomBytes } from 'node:crypto';
import { glob, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { COMMANDS } from '../src/commands.ts';
import { callHere, validCalls } from './calls-of-commands.ts';
import type { Outcome, Workbench } from './workbench.ts';
import { exportDirectory, jsonLines, lastLine, makeWorkbench } from './workbench.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Of somebody. */
const RECIPIENT = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p';

let bench: Workbench;

beforeEach(async () => {
  bench = await makeWorkbench();
});

afterEach(async () => {
  await bench[Symbol.asyncDispose]();
});

async function configure(text: string): Promise<readonly string[]> {
  await writeFile(bench.file('gantry.yaml'), text);
  return ['--config', bench.file('gantry.yaml')];
}

/** Runs a command whose success is expected. */
async function succeed(...args: readonly string[]): Promise<Outcome> {
  const outcome = await bench.gantry(...args);
  expect(outcome.exitCode, outcome.stderr).toBe(0);
  return outcome;
}

/** Exports, and reads the manifest. */
async function manifestOf(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { stdout } = await succeed('export', ...args);
  const manifest: unknown = JSON.parse(await readFile(`${exportDirectory(bench, lastLine(stdout))}/manifest.json`, 'utf8'));
  return Object.fromEntries(Object.entries(manifest ?? {}));
}

test('a command takes the name of a store or an inventory where it takes an address', async () => {
  const disk = bench.file('disk');
  await writeFile(disk, 'content of a disk\n');
  await bench.describeInstance('web1', { disks: [disk] });
  const config = await configure(`stores: { nightly: { url: ${bench.store} } }\ninventories: { here: . }\n`);
  const reference = lastLine((await succeed(...config, 'export', 'here:web1', 'nightly')).stdout);
  expect((await succeed(...config, 'list', 'nightly')).stdout).toContain('web1@');
  expect((await succeed('list', 'nightly', ...config)).stdout).toContain('web1@');
  expect((await succeed('instances', 'here', ...config)).stdout).toContain('web1');
  expect((await succeed('instances', 'here:', ...config)).stdout).toContain('web1');
  expect((await succeed('describe', 'here:web1', ...config)).stdout).toContain('name: web1');
  for (const command of ['show', 'verify', 'consolidate']) await succeed(command, 'nightly', reference, ...config);
  await rm(disk);
  await writeFile(disk, ' '.repeat(18));
  await succeed('import', 'nightly', reference, '--to', 'here:web1', ...config);
  expect(await readFile(disk, 'utf8')).toBe('content of a disk\n');
});

test('every command takes the name of a store wherever it takes a store', async () => {
  await makeRandomFile(bench.file('disk'), 4096, 'seed');
  const file = await bench.describeInstance('web1', { disks: [bench.file('disk')] });
  const reference = lastLine((await succeed('export', file, bench.store)).stdout);
  await succeed('store', 'init', bench.file('copies'));
  const calls = { ...validCalls(bench, file, reference), 'keys add': [bench.store, reference, '--recipient', RECIPIENT] };
  const url = '/nonexistent/gantry-exports';
  const config = await configure(`stores: { elsewhere: { url: ${url} } }`);
  const wrong: string[] = [];
  let tried = 0;
  for (const [name, args] of Object.entries(calls)) {
    // These two say what they find without opening a store.
    if (name === 'config show' || name === 'instances') continue;
    const declared = (await COMMANDS.find((command) => command.name === name)?.load())?.default.arguments ?? [];
    for (const [at, argument] of declared.entries()) {
      const [, what, more = ''] = /^[<[](store|source|target|more)(\.\.\.)?[>\]]$/.exec(argument) ?? [];
      // An export into several stores does without one of them.
      if (what === undefined || (name === 'export' && more !== '')) continue;
      tried += 1;
      const call = args.toSpliced(at, more === '' ? 1 : 0, 'elsewhere');
      const error = await callHere(bench, [...name.split(' '), ...call, ...config]);
      if (!(error instanceof Error) || !error.message.includes(url)) wrong.push(`gantry ${name} ${argument}: ${String(error)}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(tried).toBeGreaterThan(20);
});

describe('what gantry.yaml says of exports', () => {
  beforeEach(async () => {
    await makeRandomFile(bench.file('disk'), 4096, 'seed');
    await bench.describeInstance('web1', { disks: [bench.file('disk')] });
  });

  test('applies unless the environment or an option says something else', async () => {
    const config = await configure(`
defaults: { codec: gzip, tags: [from-defaults] }
stores: { nightly: { url: ${bench.store}, tags: [from-store], incremental: true } }
policies: { web: { instances: web1.yaml, stores: nightly, codec: zstd, full-every: 2 } }`);
    const codecOf = async (...args: readonly string[]): Promise<unknown> => {
      const { dumps } = await manifestOf('web1.yaml', ...args, ...config);
      return JSON.stringify(dumps).match(/"codec":"(\w+)"/)?.[1];
    };
    expect(await manifestOf('web1.yaml', 'nightly', ...config)).toMatchObject({ tags: ['from-store'] });
    expect(await manifestOf('web1.yaml', bench.store, '--tag', 'mine', ...config)).toMatchObject({ tags: ['mine'] });
    expect(await codecOf(bench.store)).toBe('gzip');
    expect(await codecOf('nightly', '--policy', 'web')).toBe('zstd');
    expect(await codecOf('nightly', '--policy', 'web', '--codec', 'none')).toBe('none');
  });

  test('can be taken back by an option', async () => {
    const config = await configure(`stores: { nightly: { url: ${bench.store}, incremental: true, track-changes: true, full-every: 9 } }`);
    const incremental = async (...args: readonly string[]): Promise<boolean> => {
      const { stdout } = await succeed('export', 'web1.yaml', 'nightly', '--json', ...args, ...config);
      return jsonLines(stdout).at(-1)?.['incremental'] !== undefined;
    };
    expect(await incremental()).toBe(true);
    expect(await incremental('--no-incremental')).toBe(false);
  });

  test('says whether a frame that changed is stored as its difference from the earlier one', async () => {
    const config = await configure(`
stores: { nightly: { url: ${bench.store}, incremental: true, patches: false } }
policies: { near: { instances: web1.yaml, stores: nightly, patches: true } }`);
    const content = randomBytes(64 * KIB);
    let night = 0;
    const isStoredWhole = async (...args: readonly string[]): Promise<boolean> => {
      content.writeUInt32BE((night += 1));
      await writeFile(bench.file('disk'), content);
      const { stdout } = await succeed(...args, '--json', ...config);
      return Number(/"storedBytes":(\d+)/.exec(lastLine(stdout))?.[1]) > content.length;
    };
    const call = ['export', 'web1.yaml', 'nightly'];
    expect(await isStoredWhole(...call)).toBe(true);
    expect(await isStoredWhole('run', 'near')).toBe(false);
    expect(await isStoredWhole(...call)).toBe(true);
    expect(await isStoredWhole(...call, '--policy', 'near', '--no-patches')).toBe(true);
  });

  test('that asks for tracked changes does not refuse an instance whose disks cannot be tracked', async () => {
    await bench.defineOs('copy', { export: 'cat "$EXPORT_DEVICE"', import: 'exec cat >"$IMPORT_DEVICE"' });
    await bench.describeInstance('web2', { os: 'copy', disks: [bench.file('disk')] });
    const config = await configure(`stores: { nightly: { url: ${bench.store}, incremental: true, track-changes: true } }`);
    await succeed('export', 'web2.yaml', 'nightly', ...config);
    const asked = await bench.gantry('export', 'web2.yaml', 'nightly', '--track-changes', ...config);
    expect(asked).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('cannot track changes') });
  });

  test('is named with its policy, which must be there', async () => {
    const config = await configure('stores: { s: { url: /s } }\npolicies: { web: { instances: web1.yaml, stores: s } }');
    const { exitCode, stderr } = await bench.gantry('export', 'web1.yaml', bench.store, '--policy', 'wbe', ...config);
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining('Did you mean web?') });
  });

  test('prune takes the retention of a policy, and verify its depth and budget', async () => {
    const config = await configure(`
stores: { nightly: { url: ${bench.store} } }
policies:
  web: { instances: web1.yaml, stores: nightly, retention: { last: 1 }, verify: { depth: present } }
  bare: { instances: web1.yaml, stores: nightly }`);
    await succeed('export', 'web1.yaml', 'nightly', ...config);
    await succeed('export', 'web1.yaml', 'nightly', ...config);
    expect((await succeed('verify', 'nightly', '--policy', 'web', ...config)).stdout).toContain('every file is there with its size');
    expect((await succeed('verify', 'nightly', '--policy', 'web', '--depth', 'stored', ...config)).stdout).toContain('every digest');
    expect(await bench.gantry('prune', 'nightly', '--policy', 'bare', ...config)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('the policy bare has no retention'),
    });
    expect(await bench.gantry('prune', 'nightly', '--policy', 'web', '--keep-last', '3', ...config)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('both say what is kept'),
    });
    expect((await succeed('prune', 'nightly', '--policy', 'web', ...config)).stdout).toContain('1 exports removed, 1 kept');
  });
});

describe('a variable of the environment', () => {
  test.each([
    ['GANTRY_CODEC', 'rar', 'one of zstd, gzip, none'],
    ['GANTRY_LEVEL', 'high', 'a whole number, 1 or more'],
    ['GANTRY_INCREMENTAL', 'perhaps', '1 or 0'],
    ['GANTRY_LIMIT_RATE', 'fast', 'a number of bytes per second'],
    ['GANTRY_MAX_RATE', 'fast', 'a number of bytes per second'],
    ['GANTRY_SNAPSHOT_SIZE', 'big', ''],
    ['GANTRY_PARALLEL', '0', 'a whole number, 1 or more'],
  ])('%s=%s is refused by its name', async (name, value, rule) => {
    await using other = await makeWorkbench({ [name]: value });
    await writeFile(other.file('disk'), 'content');
    const instance = await other.describeInstance('web1', { disks: [other.file('disk')] });
    const { exitCode, stderr } = await other.gantry('export', instance, other.store);
    expect(exitCode, stderr).toBe(2);
    expect(stderr).toContain(`the variable ${name} is "${value}": it must be ${rule}`);
  });

  test('wins over gantry.yaml, and an option over both', async () => {
    await using other = await makeWorkbench({ GANTRY_CODEC: 'none', GANTRY_FULL_EVERY: '3', GANTRY_LEVEL: '' });
    await writeFile(other.file('disk'), 'content');
    await other.describeInstance('web1', { disks: [other.file('disk')] });
    await writeFile(other.file('gantry.yaml'), 'defaults: { codec: gzip, level: 9 }\n');
    const call = ['export', 'web1.yaml', other.store, '--config', other.file('gantry.yaml')];
    const first = lastLine((await other.gantry(...call)).stdout);
    const second = lastLine((await other.gantry(...call, '--codec', 'zstd')).stdout);
    expect((await other.gantry('show', other.store, first)).stdout).toMatch(/ none /);
    expect((await other.gantry('show', other.store, second)).stdout).toMatch(/ zstd /);
  });
});

test.each([
  ['run', 'web'],
  ['export', 'web1.yaml', 'nightly', '--policy', 'web'],
])('a policy lowers the priority of its scripts and of compression: gantry %s', async (...call) => {
  await makeRandomFile(bench.file('disk'), 4096, 'seed');
  // The parent is gantry: the niceness of each of its threads is field 19 of its stat(5).
  const seen = '{ nice; ionice -p $$; cut -d" " -f19 /proc/$PPID/task/*/stat | sort -u; } >"$EXPORT_DEVICE.seen"';
  await bench.defineOs('look', { export: `${seen}\ncat "$EXPORT_DEVICE"`, import: 'exec cat >"$IMPORT_DEVICE"' });
  await bench.describeInstance('web1', { os: 'look', disks: [bench.file('disk')] });
  const config = await configure(`
stores: { nightly: { url: ${bench.store} } }
policies: { web: { instances: web1.yaml, stores: nightly, nice: 12, io: idle } }`);
  await succeed(...call, ...config);
  expect(await readFile(bench.file('disk.seen'), 'utf8')).toBe('12\nidle\n12\n');
});

test('a limit by the time of day changes while a transfer runs', async () => {
  // The clock of the command begins a few seconds before the change, and goes on from there.
  const [faketime = ''] = await Array.fromAsync(glob('/usr/lib/*/faketime/libfaketime.so.1'));
  expect(faketime, 'libfaketime is missing: apt-get install libfaketime').not.toBe('');
  await using other = await makeWorkbench({ LD_PRELOAD: faketime, FAKETIME: '@2026-11-26 21:59:55', DONT_FAKE_MONOTONIC: '1' });
  await makeRandomFile(other.file('disk'), MIB, 'seed');
  await other.describeInstance('web1', { disks: [other.file('disk')] });
  await writeFile(
    other.file('gantry.yaml'),
    `stores: { nightly: { url: ${other.store}, codec: none, limit-rate: { default: 1K, "22:00-06:00": unlimited } } }`,
  );
  const started = performance.now();
  const { exitCode, stderr } = await other.gantry('export', 'web1.yaml', 'nightly', '--config', other.file('gantry.yaml'));
  const tookMs = performance.now() - started;
  expect(exitCode, stderr).toBe(0);
  // Before the change it would take 17 minutes; the change comes after five seconds.
  expect(tookMs).toBeGreaterThan(5000);
});

test('a configuration that is wrong does not stop what reads a store by its full address', async () => {
  const disk = bench.file('disk');
  await writeFile(disk, 'content of a disk\n');
  const instance = await bench.describeInstance('web1', { disks: [disk] });
  const reference = lastLine((await succeed('export', instance, bench.store)).stdout);
  const home = bench.file('home');
  await mkdir(`${home}/.config/gantry`, { recursive: true });
  await writeFile(`${home}/.config/gantry/gantry.yaml`, 'stores: [\n');
  await using other = await makeWorkbench({ XDG_CONFIG_HOME: `${home}/.config` });
  const broken = (...args: readonly string[]): Promise<Outcome> => other.gantry(...args);
  for (const args of [
    ['list', bench.store],
    ['import', bench.store, reference, '--to', instance, '--no-require-signature'],
  ]) {
    const { exitCode, stderr } = await broken(...args);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: expect.stringContaining('the configuration does not count') });
  }
  const refused = { exitCode: 2, stderr: expect.stringMatching(/\[CONFIGURATION_SYNTAX\][^]*--config none/) };
  expect(await broken('export', instance, bench.store)).toMatchObject(refused);
  expect(await broken('list', 'nightly')).toMatchObject(refused);
  // It may say that only signed exports are good.
  expect(await broken('import', bench.store, reference, '--to', instance)).toMatchObject(refused);
  expect((await broken('export', instance, bench.store, '--config', 'none')).exitCode).toBe(0);
});

test('config check says what to do about each thing that is missing', async () => {
  const more = `notify: { mail: { to: root, sendmail: /nonexistent/sendmail } }\nmetrics: { textfile: /nonexistent/gantry.prom }`;
  const config = await configure(`stores: { nightly: { url: ${bench.file('nowhere')} } }\n${more}`);
  const { exitCode, stdout } = await bench.gantry('config', 'check', ...config);
  expect(exitCode).toBe(8);
  expect(stdout).toMatch(/^stores\.nightly: .*gantry store init/m);
  expect(stdout).toMatch(/^notify\.mail\.sendmail: Install a mail system/m);
  expect(stdout).toMatch(/^metrics\.textfile: Create it/m);
});

test('config check warns of policies that promise nothing, or remove what another one keeps', async () => {
  const disk = bench.file('disk');
  await writeFile(disk, 'content');
  for (const name of ['web1', 'db1']) await bench.describeInstance(name, { disks: [disk] });
  await succeed('store', 'init', bench.store);
  const config = await configure(`
stores: { nightly: { url: ${bench.store} } }
policies:
  web: { instances: [web1.yaml, db1.yaml], stores: nightly, max-age: 26h, retention: { last: 3 } }
  same: { instances: db1.yaml, stores: nightly, max-age: 26h, retention: { last: 3 } }
  other: { instances: web1.yaml, stores: file://${bench.store}/, retention: { monthly: 3 } }`);
  const { exitCode, stdout } = await bench.gantry('config', 'check', ...config, '--json');
  expect(exitCode).toBe(0);
  const { checks } = jsonLines(stdout).at(-1) ?? {};
  expect(checks).toEqual(
    expect.arrayContaining([
      { what: 'policies.other.max-age', result: 'warning', found: expect.stringContaining('nothing says when an export is late') },
      {
        what: 'policies.other.retention',
        result: 'warning',
        found: expect.stringMatching(/^differs from policies\.web\.retention for web1 in file:.*: each removes what only the other keeps$/),
      },
    ]),
  );
  expect(JSON.stringify(checks).match(/warning/g)).toHaveLength(2);
  expect((await bench.gantry('config', 'check', ...config)).stdout).toMatch(/^warning +policies\.other\.max-age[^]*0 failed, 2 warnings$/m);
});

test('--config that is wrong is said with its place', async () => {
  await writeFile(bench.file('bad.yaml'), 'stores:\n  nightly: { ulr: /srv }\n');
  const { exitCode, stderr } = await bench.gantry('list', 'nightly', '--config', bench.file('bad.yaml'));
  expect(exitCode).toBe(2);
  expect(stderr).toContain('bad.yaml:2:');
  expect(stderr).toContain('[CONFIGURATION_INVALID]');
});
