import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';

import { attachLoopDevice, makeRandomFile, makeSparseFile, PATIENTLY, sha256File } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import type { Workbench } from '../../test/snapshots/workbench.ts';
import { openWorkbench } from '../../test/snapshots/workbench.ts';
import { runningMembers } from '../system/process-group.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { undoHandlers } from '../flow/undo-handlers.ts';
import { createCommandProvider } from './command.ts';
import type { SnapshotConfig } from './snapshot-config.ts';
import { parseSnapshotConfig } from './snapshot-config.ts';

/** Machines that run tests may have much else to do. */

const MiB = 1024 * 1024;

/** The pair that every machine has: a copy, made and removed. */
const copies = { create: ['cp', '{path}', '{path}.{run}'], remove: ['rm', '-f', '{path}.{run}'], device: '{path}.{run}' };

function configure(config: Record<string, unknown>): SnapshotConfig {
  return parseSnapshotConfig(JSON.stringify(config), 'test');
}

/** An executable shell script, for what a configuration calls. */
async function script(bench: Workbench, name: string, text: string): Promise<string> {
  await writeFile(bench.file(name), `#!/bin/sh\n${text}\n`);
  await chmod(bench.file(name), 0o755);
  return bench.file(name);
}

async function withDisk(): Promise<Workbench & { readonly disk: string; readonly snapshot: string }> {
  const bench = await openWorkbench();
  await makeRandomFile(bench.file('disk'), MiB, 'disk');
  return { ...bench, disk: bench.file('disk'), snapshot: `${bench.file('disk')}.${bench.run.id}` };
}

