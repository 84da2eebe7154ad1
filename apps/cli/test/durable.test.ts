import { chmod, rename, symlink, writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { SshServer, StraceOptions, SystemCall } from '@gantry/testkit';
import {
  attachLoopDevice,
  makeRandomFile,
  makeSparseFile,
  makeTemporaryDirectory,
  mountNewTmpfs,
  readSystemCalls,
  sha256File,
  startSshServer,
  strace,
} from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Outcome, Workbench } from './workbench.ts';
import { MAIN, lastLine, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;
const GANTRY = [process.execPath, MAIN];
/** The calls that write to a disk, make the data durable, or replace the disk's file. */
const CALLS = ['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'fallocate', 'ftruncate', 'fsync', 'rename', 'renameat', 'renameat2'];
const WRITES = new Set(['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'fallocate', 'ftruncate']);

/** Two ways in which import scripts write a disk: into the existing file, or into another that replaces it. Neither makes data durable. */
const IN_PLACE = 'exec dd of="$IMPORT_DEVICE" bs=64k iflag=fullblock conv=notrunc status=none';
const REPLACED = 'set -e; cat >"$IMPORT_DEVICE.new"; mv "$IMPORT_DEVICE.new" "$IMPORT_DEVICE"';

let bench: Workbench;
/** `INSTANCE@EXPORT-ID` of the same disk, by the definition that made it. */
const exported = new Map<string, string>();

beforeAll(async () => {
  bench = await makeWorkbench();
  await makeRandomFile(bench.file('source.img'), 3 * MIB, 'source');
  const write = 'printf new | dd of="$DISK_0_PATH" conv=notrunc status=none';
  await bench.defineOs('in-place', { export: 'exec cat "$EXPORT_DEVICE"', import: IN_PLACE, create: write, rename: write });
  await bench.defineOs('replaced', { export: 'exec cat "$EXPORT_DEVICE"', import: REPLACED });
  for (const os of ['raw', 'in-place', 'replaced']) {
    const source = await bench.describeInstance(`${os}.example.com`, { os, disks: ['source.img'] });
    const outcome = await bench.gantry('export', source, bench.store, '--snapshot', 'none');
    expect(outcome.exitCode, outcome.stderr).toBe(0);
    exported.set(os, lastLine(outcome.stdout));
  }
});

afterAll(() => bench[Symbol.asyncDispose]());

/** A target of the source's size with other contents. */
async function target(os: string, name: string): Promise<{ readonly disk: string; readonly file: string }> {
  const disk = bench.file(`${name}.img`);
  await makeRandomFile(disk, 3 * MIB, name);
  return { disk, file: await bench.describeInstance(`${name}.example.com`, { os, disks: [disk] }) };
}

async function traced(options: Omit<StraceOptions, 'record' | 'calls'>, ...args: readonly string[]): Promise<Outcome> {
  const [program, ...before] = strace({ record: bench.file('record'), calls: CALLS, ...options });
  const { exitCode, stdout, stderr } = await execa(program, [...before, ...GANTRY, ...args], {
    cwd: bench.path,
    env: { GANTRY_STATE_DIR: bench.file('state'), GANTRY_OS_PATH: bench.file('os'), GANTRY_YES: '1' },
    reject: false,
    stdin: 'ignore',
  });
  return { exitCode, stdout, stderr };
}

const recorded = (): Promise<readonly SystemCall[]> => readSystemCalls(bench.file('record'));

/** A field of a JSON message, as strace shows it. */
const field = (name: string, value: string): string => String.raw`\"${name}\":\"${value}\"`;

/** Calls on what a descriptor leads to. */
function callsOn(path: string, calls: readonly SystemCall[], isOne: (name: string) => boolean): readonly SystemCall[] {
  return calls.filter(({ name, parameters }) => isOne(name) && /^\d+<([^>]*)>/.exec(parameters)?.[1] === path);
}

/** The write of a message to the parent process. */
function findMessage(calls: readonly SystemCall[], message: string): SystemCall | undefined {
  return calls.find(
    ({ name, parameters }) => WRITES.has(name) && /^\d+<(pipe|socket|UNIX)/.test(parameters) && parameters.includes(message),
  );
}

/** Expects a flush of the disk that began after its last write and succeeded before the first message with that text. */
function expectFlushed(calls: readonly SystemCall[], disk: string, message: string, writtenAs = disk): void {
  const writes = callsOn(writtenAs, calls, (name) => WRITES.has(name));
  const written = Math.max(...writes.map(({ ended }) => ended));
  expect(writes.length).toBeGreaterThan(0);
  const flushed = callsOn(disk, calls, (name) => name === 'fsync').find(({ began, result }) => began > written && result === '0');
  expect(flushed, `a flush of ${disk} after its last write`).toBeDefined();
  const said = findMessage(calls, message);
  expect(said, `the message ${message}`).toBeDefined();
  expect(flushed?.ended).toBeLessThan(said?.began ?? 0);
}

/** The directory was flushed between the last change of its names and the message. */
function expectNameFlushed(calls: readonly SystemCall[], message: string, directory = bench.path): void {
  const renamed = calls.findLast(({ name, parameters }) => name.startsWith('rename') && parameters.includes('.img.new'));
  const said = findMessage(calls, message);
  const flushed = callsOn(directory, calls, (name) => name === 'fsync').find(({ began }) => began > (renamed?.ended ?? Infinity));
  expect(flushed?.result).toBe('0');
  expect(flushed?.ended).toBeLessThan(said?.began ?? 0);
}

describe('an import', () => {
  test.each(['raw', 'in-place', 'replaced'])('by %s flushes the disk after its last write and before it reports success', async (os) => {
    const { disk, file } = await target(os, `import-${os}`);
    const outcome = await traced({}, 'import', bench.store, exported.get(os) ?? '', '--to', file, '--json');
    expect(outcome.exitCode, outcome.stderr).toBe(0);
    const calls = await recorded();
    expectFlushed(calls, disk, field('type', 'result'), os === 'replaced' ? `${disk}.new` : disk);
    if (os === 'replaced') expectNameFlushed(calls, field('type', 'result'));
    expect(await sha256File(disk)).toBe(await sha256File(bench.file('source.img')));
  });

  test.each([
    ['raw', 'EIO', 'dmesg'],
    ['in-place', 'ENOSPC', 'Make room'],
    ['replaced', 'EDQUOT', 'quota'],
  ] as const)('by %s fails with the cause if the flush fails with %s, and the disk does not count as complete', async (os, error, hint) => {
    const { disk, file } = await target(os, `fails-${os}`);
    const fail = { call: 'fsync', path: disk, error };
    const { exitCode, stderr } = await traced({ fail }, 'import', bench.store, exported.get(os) ?? '', '--to', file);
    expect(exitCode, stderr).toBe(5);
    expect(stderr).toMatch(new RegExp(`cannot flush ${disk}: .*${error}.*\\[DISK_IO\\]`));
    expect(stderr).toContain('disk 0: written in part');
    expect(stderr).toContain(hint);
  });

  test('fails when the directory of a disk that the script replaced cannot be flushed', async () => {
    const { file } = await target('replaced', 'no-name');
    const fail = { call: 'fsync', path: bench.path, error: 'EIO' } as const;
    const { exitCode, stderr } = await traced({ fail }, 'import', bench.store, exported.get('replaced') ?? '', '--to', file);
    expect(exitCode, stderr).toBe(5);
    expect(stderr).toMatch(new RegExp(`cannot flush ${bench.path}: .*EIO`));
  });

  test('flushes both directories of a disk that is a link to a file which the script replaced', async () => {
    await using elsewhere = await makeTemporaryDirectory();
    const { disk, file } = await target('linked', 'linked');
    await rename(disk, elsewhere.file('disk.img'));
    await symlink(elsewhere.file('disk.img'), disk);
    const script = REPLACED.replaceAll('$IMPORT_DEVICE', '$(readlink -f "$IMPORT_DEVICE")');
    await bench.defineOs('linked', { export: 'exec cat "$EXPORT_DEVICE"', import: script });
    const reference = exported.get('in-place') ?? '';
    const outcome = await traced({}, 'import', bench.store, reference, '--to', file, '--allow-other-os', '--json');
    expect(outcome.exitCode, outcome.stderr).toBe(0);
    for (const directory of [bench.path, elsewhere.path]) expectNameFlushed(await recorded(), field('type', 'result'), directory);
  });

  test('fails if its script removes the disk', async () => {
    await bench.defineOs('removes', { export: 'exec cat "$EXPORT_DEVICE"', import: 'cat >/dev/null; rm "$IMPORT_DEVICE"' });
    const { file } = await target('removes', 'removed');
    const outcome = await bench.gantry('import', bench.store, exported.get('in-place') ?? '', '--to', file, '--allow-other-os');
    expect(outcome).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('[DISK_MISSING]') });
  });

  test.each(['raw', 'in-place'])('by %s into a loop device whose file has no space fails, and names the file', async (os) => {
    await using tmpfs = await mountNewTmpfs(2 * MIB);
    await makeSparseFile(tmpfs.file('disk'), 3 * MIB);
    await using loop = await attachLoopDevice(tmpfs.file('disk'));
    const file = await bench.describeInstance('full.example.com', { os, disks: [loop.path] });
    const outcome = await bench.gantry('import', bench.store, exported.get(os) ?? '', '--to', file);
    expect(outcome.exitCode, outcome.stderr).toBe(5);
    expect(outcome.stderr).toMatch(new RegExp(`cannot flush ${loop.path}: .*its data is in ${tmpfs.file('disk')}.*no space left`));
  });

  test('fails even if the script has synced the disk itself and ignored the error', async () => {
    await using tmpfs = await mountNewTmpfs(2 * MIB);
    await makeSparseFile(tmpfs.file('disk'), 3 * MIB);
    await using loop = await attachLoopDevice(tmpfs.file('disk'));
    const careless = `${IN_PLACE.replace('exec ', '')}; ! sync "$IMPORT_DEVICE"`;
    await bench.defineOs('careless', { export: 'exec cat "$EXPORT_DEVICE"', import: careless });
    const file = await bench.describeInstance('careless.example.com', { os: 'careless', disks: [loop.path] });
    const outcome = await bench.gantry('import', bench.store, exported.get('in-place') ?? '', '--to', file, '--allow-other-os');
    expect(outcome).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('EIO') });
  });
});

