import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { tryHostLock } from './host-lock.ts';

test('a lock of the host has one holder at a time, and its name is its own', async () => {
  const name = randomUUID();
  {
    await using first = await tryHostLock(name);
    expect(first).toBeDefined();
    expect(await tryHostLock(name)).toBeUndefined();
    await using other = await tryHostLock(randomUUID());
    expect(other).toBeDefined();
  }
  await using again = await tryHostLock(name);
  expect(again).toBeDefined();
});

test('a lock of the host can be released twice', async () => {
  const lock = await tryHostLock(randomUUID());
  await lock?.[Symbol.asyncDispose]();
  await lock?.[Symbol.asyncDispose]();
});

test('a lock of the host that another process holds is free when that one is killed', async () => {
  const name = randomUUID();
  const script = `const { tryHostLock } = await import(process.argv[1]);
    const lock = await tryHostLock(process.argv[2]);
    console.log(lock === undefined ? 'not locked' : 'locked');
    setInterval(() => lock, 1e9);`;
  const file = new URL('host-lock.ts', import.meta.url).href;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script, file, name], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  try {
    expect(String(await once(child.stdout, 'data'))).toBe('locked\n');
    expect(await tryHostLock(name)).toBeUndefined();
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
  await using lock = await tryHostLock(name);
  expect(lock).toBeDefined();
});
