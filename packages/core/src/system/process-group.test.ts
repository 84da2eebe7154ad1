import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import type { ProcessGroup } from './process-group.ts';
import { endProcessGroup, groupEnded, identifyGroup, runningMembers } from './process-group.ts';

interface RunningGroup extends AsyncDisposable {
  readonly group: ProcessGroup;
  readonly leader: ChildProcess;
  readonly exited: Promise<unknown>;
}

/** A shell that leads a session of its own, runs `script`, says `ready`, and goes on with `then`. Killed at the end of the test. */
async function startGroup(script: string, then = 'wait'): Promise<RunningGroup> {
  const leader = spawn('sh', ['-c', `${script}\necho ready\n${then}`], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  const exited = once(leader, 'exit');
  await once(leader.stdout, 'data');
  const group = identifyGroup(leader.pid ?? -1);
  return {
    group,
    leader,
    exited,
    async [Symbol.asyncDispose]() {
      await endProcessGroup(group, { graceMs: 0 });
    },
  };
}

describe('a process group', () => {
  test('is remembered by number, start and boot', async () => {
    await using running = await startGroup('sleep 1000000 &');
    const stat = readFileSync(`/proc/${String(running.leader.pid)}/stat`, 'utf8').split(' ');
    expect(running.group).toEqual({
      pgid: running.leader.pid,
      startTime: Number(stat[21]),
      bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    });
  });

  test('has as members all that its leader started, in groups of their own too', async () => {
    await using running = await startGroup('sleep 1000000 & (sleep 1000000; :) & timeout 1000000 sleep 1000000 &');
    // The shell, a sleep, a subshell with its sleep, timeout with its sleep; some may only just be starting.
    await expect.poll(() => runningMembers(running.group).length).toBe(6);
    expect(runningMembers(running.group)).toContain(running.leader.pid);
  });

  test('ends at SIGTERM, and is gone when that is said', async () => {
    await using running = await startGroup('sleep 1000000 & timeout 1000000 sleep 1000000 &');
    expect(await endProcessGroup(running.group, { graceMs: 60_000 })).toEqual([]);
    expect(runningMembers(running.group)).toEqual([]);
    expect(await running.exited).toEqual([null, 'SIGTERM']);
  });

  test('is killed when it does not heed SIGTERM, grandchildren too', async () => {
    await using running = await startGroup("trap '' TERM; (sleep 1000000; :) & timeout --signal=KILL 1000000 sleep 1000000 &");
    const startedAt = performance.now();
    expect(await endProcessGroup(running.group, { graceMs: 200 })).toEqual([]);
    // A timer may fire up to a millisecond early.
    expect(performance.now() - startedAt).toBeGreaterThan(198);
    expect(await running.exited).toEqual([null, 'SIGKILL']);
  });

  test('goes on without its leader, and is ended without it', async () => {
    await using running = await startGroup('sleep 1000000 &', 'kill -KILL $$');
    await running.exited;
    expect(runningMembers(running.group)).toHaveLength(1);
    expect(await endProcessGroup(running.group)).toEqual([]);
    expect(runningMembers(running.group)).toEqual([]);
  });

  test('that has ended is left in peace', async () => {
    await using running = await startGroup('', 'exit 0');
    await running.exited;
    expect(await endProcessGroup(running.group)).toEqual([]);
  });

  test('can be waited for', async () => {
    await using running = await startGroup('sleep 1000000 &');
    expect(await groupEnded(running.group, 20)).toBe(false);
    process.kill(-running.group.pgid, 'SIGKILL');
    expect(await groupEnded(running.group, 60_000)).toBe(true);
  });

  test.each([
    ['started at another time', (group: ProcessGroup) => ({ ...group, startTime: group.startTime - 1 })],
    ['counted from another start of the machine', (group: ProcessGroup) => ({ ...group, bootId: 'another' })],
  ])('is not taken for one of the same number that %s', async (_, other) => {
    await using running = await startGroup('sleep 1000000 &');
    expect(runningMembers(other(running.group))).toEqual([]);
    expect(await endProcessGroup(other(running.group))).toEqual([]);
    expect(running.leader.exitCode).toBeNull();
    expect(runningMembers(running.group)).not.toEqual([]);
  });

  test('is found with any name of its leader', async () => {
    const leader = spawn('/bin/sh', ['-c', 'printf ") R 1 (" >/proc/$$/comm; echo ready; sleep 1000000'], {
      detached: true,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(leader.stdout, 'data');
    const group = identifyGroup(leader.pid ?? -1);
    try {
      expect(runningMembers(group)).toContain(leader.pid);
    } finally {
      expect(await endProcessGroup(group)).toEqual([]);
    }
  });
});
