import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, readFile, readdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { PendingObject, StoreError } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { describe, expect, test } from 'vitest';
import { FileStore } from './file-store.ts';
import { openDirectory } from './node-directory.ts';

/* A store that others can write to: nothing planted there makes reading, writing or clearing leave the store. */

const TOKEN = 'ab'.repeat(16);
const EMPTY = { size: 0, sha256: createHash('sha256').digest('hex') };

/** A directory with `store` and, outside of it, `outside/kept`. */
async function makeDirectories(): Promise<TemporaryDirectory> {
  const directory = await makeTemporaryDirectory();
  await mkdir(directory.file('store'), { mode: 0o700 });
  await mkdir(directory.file('outside', TOKEN), { recursive: true });
  await writeFile(directory.file('outside', 'kept'), 'kept');
  await writeFile(directory.file('outside', TOKEN, 'kept'), 'kept');
  return directory;
}

async function expectOutsideUnchanged(directory: TemporaryDirectory): Promise<void> {
  expect((await readdir(directory.file('outside'), { recursive: true })).toSorted()).toEqual([TOKEN, `${TOKEN}/kept`, 'kept'].toSorted());
  expect(await readFile(directory.file('outside', 'kept'), 'utf8')).toBe('kept');
}

async function failureOf(call: Promise<unknown>): Promise<StoreError> {
  const error = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (isStoreError(error)) return error;
  throw error ?? new Error('the call did not fail');
}

async function* oneByte(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('x');
}

/** A write with one durable byte that can be resumed. */
async function suspended(store: FileStore): Promise<PendingObject> {
  const pending = await store.begin('a');
  await pending.append(oneByte());
  await pending.suspend();
  return pending;
}

describe('.gantry-pending that is a link', () => {
  test('is not used: begin, pending, clear and resume do not follow it, and the error says how to remove it', async () => {
    await using directory = await makeDirectories();
    const link = directory.file('store', '.gantry-pending');
    await symlink('../outside', link);
    const store = new FileStore(directory.file('store'));
    for (const call of [
      () => store.begin('a'),
      () => Array.fromAsync(store.pending('')),
      () => store.clear([TOKEN]),
      () => store.resume(TOKEN),
    ]) {
      const failure = await failureOf(call());
      expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining('symbolic link') });
      expect(failure.hint).toContain(`rm ${link}`);
    }
    await expectOutsideUnchanged(directory);
  });

  test('that is planted during a write diverts neither the data nor the removal', async () => {
    await using directory = await makeDirectories();
    const store = new FileStore(directory.file('store'));
    const pending = await store.begin('a');
    await rename(directory.file('store', '.gantry-pending'), directory.file('store', 'moved'));
    await symlink('../outside', directory.file('store', '.gantry-pending'));
    await pending.commit(EMPTY);
    expect(await readdir(directory.file('store'))).toContain('a');
    await expectOutsideUnchanged(directory);
  });
});

test('a link in place of an unfinished write is neither listed nor cleared', async () => {
  await using directory = await makeDirectories();
  await mkdir(directory.file('store', '.gantry-pending'));
  await symlink(`../../outside/${TOKEN}`, directory.file('store', '.gantry-pending', TOKEN));
  const store = new FileStore(directory.file('store'));
  expect(await Array.fromAsync(store.pending(''))).toEqual([]);
  await store.clear([TOKEN]);
  await expectOutsideUnchanged(directory);
});

test.each(['record.json', 'record.json.new', `data-${'0'.repeat(16)}`])(
  'a link %s in an unfinished write is not followed, and only the link is removed',
  async (name) => {
    await using directory = await makeDirectories();
    const unfinished = directory.file('store', '.gantry-pending', TOKEN);
    await mkdir(unfinished, { recursive: true });
    await symlink('../../../outside/kept', join(unfinished, name));
    const store = new FileStore(directory.file('store'));
    expect(await Array.fromAsync(store.pending(''))).toMatchObject([{ token: TOKEN, owner: 'unknown' }]);
    expect((await failureOf(store.resume(TOKEN))).code).toMatch(/^(integrity|not-found)$/);
    await store.clear([TOKEN]);
    expect(await readdir(directory.file('store'))).toEqual([]);
    await expectOutsideUnchanged(directory);
  },
);

test('replacing a record does not follow a link at its temporary name', async () => {
  await using directory = await makeDirectories();
  const store = new FileStore(directory.file('store'));
  const first = await store.begin('a');
  await first.suspend();
  await symlink('../../../outside/kept', directory.file('store', '.gantry-pending', first.token, 'record.json.new'));
  await using second = await store.resume(first.token);
  await second.commit(EMPTY);
  await expectOutsideUnchanged(directory);
});

