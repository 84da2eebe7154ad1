import { execFile } from 'node:child_process';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import {
  allocatedBytes,
  attachLoopDevice,
  makeExt4Image,
  makeRandomFile,
  makeSparseFile,
  makeTemporaryDirectory,
  mountImage,
  startGuest,
  mountNewBtrfs,
  mountNewTmpfs,
  mountNewXfs,
  mountReadOnly,
  pseudoRandom,
  sha256File,
} from '@gantry/testkit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { decodeDump } from '../frames/decode-dump.ts';
import { encodeDump } from '../frames/encode-dump.ts';
import { collect, overwritten } from '../frames/testing/streams.ts';
import type { PlainPiece } from '../frames/types.ts';
import { DeviceReader } from './read-device.ts';
import { mountRamfs } from './testing/ramfs.ts';
import { writeDevice } from './write-device.ts';

const run = promisify(execFile);
const MiB = 1024 * 1024;
const { signal } = new AbortController();

/** Like an export and an import of it: frames do not keep the holes within them. */
function throughDump(path: string): AsyncIterable<PlainPiece> {
  return (async function* () {
    await using reader = new DeviceReader(path);
    const dump = encodeDump(reader, { codec: 'zstd', signal });
    const stored = await collect(dump.stored);
    yield* decodeDump(usedBytes(stored), { codec: 'zstd', framed: dump.summary(), signal });
  })();
}

async function* usedBytes(bytes: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  yield await Promise.resolve(bytes);
}

async function emptyTarget(path: string, bytes: number): Promise<void> {
  await writeFile(path, '');
  await truncate(path, bytes);
}