describe('create and rename', () => {
  test.each(['create', 'rename'])('%s flushes the disks before it reports success', async (operation) => {
    const { disk, file } = await target('in-place', operation);
    const outcome = await traced({}, operation, file, ...(operation === 'rename' ? ['new.example.com'] : []), '--json');
    expect(outcome.exitCode, outcome.stderr).toBe(0);
    expectFlushed(await recorded(), disk, field('type', 'result'));
    const fail = { call: 'fsync', path: disk, error: 'EIO' } as const;
    const failed = await traced({ fail }, operation, file, ...(operation === 'rename' ? ['new.example.com'] : []));
    expect(failed).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('EIO') });
  });
});

describe('a move', () => {
  let server: SshServer;

  beforeAll(async () => {
    server = await startSshServer();
  });

  afterAll(() => server[Symbol.asyncDispose]());

  /** Moves the source to a target there, whose receiver runs under strace. */
  async function move(
    os: string,
    to: string,
    options: Omit<StraceOptions, 'record' | 'calls'>,
    ...more: readonly string[]
  ): Promise<Outcome> {
    const receive = [...strace({ record: bench.file('record'), calls: CALLS, ...options }), ...GANTRY].join(' ');
    const env = `GANTRY_STATE_DIR=${bench.file('state-there')} GANTRY_OS_PATH=${bench.file('os')}`;
    await writeFile(bench.file('gantry'), `#!/bin/sh\nexec env ${env} ${receive} "$@"\n`);
    await chmod(bench.file('gantry'), 0o755);
    const peer = ['--peer-program', bench.file('gantry'), '--snapshot', 'none'];
    return bench.gantry('move', bench.file(`${os}.example.com.yaml`), server.address(''), '--to', to, ...peer, ...more);
  }

  test.each(['raw', 'in-place', 'replaced'])('by %s flushes a disk before it counts as taken', async (os) => {
    const { disk, file } = await target(os, `moved-${os}`);
    const outcome = await move(os, file, {});
    expect(outcome.exitCode, outcome.stderr).toBe(0);
    const calls = await recorded();
    for (const message of ['taken', 'prepared', 'committed']) {
      expectFlushed(calls, disk, field('kind', message), os === 'replaced' ? `${disk}.new` : disk);
      if (os === 'replaced') expectNameFlushed(calls, field('kind', message));
    }
    expect(await sha256File(disk)).toBe(await sha256File(bench.file('source.img')));
  });

  test('flushes after the rename script too, before it reports that it is prepared', async () => {
    const { disk, file } = await target('in-place', 'renamed');
    const outcome = await move('in-place', file, {}, '--rename');
    expect(outcome.exitCode, outcome.stderr).toBe(0);
    expectFlushed(await recorded(), disk, field('kind', 'prepared'));
  });

  test.each(['raw', 'in-place'])('by %s is not committed when a disk there cannot be flushed', async (os) => {
    const { disk, file } = await target(os, `not-moved-${os}`);
    const { exitCode, stderr } = await move(os, file, { fail: { call: 'fsync', path: disk, error: 'ENOSPC' } });
    expect(exitCode, stderr).toBe(5);
    expect(stderr).toMatch(new RegExp(`cannot flush ${disk}: .*ENOSPC`));
    expect(stderr).toContain('written in part');
    expect(stderr).toContain('Make room');
  });
});
