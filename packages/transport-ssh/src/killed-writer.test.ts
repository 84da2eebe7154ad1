import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { afterAll, describe, expect, test } from 'vitest';
import { localSftp } from '../test/local-sftp.ts';
import { parseAddress } from './address.ts';
import { SshStore } from './ssh-store.ts';

/* The leftovers of a writer that is killed at any moment: its owner is known to be dead, and clearing does not touch complete objects. */

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-killed-'));

const KEY = 'web1/x/disk0';
const PATHS_OF_OBJECT = ['web1', 'web1/x', KEY];

function open(path: string): SshStore {
  return new SshStore(localSftp(), parseAddress(new URL(`ssh://peer${path}`)), () => undefined);
}

const WRITER = fileURLToPath(new URL('../test/write-and-die.ts', import.meta.url));
const LOCAL_WRITER = fileURLToPath(new URL('../../transport-file/test/write-and-die.ts', import.meta.url));

/** Runs a writer that kills itself at some point. @returns whether it reached that point; it has ended in any case */
async function isKilled(script: string, ...args: readonly string[]): Promise<boolean> {
  const child = spawn(process.execPath, ['--conditions=@gantry/source', script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.resume();
  const [, signal] = await once(child, 'close');
  return signal === 'SIGKILL';
}

/** Clears as `gantry clean` does. @returns what is left */
async function clear(store: Store, path: string, when: string): Promise<readonly string[]> {
  const left = await Array.fromAsync(store.pending(''));
  for (const write of left) expect(write, when).toMatchObject({ owner: 'dead' });
  await store.clear(left.map(({ token }) => token));
  await store.clear([]);
  return (await readdir(path, { recursive: true })).toSorted();
}

describe('a writer over SFTP', () => {
  test('that is killed at any request', { timeout: 600_000 }, async () => {
    let kills = 0;
    // Node keeps what it compiled where a program ends by itself.
    expect(await isKilled(WRITER, await mkdtemp(directory.file('sftp-')), KEY, '1000000')).toBe(false);
    for (let nth = 1; ; nth += 1) {
      const path = await mkdtemp(directory.file('sftp-'));
      const killed = await isKilled(WRITER, path, KEY, String(nth));
      if (!killed) break;
      kills += 1;
      await using store = open(path);
      expect([[], PATHS_OF_OBJECT], `request ${nth}`).toContainEqual(await clear(store, path, `request ${nth}`));
    }
    expect(kills).toBeGreaterThan(20);
  });
});

describe('a writer in a local directory, cleared over SFTP', () => {
  test.each(['mkdir', 'open', 'rename', 'link', 'unlink', 'rmdir'])(
    'that is killed at any call of %s',
    { timeout: 300_000 },
    async (called) => {
      let kills = 0;
      expect(await isKilled(LOCAL_WRITER, await mkdtemp(directory.file('local-')), KEY, called, '1000000')).toBe(false);
      for (let nth = 1; ; nth += 1) {
        const path = await mkdtemp(directory.file('local-'));
        const killed = await isKilled(LOCAL_WRITER, path, KEY, called, String(nth));
        if (!killed) break;
        kills += 1;
        await using store = open(path);
        expect([[], PATHS_OF_OBJECT], `${called} ${nth}`).toContainEqual(await clear(store, path, `${called} ${nth}`));
      }
      expect(kills).toBeGreaterThan(0);
    },
  );
});

describe('leftovers of a killed version 0.1.0', () => {
  const token = 'ab'.repeat(16);
  const DAY_MS = 24 * 60 * 60 * 1000;

  async function leave(name: string, ageMs: number): Promise<string> {
    const path = await mkdtemp(directory.file('old-'));
    const unfinished = join(path, '.gantry-pending', token);
    await mkdir(unfinished, { recursive: true });
    await writeFile(join(unfinished, name), '{"key":');
    const then = new Date(Date.now() - ageMs);
    await utimes(join(unfinished, name), then, then);
    await utimes(unfinished, then, then);
    return path;
  }

  test.each(['record.json.new', `data-${'0'.repeat(16)}`])(
    'no record, but %s, for more than a day: its owner is dead, and it is cleared',
    async (name) => {
      const path = await leave(name, DAY_MS + 60_000);
      await using store = open(path);
      expect(await Array.fromAsync(store.pending(''))).toMatchObject([{ token, key: `unknown/${token}`, owner: 'dead' }]);
      expect(await clear(store, path, name)).toEqual([]);
    },
  );

  test.each([
    ['record.json.new', DAY_MS - 60_000],
    ['record.json', 2 * DAY_MS],
    ['something else', 2 * DAY_MS],
  ])('%s, for %i ms: its owner is unknown', async (name, ageMs) => {
    await using store = open(await leave(name, ageMs));
    expect(await Array.fromAsync(store.pending(''))).toMatchObject([{ token, owner: 'unknown' }]);
  });

  test('an empty .gantry-pending: it is removed', async () => {
    const path = await mkdtemp(directory.file('empty-'));
    await mkdir(join(path, '.gantry-pending'));
    await using store = open(path);
    expect(await clear(store, path, 'empty')).toEqual([]);
  });

  test('a write with a record of that version is listed with its owner, resumed, and cleared', async () => {
    const path = await mkdtemp(directory.file('record-'));
    const unfinished = join(path, '.gantry-pending', token);
    await mkdir(unfinished, { recursive: true });
    const owner = { host: 'elsewhere', bootId: 'b', pid: 1, startTime: '1' };
    const id = '0'.repeat(16);
    const record = { key: 'a', ifExists: 'fail', started: '2026-01-01T00:00:00Z', owner, data: `data-${id}`, mark: `durable-${id}` };
    await writeFile(join(unfinished, 'record.json'), JSON.stringify(record));
    await writeFile(join(unfinished, `data-${id}`), 'content, and a hole');
    await writeFile(join(unfinished, `durable-${id}`), '0000000000000007');
    await using store = open(path);
    expect(await Array.fromAsync(store.pending(''))).toMatchObject([
      { token, key: 'a', durableBytes: 7, owner: 'unknown', ownerText: 'host elsewhere, process 1' },
    ]);
    await using resumed = await store.resume(token);
    expect(resumed.durableBytes).toBe(7);
    await resumed.discard();
    expect(await readdir(path)).toEqual([]);
  });
});