describe('a file comes back the same and as sparse as it was', () => {
  test('an ext4 file system', async () => {
    await using directory = await makeTemporaryDirectory();
    const [source, target] = [directory.file('source'), directory.file('target')];
    await makeExt4Image(source, { bytes: 64 * MiB });
    await emptyTarget(target, 64 * MiB);
    await writeDevice(target, throughDump(source), { signal });
    expect(await sha256File(target)).toBe(await sha256File(source));
    expect(await allocatedBytes(target)).toBeLessThanOrEqual(await allocatedBytes(source));
  });

  test.each([
    ['xfs', mountNewXfs],
    ['btrfs', mountNewBtrfs],
    ['tmpfs', () => mountNewTmpfs(64 * MiB)],
  ])('on %s, over previous contents', async (_name, mount) => {
    await using mounted = await mount();
    const [source, target] = [mounted.file('source'), mounted.file('target')];
    await makeSparseFile(source, 24 * MiB + 777, [
      { offset: 4096, bytes: 4096, seed: 'a' },
      { offset: 5 * MiB + 12_288, bytes: MiB, seed: 'b' },
      { offset: 24 * MiB, bytes: 777, seed: 'c' },
    ]);
    await makeRandomFile(target, 24 * MiB + 777, 'what was there before');
    await writeDevice(target, throughDump(source), { signal });
    expect(await sha256File(target)).toBe(await sha256File(source));
    await run('sync', ['-f', mounted.path]);
    expect(await allocatedBytes(target)).toBeLessThanOrEqual(await allocatedBytes(source));
  });

  test('for all kinds of pieces and previous contents', async () => {
    await using directory = await makeTemporaryDirectory();
    const path = directory.file('disk');
    const piece = fc.oneof(
      fc.record({ zeros: fc.nat({ max: 200_000 }) }),
      fc.nat({ max: 50_000 }).map((length) => new Uint8Array(length)),
      fc.nat({ max: 50_000 }).map((length) => Buffer.concat([...pseudoRandom('piece', length)])),
      fc
        .tuple(fc.nat({ max: 30_000 }), fc.nat({ max: 30_000 }))
        .map(([a, b]) => Buffer.concat([Buffer.alloc(a), Buffer.of(1), Buffer.alloc(b)])),
    );
    const old = fc.constantFrom<'data' | 'hole'>('data', 'hole');
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 10 }), old, fc.nat({ max: 100_000 }), async (pieces, before, rest) => {
        const plain = await collect(overwritten(pieces));
        await emptyTarget(path, plain.length + rest);
        if (before === 'data') await makeRandomFile(path, plain.length + rest, 'before');
        const tail = (await readFile(path)).subarray(plain.length);
        await writeDevice(path, overwritten(pieces), { signal, expectedPlainBytes: plain.length });
        expect((await readFile(path)).equals(Buffer.concat([plain, tail]))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test('a block of zeros between data becomes a hole, a smaller run does not', async () => {
    await using tmpfs = await mountNewTmpfs(8 * MiB);
    const data = Buffer.alloc(10 * 4096, 'data');
    await emptyTarget(tmpfs.file('disk'), data.length);
    await writeDevice(tmpfs.file('disk'), overwritten([data.fill(0, 4096 - 50, 3 * 4096 + 4000)]), { signal });
    expect((await readFile(tmpfs.file('disk'))).equals(data)).toBe(true);
    expect(await allocatedBytes(tmpfs.file('disk'))).toBe(8 * 4096);
  });

  test('if holes are not supported, zeros are written', async () => {
    await using directory = await makeTemporaryDirectory();
    await using ramfs = await mountRamfs(directory.file('ramfs'));
    await makeRandomFile(ramfs.file('disk'), 3 * MiB, 'before');
    await writeDevice(ramfs.file('disk'), overwritten([{ zeros: MiB + 5 }, Buffer.from('data'), { zeros: 2 * MiB - 9 }]), { signal });
    const written = await readFile(ramfs.file('disk'));
    expect(written.equals(Buffer.concat([Buffer.alloc(MiB + 5), Buffer.from('data'), Buffer.alloc(2 * MiB - 9)]))).toBe(true);
  });
});

describe('a block device', () => {
  test.each(['one that can make holes', 'one that cannot'])(
    'has zeros where they belong, over old data, and an unchanged remainder: %s',
    async (kind) => {
      await using directory = await makeTemporaryDirectory();
      await using ramfs = await mountRamfs(directory.file('ramfs'));
      const file = kind === 'one that cannot' ? ramfs.file('disk') : directory.file('disk');
      await makeRandomFile(file, 10 * MiB, 'before');
      const before = await readFile(file);
      await using loop = await attachLoopDevice(file);
      const data = Buffer.from('data that ends in the middle of a sector');
      await writeDevice(loop.path, overwritten([{ zeros: 3 * MiB + 100 }, data, { zeros: 2 * MiB }, data, { zeros: 700 }, data]), {
        signal,
      });
      const expected = Buffer.concat([Buffer.alloc(3 * MiB + 100), data, Buffer.alloc(2 * MiB), data, Buffer.alloc(700), data]);
      const written = await readFile(loop.path);
      expect(written.subarray(0, expected.length).equals(expected)).toBe(true);
      expect(written.subarray(expected.length).equals(before.subarray(expected.length))).toBe(true);
    },
  );

  test('that can make holes has them in the file below it', async () => {
    await using directory = await makeTemporaryDirectory();
    await makeRandomFile(directory.file('disk'), 10 * MiB, 'before');
    await using loop = await attachLoopDevice(directory.file('disk'));
    await writeDevice(loop.path, overwritten([{ zeros: 8 * MiB }]), { signal });
    expect(await allocatedBytes(directory.file('disk'))).toBeLessThan(3 * MiB);
  });

  test('that is mounted is refused', async () => {
    await using directory = await makeTemporaryDirectory();
    await makeSparseFile(directory.file('disk'), 8 * MiB);
    await using loop = await attachLoopDevice(directory.file('disk'));
    await run('mkfs.ext4', ['-q', loop.path]);
    await using mounted = await mountImage(loop.path);
    await writeFile(mounted.file('kept'), 'kept');
    await expect(writeDevice(loop.path, overwritten([Buffer.from('new')]), { signal })).rejects.toMatchObject({ code: 'BUSY' });
    expect(await readFile(mounted.file('kept'), 'utf8')).toBe('kept');
  });

  test('that is read-only is refused', async () => {
    await using directory = await makeTemporaryDirectory();
    await makeSparseFile(directory.file('disk'), MiB);
    await using loop = await attachLoopDevice(directory.file('disk'), { readOnly: true });
    await expect(writeDevice(loop.path, overwritten([Buffer.from('new')]), { signal })).rejects.toMatchObject({ code: 'DISK_READ_ONLY' });
  });
});

describe('an image file', () => {
  test('is locked as QEMU locks it: no guest starts on it meanwhile, and one does afterwards', async () => {
    await using directory = await makeTemporaryDirectory();
    await emptyTarget(directory.file('disk'), MiB);
    let refusal: unknown;
    const pieces = (async function* (): AsyncGenerator<PlainPiece, void, undefined> {
      yield Buffer.from('one');
      refusal = await startGuest(directory.file('disk')).catch((error: unknown) => error);
      yield Buffer.from('two');
    })();
    await writeDevice(directory.file('disk'), pieces, { signal });
    expect(refusal).toMatchObject({ message: expect.stringMatching(/lock/) });
    await using _guest = await startGuest(directory.file('disk'));
  });

  test('that a guest has open is refused, unless that is forced', async () => {
    await using directory = await makeTemporaryDirectory();
    await emptyTarget(directory.file('disk'), MiB);
    await using _guest = await startGuest(directory.file('disk'));
    await expect(writeDevice(directory.file('disk'), overwritten([Buffer.from('new')]), { signal })).rejects.toMatchObject({
      code: 'BUSY',
    });
    await writeDevice(directory.file('disk'), overwritten([Buffer.from('new')]), { signal, forceInUse: true });
  });
});

describe('refused is', () => {
  test('a disk that is smaller than the dump, before anything is written', async () => {
    await using directory = await makeTemporaryDirectory();
    const target = directory.file('target');
    await writeFile(target, 'as it was');
    const writing = writeDevice(target, overwritten([Buffer.from('new')]), { signal, expectedPlainBytes: 10 });
    await expect(writing).rejects.toMatchObject({ code: 'DISK_TOO_SMALL' });
    expect(await readFile(target, 'utf8')).toBe('as it was');
  });

  test.each<[string, PlainPiece]>([
    ['data', Buffer.from('too much')],
    ['zeros', { zeros: 8 }],
  ])('more %s than the disk has room for, if the size was not known before', async (_title, piece) => {
    await using directory = await makeTemporaryDirectory();
    const target = directory.file('target');
    await writeFile(target, '0123456789');
    await expect(writeDevice(target, overwritten([Buffer.from('abc'), piece]), { signal })).rejects.toMatchObject({
      code: 'DISK_TOO_SMALL',
    });
    expect(await readFile(target, 'utf8')).toBe('abc3456789');
  });

  test('a file that does not exist, and it is not created', async () => {
    await using directory = await makeTemporaryDirectory();
    await expect(writeDevice(directory.file('target'), overwritten([]), { signal })).rejects.toMatchObject({ code: 'DISK_MISSING' });
    await expect(open(directory.file('target'))).rejects.toThrow('ENOENT');
  });

  test('a directory', async () => {
    await using directory = await makeTemporaryDirectory();
    await expect(writeDevice(directory.path, overwritten([]), { signal })).rejects.toMatchObject({ code: 'DISK_KIND' });
  });

  test('a file on a file system that is read-only', async () => {
    await using directory = await makeTemporaryDirectory();
    await writeFile(directory.file('target'), 'as it was');
    await using view = await mountReadOnly(directory.path);
    await expect(writeDevice(view.file('target'), overwritten([]), { signal })).rejects.toMatchObject({ code: 'DISK_READ_ONLY' });
  });

  test('no space on the file system, and the hint says so', async () => {
    await using tmpfs = await mountNewTmpfs(MiB);
    await emptyTarget(tmpfs.file('disk'), 8 * MiB);
    const writing = writeDevice(tmpfs.file('disk'), overwritten([Buffer.alloc(4 * MiB, 'data')]), { signal });
    await expect(writing).rejects.toMatchObject({
      code: 'DISK_IO',
      message: expect.stringContaining('ENOSPC'),
      hint: expect.stringContaining('room'),
    });
  });

  test('an exceeded quota, an error that Node has no name for', async () => {
    await using mounted = await mountNewBtrfs();
    await run('btrfs', ['quota', 'enable', mounted.path]);
    await run('btrfs', ['qgroup', 'limit', '1M', mounted.path]);
    await emptyTarget(mounted.file('disk'), 16 * MiB);
    const writing = writeDevice(mounted.file('disk'), overwritten([Buffer.alloc(8 * MiB, 'data')]), { signal });
    await expect(writing).rejects.toMatchObject({
      code: 'DISK_IO',
      message: expect.stringMatching(/EDQUOT/),
      hint: expect.stringContaining('quota'),
    });
  });
});

describe('writing ends', () => {
  test('with the reason of the signal, while it waits for data', async () => {
    await using directory = await makeTemporaryDirectory();
    await writeFile(directory.file('target'), '0123456789');
    const stop = new AbortController();
    const pieces = (async function* (): AsyncGenerator<PlainPiece, void, undefined> {
      yield Buffer.from('abc');
      setImmediate(() => stop.abort(new Error('no more')));
      await new Promise(() => undefined);
    })();
    await expect(writeDevice(directory.file('target'), pieces, { signal: stop.signal })).rejects.toThrow('no more');
    await expect(writeDevice(directory.file('target'), pieces, { signal: stop.signal })).rejects.toThrow('no more');
  });

  test('with what the pieces throw', async () => {
    await using directory = await makeTemporaryDirectory();
    await writeFile(directory.file('target'), '0123456789');
    const failure = Object.assign(new Error('the store failed'), { code: 'ENOSPC' });
    const pieces = (async function* (): AsyncGenerator<PlainPiece, void, undefined> {
      yield await Promise.resolve(Buffer.from('abc'));
      throw failure;
    })();
    await expect(writeDevice(directory.file('target'), pieces, { signal })).rejects.toBe(failure);
  });
});
