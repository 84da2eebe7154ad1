import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { link, mkdir, readFile, readdir, rm, stat, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isStoreError } from '@gantry/transport';
import type { Digest, StoreErrorCode } from '@gantry/transport';
import { makeTemporaryDirectory, mountImage, mountNewBtrfs, mountNewTmpfs, mountReadOnly } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { FileStore } from './file-store.ts';

const MiB = 1024 * 1024;

const OWNER = { host: 'h', bootId: 'b', pid: 1, startTime: '1' };

async function* pieces(count: number, bytes: number = MiB): AsyncGenerator<Uint8Array> {
  const piece = Buffer.alloc(bytes, 'p');
  for (let index = 0; index < count; index += 1) yield piece;
}

function digestOfPieces(count: number): Digest {
  return {
    size: count * MiB,
    sha256: createHash('sha256')
      .update(Buffer.alloc(count * MiB, 'p'))
      .digest('hex'),
  };
}

async function put(store: FileStore, key: string, content: string, ifExists: 'fail' | 'replace' = 'fail'): Promise<void> {
  await using pending = await store.begin(key, { ifExists });
  await pending.append(pieces(0));
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(content);
  }
  await pending.append(source());
  await pending.commit({ size: Buffer.byteLength(content), sha256: createHash('sha256').update(content).digest('hex') });
}

async function codeOf(call: Promise<unknown>): Promise<StoreErrorCode | undefined> {
  const error = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error !== undefined && !isStoreError(error)) throw error;
  return error?.code;
}

async function openDescriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}

describe('without free space', () => {
  test('append fails with full, and nothing is left', async () => {
    await using disk = await mountNewTmpfs(4 * MiB);
    const store = new FileStore(disk.file('store'));
    {
      await using pending = await store.begin('a/disk0');
      expect(await codeOf(pending.append(pieces(8)))).toBe('full');
    }
    expect(await readdir(disk.file('store'))).toEqual([]);
    await put(store, 'small', 'there is space again');
  });

  test('because of a quota, append fails with full too', async () => {
    await using disk = await mountNewBtrfs();
    const run = promisify(execFile);
    await run('btrfs', ['quota', 'enable', disk.path]);
    await run('btrfs', ['qgroup', 'limit', '4M', disk.path]);
    await using pending = await new FileStore(disk.file('store')).begin('a/disk0');
    const failure: unknown = await pending.append(pieces(64)).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'full', message: expect.stringContaining('EDQUOT') });
  });

  test('begin fails with full, and nothing is left', async () => {
    await using disk = await mountNewTmpfs(MiB);
    await mkdir(disk.file('store'));
    await writeFile(disk.file('filler'), Buffer.alloc(MiB));
    expect(await codeOf(new FileStore(disk.file('store')).begin('a/disk0'))).toBe('full');
    expect(await readdir(disk.file('store'))).toEqual([]);
  });
});

test('a store that is mounted read-only can be read, and fails with denied on writing', async () => {
  await using directory = await makeTemporaryDirectory();
  await put(new FileStore(directory.path), 'a', 'content');
  await using mounted = await mountReadOnly(directory.path);
  const store = new FileStore(mounted.path);
  expect(await store.stat('a')).toMatchObject({ size: 7 });
  expect(await codeOf(store.begin('b'))).toBe('denied');
  expect(await codeOf(store.remove(['a']))).toBe('denied');
});

test('files have mode 0600 and directories 0700, including a root that the store created', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.file('store'));
  await using _pending = await store.begin('c');
  await put(store, 'a/b', 'content');
  const pending = directory.file('store', '.gantry-pending');
  const [token = ''] = await readdir(pending);
  const modes = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;
  for (const path of [directory.file('store'), directory.file('store', 'a'), pending, `${pending}/${token}`]) {
    expect(await modes(path), path).toBe(0o700);
  }
  const unfinished = (await readdir(join(pending, token))).map((name) => join(pending, token, name));
  expect(unfinished).toHaveLength(2);
  for (const path of [directory.file('store', 'a', 'b'), ...unfinished]) expect(await modes(path), path).toBe(0o600);
});

