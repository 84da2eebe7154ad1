import { mkdir, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fileInventory } from './file-inventory.ts';
import { describeFrom, listFrom } from './instance-source.ts';
import type { InstanceSource } from './inventory.ts';

let directory: TemporaryDirectory;
let warnings: string[];

beforeEach(async () => {
  directory = await makeTemporaryDirectory();
  warnings = [];
  await write('web1.yaml', 'web1.example.com');
  await write('web2.yaml', 'web2.example.com');
});

afterEach(() => directory[Symbol.asyncDispose]());

async function write(file: string, name: string): Promise<void> {
  await writeFile(directory.file(file), `name: ${name}\nos: raw\nhypervisor: kvm\ndisks: [{path: disk0}]\n`);
}

async function open(path = directory.file()): Promise<InstanceSource> {
  return await fileInventory.open(pathToFileURL(path), { env: {}, warn: (message) => warnings.push(message) });
}

describe('a directory of instance files', () => {
  test('describes an instance by its file, or by its own name, with paths that count from the directory', async () => {
    const source = await open();
    for (const name of ['web1.yaml', 'web1.example.com']) {
      const { instance, run, guarded } = await describeFrom(source, name);
      expect(instance).toMatchObject({ name: 'web1.example.com', disks: [{ path: directory.file('disk0') }] });
      expect({ run, guarded }).toEqual({ run: { state: 'unknown' }, guarded: [] });
    }
  });

  test('reads a file of any name that is there, such as one without an extension', async () => {
    await write('odd', 'odd.example.com');
    expect(await describeFrom(await open(), 'odd')).toMatchObject({ instance: { name: 'odd.example.com' } });
  });

  test('says of a missing file that it is missing, and of a missing instance which are like it', async () => {
    const source = await open();
    await expect(describeFrom(source, 'web3.yaml')).rejects.toMatchObject({
      code: 'INSTANCE_FILE_UNREADABLE',
      message: expect.stringContaining(directory.file('web3.yaml')),
    });
    await expect(describeFrom(source, 'web3.example.com')).rejects.toMatchObject({
      code: 'INSTANCE_NOT_FOUND',
      exitCode: 9,
      hint: expect.stringContaining('Did you mean web1.example.com or web2.example.com?'),
    });
  });

  test('names the files where two describe one instance, and lists it once with a warning', async () => {
    await write('copy.yaml', 'web1.example.com');
    const source = await open();
    await expect(describeFrom(source, 'web1.example.com')).rejects.toMatchObject({
      code: 'INSTANCE_AMBIGUOUS',
      details: [directory.file('copy.yaml'), directory.file('web1.yaml')],
    });
    expect((await listFrom(source)).map(({ name }) => name)).toEqual(['web1.example.com', 'web2.example.com']);
    expect(warnings).toEqual([`${directory.file('web1.yaml')} describes web1.example.com, and so does ${directory.file('copy.yaml')}`]);
  });

  test('lists what it can read, warns of the rest, and passes over other files', async () => {
    await writeFile(directory.file('broken.yaml'), 'name: [\n');
    await writeFile(directory.file('notes.txt'), 'name: [\n');
    await writeFile(directory.file('.hidden.yaml'), 'name: [\n');
    await mkdir(directory.file('old.yaml'));
    const source = await open();
    expect(await listFrom(source, { patterns: ['web*'] })).toMatchObject([
      { name: 'web1.example.com', os: 'raw', hypervisor: 'kvm', disks: 1, tags: [] },
      { name: 'web2.example.com' },
    ]);
    expect(warnings).toEqual([expect.stringContaining('broken.yaml'), expect.stringContaining('old.yaml')]);
    await expect(describeFrom(source, 'db1.example.com')).rejects.toMatchObject({
      message: expect.stringContaining('2 files could not be read'),
    });
  });

  test.each([
    ['missing', 'INVENTORY_NOT_FOUND'],
    ['web1.yaml', 'INVENTORY_ADDRESS'],
  ])('cannot be listed where %s is', async (name, code) => {
    await expect(listFrom(await open(directory.file(name)))).rejects.toMatchObject({ code, exitCode: 3 });
  });

  test('is of this machine', async () => {
    const address = new URL('file://elsewhere/etc/gantry');
    await expect(fileInventory.open(address, { env: {}, warn: () => undefined })).rejects.toMatchObject({ code: 'invalid-address' });
  });
});
