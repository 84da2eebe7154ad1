import { piecesOf } from '../frames/testing/streams.ts';
import { readFile, truncate, writeFile } from 'node:fs/promises';

import type { TemporaryDirectory } from '@gantry/testkit';
import {
  attachLoopDevice,
  compareTrees,
  makeExt4Image,
  makeTemporaryDirectory,
  mountImage,
  sha256File,
  writeOsDefinitions,
} from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import { sampleInstance } from '../../test/sample-instance.ts';
import type { Instance } from '../instances/model.ts';
import { runExportScript } from './export-script.ts';
import { runImportScript } from './import-script.ts';
import { runCreateScript, runRenameScript } from './script.ts';
import type { SelectedOs } from './select.ts';
import { selectOs } from './select.ts';

const MiB = 1024 * 1024;

/*
 * The interface at its real work: definitions as administrators write them, on real file systems. Needs root, e2fsprogs, tar and dump.
 */

async function definition(directory: TemporaryDirectory, name: string): Promise<SelectedOs> {
  await writeOsDefinitions(directory.path, [name]);
  return selectOs(name, { searchPath: [directory.path] });
}

function onDisk(path: string, size: number): Instance {
  return sampleInstance({ disks: [{ path, size, access: 'rw', backend_type: 'file:loop' }] });
}

interface Move {
  /** Bytes that the export script announced, and that it gave. */
  readonly expected: number | undefined;
  readonly bytes: number;
  readonly warnings: readonly string[];
}

/** What the export script of one disk writes goes straight into the import script of another. */
async function move(os: SelectedOs, from: string, to: string, size: number): Promise<Move> {
  let bytes = 0;
  const warnings: string[] = [];
  const onWarning = (warning: string): void => void warnings.push(warning);
  await using dump = runExportScript(os, { instance: onDisk(from, size), disk: 0, view: { path: from }, onWarning });
  async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const piece of piecesOf(dump)) {
      if (!(piece instanceof Uint8Array)) throw new Error('a script gives no holes');
      bytes += piece.length;
      yield piece;
    }
  }
  await runImportScript(os, { instance: onDisk(to, size), disk: 0, pieces: counted(), onWarning });
  return { expected: dump.expectedBytes(), bytes, warnings };
}

/** Between the file systems in two images. */
async function differences(from: string, to: string, name: string): Promise<readonly string[]> {
  await using one = await mountImage(from, { readOnly: true });
  await using other = await mountImage(to, { readOnly: true });
  // restore(8) leaves out names of 255 bytes; removing its table of symbols changes the root directory's time.
  const lost = name === 'dump-ext4' ? [`odd names/${'x'.repeat(255)}`, '.'] : [];
  return await compareTrees(one.path, other.path, { ignore: ['lost+found', ...lost] });
}

describe('a sample definition moves a disk', () => {
  test.each(['file', 'block device'])('cat: byte for byte, %s', async (kind) => {
    await using directory = await makeTemporaryDirectory();
    await using devices = new AsyncDisposableStack();
    const [from, to] = [directory.file('from.img'), directory.file('to.img')];
    await makeExt4Image(from, { bytes: 64 * MiB });
    await writeFile(to, '');
    await truncate(to, 64 * MiB);
    const path = async (image: string): Promise<string> => (kind === 'file' ? image : devices.use(await attachLoopDevice(image)).path);
    const { expected, bytes } = await move(await definition(directory, 'cat'), await path(from), await path(to), 64);
    expect(expected).toBe(64 * MiB);
    expect(bytes).toBe(64 * MiB);
    await devices.disposeAsync();
    expect(await sha256File(to)).toBe(await sha256File(from));
  });

  test.each(['tar-ext4', 'dump-ext4'])('%s: file for file', async (name) => {
    await using directory = await makeTemporaryDirectory();
    const [from, to] = [directory.file('from.img'), directory.file('to.img')];
    await makeExt4Image(from, { bytes: 96 * MiB, files: 1000 });
    await writeFile(to, 'rubbish');
    await truncate(to, 128 * MiB);
    const { expected, bytes, warnings } = await move(await definition(directory, name), from, to, 128);
    expect(warnings).toEqual([]);
    expect(expected).toBeGreaterThan(bytes / 4);
    expect(expected).toBeLessThan(bytes * 4);
    expect(await differences(from, to, name)).toEqual([]);
  });

  test('with restore(8) alone, which leaves unread what fills the last record, as many definitions do', async () => {
    await using directory = await makeTemporaryDirectory();
    const [from, to] = [directory.file('from.img'), directory.file('to.img')];
    await makeExt4Image(from, { bytes: 96 * MiB, files: 1000 });
    await writeFile(to, '');
    await truncate(to, 96 * MiB);
    const os = await definition(directory, 'dump-ext4');
    const script = directory.file('dump-ext4', 'import');
    await writeFile(script, (await readFile(script, 'utf8')).replace(/^cat .*$/m, ''));
    const { warnings } = await move(os, from, to, 96);
    for (const warning of warnings) expect(warning).toContain('did not read the end of its data');
    expect(await differences(from, to, 'dump-ext4')).toEqual([]);
  });

  test('and installs and renames', async () => {
    await using directory = await makeTemporaryDirectory();
    const os = await definition(directory, 'tar-ext4');
    const disk = directory.file('disk.img');
    await writeFile(disk, '');
    await truncate(disk, 32 * MiB);
    await runCreateScript(os, { instance: onDisk(disk, 32) });
    await runRenameScript(os, { instance: onDisk(disk, 32), newName: 'new.example.com' });
    await using mounted = await mountImage(disk, { readOnly: true });
    await writeFile(directory.file('expected'), 'new.example.com\n');
    expect(await sha256File(mounted.file('etc', 'hostname'))).toBe(await sha256File(directory.file('expected')));
  });
});
