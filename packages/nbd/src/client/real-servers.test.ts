import { randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';

import type { RealNbdServer } from '@gantry/testkit';
import { findFreePorts, makeTemporaryDirectory, PATIENTLY, startNbdkit, startQemuNbd } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import type { Extent } from '../extents.ts';
import { isData, isDirty, joinRanges } from '../extents.ts';
import { ALLOCATION_CONTEXT } from '../wire/protocol.ts';
import type { NbdClient } from './client.ts';
import type { ConnectOptions } from './connect.ts';
import { connectNbd, describeExport, listExports } from './connect.ts';

const MiB = 1 << 20;
const timeoutMs = 60_000;

/** A disk with data at its beginning, in its middle and in its last, odd bytes. */
async function makeDisk(path: string, size: number): Promise<Buffer> {
  const content = Buffer.alloc(size);
  await using file = await open(path, 'wx');
  await file.truncate(size);
  for (const [at, length] of [
    [0, 300_000],
    [2 * MiB, MiB],
    [2 * MiB + MiB + 8192, 4096],
    [size - 777, 777],
  ] as const) {
    const data = randomBytes(length);
    data.copy(content, at);
    await file.write(data, 0, length, at);
  }
  return content;
}

function openExport({ path }: RealNbdServer, options: Partial<ConnectOptions> = {}): Promise<NbdClient> {
  return connectNbd({ address: { path }, exportName: '', timeoutMs, contexts: [ALLOCATION_CONTEXT], ...options });
}

async function readAll(client: NbdClient): Promise<Buffer> {
  const into = Buffer.alloc(client.size, '?');
  await client.read(0, into);
  return into;
}

/** What `nbdinfo --map` says, in our form. */
async function mapOf(uri: string, context: string): Promise<readonly Extent[]> {
  const { stdout } = await execa('nbdinfo', [`--map=${context}`, '--json', uri]);
  const map: readonly { readonly offset: number; readonly length: number; readonly type: number }[] = JSON.parse(stdout);
  return map.map(({ offset, length, type }) => ({ offset, length, flags: type }));
}

describe.each([6 * MiB, 6 * MiB + 513])('an export of %i bytes', (size) => {
  test('of qemu-nbd: content and extents, as nbdinfo says them; holes are not read', async () => {
    await using scratch = await makeTemporaryDirectory();
    const content = await makeDisk(scratch.file('disk'), size);
    await using server = await startQemuNbd({ directory: scratch.path, args: ['--read-only', '--format=raw', scratch.file('disk')] });
    await using client = await openExport(server, { maxRequestBytes: 100_000 });
    expect(client.info).toMatchObject({ readOnly: true, multiConnection: true });
    // QEMU rounds the size up to its sectors.
    expect(client.size).toBe(Math.ceil(size / 512) * 512);
    expect((await readAll(client)).subarray(0, size).equals(content)).toBe(true);
    const extents = await Array.fromAsync(client.extents(ALLOCATION_CONTEXT));
    expect(extents).toEqual(await mapOf(server.uri, ALLOCATION_CONTEXT));
    const ranges = await Array.fromAsync(joinRanges(extents, isData));
    expect(ranges.length).toBe(3);
    const copy = Buffer.alloc(client.size);
    for (const { offset, length } of ranges) await client.read(offset, copy.subarray(offset, offset + length));
    expect(copy.subarray(0, size).equals(content)).toBe(true);
  });

  test.each([
    ['structured replies', []],
    ['simple replies', ['--no-sr']],
    [
      'blocks of 512 to 64 KiB',
      [
        '--filter=blocksize-policy',
        '--filter=truncate',
        'blocksize-minimum=512',
        'blocksize-preferred=4096',
        'blocksize-maximum=64K',
        'blocksize-error-policy=error',
        'round-up=512',
      ],
    ],
    ['as long as a whole MiB', ['--filter=truncate', 'round-up=1M']],
  ])('of nbdkit, %s: content and extents', async (name, more) => {
    await using scratch = await makeTemporaryDirectory();
    const content = await makeDisk(scratch.file('disk'), size);
    const flags = more.filter((option) => option.startsWith('--'));
    const parameters = more.filter((option) => !option.startsWith('--'));
    await using server = await startNbdkit({
      directory: scratch.path,
      args: [...flags, '--readonly', 'file', scratch.file('disk'), ...parameters],
    });
    const isSimple = name === 'simple replies';
    await using client = await openExport(server, isSimple ? { contexts: [] } : {});
    const read = await readAll(client);
    expect(read.subarray(0, size).equals(content)).toBe(true);
    expect(read.subarray(size).every((byte) => byte === 0)).toBe(true);
    if (isSimple) {
      await expect(openExport(server)).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining('base:allocation') });
      return;
    }
    const extents = await Array.fromAsync(client.extents(ALLOCATION_CONTEXT));
    expect(extents.reduce((sum, { length }) => sum + length, 0)).toBe(client.size);
    expect(await Array.fromAsync(joinRanges(extents, isData))).toHaveLength(3);
  });
});

