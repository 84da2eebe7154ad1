import { execa } from 'execa';
import process from 'node:process';
import { makeRandomFile, makeSparseFile, mountNewXfs, oneIn } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { lastLine, makeWorkbench, waitForFile } from './workbench.ts';

const MIB = 1024 * 1024;

/** A definition whose export script writes its pid once it has started, ignores TERM in a child, and never ends. */
async function benchWithEndlessExport(): Promise<Workbench> {
  const bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk.img'), 2 * MIB, 'disk');
  await bench.defineOs('endless', {
    export:
      'head -c 9000000 /dev/urandom; (trap "" TERM; echo $$ >"$PWD/pid.tmp"; mv "$PWD/pid.tmp" "$PWD/pid"; while :; do sleep 1; done)',
    import: 'echo $$ >"$PWD/pid.tmp"; mv "$PWD/pid.tmp" "$PWD/pid"; cat >/dev/null; while :; do sleep 1; done',
  });
  return bench;
}

/** Whether any process of the script's group is left (its leader's pid is the group's id). */
async function groupLives(pid: string): Promise<boolean> {
  const { stdout } = await execa('ps', ['-eo', 'pgid=,stat='], { reject: false });
  return stdout.split('\n').some((line) => {
    const [pgid, state] = line.trim().split(/\s+/);
    return pgid === pid.trim() && state !== undefined && !state.startsWith('Z');
  });
}

const signals = [
  ['SIGTERM', 143],
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const;

describe.each(oneIn(3, signals))('%s', (signal, exitCode) => {
  test('ends an endless export and its scripts, and removes what it wrote', async () => {
    await using bench = await benchWithEndlessExport();
    const instance = await bench.describeInstance('web1.example.com', { os: 'endless', disks: ['disk.img'] });
    const running = bench.start('export', instance, bench.store);
    const pid = await waitForFile(bench.file('os', 'endless', 'pid'));
    running.kill(signal);
    const outcome = await running.outcome;
    expect(outcome.exitCode, outcome.stderr).toBe(exitCode);
    expect(outcome.stderr).toContain(`interrupted by ${signal}`);
    expect(await groupLives(pid)).toBe(false);
    expect(await bench.stored()).toEqual([]);
    expect(await bench.journal()).toEqual([]);
  });

  test('ends an import, and reports the state of the disks', async () => {
    await using bench = await benchWithEndlessExport();
    await bench.defineOs('stuck', { export: 'cat "$EXPORT_DEVICE"', import: 'echo $$ >"$PWD/t"; mv "$PWD/t" "$PWD/pid"; sleep 1000' });
    const instance = await bench.describeInstance('web1.example.com', { os: 'stuck', disks: ['disk.img'] });
    const exported = await bench.gantry('export', instance, bench.store);
    const running = bench.start('import', bench.store, lastLine(exported.stdout), '--to', instance);
    const pid = await waitForFile(bench.file('os', 'stuck', 'pid'));
    running.kill(signal);
    const outcome = await running.outcome;
    expect(outcome.exitCode, outcome.stderr).toBe(exitCode);
    expect(outcome.stderr).toMatch(/disk 0.*written in part/);
    expect(await groupLives(pid)).toBe(false);
  });
});

describe('SIGKILL', () => {
  test('leaves things that the next export names and removes', async () => {
    await using xfs = await mountNewXfs();
    await using bench = await benchWithEndlessExport();
    await makeRandomFile(xfs.file('disk.img'), 2 * MIB, 'disk');
    const instance = await bench.describeInstance('web1.example.com', { os: 'endless', disks: [xfs.file('disk.img')] });
    const running = bench.start('export', instance, bench.store);
    const pid = await waitForFile(bench.file('os', 'endless', 'pid'));
    process.kill(running.pid, 'SIGKILL');
    await running.outcome;
    expect(await groupLives(pid)).toBe(true);
    expect((await bench.gantry('list', bench.store)).stdout).toMatch(/unfinished/);
    const named = await bench.gantry('clean', bench.store, '--dry-run');
    expect(named.stdout).toMatch(/web1\.example\.com/);
    expect(await groupLives(pid)).toBe(true);

    const quick = await bench.describeInstance('web1.example.com', { os: 'raw', disks: [xfs.file('disk.img')] });
    const next = await bench.gantry('export', quick, bench.store);
    expect(next.exitCode, next.stderr).toBe(0);
    expect(next.stderr).toMatch(/snapshot/);
    expect(await groupLives(pid)).toBe(false);
    const { stdout } = await execa('ls', ['-A', xfs.path]);
    expect(stdout).toBe('disk.img');
    expect((await bench.gantry('list', bench.store)).stdout).not.toMatch(/unfinished/);
    expect((await bench.stored()).every((name) => name.startsWith(lastLine(next.stdout).replace('@', '/')))).toBe(true);
  });

  test('leaves things that gantry clean removes', async () => {
    await using bench = await benchWithEndlessExport();
    const instance = await bench.describeInstance('web1.example.com', { os: 'endless', disks: ['disk.img'] });
    const running = bench.start('export', instance, bench.store);
    const pid = await waitForFile(bench.file('os', 'endless', 'pid'));
    process.kill(running.pid, 'SIGKILL');
    await running.outcome;
    const cleaned = await bench.gantry('clean', bench.store);
    expect(cleaned.exitCode, cleaned.stderr).toBe(0);
    expect(await groupLives(pid)).toBe(false);
    expect(await bench.stored()).toEqual([]);
    expect(await bench.journal()).toEqual([]);
  });
});

describe('two at once', () => {
  test('a second export of the same instance is refused, and the error names the process of the first', async () => {
    await using bench = await benchWithEndlessExport();
    const instance = await bench.describeInstance('web1.example.com', { os: 'endless', disks: ['disk.img'] });
    const running = bench.start('export', instance, bench.store);
    await waitForFile(bench.file('os', 'endless', 'pid'));
    const second = await bench.gantry('export', instance, bench.store);
    expect(second.exitCode, second.stderr).toBe(10);
    expect(second.stderr).toMatch(new RegExp(`web1\\.example\\.com.*${running.pid}`, 's'));
    // Nor may an import write to a disk that is being exported, under any instance name.
    await makeSparseFile(bench.file('other.img'), 2 * MIB);
    const other = await bench.describeInstance('other.example.com', { disks: ['other.img'] });
    const exported = await bench.gantry('export', other, bench.store);
    const target = await bench.describeInstance('other.example.com', { disks: ['disk.img'] });
    const refused = await bench.gantry('import', bench.store, lastLine(exported.stdout), '--to', target);
    expect(refused.exitCode, refused.stderr).toBe(10);
    // Nor may clean remove what is in use.
    expect(await bench.gantry('clean', bench.store)).toMatchObject({ exitCode: 0 });
    running.kill('SIGTERM');
    expect((await running.outcome).exitCode).toBe(143);
  });
});