describe('the root', () => {
  test('is not created by reading, which reports that it is missing', async () => {
    await using directory = await makeTemporaryDirectory();
    const store = new FileStore(directory.file('store'));
    expect(await codeOf(store.stat('a'))).toBe('not-found');
    expect(await codeOf(Array.fromAsync(store.list('')))).toBe('not-found');
    await store.remove(['a']);
    await store.clear(['0'.repeat(32)]);
    expect(await Array.fromAsync(store.pending(''))).toEqual([]);
    expect(await readdir(directory.path)).toEqual([]);
  });

  test('is not created if its parent is missing', async () => {
    await using directory = await makeTemporaryDirectory();
    expect(await codeOf(new FileStore(directory.file('typo', 'store')).begin('a'))).toBe('not-found');
    expect(await readdir(directory.path)).toEqual([]);
  });

  test('cannot be a file', async () => {
    await using directory = await makeTemporaryDirectory();
    await writeFile(directory.file('store'), 'something else');
    const store = new FileStore(directory.file('store'));
    await expect(store.begin('a')).rejects.toMatchObject({ code: 'not-found', message: expect.stringContaining('is not a directory') });
    expect(await codeOf(Array.fromAsync(store.list('')))).toBe('not-found');
    expect(await readFile(directory.file('store'), 'utf8')).toBe('something else');
  });

  test('may itself be reached through a link', async () => {
    await using directory = await makeTemporaryDirectory();
    await mkdir(directory.file('real'));
    await symlink('real', directory.file('link'));
    const store = new FileStore(directory.file('link'));
    await put(store, 'a/b', 'content');
    expect(await store.stat('a/b')).toMatchObject({ size: 7 });
    expect((await Array.fromAsync(store.list(''))).map(({ key }) => key)).toEqual(['a/b']);
  });
});

describe('a link inside the store', () => {
  /** `store/out` leads to `store-outside`, whose name starts like the store's own. */
  async function withLink(directory: { file(...names: readonly string[]): string }): Promise<FileStore> {
    await mkdir(directory.file('store'));
    await mkdir(directory.file('store-outside'));
    await writeFile(directory.file('store-outside', 'secret'), 'secret');
    await symlink('../store-outside', directory.file('store', 'out'));
    await symlink('../store-outside/secret', directory.file('store', 'file'));
    return new FileStore(directory.file('store'));
  }

  test('is not followed by reading or listing', async () => {
    await using directory = await makeTemporaryDirectory();
    const store = await withLink(directory);
    for (const key of ['out/secret', 'file']) {
      expect(await codeOf(store.stat(key))).toBe('not-found');
      expect(await codeOf(store.read(key))).toBe('not-found');
    }
    expect(await Array.fromAsync(store.list(''))).toEqual([]);
    expect(await Array.fromAsync(store.list('out/'))).toEqual([]);
  });

  test('is not followed by writing or removing', async () => {
    await using directory = await makeTemporaryDirectory();
    const store = await withLink(directory);
    expect(await codeOf(put(store, 'out/new', 'content'))).toBe('denied');
    expect(await codeOf(put(store, 'out/secret', 'content', 'replace'))).toBe('denied');
    await store.remove(['out/secret']);
    expect(await readdir(directory.file('store-outside'))).toEqual(['secret']);
    expect(await readFile(directory.file('store-outside', 'secret'), 'utf8')).toBe('secret');
    expect(await Array.fromAsync(store.pending(''))).toEqual([]);
  });
});

test('an object that is truncated while it is read fails with integrity', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  {
    await using pending = await store.begin('a');
    await pending.append(pieces(3));
    const sha256 = createHash('sha256')
      .update(Buffer.alloc(3 * MiB, 'p'))
      .digest('hex');
    await pending.commit({ size: 3 * MiB, sha256 });
  }
  await using source = await store.read('a');
  await truncate(directory.file('a'), 2 * MiB - 5);
  expect(await codeOf(Array.fromAsync(source))).toBe('integrity');
});

test('empty directories are removed, others and the root stay', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  for (const key of ['a/b/c/1', 'a/b/2', 'x/3']) await put(store, key, key);
  await store.remove(['a/b/c/1', 'x/3']);
  expect(await readdir(directory.path, { recursive: true })).toEqual(['a', 'a/b', 'a/b/2']);
  await store.remove(['a/b/2']);
  expect(await readdir(directory.path)).toEqual([]);
});

