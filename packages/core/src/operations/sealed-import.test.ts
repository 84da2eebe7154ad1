import { randomBytes } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { openFrameSource } from '../exports/frame-source.ts';
import { identityUnsealer } from '../exports/identity-unsealer.ts';
import { openExport } from '../exports/open-export.ts';
import { withUnsealer } from '../exports/unsealing.ts';
import { memoryWorld } from '../instances/testing/memory-inventory.ts';

const MIB = 1024 ** 2;

/** Data that does not compress, zeros, and text: frames of many sizes, whose edges are anywhere in encrypted blocks. */
const DISK = Buffer.concat([randomBytes(5 * MIB), Buffer.alloc(7 * MIB), Buffer.alloc(3 * MIB, 'text'), randomBytes(MIB + 7)]);

const identities = Identities.parse(await generateX25519Identity());
const recipients = Recipients.of(await identities.recipients());

describe('an import of a sealed export', () => {
  const closed = new MemoryStore(new Memory());
  const store = withUnsealer(closed, identityUnsealer(identities));
  let bench: OperationBench;
  let reference = '';

  beforeAll(async () => {
    bench = await makeOperationBench({ disks: 2, store: closed });
    await writeFile(bench.instance.disks[0]?.path ?? '', DISK);
    const native = [
      { name: 'domain.xml', secret: false, bytes: Buffer.from('<domain/>') },
      { name: 'tpm.state', secret: true, bytes: Buffer.from('hunter2') },
    ];
    ({ reference } = await bench.exportDisks({ recipients, native, includePrivate: true }));
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  test('goes on where it was cut off, and writes what differs', async () => {
    const path = bench.directory.file('target.img');
    const instance = { ...bench.instance, disks: [{ path, access: 'rw' as const }] };
    await writeFile(path, Buffer.concat([DISK.subarray(0, 4 * MIB), Buffer.alloc(DISK.length - 4 * MIB)]));
    const request = { instance, disks: [0], resume: true, yes: true };
    await expect(bench.importDisks(reference, request)).rejects.toMatchObject({ code: 'IDENTITY_NEEDED' });
    const first = await bench.importDisks(reference, { ...request, store });
    expect((await readFile(path)).equals(DISK)).toBe(true);
    expect(first.resumed?.[0]?.writtenBytes).toBeLessThan(DISK.length - 4 * MIB);
    const { mtimeMs } = await stat(path);
    expect((await bench.importDisks(reference, { ...request, store })).resumed).toMatchObject([{ writtenBytes: 0 }]);
    expect((await stat(path)).mtimeMs).toBe(mtimeMs);
  });

  test('defines the instance with its native description, also what is secret of it', async () => {
    const world = memoryWorld([]);
    const source = world.open();
    const { defined } = await bench.importDisks(reference, { store, yes: true, define: { source, start: true } });
    expect(defined).toMatchObject({ started: true });
    expect(world.descriptions).toMatchObject([
      {
        native: [
          { name: 'domain.xml', bytes: Buffer.from('<domain/>') },
          { name: 'tpm.state', bytes: Buffer.from('hunter2') },
        ],
      },
    ]);
  });

  test('reads any part of a disk alone', async () => {
    const source = await openFrameSource(await openExport(store, reference), 0);
    for (const at of [DISK.length - 1, 4 * MIB, 0, 5 * MIB - 1, 12 * MIB]) {
      const { start, plain } = await source.at(at);
      const bytes = plain instanceof Uint8Array ? plain : Buffer.alloc(plain.zeros);
      expect(DISK.subarray(start, start + bytes.length).equals(bytes), `byte ${at}`).toBe(true);
      expect(start <= at && at < start + bytes.length).toBe(true);
    }
    await expect(openFrameSource(await openExport(closed, reference), 0)).rejects.toMatchObject({ code: 'IDENTITY_NEEDED' });
  });
});