test.each(['kept', 'new'])('a new file does not follow a link at its name: to %s', async (target) => {
  await using directory = await makeDirectories();
  // The names of a write's files are random, so that a link is there first only by chance: what protects then is how they are opened.
  await symlink(`../outside/${target}`, directory.file('store', 'name'));
  await using store = await openDirectory(directory.file('store'));
  const create = async (): Promise<void> => (await store.create('name'))[Symbol.asyncDispose]();
  await expect(create()).rejects.toMatchObject({ name: 'FileSystemError', reason: 'exists' });
  await expect(store.createSmall('name', Buffer.from('planted'))).rejects.toMatchObject({ name: 'FileSystemError', reason: 'exists' });
  await expectOutsideUnchanged(directory);
});

test.each(['../../../outside/kept', `../${TOKEN}/kept`, 'record.json', ''])(
  'a record that says that its data is "%s" counts as damaged: nothing is read or removed there',
  async (data) => {
    await using directory = await makeDirectories();
    const store = new FileStore(directory.file('store'));
    const { token } = await suspended(store);
    const unfinished = directory.file('store', '.gantry-pending');
    const record: unknown = JSON.parse(await readFile(join(unfinished, token, 'record.json'), 'utf8'));
    await writeFile(join(unfinished, token, 'record.json'), JSON.stringify(Object.assign({}, record, { data })));
    await mkdir(join(unfinished, TOKEN));
    await writeFile(join(unfinished, TOKEN, 'kept'), 'kept');
    const listed = await Array.fromAsync(store.pending(''));
    expect(listed).toContainEqual(expect.objectContaining({ token, owner: 'unknown', durableBytes: 0 }));
    for (const call of [() => store.resume(token), () => store.salvage(token)]) {
      expect(await failureOf(call())).toMatchObject({ code: 'integrity' });
    }
    await store.clear([token]);
    expect(await readdir(unfinished, { recursive: true })).toEqual([TOKEN, `${TOKEN}/kept`]);
    await expectOutsideUnchanged(directory);
  },
);

test('a directory inside an unfinished write is not removed: the error names it, and the command', async () => {
  await using directory = await makeDirectories();
  const unfinished = directory.file('store', '.gantry-pending', TOKEN);
  await mkdir(join(unfinished, 'data'), { recursive: true });
  const failure = await failureOf(new FileStore(directory.file('store')).clear([TOKEN]));
  expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining('"data"') });
  expect(failure.hint).toMatch(/rm -r .*\.gantry-pending\//);
});

test('a directory that becomes a link between begin and commit is not written through', async () => {
  await using directory = await makeDirectories();
  const store = new FileStore(directory.file('store'));
  await using pending = await store.begin('x/a');
  await symlink('../outside', directory.file('store', 'x'));
  expect(await failureOf(pending.commit(EMPTY))).toMatchObject({ code: 'denied', key: 'x/a' });
  await expectOutsideUnchanged(directory);
});

describe('a store that others own or can write to', () => {
  test.each([0o770, 0o707, 0o777])('causes one warning, with the command to protect it: mode %o', async (mode) => {
    await using directory = await makeDirectories();
    await chmod(directory.file('store'), mode);
    const warnings: string[] = [];
    const store = new FileStore(directory.file('store'), { warn: (message) => void warnings.push(message) });
    for (const key of ['a', 'b']) await (await store.begin(key)).discard();
    expect(warnings).toEqual([expect.stringMatching(/is writable by every (user|member of its group),.*chmod go-w/)]);
  });

  test('causes no warning if only the user and root can write to it', async () => {
    await using directory = await makeDirectories();
    const warnings: string[] = [];
    const store = new FileStore(directory.file('store'), { warn: (message) => void warnings.push(message) });
    await (await store.begin('a')).discard();
    expect(warnings).toEqual([]);
  });

  test('causes a warning if it belongs to another user', async () => {
    await using directory = await makeDirectories();
    await chown(directory.file('store'), 4711, 4711);
    const warnings: string[] = [];
    const store = new FileStore(directory.file('store'), { warn: (message) => void warnings.push(message) });
    await (await store.begin('a')).discard();
    expect(warnings).toEqual([expect.stringContaining('belongs to another user (uid 4711)')]);
  });

  test.each([
    ['belongs to a third user', async (path: string) => chown(path, 4712, 4712)],
    ['is writable by other users', async (path: string) => chmod(path, 0o777)],
  ])('is not written to if its .gantry-pending %s: the data could be replaced', async (_title, plant) => {
    await using directory = await makeDirectories();
    const pending = directory.file('store', '.gantry-pending');
    await mkdir(pending, { mode: 0o700 });
    await writeFile(join(pending, 'planted'), '');
    await plant(pending);
    const failure = await failureOf(new FileStore(directory.file('store')).begin('a'));
    expect(failure).toMatchObject({ code: 'denied', hint: expect.stringContaining(`rm -r ${pending}`) });
    expect(await readdir(pending)).toEqual(['planted']);
  });
});