test('a part of an export, of any length at any offset, has the bytes that are there', async () => {
  await using scratch = await makeTemporaryDirectory();
  const content = await makeDisk(scratch.file('disk'), 6 * MiB);
  await using server = await startNbdkit({ directory: scratch.path, args: ['file', scratch.file('disk')] });
  await using client = await openExport(server, { maxRequestBytes: 70_000 });
  for (const [offset, length] of [
    [0, 0],
    [0, 1],
    [299_999, 2],
    [123, 1_500_001],
    [6 * MiB - 1, 1],
  ] as const) {
    const into = Buffer.alloc(length);
    await client.read(offset, into);
    expect(into.equals(content.subarray(offset, offset + length))).toBe(true);
  }
});

test('two contexts: allocation, and the dirty bitmap of a qcow2', async () => {
  await using scratch = await makeTemporaryDirectory();
  const disk = scratch.file('disk.qcow2');
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '8M']);
  await execa('qemu-io', ['-c', 'write -P 1 0 1M', disk]);
  await execa('qemu-img', ['bitmap', '--add', '-g', '65536', disk, 'b0']);
  await execa('qemu-io', ['-c', 'write -P 2 2M 64k', '-c', 'write -P 2 2176k 64k', '-c', 'write -P 2 5M 1M', disk]);
  await using server = await startQemuNbd({ directory: scratch.path, args: ['--read-only', '--format=qcow2', '--bitmap=b0', disk] });
  const dirty = 'qemu:dirty-bitmap:b0';
  await using client = await openExport(server, { contexts: [ALLOCATION_CONTEXT, dirty] });
  expect(await Array.fromAsync(client.extents(dirty))).toEqual(await mapOf(server.uri, dirty));
  expect(await Array.fromAsync(client.extents(ALLOCATION_CONTEXT))).toEqual(await mapOf(server.uri, ALLOCATION_CONTEXT));
  // A gap of 64 KiB is not below 64 KiB.
  expect(await Array.fromAsync(joinRanges(client.extents(dirty), isDirty))).toEqual([
    { offset: 2 * MiB, length: 65_536 },
    { offset: 2176 * 1024, length: 65_536 },
    { offset: 5 * MiB, length: MiB },
  ]);
  await expect(openExport(server, { contexts: ['qemu:dirty-bitmap:other'] })).rejects.toMatchObject({ code: 'unsupported' });
});

test('over TCP', async () => {
  await using scratch = await makeTemporaryDirectory();
  const content = await makeDisk(scratch.file('disk'), 6 * MiB);
  const port = await findFreePorts(1);
  const address = { host: '127.0.0.1', port };
  const args = ['--foreground', '--ipaddr', address.host, '--port', String(port), 'file', scratch.file('disk')];
  const server = execa('nbdkit', args, { reject: false });
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    server.kill('SIGTERM');
    await server;
  });
  await expect.poll(() => listExports({ address, timeoutMs }).catch(() => undefined), PATIENTLY).toBeDefined();
  await using client = await connectNbd({ address, exportName: '', timeoutMs });
  expect((await readAll(client)).equals(content)).toBe(true);
});

