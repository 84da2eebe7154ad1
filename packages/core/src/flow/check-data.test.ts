import { readFile, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { makeRandomFile, makeSparseFile, makeTemporaryDirectory } from '@gantry/testkit';
import type { TemporaryDirectory } from '@gantry/testkit';
import { MemoryStore } from '@gantry/transport/testing';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { put } from '../../test/sample-export.ts';
import { sampleInstance } from '../../test/sample-instance.ts';
import type { ImportResult } from '../operations/import.ts';
import { importInstance } from '../operations/import.ts';

const MIB = 1024 * 1024;

/** Imports, into a disk of 8 MiB, an export that Ganeti made of one, with this dump. */
async function importGaneti(
  scratch: TemporaryDirectory,
  dump: Uint8Array,
  { os = 'raw', compression = 'none' }: { os?: string; compression?: string } = {},
): Promise<ImportResult> {
  const store = new MemoryStore();
  const head = `[export]\nversion = 0\ntimestamp = 1437052800\nsource = node1\nos = ${os}\ncompression = ${compression}\n`;
  const disk = 'disk0_dump = d.snap\ndisk0_size = 8\ndisk_count = 1\nnic_count = 0\n';
  await put(store, 'web1.example.com/config.ini', `${head}[instance]\nname = web1.example.com\n${disk}`);
  await put(store, 'web1.example.com/d.snap', dump);
  await makeSparseFile(scratch.file('target'), 8 * MIB);
  return await importInstance({
    store,
    export: 'web1.example.com',
    instance: sampleInstance({ os, disks: [{ path: scratch.file('target'), access: 'rw' }] }),
    stateDirectory: scratch.file('state'),
    osSearchPath: [scratch.file('os')],
  });
}

async function makeCat(scratch: TemporaryDirectory): Promise<void> {
  const install = `mkdir -p "$1/cat"; cd "$1/cat"; echo 20 >ganeti_api_version; : >parameters.list
for name in create export rename verify; do printf '#!/bin/sh\\nexit 0\\n' >$name; done
printf '#!/bin/sh\\ncat >"$IMPORT_DEVICE"\\n' >import; chmod +x create export rename verify import`;
  await execa('sh', ['-c', install, 'sh', scratch.file('os')]);
}

async function isUntouched(scratch: TemporaryDirectory): Promise<boolean> {
  return (await readFile(scratch.file('target'))).every((byte) => byte === 0);
}

describe('a dump of Ganeti that is not what config.ini says', () => {
  test.each(['gzip', 'pigz', 'zstd', 'xz', 'lzop', 'lz4', 'bzip2'])('is refused by raw when %s made it, and named', async (tool) => {
    await using scratch = await makeTemporaryDirectory();
    await makeRandomFile(scratch.file('plain'), MIB, 'compressed');
    const { stdout } = await execa(tool, ['-c', scratch.file('plain')], { encoding: 'buffer' });
    await expect(importGaneti(scratch, stdout)).rejects.toMatchObject({
      code: 'DUMP_DAMAGED',
      message: expect.stringContaining(`begins like a file compressed with ${tool === 'pigz' ? 'gzip' : tool}, not like a disk`),
      hint: expect.stringContaining('config.ini'),
    });
    expect(await isUntouched(scratch)).toBe(true);
  });

  test('is refused when it was compressed twice', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeRandomFile(scratch.file('plain'), MIB, 'compressed');
    const { stdout } = await execa('sh', ['-c', 'xz -c "$1" | gzip', 'sh', scratch.file('plain')], { encoding: 'buffer' });
    await expect(importGaneti(scratch, stdout, { compression: 'gzip' })).rejects.toMatchObject({
      message: expect.stringContaining('with xz'),
    });
    expect(await isUntouched(scratch)).toBe(true);
  });

  test('is taken for a disk, with a warning, when it is as long as the disk was', async () => {
    await using scratch = await makeTemporaryDirectory();
    const image = Buffer.alloc(8 * MIB, 'data');
    image.set([0x1f, 0x8b, 0x08]);
    const { warnings } = await importGaneti(scratch, image);
    expect(warnings.join('\n')).toMatch(/begins like a file compressed with gzip, .* as long as the disk was/);
    expect((await readFile(scratch.file('target'))).equals(image)).toBe(true);
  });

  test('is handed to an import script, which may know what it is, with a warning', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeCat(scratch);
    await writeFile(scratch.file('plain'), 'text');
    const { stdout } = await execa('gzip', ['-c', scratch.file('plain')], { encoding: 'buffer' });
    const { warnings } = await importGaneti(scratch, stdout, { os: 'cat' });
    expect(warnings.join('\n')).toMatch(/begins like a file compressed with gzip.*: the import script gets it unchanged/);
  });
});

test('a dump of Ganeti that ends before the disk did is reported, one that is a bit shorter than whole MiB is not', async () => {
  await using scratch = await makeTemporaryDirectory();
  const cut = await importGaneti(scratch, Buffer.alloc(5 * MIB, 'data'));
  expect(cut.warnings.join('\n')).toMatch(/has 5242880 bytes, and the disk had 8 MiB: it may have been cut short/);
  const whole = await importGaneti(scratch, Buffer.alloc(8 * MIB - 512, 'data'));
  expect(whole.warnings.join('\n')).not.toMatch(/cut short/);
});

describe('an empty dump of Ganeti', () => {
  test('is refused for raw', async () => {
    await using scratch = await makeTemporaryDirectory();
    await expect(importGaneti(scratch, Buffer.alloc(0))).rejects.toMatchObject({
      code: 'DUMP_DAMAGED',
      message: expect.stringContaining('empty'),
    });
  });

  test.each([
    ['none', Buffer.alloc(0)],
    ['gzip', gzipSync(Buffer.alloc(0))],
  ])('is handed to an import script, with a warning (%s)', async (compression, dump) => {
    await using scratch = await makeTemporaryDirectory();
    await makeCat(scratch);
    const { warnings } = await importGaneti(scratch, dump, { os: 'cat', compression });
    expect(warnings.join('\n')).toMatch(/its dump in web1\.example\.com\S* is empty: the import script gets nothing/);
  });
});