describe('a pair of commands', () => {
  test('makes the snapshot and removes it', async () => {
    await using bench = await withDisk();
    {
      await using set = await bench.take('command', [bench.disk], { config: configure(copies) });
      expect(set.snapshots).toEqual([{ index: 0, kind: 'command', path: bench.snapshot }]);
      expect(await sha256File(bench.snapshot)).toBe(await sha256File(bench.disk));
    }
    await expect(stat(bench.snapshot)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(bench.warnings).toEqual([]);
  });

  test('may say in its last line where the snapshot is', async () => {
    await using bench = await withDisk();
    const create = await script(bench, 'create', 'echo making; cp "$1" "$1.copy"; echo "$1.copy"');
    const config = configure({ create: [create, '{path}'], remove: ['rm', '-f', '{path}.copy'] });
    await using set = await bench.take('command', [bench.disk], { config });
    expect(set.snapshots[0]?.path).toBe(`${bench.disk}.copy`);
  });

  test('gets what it asks for, argument by argument, and no environment but PATH and LC_ALL', async () => {
    await using bench = await withDisk();
    const create = await script(
      bench,
      'create',
      `env > "${bench.file('env')}"; pwd > "${bench.file('pwd')}"; printf '%s\\n' "$@" > "${bench.file('args')}"; touch "$1.s"; echo "$1.s"`,
    );
    const parameters = [
      '{path}',
      '{basename}',
      '{dirname}',
      '{name}',
      '{instance}',
      '{index}',
      '{run}',
      '{uuid}',
      '{uri}',
      '$HOME; two words',
      '{{x}}',
    ];
    const config = configure({ create: [create, ...parameters], remove: ['rm', '-f', '{path}.s'] });
    const disk = { path: bench.disk, access: 'rw', name: 'root disk', uuid: 'u-1', uri: 'rbd:a/b' } as const;
    await using _set = await bench.take('command', [disk], { config });
    expect((await readFile(bench.file('args'), 'utf8')).trimEnd().split('\n')).toEqual([
      bench.disk,
      'disk',
      bench.file(),
      'root disk',
      'web1',
      '0',
      bench.run.id,
      'u-1',
      'rbd:a/b',
      '$HOME; two words',
      '{x}',
    ]);
    const variables = (await readFile(bench.file('env'), 'utf8')).trimEnd().split('\n');
    // PWD is the shell's own doing.
    expect(variables.filter((line) => !/^(PWD|OLDPWD|SHLVL|_)=/.test(line)).toSorted()).toEqual([
      'LC_ALL=C',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    ]);
    expect(await readFile(bench.file('pwd'), 'utf8')).toBe('/\n');
  });

  test('serves a disk that has a URI alone', async () => {
    await using bench = await openWorkbench();
    const create = await script(bench, 'create', `echo "$1" > "${bench.file('mapped')}"; echo "${bench.file('mapped')}"`);
    const config = configure({ create: [create, '{uri}'], remove: ['true'] });
    await using set = await bench.take('command', [{ uri: 'rbd:pool/image', access: 'rw' }], { config });
    expect(set.snapshots).toEqual([{ index: 0, kind: 'command', path: bench.file('mapped') }]);
  });

  test('may make a block device', async () => {
    await using bench = await withDisk();
    await makeSparseFile(bench.file('other'), MiB);
    await using loop = await attachLoopDevice(bench.file('other'));
    await using set = await bench.take('command', [bench.disk], {
      config: configure({ create: ['true'], remove: ['true'], device: loop.path }),
    });
    expect(set.snapshots[0]?.path).toBe(loop.path);
  });

  test('may leave a daemon behind that keeps the output open', async () => {
    await using bench = await withDisk();
    const create = await script(bench, 'create', 'cp "$1" "$1.copy"; setsid sleep 2 & echo "$1.copy"');
    const config = configure({ create: [create, '{path}'], remove: ['rm', '-f', '{path}.copy'] });
    await using set = await bench.take('command', [bench.disk], { config });
    expect(set.snapshots[0]?.path).toBe(`${bench.disk}.copy`);
  });
});

/** What the configured `remove` left as its sign. */
async function removed(bench: Workbench): Promise<string[]> {
  return (await readdir(bench.file())).filter((name) => name.startsWith('removed'));
}

describe('a create that goes wrong fails the export, and remove runs', () => {
  test.each([
    ['exits with a status', 'echo one >&2; echo two >&2; exit 5', / failed with status 5: one \/ two$/],
    ['dies by a signal', 'kill -KILL $$', / was killed by SIGKILL and no output$/],
    ['says nothing of where the snapshot is', 'true', /the last line that create wrote is not an absolute path: ""$/],
    ['says something else in its last line', 'echo /etc; echo done', /is not an absolute path: "done"$/],
    ['names what is not there', 'echo /nowhere/x', /\/nowhere\/x did not appear within 0 s after create ended$/],
    ['names a directory', 'echo /etc', /\/etc is neither a block device nor a file$/],
    ['names a character device', 'echo /dev/null', /\/dev\/null is neither a block device nor a file$/],
    ['names the disk itself', 'echo "$1"', /disk is the disk itself$/],
  ])('%s', async (_, text, message) => {
    await using bench = await withDisk();
    const create = await script(bench, 'create', text);
    const config = configure({
      create: [create, '{path}'],
      remove: ['touch', `${bench.file('removed')}-{index}`],
      timeouts: { device: 0 },
    });
    await expect(bench.take('command', [bench.disk], { config })).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      disk: 0,
      message: expect.stringMatching(message),
    });
    expect(await removed(bench)).toEqual(['removed-0']);
    expect(bench.warnings).toEqual([]);
  });

  test('cannot be run', async () => {
    await using bench = await withDisk();
    const config = configure({ create: ['/nowhere/create'], remove: ['true'] });
    await expect(bench.take('command', [bench.disk], { config })).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: expect.stringContaining('cannot run /nowhere/create: ENOENT: no such file or directory'),
    });
  });

  test('does not end: it is ended with all that it started', async () => {
    await using bench = await withDisk();
    const create = await script(bench, 'create', `sleep 1000 & echo $$ > "${bench.file('pid')}"; wait`);
    const config = configure({ create: [create], remove: ['true'], timeouts: { create: 0.5 } });
    await expect(bench.take('command', [bench.disk], { config })).rejects.toMatchObject({
      message: expect.stringContaining('did not end within 0.5 s and was killed'),
    });
    expect(await alive(bench)).toEqual([]);
  });

  test('for the second disk: what was made of the first is removed', async () => {
    await using bench = await withDisk();
    const create = await script(bench, 'create', 'test "$2" = 0 || exit 1; cp "$1" "$1.copy"; echo "$1.copy"');
    const config = configure({ create: [create, '{path}', '{index}'], remove: ['rm', '-f', '{path}.copy'] });
    await makeSparseFile(bench.file('second'), MiB);
    await expect(bench.take('command', [bench.disk, bench.file('second')], { config })).rejects.toMatchObject({ disk: 1 });
    await expect(stat(`${bench.disk}.copy`)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('that is cancelled is ended at once, and remove runs all the same', async () => {
    await using bench = await withDisk();
    const create = await script(bench, 'create', `echo $$ > "${bench.file('pid')}"; sleep 1000`);
    const config = configure({ create: [create], remove: ['touch', bench.file('removed')] });
    const cancel = new AbortController();
    const taking = expect(bench.take('command', [bench.disk], { config, signal: cancel.signal })).rejects.toThrow('enough');
    await expect.poll(() => readFile(bench.file('pid'), 'utf8').catch(() => ''), PATIENTLY).toMatch(/\n$/);
    cancel.abort(new Error('enough'));
    await taking;
    expect(await alive(bench)).toEqual([]);
    expect(await removed(bench)).toEqual(['removed']);
  });
});

/** What still runs of the session whose first process wrote its number into the file `pid`. */
async function alive(bench: Workbench): Promise<readonly number[]> {
  const pgid = Number(await readFile(bench.file('pid'), 'utf8'));
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  return runningMembers({ pgid, startTime: 0, bootId });
}

describe('a remove that fails', () => {
  test('is reported, and stays in the journal for the next run', async () => {
    await using bench = await withDisk();
    const config = configure({ ...copies, remove: [await script(bench, 'remove', 'echo in use >&2; exit 1')] });
    {
      await using _set = await bench.take('command', [bench.disk], { config });
    }
    expect(bench.warnings).toEqual([
      expect.stringMatching(
        /^disk 0: could not undo: snapshot of disk 0 \(.*\), removed by .*remove: .* failed with status 1: in use; the next run tries again$/,
      ),
    ]);
    await bench.run[Symbol.asyncDispose]();
    await script(bench, 'remove', `rm "${bench.snapshot}"`);
    const { signal } = new AbortController();
    const report = await recoverDeadRuns({ stateDirectory: bench.stateDirectory, undos: undoHandlers(), signal });
    expect(report.leftovers.map(({ outcome }) => outcome)).toEqual(['cleared']);
    await expect(stat(bench.snapshot)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('because there is nothing means nothing where the device is known', async () => {
    await using bench = await withDisk();
    const config = configure({ ...copies, remove: ['false'] });
    {
      await using set = await bench.take('command', [bench.disk], { config });
      await rm(set.snapshots[0]?.path ?? '');
    }
    expect(bench.warnings).toEqual([]);
  });

  test('because it does not end is ended', async () => {
    await using bench = await withDisk();
    const config = configure({ ...copies, remove: ['sleep', '1000'], timeouts: { remove: 0.2 } });
    {
      await using _set = await bench.take('command', [bench.disk], { config });
    }
    expect(bench.warnings).toEqual([expect.stringContaining('sleep did not end within 0.2 s and was killed')]);
  });
});

describe('a disk that the commands do not fit', () => {
  test.each([
    ['it has no name', { create: ['a', '{name}'], remove: ['b'] }, 'the commands need {name}, which the disk does not have'],
    ['only remove asks for it', { create: ['a'], remove: ['b', '{uuid}'] }, 'the commands need {uuid}, which the disk does not have'],
    ['there are only freeze and thaw', { freeze: ['a'], thaw: ['b'] }, 'the configuration has no commands create and remove'],
  ])('is refused: %s', async (_, config, reason) => {
    const { signal } = new AbortController();
    const request = { index: 0, disk: { path: '/x', access: 'rw' } } as const;
    expect(await createCommandProvider(configure(config)).supports(request, signal)).toEqual({ ok: false, reason });
  });

  test('is refused when there is no configuration', async () => {
    await using bench = await withDisk();
    await expect(bench.take('command', [bench.disk])).rejects.toMatchObject({
      code: 'SNAPSHOT_UNSUPPORTED',
      message: `cannot take a command snapshot of disk 0 (${bench.disk}): no commands are configured (--snapshot-config)`,
    });
  });
});
