import { readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { TemporaryDirectory } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { digestText } from './small-object.ts';
import { KeptTextFiles } from './kept-texts.ts';
import { digestOfReaders, haveSameReaders } from './same-readers.ts';

const DAY_MS = 86_400_000;

interface Kept {
  readonly files: KeptTextFiles;
  /** Keeps a map, and says the SHA-256 of its object. */
  readonly keep: (exportId: string, text?: string, disk?: number) => Promise<string>;
  readonly names: () => Promise<readonly string[]>;
}

const idOf = (number: number): string => `202611${String(number).padStart(2, '0')}T081500Z`;

function keptIn(directory: TemporaryDirectory, lineage = 'ours', readers = digestOfReaders(['ann', 'bob'])): Kept {
  const stateDirectory = directory.file('state');
  const warn = (message: string): never => expect.fail(message);
  const files = new KeptTextFiles({ stateDirectory, lineage: async () => lineage, readers, warn });
  return {
    files,
    async keep(exportId, content = exportId, disk = 0) {
      await using text = await files.start({ instance: 'web1', exportId, disk, ...digestText(content) });
      await text.write(Buffer.from(content));
      const object = digestText(`${exportId} ${disk} encrypted`);
      await text.keep(object);
      return object.sha256;
    },
    names: async () => (await readdir(directory.file('state/sealed/web1'))).toSorted(),
  };
}

async function textOf(files: KeptTextFiles, sha256: string, instance = 'web1'): Promise<string | undefined> {
  await using chunks = await files.read(`${instance}/20261123T081500Z/disk0.map.age`, { size: 1, sha256 });
  return chunks && Buffer.concat(await Array.fromAsync(chunks, (chunk) => Buffer.from(chunk))).toString();
}

test.each([
  [['a', 'b'], ['b', 'a'], true],
  [['a', 'a'], ['a'], true],
  [['a', 'a'], ['a', 'b'], false],
  [['a', 'b'], ['a', 'a'], false],
  [[], [], false],
])('whether %j and %j are the same readers: %j', (one, other, expected) => {
  expect(haveSameReaders(one, other)).toBe(expected);
  if (one.length > 0) expect(digestOfReaders(one) === digestOfReaders(other)).toBe(expected);
});

describe('frame maps that are kept', () => {
  test('come back as they were, of the object and the instance only', async () => {
    await using directory = await makeTemporaryDirectory();
    const { files, keep } = keptIn(directory);
    const large = 'x'.repeat(3_000_000);
    expect(await textOf(files, await keep(idOf(1), large))).toBe(large);
    const name = await keep(idOf(2), '');
    expect(await textOf(files, name)).toBe('');
    expect(await textOf(files, name, 'web2')).toBeUndefined();
    expect(await textOf(files, digestText('another').sha256)).toBeUndefined();
  });

  test('are not used when anything of them has changed', async () => {
    await using directory = await makeTemporaryDirectory();
    const { files, keep } = keptIn(directory);
    const name = await keep(idOf(1), 'the text');
    const path = directory.file(`state/sealed/web1/${name}`);
    const header = {
      format: 'gantry-kept-map',
      version: 1,
      lineage: 'ours',
      readers: digestOfReaders(['ann', 'bob']),
      exportId: idOf(1),
      disk: 0,
      ...digestText('the text'),
    };
    const good = `${JSON.stringify(header)}\nthe text`;
    await writeFile(path, good);
    expect(await textOf(files, name)).toBe('the text');
    for (const wrong of ['', 'the text', '\n', '{}\nthe text', good.slice(0, -1), `${good} `, good.replace('the text', 'the test')]) {
      await writeFile(path, wrong);
      expect(await textOf(files, name)).toBeUndefined();
    }
  });

  test('are used only for the recipients that they were made for', async () => {
    await using directory = await makeTemporaryDirectory();
    const name = await keptIn(directory).keep(idOf(1), 'the text');
    const read = async (...names: string[]): Promise<unknown> =>
      await textOf(keptIn(directory, 'ours', digestOfReaders(names)).files, name);
    expect(await read('bob', 'ann')).toBe('the text');
    expect(await read('bob')).toBeUndefined();
    expect(await read('ann', 'bob', 'eve')).toBeUndefined();
  });

  test('are read as they were compared, although another run removes them', async () => {
    await using directory = await makeTemporaryDirectory();
    const { files, keep } = keptIn(directory);
    const name = await keep(idOf(1), 'the text');
    await using text = await files.read('web1/20261123T081500Z/disk0.map.age', { size: 1, sha256: name });
    await rm(directory.file('state'), { recursive: true });
    expect(Buffer.concat(await Array.fromAsync(text ?? [], (chunk) => Buffer.from(chunk))).toString()).toBe('the text');
  });

  test('leave nothing if they were not completed', async () => {
    await using directory = await makeTemporaryDirectory();
    const { files, names } = keptIn(directory);
    {
      await using text = await files.start({ instance: 'web1', exportId: idOf(1), disk: 0, ...digestText('text') });
      await text.write(Buffer.from('te'));
      expect(await names()).toHaveLength(1);
    }
    expect(await names()).toEqual([]);
  });

  test('stay while the next export may need them: those of the newest export, of its parents, of other disks and lineages', async () => {
    await using directory = await makeTemporaryDirectory();
    const { files, keep, names } = keptIn(directory);
    const others = keptIn(directory, 'theirs');
    await keep(idOf(1));
    const [parent, newest, later] = [await keep(idOf(2)), await keep(idOf(4)), await keep(idOf(5))];
    await keep(idOf(3));
    const [otherDisk, ofOthers] = [await keep(idOf(1), 'b', 1), await others.keep(idOf(0))];
    await files.settle({ instance: 'web1', exportId: idOf(4), disks: [0], parents: [parent] });
    expect(await names()).toEqual([parent, newest, later, otherDisk, ofOthers].toSorted());
  });

  test('are few, however often exports are cut off, and the settled ones are among them', async () => {
    await using directory = await makeTemporaryDirectory();
    const { keep, names } = keptIn(directory);
    const all: string[] = [];
    for (let number = 1; number <= 12; number += 1) all.push(await keep(idOf(number)));
    expect(await names()).toEqual([...all.slice(0, 2), ...all.slice(-6)].toSorted());
  });

  test('that nobody has used for long are removed, and what killed runs have left', async () => {
    await using directory = await makeTemporaryDirectory();
    const { files, keep, names } = keptIn(directory);
    const [old, recent] = [await keep(idOf(1), 'a', 1), await keep(idOf(1), 'b', 2)];
    const file = (name: string): string => directory.file(`state/sealed/web1/${name}`);
    await writeFile(file('old.tmp'), '');
    await writeFile(file('new.tmp'), '');
    const age = async (name: string, days: number): Promise<void> => {
      const time = new Date(Date.now() - days * DAY_MS);
      await utimes(file(name), time, time);
    };
    await age(old, 401);
    await age(recent, 399);
    await age('old.tmp', 2);
    await files.settle({ instance: 'another', exportId: idOf(2), disks: [0], parents: [] });
    expect(await names()).toEqual([recent, 'new.tmp'].toSorted());
  });
});