test('a commit whose name is occupied leaves no directory and no unfinished write', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  {
    await using pending = await store.begin('a/b/c');
    await writeFile(directory.file('a'), 'in the way');
    const sha256 = createHash('sha256').digest('hex');
    expect(await codeOf(pending.commit({ size: 0, sha256 }))).toBe('exists');
  }
  expect(await readdir(directory.path)).toEqual(['a']);
});

test('a write that another process cleared is not committed', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  await using pending = await store.begin('a/b');
  await new FileStore(directory.path).clear([pending.token]);
  expect(await codeOf(pending.commit({ size: 0, sha256: createHash('sha256').digest('hex') }))).toBe('not-found');
  expect(await readdir(directory.path)).toEqual([]);
});

test.each(['fail', 'replace'] as const)(
  'two writers that resumed one write do not interfere, and one of them wins (%s)',
  async (ifExists) => {
    await using directory = await makeTemporaryDirectory();
    const [one, two] = [new FileStore(directory.path), new FileStore(directory.path)];
    const orphan = await one.begin('a', { ifExists });
    await orphan.append(pieces(1));
    const first = await one.resume(orphan.token);
    const second = await two.resume(orphan.token);
    await first.append(pieces(1));
    await second.append(pieces(2));
    expect(await codeOf(first.commit(digestOfPieces(2)))).toBe('not-found');
    expect(await Array.fromAsync(one.pending(''))).toMatchObject([{ token: orphan.token, durableBytes: 3 * MiB }]);
    await second.commit(digestOfPieces(3));
    await orphan.append(pieces(1));
    await orphan.discard();
    expect(await one.stat('a')).toMatchObject({ size: 3 * MiB });
    expect(await readdir(directory.path)).toEqual(['a']);
  },
);

test('a directory in which none can be created is refused, and not tried forever', async () => {
  const store = new FileStore('/proc/self');
  expect(await codeOf(store.begin('a'))).toBe('denied');
});

test('a write whose writer was killed right after its commit cannot be resumed; clearing it keeps the object', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  const pending = await store.begin('a');
  await pending.append(pieces(1));
  await pending.suspend();
  const { token } = pending;
  const left = await readdir(directory.file('.gantry-pending', token));
  const data = left.find((name) => name.startsWith('data-')) ?? '';
  await link(directory.file('.gantry-pending', token, data), directory.file('a'));
  expect(await codeOf(store.resume(token))).toBe('not-found');
  await store.clear([token]);
  expect(await readdir(directory.path)).toEqual(['a']);
  expect(await store.stat('a')).toMatchObject({ size: MiB });
});

test('a disk that accepts data and fails later fails the write', async () => {
  // Most of the file system's blocks have no space behind them: the kernel notices at writeback.
  await using small = await mountNewTmpfs(48 * MiB);
  const image = small.file('image');
  await writeFile(image, '');
  await truncate(image, 512 * MiB);
  await promisify(execFile)('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', '-m', '0', image]);
  await using disk = await mountImage(image);
  const store = new FileStore(disk.file('store'));
  await using pending = await store.begin('a');
  const write = (async () => {
    await pending.append(pieces(160));
    await pending.commit(digestOfPieces(160));
  })();
  expect(await codeOf(write)).toMatch(/^(unavailable|full)$/);
  expect(await Array.fromAsync(store.list(''))).toEqual([]);
});

describe('leftovers of a writer that was killed while starting', () => {
  test.each([
    ['no record', undefined],
    ['half a record', '{"key": "a'],
    [
      'a record of an evil key',
      JSON.stringify({ key: '../x', ifExists: 'fail', started: '2026-01-01', owner: OWNER, data: `data-${'0'.repeat(16)}` }),
    ],
  ])('%s: it is listed and can be cleared, but not resumed', async (_title, record) => {
    await using directory = await makeTemporaryDirectory();
    const token = 'ab'.repeat(16);
    await mkdir(directory.file('.gantry-pending', token), { recursive: true });
    if (record !== undefined) await writeFile(directory.file('.gantry-pending', token, 'record.json'), record);
    const store = new FileStore(directory.path);
    expect(await Array.fromAsync(store.pending(''))).toMatchObject([{ token, owner: 'unknown', key: `unknown/${token}`, durableBytes: 0 }]);
    expect(await codeOf(store.resume(token))).toBe(record === undefined ? 'not-found' : 'integrity');
    await store.clear([token]);
    expect(await readdir(directory.path)).toEqual([]);
  });
});

