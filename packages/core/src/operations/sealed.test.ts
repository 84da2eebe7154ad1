import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { execa } from 'execa';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, getBytes, keysOf } from '../../test/sample-export.ts';
import { identityUnsealer } from '../exports/identity-unsealer.ts';
import { listExports } from '../exports/list-exports.ts';
import { openExport } from '../exports/open-export.ts';
import { withUnsealer } from '../exports/unsealing.ts';
import { verifyExport } from './verify.ts';

const identity = await generateX25519Identity();
const identities = Identities.parse(identity);
const recipients = Recipients.of(await identities.recipients());

describe('a sealed export', () => {
  test('is listed and checked by its digests without an identity, and read with one', async () => {
    const memory = new Memory();
    const store = new MemoryStore(memory);
    await using bench = await makeOperationBench({ disks: 2, store });
    const made = await bench.exportDisks({ recipients });
    const prefix = `${made.instance}/${made.exportId}/`;
    const keys = (await keysOf(store)).filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
    expect(keys).toEqual([
      'SHA256SUMS',
      'disk0.map.age',
      'disk0.zst.age',
      'disk1.map.age',
      'disk1.zst.age',
      'manifest.json',
      'sealed.json.age',
    ]);
    const manifest = await get(store, `${prefix}manifest.json`);
    expect(manifest).not.toContain(bench.instance.disks[0]?.path);

    const closed = await openExport(store, made.reference);
    expect(closed).toMatchObject({ os: '', manifest: { version: 4, sealed: { recipients: recipients.texts } } });
    await expect(verifyExport({ store, export: made.reference, depth: 'frames' })).rejects.toMatchObject({ code: 'IDENTITY_NEEDED' });

    const listed = await Array.fromAsync(listExports(store));
    expect(listed).toMatchObject([{ reference: made.reference, state: 'complete', disks: 2 }]);
    expect(listed[0]).not.toHaveProperty('os');

    const open = withUnsealer(store, identityUnsealer(identities));
    expect(await openExport(open, made.reference)).toMatchObject({ os: bench.instance.os, manifest: { instance: bench.instance } });
    await verifyExport({ store: open, export: made.reference, depth: 'frames' });

    const [path = ''] = bench.instance.disks.map((disk) => disk.path ?? '');
    const before = await readFile(path);
    await writeFile(path, Buffer.alloc(before.length));
    await expect(bench.importDisks(made.reference, { yes: true })).rejects.toMatchObject({ code: 'IDENTITY_NEEDED' });
    expect(await readFile(path)).toEqual(Buffer.alloc(before.length));
    await bench.importDisks(made.reference, { store: open, yes: true });
    expect(await readFile(path)).toEqual(before);

    // By hand, without Gantry.
    await writeFile(bench.directory.file('key'), `${identity}\n`);
    await writeFile(bench.directory.file('dump'), await getBytes(store, `${prefix}disk0.zst.age`));
    const byHand = await execa(`age -d -i key dump | zstd -dc`, { shell: true, cwd: bench.directory.path, encoding: 'buffer' });
    expect(before.equals(byHand.stdout)).toBe(true);
  });
});