describe('nbdkit with faults', () => {
  test('errors fail their requests alone, as often as they come', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeDisk(scratch.file('disk'), 6 * MiB);
    const args = ['--filter=error', 'file', scratch.file('disk'), 'error-pread=EIO', 'error-pread-rate=50%'];
    await using server = await startNbdkit({ directory: scratch.path, args });
    await using client = await openExport(server);
    const into = Buffer.alloc(4096);
    const reads = await Promise.allSettled(Array.from({ length: 200 }, (_, at) => client.read(at * 4096, into)));
    const failed = reads.filter((read) => read.status === 'rejected');
    expect(failed.length).toBeGreaterThan(20);
    expect(failed.length).toBeLessThan(180);
    for (const { reason } of failed) expect(reason).toMatchObject({ code: 'server-error', errno: 5 });
  });

  test('a read that takes longer than the caller waits: a time-out, soon', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeDisk(scratch.file('disk'), MiB + 1000);
    const args = ['--filter=delay', 'file', scratch.file('disk'), 'delay-read=600'];
    await using server = await startNbdkit({ directory: scratch.path, args });
    await using client = await openExport(server, { timeoutMs: 500 });
    await expect(client.read(0, Buffer.alloc(4096))).rejects.toMatchObject({ code: 'timeout' });
    await expect(client.read(0, Buffer.alloc(4096))).rejects.toMatchObject({ code: 'disconnected' });
    await server.kill();
  });

  test('reads that are all slow take as long as one', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeDisk(scratch.file('disk'), MiB + 1000);
    const args = ['--threads=16', '--filter=delay', 'file', scratch.file('disk'), 'delay-read=1'];
    await using server = await startNbdkit({ directory: scratch.path, args });
    await using client = await openExport(server, { maxRequestBytes: 65_536, maxInFlight: 16 });
    const start = performance.now();
    await client.read(0, Buffer.alloc(MiB));
    // One after the other they would take 16 s.
    expect(performance.now() - start).toBeLessThan(14_000);
  });

  test('killed in the middle of a read: disconnected', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeDisk(scratch.file('disk'), MiB + 1000);
    const args = ['--filter=delay', 'file', scratch.file('disk'), 'delay-read=600'];
    await using server = await startNbdkit({ directory: scratch.path, args });
    await using client = await openExport(server);
    const read = client.read(0, Buffer.alloc(4096));
    const [outcome] = await Promise.all([Promise.allSettled([read]), server.kill()]);
    expect(outcome).toMatchObject([{ reason: { code: 'disconnected' } }]);
  });

  test('a block size policy that refuses: requests of the sizes that the server wants pass', async () => {
    await using scratch = await makeTemporaryDirectory();
    await writeFile(scratch.file('disk'), randomBytes(MiB));
    const policy = ['blocksize-minimum=4096', 'blocksize-preferred=65536', 'blocksize-maximum=128K', 'blocksize-error-policy=error'];
    const args = ['--filter=blocksize-policy', 'file', scratch.file('disk'), ...policy];
    await using server = await startNbdkit({ directory: scratch.path, args });
    await using client = await openExport(server, { maxRequestBytes: 100_001 });
    expect(client.info.blockSizes).toEqual({ minimum: 4096, preferred: 65_536, maximum: 131_072 });
    expect((await readAll(client)).equals(await readFile(scratch.file('disk')))).toBe(true);
    await expect(client.read(512, Buffer.alloc(512))).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

test('exports are listed and described, and one that is not there is refused', async () => {
  await using scratch = await makeTemporaryDirectory();
  await makeDisk(scratch.file('disk'), 6 * MiB);
  const args = ['--read-only', '--format=raw', '--export-name=disk0', '--description=the first disk', scratch.file('disk')];
  await using server = await startQemuNbd({ directory: scratch.path, args });
  const address = { path: server.path };
  expect(await listExports({ address, timeoutMs })).toEqual([{ name: 'disk0', description: 'the first disk' }]);
  expect(await describeExport({ address, timeoutMs, exportName: 'disk0' })).toMatchObject({ size: 6 * MiB, description: 'the first disk' });
  await expect(connectNbd({ address, timeoutMs, exportName: 'disk1' })).rejects.toMatchObject({ code: 'unknown-export' });
  await expect(describeExport({ address, timeoutMs, exportName: 'disk1' })).rejects.toMatchObject({ code: 'unknown-export' });
});

test('a server that wants TLS is refused with that reason', async () => {
  await using scratch = await makeTemporaryDirectory();
  await writeFile(scratch.file('psk'), 'user:0123456789abcdef\n');
  const args = ['--tls=require', `--tls-psk=${scratch.file('psk')}`, 'memory', '1M'];
  await using server = await startNbdkit({ directory: scratch.path, args });
  await expect(openExport(server)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('TLS') });
});
