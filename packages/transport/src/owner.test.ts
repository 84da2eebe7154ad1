import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { identifyProcess } from './process-identity.ts';
import type { HostProcess } from './owner.ts';
import { ownerOf, thisProcess } from './owner.ts';

test('this process is alive', async () => {
  expect(await ownerOf(await thisProcess())).toBe('alive');
});

test('a process that was killed is dead', async () => {
  const child = spawn('sleep', ['600']);
  const identity = await identifyProcess(child.pid ?? 0);
  if (identity === undefined) throw new Error('the process has ended');
  const holder: HostProcess = { ...(await thisProcess()), ...identity };
  expect(await ownerOf(holder)).toBe('alive');
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await ownerOf(holder)).toBe('dead');
});

test('a process is dead even if another one has its number now', async () => {
  const here = await thisProcess();
  expect(await ownerOf({ ...here, startTime: here.startTime - 1 })).toBe('dead');
});

test('a process from before the last boot of this host is dead', async () => {
  const here = await thisProcess();
  expect(await ownerOf({ ...here, bootId: '00000000-0000-4000-8000-000000000000' })).toBe(here.machine === '' ? 'unknown' : 'dead');
});

test.each([{ host: 'another.example.com' }, { machine: 'f'.repeat(32) }, { pidNamespace: 'pid:[1]' }])(
  'the state of a process elsewhere is unknown: %j',
  async (elsewhere) => {
    expect(await ownerOf({ ...(await thisProcess()), ...elsewhere })).toBe('unknown');
  },
);