test.each(['..', '../kept', `new-${'0'.repeat(32)}~1~1~~../../../kept`, `gone-${'0'.repeat(32)}/../../kept`])(
  'a token with a path clears nothing: %s',
  async (token) => {
    await using directory = await makeTemporaryDirectory();
    await using store = new FileStore(directory.path);
    await mkdir(directory.file('kept'));
    await mkdir(directory.file('.gantry-pending', `new-${'0'.repeat(32)}~1~1~~..`), { recursive: true });
    await store.clear([token]);
    expect(await readdir(directory.path)).toContain('kept');
  },
);

test('a file among the unfinished writes is ignored', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  await using pending = await store.begin('a');
  await writeFile(directory.file('.gantry-pending', 'ab'.repeat(16)), 'something else');
  expect((await Array.fromAsync(store.pending(''))).map(({ token }) => token)).toEqual([pending.token]);
});

test('an unfinished write of another host has an unknown owner; one from before the boot has a dead one', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  await using pending = await store.begin('a');
  const path = directory.file('.gantry-pending', pending.token, 'record.json');
  const text = await readFile(path, 'utf8');
  const owners: (string | undefined)[] = [];
  for (const [from, to] of [
    [/"host":"[^"]*"/, '"host":"elsewhere"'],
    [/"bootId":"[^"]*"/, '"bootId":"before"'],
    [/"startTime":"[^"]*"/, '"startTime":"1"'],
  ] as const) {
    await writeFile(path, text.replace(from, to));
    owners.push((await Array.fromAsync(store.pending('')))[0]?.owner);
  }
  expect(owners).toEqual(['unknown', 'dead', 'dead']);
});

test('no descriptor stays open after any end of a reader or writer', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  await put(store, 'a', 'x'.repeat(3 * MiB));
  const before = await openDescriptors();
  for await (const _chunk of await store.read('a')) break;
  await Array.fromAsync(await store.read('a'));
  await (await store.read('a'))[Symbol.asyncDispose]();
  await codeOf(store.read('a', { offset: 4 * MiB }));
  await codeOf(put(store, 'a', 'again'));
  await (await store.begin('b')).discard();
  const suspended = await store.begin('c');
  await suspended.suspend();
  await store.clear([suspended.token]);
  expect(await openDescriptors()).toBe(before);
});

test('a pipe, a directory and a hidden file are not objects', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  await mkdir(directory.file('directory'));
  await writeFile(directory.file('.hidden'), 'x');
  await new Promise<void>((resolve, reject) => {
    execFile('mkfifo', [directory.file('pipe')], (error) => (error === null ? resolve() : reject(error)));
  });
  expect(await codeOf(store.stat('pipe'))).toBe('not-found');
  expect(await codeOf(store.read('directory'))).toBe('not-found');
  expect(await Array.fromAsync(store.list(''))).toEqual([]);
  await unlink(directory.file('pipe'));
  await rm(directory.file('directory'), { recursive: true });
});

test('memory stays bounded for any amount of data', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  const count = 256;
  const before = process.memoryUsage().rss;
  let peak = before;
  const hash = createHash('sha256');
  async function* watched(): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces(count)) {
      hash.update(piece);
      yield piece;
      peak = Math.max(peak, process.memoryUsage().rss);
    }
  }
  await using pending = await store.begin('large');
  await pending.append(watched());
  expect(pending.durableBytes).toBeGreaterThanOrEqual((count - 64) * MiB);
  await pending.commit({ size: count * MiB, sha256: hash.digest('hex') });
  for await (const _chunk of await store.read('large')) peak = Math.max(peak, process.memoryUsage().rss);
  expect(peak - before).toBeLessThan(64 * MiB);
});
